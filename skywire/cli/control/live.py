"""The table of app instances, kept up to date."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, nullcontext
from typing import Final, final

from anyio import Event, move_on_after, sleep
from anyio.abc import TaskGroup
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from skywire.app.api import EventsAPI
from skywire.app.events import Event as Happening
from skywire.cli.control.apps_table import columns_of, rows_of
from skywire.cli.control.failures import told
from skywire.cli.control.listing import look_at, looked
from skywire.cli.control.nodes import Process, Survey, reached
from skywire.cli.control.reach import Reach
from skywire.cli.control.tables import made_table, text
from skywire.cli.program import NotReached
from skywire.control.local import controlling
from skywire.errors import SkywireError
from skywire.net.background import Background

SETTLE_SECONDS: Final = 0.1
"""For the events of one change to be all there before it is looked at."""
LOOK_SECONDS: Final = 2.0
"""Between two looks where nothing happens: processes come and go without an event."""


async def keep_up(reach: Reach) -> None:
    """Show the table until cancelled, anew after each change.

    Raises:
        NotReached: there is no process to begin with.
    """
    console = Console()
    async with Background() as tasks, AsyncExitStack() as stack:
        board = _Board(console, tasks)
        if reach.via is not None:
            node = await stack.enter_async_context(reached(reach))
            tasks.start_soon(board.listen, node.events.events())
            await board.show(lambda: look_at(node))
        else:
            await board.show(lambda: looked(reach))


@final
class _Board:
    def __init__(self, console: Console, tasks: TaskGroup) -> None:
        self._console = console
        self._tasks = tasks
        self._news = Event()
        self._followed: set[str] = set()
        self._told: object = None

    async def show(self, look: Callable[[], Awaitable[Survey]]) -> None:
        """Look and show, again and again."""
        found = await look()
        with Live(console=self._console, auto_refresh=False) if self._console.is_terminal else nullcontext() as live:
            while True:
                self._follow(found)
                if live is not None:
                    live.update(self._drawn(found), refresh=True)
                else:
                    self._print(found)
                with move_on_after(LOOK_SECONDS):
                    await self._news.wait()
                    await sleep(SETTLE_SECONDS)
                self._news = Event()
                found = await look()

    async def listen(self, events: AsyncIterator[Happening]) -> None:
        """Have the table looked at again after each event."""
        async for _ in events:
            self._news.set()

    def _print(self, found: Survey) -> None:
        """Write the table where it is no terminal that shows it, unless it is the same as before but for times."""
        told = [
            (name, info.name, info.state, info.reason) for name, each in found.processes.items() for info in each.apps
        ]
        if told != self._told:
            self._told = told
            self._console.print(self._drawn(found))

    def _follow(self, found: Survey) -> None:
        for name, process in found.processes.items():
            if name not in self._followed and process.found.path.is_socket():
                self._followed.add(name)
                self._tasks.start_soon(self._listen_to, process)

    async def _listen_to(self, process: Process) -> None:
        try:
            with told():
                async with controlling(process.found.path) as client:
                    await self.listen(client.of(EventsAPI, "events").events())
        except NotReached:  # it has ended, and may begin anew
            self._followed.discard(process.found.name)
            self._news.set()
        except SkywireError:
            pass  # it tells no events: it is looked at from time to time

    def _drawn(self, found: Survey) -> RenderableType:
        table, left_out = made_table(columns_of(found), rows_of(found), self._console.width)
        notes = [text(reason, "red") for reason in found.silent.values()]
        if left_out:
            notes.append(Text(f"no room for: {', '.join(left_out)}", "dim"))
        return Group(table, *notes)
