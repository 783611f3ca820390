"""The sessions of a relay by key, and the streams between them."""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, final

from skywire.dmsg.limits import Limits
from skywire.dmsg.mux import clock
from skywire.dmsg.relay.introduction import Introduction
from skywire.dmsg.relay.session import RelaySession
from skywire.errors import NetworkError, SkywireError
from skywire.keys import PubKey, SecKey
from skywire.wire.dmsg_errors import DmsgError

_log: Final = logging.getLogger("skywire.dmsg.relay")


@dataclass(slots=True)
class RelayStats:
    """Counts since the relay was made.

    Args:
        half_open: handshakes under way now.
        sessions: established sessions now.
        sessions_made: sessions that were established.
        sessions_refused: connections that were turned away, by the name of the error.
        streams: relayed streams now.
        streams_made: streams that were relayed, and look-ups that were answered.
        streams_refused: requests that were turned away, by the name of the error or upstream's code.
    """

    half_open: int = 0
    sessions: int = 0
    sessions_made: int = 0
    sessions_refused: Counter[str] = field(default_factory=Counter)
    streams: int = 0
    streams_made: int = 0
    streams_refused: Counter[str] = field(default_factory=Counter)


@final
class Switch:
    """Knows who is there, and joins their streams.

    Args:
        identity: the relay's key.
        limits: times and counts.
        stats: is kept up to date.
        changed: called when a session has been added or has ended.
    """

    def __init__(self, identity: SecKey, limits: Limits, stats: RelayStats, changed: Callable[[], None]) -> None:
        self._identity = identity
        self._limits = limits
        self._stats = stats
        self._changed = changed
        self._sessions: dict[PubKey, RelaySession] = {}
        self._touched: set[RelaySession] = set()
        # In the order of their deadlines, since the time limit of all steps is the same.
        self._introductions: OrderedDict[Introduction, float] = OrderedDict()

    def add(self, session: RelaySession) -> None:
        """Take a new session; an older one of the same client gives way."""
        older = self._sessions.get(session.peer)
        self._sessions[session.peer] = session
        self._stats.sessions += 1
        self._stats.sessions_made += 1
        if older is not None:
            _log.info("a newer session of %s takes the place of an older one", session.peer)
            older.mux.end(NetworkError("a newer session with the same key took its place"))
        self._changed()

    @property
    def session_count(self) -> int:
        """Sessions now."""
        return len(self._sessions)

    def check_time(self, now: float) -> None:
        """Do what is due; to be called every second or so."""
        for session in list(self._sessions.values()):
            session.mux.check_time(now)
        while self._introductions:
            introduction, deadline = next(iter(self._introductions.items()))
            if deadline > now:
                break
            introduction.fail(NetworkError("a client did not answer in time"))
        self.flush()

    def end(self, error: SkywireError) -> None:
        """End all sessions."""
        for session in list(self._sessions.values()):
            session.mux.end(error)

    def session_of(self, client: PubKey) -> RelaySession | None:
        """See :class:`skywire.dmsg.relay.introduction.Register`."""
        return self._sessions.get(client)

    def stream_succeeded(self) -> None:
        """See :class:`skywire.dmsg.relay.introduction.Register`."""
        self._stats.streams += 1
        self._stats.streams_made += 1

    def stream_failed(self, error: SkywireError) -> None:
        """See :class:`skywire.dmsg.relay.introduction.Register`."""
        name = str(error.code.value) if isinstance(error, DmsgError) else type(error).__name__
        self._stats.streams_refused[name] += 1
        _log.debug("a stream was not relayed: %s", error)

    def stream_over(self) -> None:
        """See :class:`skywire.dmsg.relay.introduction.Register`."""
        self._stats.streams -= 1

    def stream_offered(self, session: RelaySession, stream_id: int) -> Introduction:
        """See :class:`skywire.dmsg.relay.session.SessionOwner`."""
        return Introduction(self._identity, self, session, stream_id, self._restart_clock)

    def session_over(self, session: RelaySession, error: SkywireError) -> None:
        """See :class:`skywire.dmsg.relay.session.SessionOwner`."""
        self._stats.sessions -= 1
        if self._sessions.get(session.peer) is session:
            del self._sessions[session.peer]
        _log.info("the session of %s at %s ended: %s", session.peer, session.host, error)
        self._changed()

    def touched(self, session: RelaySession) -> None:
        """See :class:`skywire.dmsg.relay.session.SessionOwner`."""
        self._touched.add(session)

    def flush(self) -> None:
        """See :class:`skywire.dmsg.relay.session.SessionOwner`."""
        while self._touched:
            self._touched.pop().mux.flush()

    def _restart_clock(self, introduction: Introduction, *, goes_on: bool) -> None:
        self._introductions.pop(introduction, None)
        if goes_on:
            self._introductions[introduction] = clock() + self._limits.stream_handshake_seconds
