"""A program on another node, as its client has it: it goes on over one connection after the other."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from typing import Final, NoReturn, TypeAlias, TypeVar, final

from anyio import Event, fail_after, move_on_after, sleep
from anyio.abc import ByteStream, TaskStatus

from skywire.errors import NetworkError, ProtocolError
from skywire.net.background import Background
from skywire.net.backoff import Backoff
from skywire.net.errors import PeerRefused
from skywire.netrpc import Caller, ConnectionEnded, calling
from skywire.pty.errors import PtyError, Refused
from skywire.pty.far_calls import FarCalls, enter
from skywire.wire.pty.session import MAX_MESSAGE, MAX_PIECE, STDERR, STDOUT, Ended, NewSession, Receive, Send
from skywire.wire.pty.shell import WindowSize

PING_SECONDS: Final = 15.0
"""Between two questions whether the host is still there; also keeps the connection from being given up as silent."""
PONG_SECONDS: Final = 10.0
"""For its answer, or for it to take us up again."""
MOST_REFUSALS: Final = 4
"""Times in a row that the host may refuse us before we take it at its word."""
PARTING_SECONDS: Final = 2.0
"""For the host to be told that the program is to end."""

Connect: TypeAlias = Callable[[], AbstractAsyncContextManager[ByteStream]]
"""Gives a new connection to a host that has agreed to give us a pty over it, while a block runs."""
Notice: TypeAlias = Callable[[str | None], None]
"""Told why there is no connection just now, and None when there is one again."""

R = TypeVar("R")


@asynccontextmanager
async def far_program(
    connect: Connect, wish: NewSession | str, notice: Notice = lambda _: None
) -> AsyncIterator[FarProgram]:
    """Use a program of a host while the block runs. When the block ends, the program does not.

    Args:
        connect: to the host.
        wish: what to run; or the id of a session that was begun before.
        notice: told of trouble with connections.

    Raises:
        PtyError: the host says no.
        NetworkError: there is no connection. Later, when one breaks, others are tried without end.
    """
    if isinstance(wish, NewSession) and not wish.id:
        wish = replace(wish, id=secrets.token_hex(12))
    program = FarProgram(connect, wish, notice)
    async with Background() as tasks:
        await tasks.start(program.run)
        yield program


@final
class FarProgram:
    """See :func:`far_program`. Each of its directions is for one task at a time.

    Errors, of all calls: :class:`PtyError` when the host says no, which is final, and :class:`ConnectionEnded` when the
    program has ended with its connection, as those of upstream's hosts do.
    """

    def __init__(self, connect: Connect, wish: NewSession | str, notice: Notice) -> None:
        self._connect = connect
        self._wish = wish
        self._notice = notice
        self._calls: FarCalls | None = None
        self._change = Event()
        self._failure: Exception | None = None
        self._sent = 0
        self._have: dict[int, int] = {}
        self.id = ""
        """Of the session; known from the start."""
        self.terminal = True
        """Whether it has one."""
        self.lasting = True
        """Whether it outlives its connection; those of upstream's hosts do not."""

    async def receive(self, output: int = STDOUT) -> bytes:
        """What it says, as soon as it does; empty at the end."""
        asked = Receive(output, self._have.get(output, 0))
        piece = await self._do(lambda calls: calls.receive(asked))
        self._have[output] = asked.have + len(piece.data)
        return piece.data

    async def send(self, data: bytes) -> None:
        """Give it input; returns when the host has it.

        A send that is cancelled leaves in doubt how much of it the host has; what is sent next comes behind all of it.
        """
        for start in range(0, len(data), MAX_PIECE):
            await self._send(data[start : start + MAX_PIECE], end=False)

    async def end_input(self) -> None:
        """Say that there is no more input."""
        await self._send(b"", end=True)

    async def resize(self, size: WindowSize) -> None:
        """Its terminal has another size now."""
        await self._do(lambda calls: calls.resize(size))

    async def signal(self, number: int) -> None:
        """Send it a signal."""
        await self._do(lambda calls: calls.signal(number))

    async def wait(self) -> Ended:
        """How it ended, once it has."""
        return await self._do(lambda calls: calls.wait())

    async def end(self) -> None:
        """End it now, as far as the host can be told."""
        with move_on_after(PARTING_SECONDS), suppress(PtyError, NetworkError):  # else it ends when nobody asks for it
            await self._do(lambda calls: calls.end())

    async def _send(self, data: bytes, *, end: bool) -> None:
        piece = Send(self._sent, data, end)
        self._sent += len(data)
        await self._do(lambda calls: calls.send(piece))

    async def _do(self, call: Callable[[FarCalls], Awaitable[R]]) -> R:
        """Have something done over the connection that there is, or the next one: doing it twice does no harm."""
        while True:
            calls = await self._connected()
            try:
                return await call(calls)
            except ConnectionEnded:
                while self._calls is calls and self._failure is None:
                    await self._change.wait()

    async def _connected(self) -> FarCalls:
        while self._calls is None:
            if self._failure is not None:
                raise self._failure
            await self._change.wait()
        if self._failure is not None:
            raise self._failure
        return self._calls

    async def run(self, *, task_status: TaskStatus[None]) -> None:
        """Keep it connected until cancelled, or the host says no."""
        await self._serve_first(task_status)
        backoff, refusals = Backoff(0.2, 2.0, 15.0), 0
        while self._failure is None:
            try:
                async with self._connection() as caller:
                    calls, _ = await enter(caller, self.id)
                    self._set(calls)
                    self._notice(None)
                    backoff.succeeded()
                    refusals = 0
                    await self._watch(caller, calls)
            except (Refused, PeerRefused) as error:  # or the connection broke at that very moment
                refusals += 1
                if refusals == MOST_REFUSALS:
                    self._fail(error)
                else:
                    self._lose(error)
                    await sleep(backoff.failed())
            except (PtyError, ProtocolError) as error:
                self._fail(error)
            except NetworkError as error:
                self._lose(error)
                await sleep(backoff.failed())

    async def _serve_first(self, task_status: TaskStatus[None]) -> None:
        """The first connection, which has to be made."""
        async with self._connection() as caller:
            calls, attached = await enter(caller, self._wish)
            self.id, self.terminal, self.lasting = attached.id, attached.terminal, calls.lasting
            self._sent = attached.taken
            self._have = {STDOUT: attached.forgotten, STDERR: attached.forgotten_errors}
            self._set(calls)
            task_status.started()
            try:
                await self._watch(caller, calls)
            except (NetworkError, ProtocolError) as error:
                if calls.lasting:
                    self._lose(error)
                else:
                    self._fail(PtyError(f"{error}, and its terminal with it: this host is an older one"))

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Caller]:
        async with self._connect() as stream, calling(stream, max_message=MAX_MESSAGE) as caller:
            yield caller

    async def _watch(self, caller: Caller, calls: FarCalls) -> NoReturn:
        """See that the host is there, until it is not."""
        while True:
            with move_on_after(PING_SECONDS):
                raise await caller.ended()
            try:
                with fail_after(PONG_SECONDS):
                    await calls.ping()
            except TimeoutError:
                raise ConnectionEnded(f"the host has not answered for {PONG_SECONDS:g} s") from None

    def _set(self, calls: FarCalls) -> None:
        self._calls = calls
        self._tell()

    def _lose(self, error: Exception) -> None:
        self._calls = None
        self._tell()
        self._notice(str(error))

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._tell()

    def _tell(self) -> None:
        self._change.set()
        self._change = Event()
