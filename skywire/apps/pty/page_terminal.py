"""A terminal of the page: a program, and what it says, which outlive the websockets by which they are shown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, final

from anyio import Event, create_task_group, move_on_after

from skywire.apps.pty.page_messages import MOST_INPUT, MOST_OUTPUT, Over, PageMistake
from skywire.errors import SkywireError
from skywire.pty.far_program import Connect, FarProgram, far_program
from skywire.pty.outlet import Outlet
from skywire.wire.pty.session import NewSession
from skywire.wire.pty.shell import WindowSize

KEPT: Final = 1 << 18
"""Bytes of output that wait for the page; then the program waits."""


@final
class PageTerminal:
    """See the module. It runs in a task of :class:`skywire.apps.pty.page_terminals.PageTerminals`.

    Args:
        id: of the session.
        peer: the words that name its host; empty for this node.
        connect: to it.
        wish: what to run; or the id again, of a session that was begun before.
        size: of the terminal.
        keep_seconds: how long it goes on while no page shows it.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 - as in messages
        peer: str,
        connect: Connect,
        wish: NewSession | str,
        size: WindowSize,
        keep_seconds: float,
    ) -> None:
        self.id: Final = id
        self.peer: Final = peer
        self.output: Final = Outlet(KEPT)
        self.received = 0
        """Bytes of input that pages have sent."""
        self.taken = 0
        """Bytes of it that the host has."""
        self.trouble = ""
        """Why the host cannot be reached just now."""
        self.refused = ""
        """Why there is no session, or none any more."""
        self.over: Over | None = None
        """How the program has ended."""
        self.begun = False
        """Whether the host has given us the session."""
        self._connect = connect
        self._wish = wish
        self._size = size
        self._sizes = [size] if isinstance(wish, str) else []
        self._keep_seconds = keep_seconds
        self._typed = bytearray()
        self._shown_by: object | None = None
        self._done = Event()
        self._change = Event()

    @property
    def shown(self) -> bool:
        """Whether a page shows it."""
        return self._shown_by is not None

    async def run(self) -> None:
        """Run it until it has ended and a page knows, or it is to end, or no page has shown it for too long."""
        async with create_task_group() as tasks:
            tasks.start_soon(self._miss)
            try:
                async with far_program(self._connect, self._wish, self._notice) as program:
                    await self._use(program)
            except SkywireError as error:
                self._fail(error)
            await self._done.wait()
            tasks.cancel_scope.cancel()
        self.refused = self.refused or "the session has ended"
        self._tell()

    async def _use(self, program: FarProgram) -> None:
        self.begun = True
        self._tell()
        async with create_task_group() as tasks:
            for part in (self._read, self._feed, self._size_it):
                tasks.start_soon(self._do, part, program)
            await self._done.wait()
            tasks.cancel_scope.cancel()
        await program.end()

    async def _do(self, part: Callable[[FarProgram], Awaitable[None]], program: FarProgram) -> None:
        try:
            await part(program)
        except SkywireError as error:
            self._fail(error)

    def _fail(self, error: SkywireError) -> None:
        if self.over is None:
            self.refused = self.refused or str(error)
            self._tell()

    async def _read(self, program: FarProgram) -> None:
        while data := await program.receive():
            self.output.put(data)
            self._tell()
            while not self.output.room:
                await self.output.changed()
        ended = await program.wait()
        self.output.finish()
        self.over = Over(ended.code, ended.signal)
        self._tell()

    async def _feed(self, program: FarProgram) -> None:
        while True:
            if not self._typed:
                await self.changed()
                continue
            data = bytes(self._typed)
            await program.send(data)
            del self._typed[: len(data)]
            self.taken += len(data)
            self._tell()

    async def _size_it(self, program: FarProgram) -> None:
        while True:
            if self._sizes:
                await program.resize(self._sizes.pop(0))
            else:
                await self.changed()

    async def _miss(self) -> None:
        """End it when no page has shown it for too long."""
        while True:
            if self.shown:
                await self.changed()
                continue
            with move_on_after(self._keep_seconds) as waiting:
                while not self.shown:
                    await self.changed()
            if waiting.cancelled_caught:
                self._done.set()

    def _notice(self, trouble: str | None) -> None:
        self.trouble = trouble or ""
        self._tell()

    async def changed(self) -> None:
        """Wait until something of it has changed."""
        await self._change.wait()

    def _tell(self) -> None:
        self._change.set()
        self._change = Event()

    # What a page does.

    def show(self, page: object) -> None:
        """Have a page show it; whoever did before does not any more."""
        self._shown_by = page
        self._tell()

    def leave(self, page: object) -> None:
        """Let it go on alone."""
        if self._shown_by is page:
            self._shown_by = None
            self._tell()

    def is_shown_by(self, page: object) -> bool:
        """Whether it is that one."""
        return self._shown_by is page

    def piece(self, have: int) -> bytes | None:
        """Output behind what the page has; None if it has yet to come, empty at the end."""
        found = self.output.take(have, MOST_OUTPUT)
        return None if found is None else found.data

    def type(self, data: bytes) -> None:
        """Take input of the page.

        Raises:
            PageMistake: it did not wait until earlier input was taken.
        """
        if len(self._typed) + len(data) > MOST_INPUT:
            raise PageMistake(f"more than {MOST_INPUT} bytes of input wait to be taken")
        self._typed += data
        self.received += len(data)
        self._tell()

    def resize(self, size: WindowSize, *, redraw: bool = False) -> None:
        """The terminal has another size; or it shows nothing any more, and the program is to draw again."""
        other = WindowSize(size.columns, size.rows + 1)  # programs draw when the size is another than before
        self._sizes[:] = [other, size] if redraw else [size]
        self._tell()

    def wake(self) -> None:
        """Have those that wait for a change look again."""
        self._tell()

    def finish(self) -> None:
        """The page knows how it has ended; or wants it to end."""
        self._done.set()
