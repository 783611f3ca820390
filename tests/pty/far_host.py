"""A host with sessions, and connections to it that a test can break."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import final

from anyio import Event, sleep
from anyio.abc import ByteStream, TaskGroup

from skywire import SecKey
from skywire.net.address import Address
from skywire.net.background import Background
from skywire.net.conn import Conn, Owner
from skywire.net.errors import Unreachable
from skywire.net.memory import MEMORY, conn_pair
from skywire.netrpc import Caller, calling
from skywire.pty.copying import Copying
from skywire.pty.far_program import FarProgram, far_program
from skywire.pty.host import PtyHost
from skywire.pty.limits import SessionLimits
from skywire.pty.opening import OPENING_SECONDS, ask
from skywire.pty.sessions import Sessions, hosting
from skywire.wire.pty.opening import PTY, Request
from skywire.wire.pty.session import MAX_MESSAGE, NewSession
from skywire.wire.pty.shell import Command, WindowSize

LOG = logging.getLogger("tests.pty")
LIMITS = SessionLimits(end_seconds=0.2)


@final
class FarHost:
    """See :func:`far_host`."""

    def __init__(self, sessions: Sessions, tasks: TaskGroup, copying: Copying | None, opening_seconds: float) -> None:
        self.sessions = sessions
        self.host = PtyHost(sessions, LOG, copying, opening_seconds)
        self.near = Address(MEMORY, SecKey.generate().public, 1)
        self.far = Address(MEMORY, SecKey.generate().public, 22)
        self.there = True
        self.notices: list[str | None] = []
        self.noticed = Event()
        self._tasks = tasks
        self._conns: list[Conn] = []

    def connect(self, peer: Address | None = None) -> AbstractAsyncContextManager[ByteStream]:
        """A new connection to its pty."""
        return self.reach(Request(PTY), peer)

    @asynccontextmanager
    async def raw(self, peer: Address | None = None) -> AsyncIterator[ByteStream]:
        """A new connection to it, on which nothing has been said yet."""
        if not self.there:
            raise Unreachable(self.far, "nobody is there")
        mine = peer or self.near
        near, far = conn_pair(mine, Owner("client"), self.far, Owner("pty"))
        self._conns.append(far)
        self._tasks.start_soon(self._serve, far, mine)
        async with near:
            yield near

    @asynccontextmanager
    async def reach(self, request: Request, peer: Address | None = None) -> AsyncIterator[ByteStream]:
        """A new connection to it, which has agreed to that."""
        async with self.raw(peer) as near:
            await ask(near, request)
            yield near

    @asynccontextmanager
    async def calls(self, peer: Address | None = None) -> AsyncIterator[Caller]:
        """A new connection to it, for calls one by one."""
        async with self.connect(peer) as near, calling(near, max_message=MAX_MESSAGE) as caller:
            yield caller

    async def _serve(self, conn: Conn, peer: Address) -> None:
        async with conn:
            await self.host.serve(conn, peer.pk, "memory")

    async def break_connections(self) -> None:
        """End all connections, as a relay that dies does."""
        conns, self._conns = self._conns, []
        for conn in conns:
            await conn.aclose()

    def note(self, trouble: str | None) -> None:
        """What the client is told of its connection."""
        self.notices.append(trouble)
        self.noticed.set()
        self.noticed = Event()

    @asynccontextmanager
    async def program(
        self, *words: str, terminal: bool = True, size: WindowSize | None = None
    ) -> AsyncIterator[FarProgram]:
        """Use a program of it while the block runs."""
        wish = NewSession(Command(words[0], words[1:], size), terminal=terminal)
        async with far_program(self.connect, wish, self.note) as program:
            yield program


@asynccontextmanager
async def far_host(
    limits: SessionLimits = LIMITS, copying: Copying | None = None, opening_seconds: float = OPENING_SECONDS
) -> AsyncIterator[FarHost]:
    """A host while the block runs."""
    async with hosting(limits, LOG) as sessions, Background() as tasks:
        yield FarHost(sessions, tasks, copying, opening_seconds)


async def all_of(program: FarProgram, output: int = 1) -> bytes:
    """All that it says until its end."""
    said = b""
    while data := await program.receive(output):
        said += data
    return said


async def until_true(test: Callable[[], bool]) -> None:
    """Wait until something is so that nobody tells of."""
    while not test():  # noqa: ASYNC110
        await sleep(0.01)


async def until(program: FarProgram, sign: bytes) -> bytes:
    """What it says, up to a sign in it."""
    said = b""
    while sign not in said:
        data = await program.receive()
        assert data, said
        said += data
    return said
