"""The sessions of a host."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from logging import Logger
from typing import Final, final

from anyio.abc import TaskGroup

from skywire.keys import PubKey
from skywire.net.background import Background
from skywire.pty.child import Child
from skywire.pty.errors import NoSuchSession, TooManySessions
from skywire.pty.launch import launch_of
from skywire.pty.limits import SessionLimits
from skywire.pty.session import Attachment, Session
from skywire.wire.pty.session import NO_SUCH_SESSION, NewSession, SessionFacts

PEER_VARIABLE: Final = "SKYWIRE_PTY_PEER"
"""In which a program finds the key of who started it."""
_ID_BYTES: Final = 12
_SHOWN_WORDS: Final = 200


@asynccontextmanager
async def hosting(limits: SessionLimits, log: Logger) -> AsyncIterator[Sessions]:
    """Have sessions while the block runs; its end ends them all.

    Args:
        limits: what they may cost.
        log: told who begins, uses and ends which, and never what they say.
    """
    async with Background() as tasks:
        yield Sessions(limits, log, tasks)


@final
class Sessions:
    """See :func:`hosting`."""

    def __init__(self, limits: SessionLimits, log: Logger, tasks: TaskGroup) -> None:
        self._limits = limits
        self._log = log
        self._tasks = tasks
        self._sessions: dict[str, Session] = {}
        self.watchers: Final[list[Callable[[], None]]] = []
        """Called when a session has begun or ended."""

    def __len__(self) -> int:
        return len(self._sessions)

    def start(self, owner: PubKey, new: NewSession, over: str) -> Session:
        """Begin one, or find the one that was begun by the same call.

        Args:
            owner: whose it is.
            new: what it is to run.
            over: the network, for the log.

        Raises:
            NoSuchSession: its id is one of somebody else's.
            TooManySessions: there are as many as there may be.
            CannotRun: the program cannot be started.
        """
        if new.id in self._sessions:
            return self.find(owner, new.id)
        if len(self._sessions) >= self._limits.all_keys:
            raise TooManySessions(f"this host has {len(self._sessions)} sessions, as many as it may")
        mine = sum(each.owner == owner for each in self._sessions.values())
        if mine >= self._limits.per_key:
            raise TooManySessions(f"you have {mine} sessions on this host, as many as you may: end some")
        child = Child(launch_of(new, {PEER_VARIABLE: str(owner)}))
        command = " ".join((new.command.name or "shell", *new.command.arguments))[:_SHOWN_WORDS]
        session = Session(new.id or secrets.token_hex(_ID_BYTES), owner, command, time.time(), child, self._limits)
        self._sessions[session.id] = session
        kind = "a terminal" if new.terminal else "pipes"
        self._log.info("session %s begins, with %s, for %s over %s", session.id, kind, owner, over)
        self._tasks.start_soon(self._run, session)
        self._tell()
        return session

    def find(self, owner: PubKey, id: str) -> Session:  # noqa: A002 - as on the wire
        """The session of that id.

        Raises:
            NoSuchSession: there is none, or it is somebody else's.
        """
        found = self._sessions.get(id)
        if found is None or found.owner != owner:
            raise NoSuchSession(NO_SUCH_SESSION)
        return found

    def attach(self, session: Session, over: str) -> Attachment:
        """Use it; whoever used it before does not any more."""
        self._log.info("session %s is attached to by %s over %s", session.id, session.owner, over)
        return session.attach()

    def end_all(self, owner: PubKey) -> None:
        """End all sessions of a key."""
        for each in self._sessions.values():
            if each.owner == owner:
                each.end()

    @property
    def all(self) -> tuple[Session, ...]:
        """The sessions of all keys, the oldest first."""
        return tuple(self._sessions.values())

    def of(self, owner: PubKey) -> tuple[SessionFacts, ...]:
        """The sessions of a key, the oldest first."""
        return tuple(each.facts for each in self._sessions.values() if each.owner == owner)

    async def _run(self, session: Session) -> None:
        try:
            await session.run()
        finally:
            del self._sessions[session.id]
            self._log.info("session %s of %s has ended", session.id, session.owner)
            self._tell()

    def _tell(self) -> None:
        for watcher in self.watchers:
            watcher()
