"""Entries of the discovery, remembered for a while."""

from __future__ import annotations

from collections import OrderedDict
from typing import final

from anyio.abc import TaskGroup

from skywire.dmsg.discovery.contract import Discovery
from skywire.dmsg.limits import MAX_ENTRIES
from skywire.dmsg.mux import clock
from skywire.dmsg.shared_call import SharedCall
from skywire.keys import PubKey
from skywire.wire.entry import Entry


@final
class EntryCache:
    """Asks the discovery once for what many want.

    Args:
        discovery: what is asked.
        seconds: for which an entry is remembered; that there is none is not.
        task_group: whose tasks ask.
    """

    def __init__(self, discovery: Discovery, seconds: float, task_group: TaskGroup) -> None:
        self._seconds = seconds
        self._known: OrderedDict[PubKey, tuple[Entry, float]] = OrderedDict()
        self._fetch: SharedCall[PubKey, Entry | None] = SharedCall(task_group, discovery.entry)

    def known(self, key: PubKey) -> Entry | None:
        """The entry that is remembered of a key."""
        entry, until = self._known.get(key, (None, 0.0))
        return entry if until > clock() else None

    async def fetch(self, key: PubKey) -> Entry | None:
        """The entry that the discovery has of a key; remembered from now on.

        Raises: see :mod:`skywire.dmsg.discovery.contract`.
        """
        entry = await self._fetch(key)
        self.drop(key)
        if entry is not None:
            self.remember(entry)
        return entry

    def remember(self, entry: Entry) -> None:
        """Take an entry that the discovery gave in a list."""
        if entry.static is not None:
            self._known[entry.static] = (entry, clock() + self._seconds)
            self._known.move_to_end(entry.static)
            if len(self._known) > MAX_ENTRIES:
                self._known.popitem(last=False)

    def drop(self, key: PubKey) -> None:
        """Forget the entry of a key, since it did not lead there."""
        self._known.pop(key, None)
