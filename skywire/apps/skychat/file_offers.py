"""Files of ours: each peer is told of those that are for it, in order, and is sent them when it asks."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, final

from anyio import Event, move_on_after
from anyio.abc import TaskGroup

from skywire.apps.skychat.contract import ChatError, ChatMessage, Delivery, Direction, FileOffer
from skywire.apps.skychat.file_ways import FileWays
from skywire.apps.skychat.store import Store
from skywire.errors import ProtocolError
from skywire.keys import PubKey
from skywire.net.backoff import Backoff
from skywire.net.errors import DialError
from skywire.transfer import (
    Announcement,
    FileChanged,
    FileFailed,
    Interrupted,
    Offer,
    OfferTable,
    OfferUnwanted,
    Sending,
    announce,
)

Tell = Callable[[PubKey, Direction, str, FileOffer], None]
"""Has it written down how far the file of a message is."""
Settle = Callable[[PubKey, Direction, str, FileOffer], Awaitable[None]]
"""Writes it down, and nothing older behind it."""

_FIRST_RETRY: Final = 1.0
_LONGEST_RETRY: Final = 60.0


@final
class FileOffers:
    """See the module.

    Args:
        store: the messages.
        ways: to peers.
        tell: has progress written down.
        tasks: runs what tells peers.
        log: of the app.
    """

    def __init__(self, store: Store, ways: FileWays, tell: Tell, *, tasks: TaskGroup, log: logging.Logger) -> None:
        self.table: Final = OfferTable()
        """What peers may fetch."""
        self._store = store
        self._ways = ways
        self._tell = tell
        self._tasks = tasks
        self._log = log
        self._files: dict[tuple[PubKey, str], FileOffer] = {}
        self._waiting: dict[PubKey, list[ChatMessage]] = {}
        self._news: dict[PubKey, Event] = {}

    def add(self, message: ChatMessage) -> None:
        """Offer the file of a message of ours; the peer is told unless it knows."""
        assert message.file is not None
        peer, file = message.peer, message.file
        self._files[peer, message.id] = file
        self.table.add(peer, message.id, Offer(Path(file.path), sha256=file.sha256))
        if message.delivery is Delivery.QUEUED:
            self._waiting.setdefault(peer, []).append(message)
            if peer in self._news:
                self._news[peer].set()
            else:
                self._news[peer] = Event()
                self._tasks.start_soon(self._announce_all, peer)

    def forget(self, peer: PubKey, id: str) -> None:  # noqa: A002 - as on the wire
        """Offer it no more."""
        self.table.remove(peer, id)
        self._files.pop((peer, id), None)

    def sent(self, sending: Sending) -> None:
        """The peer fetches it, or has it. It stays on offer: the peer may die before it has written that down."""
        key = (sending.peer, sending.id)
        if (file := self._files.get(key)) is not None and file.done < file.size:
            self._files[key] = file = replace(file, done=sending.done, trouble="")
            self._tell(sending.peer, Direction.OUT, sending.id, file)

    async def _announce_all(self, peer: PubKey) -> None:
        backoff = Backoff(_FIRST_RETRY, 2.0, _LONGEST_RETRY)
        try:
            while waiting := self._waiting[peer]:
                if (peer, waiting[0].id) not in self._files or await self._announce(waiting[0]):
                    waiting.pop(0)
                    backoff.succeeded()
                    continue
                self._news[peer] = Event()
                with move_on_after(backoff.failed()):
                    await self._news[peer].wait()
        finally:
            del self._waiting[peer], self._news[peer]

    async def _announce(self, message: ChatMessage) -> bool:
        """Tell the peer; whether that is done, for good or ill."""
        peer, id = message.peer, message.id  # noqa: A001
        file = self._files[peer, id]
        offer = self.table.find(peer, id)
        assert offer is not None
        try:
            now = await self._store.one(peer, Direction.OUT, id)
            if now is None or now.deleted or now.delivery is Delivery.REFUSED:  # it was kept too long
                self.forget(peer, id)
                return True
            if now.delivery is not Delivery.QUEUED:  # it knows, though its answer was lost
                return True
            head = await offer.prepare()
            said = Announcement(id, file.name, head.size, head.sha256, message.text)
            async with await self._ways.dial(peer) as conn:
                await announce(conn, said)
            await self._store.set_delivery(peer, id, Delivery.DELIVERED)
        except (OfferUnwanted, FileFailed, FileChanged) as error:
            return await self._refused(peer, id, str(error))
        except (DialError, Interrupted, ProtocolError, ChatError) as error:
            if file.trouble != str(error):
                self._log.info("cannot tell %s of a file yet: %s", peer, error)
                self._update(peer, id, trouble=str(error))
            return False
        else:
            self._update(peer, id, trouble="", sha256=head.sha256)
        return True

    async def _refused(self, peer: PubKey, id: str, reason: str) -> bool:  # noqa: A002
        """Note that the peer will not have it; whether that could be done."""
        self._log.warning("a file for %s is not sent: %s", peer, reason)
        self._update(peer, id, trouble=reason)
        try:
            if (file := self._files.get((peer, id))) is not None:  # the reason first: it is not looked for again
                await self._store.set_file(peer, Direction.OUT, id, file)
            await self._store.set_delivery(peer, id, Delivery.REFUSED)
        except ChatError as error:
            self._log.warning("that cannot be written down yet: %s", error)
            return False
        self.forget(peer, id)
        return True

    def _update(self, peer: PubKey, id: str, trouble: str, sha256: str = "") -> None:  # noqa: A002
        if (file := self._files.get((peer, id))) is not None:
            self._files[peer, id] = file = replace(file, trouble=trouble, sha256=sha256 or file.sha256)
            self._tell(peer, Direction.OUT, id, file)
