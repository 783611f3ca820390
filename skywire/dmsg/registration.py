"""The client's own entry in the discovery: which servers it is reached through.

Source: protocol-dmsg.md section 5.2.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final, final

from anyio import CancelScope, move_on_after

from skywire.dmsg.discovery.contract import Discovery
from skywire.dmsg.limits import Limits
from skywire.dmsg.mux import clock
from skywire.dmsg.pool import SessionPool
from skywire.errors import SkywireError
from skywire.keys import PubKey, SecKey
from skywire.net.backoff import Backoff
from skywire.wire.discovery import DiscoveryRefused, Reason
from skywire.wire.entry import Entry, client_update

_log: Final = logging.getLogger("skywire.dmsg")

_POSTED_KEPT: Final = 8
"""Signatures of own entries that are remembered: the answer to a post may have been lost."""
_ATTEMPTS: Final = 3
"""Posts in a row that may find that the stored entry has just changed."""
DEREGISTER_SECONDS: Final = 3.0
"""For taking the entry back when we leave."""
STALE_SECONDS: Final = 900.0
"""After which an entry that nobody updates tells of nobody any more: three of upstream's update intervals."""


@final
class Registration:
    """Keeps the entry up to date, and notices when someone else does with the same key.

    Args:
        identity: whose entry.
        discovery: where.
        client_type: free text of the entry.
        pool: the sessions whose servers are announced.
        limits: times.
    """

    def __init__(
        self,
        identity: SecKey,
        discovery: Discovery,
        client_type: str,
        pool: SessionPool,
        limits: Limits,
    ) -> None:
        self._identity = identity
        self._discovery = discovery
        self._client_type = client_type
        self._pool = pool
        self._limits = limits
        self._rest = CancelScope()
        self._signatures: deque[str] = deque(maxlen=_POSTED_KEPT)
        self._sequence = -1
        self._updated_at = -limits.update_seconds
        self.evicted = False
        """Whether another process uses our key, so that we keep still."""
        self.trouble: str | None = None
        """Why our entry is not as it should be; None when it is."""

    async def run(self, ready: Callable[[], None]) -> None:
        """Announce the servers of our sessions, until cancelled; then take the entry back.

        Args:
            ready: called once we can be found.
        """
        backoff = Backoff(self._limits.retry_seconds, 1.3, 20.0)
        try:
            while True:
                changed = self._pool.changed
                wait = self._limits.update_seconds
                if not self.evicted and (self._signatures or self._servers()):
                    try:
                        await self._update()
                    except SkywireError as error:
                        wait = backoff.failed()
                        self.trouble = f"our entry in the discovery cannot be updated: {error}"
                        _log.warning("cannot update our entry in the discovery, next try in %.0f s: %s", wait, error)
                    else:
                        backoff.succeeded()
                        self.trouble = None
                        if self._servers():
                            ready()
                with move_on_after(wait) as self._rest:
                    await changed.wait()
        finally:
            with move_on_after(DEREGISTER_SECONDS, shield=True):
                await self._deregister()

    async def look_for_another(self) -> None:
        """Find out whether another process has registered our key after us; said once.

        Raises: see :mod:`skywire.dmsg.discovery.contract`.
        """
        self._judge(await self._discovery.entry(self._identity.public))

    def _servers(self) -> list[PubKey]:
        return [session.server for session in self._pool]

    def _judge(self, stored: Entry | None) -> None:
        another = (
            stored is not None
            and self._sequence >= 0  # before our first post, the entry is of a process that was there before us
            and stored.sequence > self._sequence
            and stored.signature not in self._signatures
            and stored.client is not None
            and stored.server is None  # else it may be the server with this key that updates its part
            and time.time_ns() - stored.timestamp < STALE_SECONDS * 1e9
        )
        if another and not self.evicted:
            _log.error(
                "another process uses the key %s: it has registered later, so this one waits until it is gone. "
                "Give each process a key of its own.",
                self._identity.public,
            )
        elif self.evicted and not another:
            _log.warning("the other process with the key %s is gone", self._identity.public)
            self._rest.cancel()
        self.evicted = another

    async def _update(self) -> None:
        for attempts_left in reversed(range(_ATTEMPTS)):
            stored = await self._discovery.entry(self._identity.public)
            if stored is not None and stored.signature in self._signatures:
                self._sequence = max(self._sequence, stored.sequence)  # the answer to our post may have been lost
            self._judge(stored)
            servers = self._servers()
            due = clock() - self._updated_at >= self._limits.update_seconds
            if self.evicted or (stored is not None and not due and self._is_current(stored, servers)):
                return
            entry = client_update(
                stored,
                static=self._identity.public,
                servers=servers,
                client_type=self._client_type,
                now_ns=time.time_ns(),
            ).sign(self._identity)
            self._signatures.append(entry.signature)
            try:
                await self._discovery.post(entry)
            except DiscoveryRefused as error:
                if error.reason is Reason.WRONG_SEQUENCE and attempts_left:
                    continue
                raise
            self._sequence = entry.sequence
            self._updated_at = clock()
            return

    def _is_current(self, stored: Entry, servers: Iterable[PubKey]) -> bool:
        return stored.delegates_to(servers) and stored.client_type == self._client_type

    async def _deregister(self) -> None:
        if not self._signatures:
            return
        try:
            stored = await self._discovery.entry(self._identity.public)
            if stored is not None and stored.signature in self._signatures:
                now_ns = max(time.time_ns(), stored.timestamp)
                await self._discovery.delete(replace(stored, timestamp=now_ns).sign(self._identity))
        except SkywireError as error:
            _log.warning("cannot take our entry back from the discovery: %s", error)
