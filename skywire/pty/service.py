"""What one connection to a host can call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar, final

from anyio import Lock

from skywire.keys import PubKey
from skywire.netrpc import Service
from skywire.pty.errors import PtyError
from skywire.pty.execution import execute
from skywire.pty.session import Attachment, Session
from skywire.pty.sessions import Sessions
from skywire.wire.pty.session import (
    ATTACH,
    END_SESSION,
    MAX_PIECE,
    RECEIVE,
    SEND,
    SESSIONS,
    SIGNAL,
    START_SESSION,
    STDOUT,
    WAIT,
    Attached,
    Ended,
    NewSession,
    Receive,
    Send,
    SessionFacts,
)
from skywire.wire.pty.shell import (
    ALREADY_RUNNING,
    ENDED,
    EXEC,
    NOT_RUNNING,
    PING,
    READ,
    RESIZE,
    START,
    STOP,
    WRITE,
    Command,
    Execution,
    Outcome,
    WindowSize,
)

MAX_READ: Final = 1 << 16
"""Bytes that ``Read`` gives at most, whatever it is asked for: what every peer can take."""

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def pty_service(owner: PubKey, sessions: Sessions, over: str) -> Iterator[Service]:
    """The service of one connection, while the block runs.

    Args:
        owner: whose connection it is.
        sessions: of the host.
        over: the network, for the log.
    """
    use = _Use(owner, sessions, over)
    try:
        yield use.service
    finally:
        use.leave()


@final
class _Use:
    """What a connection uses: at most one session, which ends with it if it was begun the plain way."""

    def __init__(self, owner: PubKey, sessions: Sessions, over: str) -> None:
        self._over = over
        self._owner = owner
        self._sessions = sessions
        self._attachment: Attachment | None = None
        self._plain: Session | None = None
        self._given = 0
        self._reading = Lock()
        self._writing = Lock()
        self.service: Final = Service()
        service = self.service
        service.add(START, self._start)
        service.add(READ, self._read)
        service.add(WRITE, self._write)
        service.add(RESIZE, self._resize)
        service.add(STOP, self._stop)
        service.add(PING, self._ping)
        service.add(EXEC, self._execute)
        service.add(START_SESSION, self._start_session)
        service.add(ATTACH, self._attach)
        service.add(RECEIVE, self._of_session(Attachment.receive), lambda asked: self._used().receive_at_once(asked))
        service.add(SEND, self._of_session(Attachment.send), lambda piece: self._used().send_at_once(piece))
        service.add(WAIT, self._wait)
        service.add(SIGNAL, self._signal)
        service.add(SESSIONS, self._list)
        service.add(END_SESSION, self._end_session)

    def leave(self) -> None:
        """The connection is over."""
        if self._attachment is not None:
            self._attachment.close()
        if self._plain is not None:
            self._plain.end()

    # Upstream's calls.

    async def _start(self, command: Command) -> None:
        if self._attachment is not None:
            raise PtyError(ALREADY_RUNNING)
        self._plain = self._sessions.start(self._owner, NewSession(command), self._over)
        self._given, self._reading, self._writing = 0, Lock(), Lock()
        self._use(self._plain)

    async def _read(self, most: int) -> bytes:
        attachment = self._used()
        if most < 0:
            raise PtyError("a negative number of bytes cannot be read")
        if most == 0:
            return b""
        async with self._reading:  # each byte is given once
            piece = await attachment.receive(Receive(STDOUT, self._given, min(most, MAX_READ)))
            if not piece.data:
                raise PtyError(ENDED)
            if self._attachment is attachment:
                self._given += len(piece.data)
        return piece.data

    async def _write(self, data: bytes) -> int:
        attachment = self._used()
        async with self._writing:  # nobody else says where its bytes belong
            for start in range(0, len(data), MAX_PIECE):
                await attachment.send(Send(attachment.state.taken, data[start : start + MAX_PIECE]))
        return len(data)

    async def _resize(self, size: WindowSize) -> None:
        self._used().resize(size)

    async def _stop(self, _: None) -> None:
        attachment = self._used()
        attachment.end()
        self._attachment = self._plain = None

    async def _ping(self, _: None) -> None:
        """That it is answered is all."""

    async def _execute(self, execution: Execution) -> Outcome:
        return await execute(self._sessions, self._owner, execution, self._over)

    # Ours.

    async def _start_session(self, new: NewSession) -> Attached:
        if self._attachment is not None:
            raise PtyError(ALREADY_RUNNING)
        return self._use(self._sessions.start(self._owner, new, self._over)).state

    async def _attach(self, id: str) -> Attached:  # noqa: A002 - as on the wire
        if self._attachment is not None:
            raise PtyError(ALREADY_RUNNING)
        return self._use(self._sessions.find(self._owner, id)).state

    async def _wait(self, _: None) -> Ended:
        return await self._used().wait()

    async def _signal(self, number: int) -> None:
        self._used().signal(number)

    async def _list(self, _: None) -> tuple[SessionFacts, ...]:
        return self._sessions.of(self._owner)

    async def _end_session(self, id: str) -> None:  # noqa: A002 - as on the wire
        self._sessions.find(self._owner, id).end()

    def _of_session(self, call: Callable[[Attachment, T], Awaitable[R]]) -> Callable[[T], Awaitable[R]]:
        return lambda argument: call(self._used(), argument)

    def _use(self, session: Session) -> Attachment:
        self._attachment = self._sessions.attach(session, self._over)
        return self._attachment

    def _used(self) -> Attachment:
        if self._attachment is None:
            raise PtyError(NOT_RUNNING)
        return self._attachment
