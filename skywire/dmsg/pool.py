"""A client's sessions, one with each server at most."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Final, final

from anyio import Event, create_task_group, sleep
from anyio.abc import TaskGroup

from skywire.dmsg.errors import SessionOver
from skywire.dmsg.limits import Limits
from skywire.dmsg.mux import clock
from skywire.dmsg.mux_stream import MuxStream
from skywire.dmsg.places import ServerPlace
from skywire.dmsg.session import ClientSession, open_session
from skywire.dmsg.shared_call import SharedCall
from skywire.keys import PubKey, SecKey

_log: Final = logging.getLogger("skywire.dmsg")

EARLY: Final = 1.0
"""Seconds within which a session that ends may have ended because its first bytes came too early."""


@final
class SessionPool:
    """Makes sessions and runs them.

    Args:
        identity: our key.
        limits: times and counts.
        take: is given each stream that a peer opens.
        task_group: whose tasks run the sessions.
    """

    def __init__(
        self,
        identity: SecKey,
        limits: Limits,
        take: Callable[[ClientSession, MuxStream], None],
        task_group: TaskGroup,
    ) -> None:
        self._identity = identity
        self._limits = limits
        self._take = take
        self._task_group = task_group
        self._sessions: dict[PubKey, ClientSession] = {}
        self._live: set[ClientSession] = set()  # those, too, that take no more streams
        self._quiet_factors: dict[PubKey, int] = {}
        self._changed = Event()
        self._connect: SharedCall[ServerPlace, ClientSession] = SharedCall(task_group, self._open)

    def __iter__(self) -> Iterator[ClientSession]:
        """The sessions on which streams can be opened."""
        return iter([session for session in self._sessions.values() if session.usable])

    def get(self, server: PubKey) -> ClientSession | None:
        """The session with a server, if it can be used."""
        session = self._sessions.get(server)
        return session if session is not None and session.usable else None

    @property
    def changed(self) -> Event:
        """Is set when a session is added or ends, or takes no more streams; another one takes its place then."""
        return self._changed

    async def connect(self, place: ServerPlace) -> ClientSession:
        """The session with a server, made if there is none.

        Raises: see :func:`skywire.dmsg.session.open_session`.
        """
        return self.get(place.key) or await self._connect(place)

    async def keep_time(self, keep_idle: Callable[[], bool]) -> None:
        """Watch the deadlines of all sessions, until cancelled.

        Args:
            keep_idle: whether sessions without streams are to stay.
        """
        usable = set(self)
        while True:
            await sleep(self._limits.tick_seconds)
            if usable != (usable := set(self)):  # a server that takes no more streams, with those that it has going on
                self._notify()
            now = clock()
            for session in list(self._live):
                session.mux.check_time(now)
                if not (keep_idle() or session.stream_count) and now - session.used > self._limits.idle_seconds:
                    session.mux.end(SessionOver("it was not used any more"))

    async def aclose(self) -> None:
        """End all sessions; the last change."""
        async with create_task_group() as task_group:
            for session in self._live:
                task_group.start_soon(session.aclose)
        self._notify()

    async def _open(self, place: ServerPlace) -> ClientSession:
        session = await open_session(
            place.key,
            place.where,
            self._identity,
            take=self._take,
            limits=self._limits,
            quiet_factor=self._quiet_factors.get(place.key, 0),
        )
        self._sessions[place.key] = session
        self._live.add(session)
        self._task_group.start_soon(self._run, session)
        _log.info("session with server %s at %s", place.key, place.where)
        self._notify()
        return session

    async def _run(self, session: ClientSession) -> None:
        try:
            await session.run()
        except Exception:
            _log.exception("the session with server %s failed", session.server)
        finally:
            self._live.remove(session)
            if self._sessions.get(session.server) is session:
                del self._sessions[session.server]
            if clock() - session.opened < EARLY:
                self._quiet_factors[session.server] = 2 if session.server not in self._quiet_factors else 4
            _log.info("the session with server %s ended: %s", session.server, session.over)
            self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = Event()
