"""Keeps as many sessions as are wanted, so that peers can reach us.

Source: protocol-dmsg.md section 5.2.
"""

from __future__ import annotations

import logging
import random
from typing import Final, final

from anyio import move_on_after, sleep

from skywire.dmsg.discovery.contract import Discovery
from skywire.dmsg.limits import Limits
from skywire.dmsg.mux import clock
from skywire.dmsg.places import ServerPlace, place_of
from skywire.dmsg.pool import SessionPool
from skywire.dmsg.registration import Registration
from skywire.errors import NetworkError, ProtocolError
from skywire.keys import PubKey
from skywire.net.backoff import Backoff

_log: Final = logging.getLogger("skywire.dmsg")


@final
class Keeper:
    """Looks for servers and holds sessions with them.

    Args:
        pool: makes the sessions.
        discovery: knows the servers.
        registration: knows whether we were evicted.
        min_sessions: how many sessions to hold; 0 for one with every server.
        server_type: of the servers to take: ``official``, ``community``, or empty for any.
        limits: times.
    """

    def __init__(
        self,
        pool: SessionPool,
        discovery: Discovery,
        registration: Registration,
        *,
        min_sessions: int,
        server_type: str,
        limits: Limits,
    ) -> None:
        self._pool = pool
        self._discovery = discovery
        self._registration = registration
        self._min_sessions = min_sessions
        self._server_type = server_type
        self._limits = limits
        self._backoffs: dict[PubKey, Backoff] = {}
        self._not_before: dict[PubKey, float] = {}
        self._held: dict[PubKey, float] = {}
        self.trouble: str | None = None
        """Why the last look for a server found none; None while enough sessions are held."""

    async def run(self) -> None:
        """Work until cancelled."""
        limits = self._limits
        listing = Backoff(limits.retry_seconds, 1.3, 20.0)
        while True:
            changed = self._pool.changed
            if self._note_ends():
                await sleep(limits.settle_seconds)
                await self._look_for_another()
            if self._registration.evicted:
                await sleep(limits.look_seconds)
                await self._look_for_another()
                continue
            wait = limits.look_seconds
            if self._wanted():
                try:
                    places = await self._candidates()
                except (NetworkError, ProtocolError) as error:
                    wait = listing.failed()
                    self.trouble = f"no list of servers: {error}"
                    _log.warning("no list of servers, next try in %.0f s: %s", wait, error)
                else:
                    all_answered = await self._connect(places)
                    if all_answered and not (self._min_sessions and self._wanted()):
                        listing.succeeded()
                    else:
                        wait = listing.failed()
                        if not places:
                            self.trouble = "the discovery has no server for us"
                            _log.warning("%s, next try in %.0f s", self.trouble, wait)
            if not self._wanted():
                self.trouble = None
            if changed.is_set():
                continue
            with move_on_after(wait):
                await changed.wait()

    def _wanted(self) -> bool:
        return not self._min_sessions or sum(1 for _ in self._pool) < self._min_sessions

    def _note_ends(self) -> bool:
        """Compare the sessions with those of the last look; whether one has ended."""
        now = clock()
        live = {session.server: session.opened for session in self._pool}
        ended = self._held.keys() - live.keys()
        for server in ended:
            if now - self._held[server] >= self._limits.steady_seconds:
                self._backoffs.pop(server, None)
            else:
                self._punish(server)
        self._held = live
        return bool(ended)

    def _punish(self, server: PubKey) -> None:
        """Leave a server alone for a while."""
        backoff = self._backoffs.setdefault(server, Backoff(self._limits.retry_seconds, 1.6, 60.0))
        self._not_before[server] = clock() + backoff.failed()

    async def _look_for_another(self) -> None:
        try:
            await self._registration.look_for_another()
        except (NetworkError, ProtocolError) as error:
            _log.debug("cannot look for another process with our key: %s", error)

    async def _candidates(self) -> list[ServerPlace]:
        """Servers to try, in random order."""
        entries = await self._discovery.available_servers()
        places = [
            place
            for entry in entries
            if (place := place_of(entry)) is not None
            and self._pool.get(place.key) is None
            and (not self._server_type or (entry.server is not None and entry.server.server_type == self._server_type))
        ]
        random.shuffle(places)
        known = {entry.static for entry in entries} | self._held.keys()
        self._backoffs = {key: backoff for key, backoff in self._backoffs.items() if key in known}
        self._not_before = {key: when for key, when in self._not_before.items() if key in known}
        return places

    async def _connect(self, places: list[ServerPlace]) -> bool:
        """Try servers until there are enough sessions; whether none failed."""
        all_answered = True
        for place in places:
            if not self._wanted():
                break
            if self._not_before.get(place.key, 0.0) > clock():
                all_answered = False
                continue
            try:
                session = await self._pool.connect(place)
            except (OSError, NetworkError, ProtocolError) as error:
                all_answered = False
                self._punish(place.key)
                reason = (isinstance(error, OSError) and error.strerror) or error
                self.trouble = f"no session with server {place.key} at {place.where}: {reason}"
                _log.warning("%s", self.trouble)
            else:
                self._not_before.pop(place.key, None)
                self._held[place.key] = session.opened
        return all_answered
