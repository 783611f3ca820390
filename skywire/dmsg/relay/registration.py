"""The relay's own entry in the discovery: where it listens, and how many more sessions it wants.

Source: protocol-dmsg.md section 5.1 and 6.5.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, final

from anyio import Event, move_on_after, sleep

from skywire.dmsg.discovery.contract import Discovery
from skywire.errors import SkywireError
from skywire.keys import SecKey
from skywire.net.backoff import Backoff
from skywire.wire.discovery import DiscoveryRefused, Reason
from skywire.wire.entry import ServerPart, server_update

_log: Final = logging.getLogger("skywire.dmsg.relay")

UPDATE_SECONDS: Final = 60.0
"""Between two updates that change nothing; an entry lives for twice that."""
PAUSE_SECONDS: Final = 1.0
"""Between two updates, however many sessions come and go."""
DEREGISTER_SECONDS: Final = 3.0
"""For taking the entry back when the relay stops."""
_ATTEMPTS: Final = 3
"""Posts in a row that may find that the stored entry has just changed."""


@final
class ServerRegistration:
    """Keeps the entry up to date.

    Args:
        identity: whose entry.
        discovery: where.
        address: host:port that clients are told to connect to.
        free_sessions: tells how many more sessions the relay wants.
        passphrase: makes the server an official one where the discovery knows it; travels in the entry.
        update_seconds: between two updates that change nothing.
    """

    def __init__(
        self,
        identity: SecKey,
        discovery: Discovery,
        address: str,
        free_sessions: Callable[[], int],
        *,
        passphrase: str = "",
        update_seconds: float = UPDATE_SECONDS,
    ) -> None:
        self._identity = identity
        self._discovery = discovery
        self._address = address
        self._free_sessions = free_sessions
        self._passphrase = passphrase
        self._update_seconds = update_seconds
        self._changed = Event()

    def changed(self) -> None:
        """The number of free sessions is another one."""
        self._changed.set()

    async def run(self, ready: Callable[[], None]) -> None:
        """Announce the relay until cancelled; then take the entry back.

        Args:
            ready: called once it can be found.
        """
        backoff = Backoff(1.0, 1.3, 20.0)
        try:
            while True:
                self._changed = Event()
                try:
                    await self._update()
                except SkywireError as error:
                    wait = backoff.failed()
                    _log.warning("cannot announce this relay in the discovery, next try in %.0f s: %s", wait, error)
                    await sleep(wait)
                    continue
                backoff.succeeded()
                ready()
                await sleep(PAUSE_SECONDS)
                with move_on_after(self._update_seconds - PAUSE_SECONDS):
                    await self._changed.wait()
        finally:
            with move_on_after(DEREGISTER_SECONDS, shield=True):
                await self._deregister()

    async def _update(self) -> None:
        for attempts_left in reversed(range(_ATTEMPTS)):
            stored = await self._discovery.entry(self._identity.public)
            # Upstream registers without the passphrase and updates with it; a discovery may know none, or an empty one.
            part = ServerPart(self._address, self._free_sessions(), self._passphrase)
            entry = server_update(stored, static=self._identity.public, server=part, now_ns=time.time_ns())
            try:
                await self._discovery.post(entry.sign(self._identity))
            except DiscoveryRefused as error:
                if error.reason is Reason.WRONG_SEQUENCE and attempts_left:
                    continue
                raise
            return

    async def _deregister(self) -> None:
        try:
            stored = await self._discovery.entry(self._identity.public)
            if stored is not None:
                # Signed anew: the discovery has rewritten the server type, and refuses what is older than a minute.
                now_ns = max(time.time_ns(), stored.timestamp)
                await self._discovery.delete(replace(stored, timestamp=now_ns).sign(self._identity))
        except SkywireError as error:
            _log.warning("cannot take this relay's entry back from the discovery: %s", error)
