"""The terminals of the page."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeAlias, final

from anyio.abc import TaskGroup

from skywire.apps.pty.page_messages import Begin, GoOn
from skywire.apps.pty.page_terminal import PageTerminal
from skywire.net.background import Background
from skywire.pty.errors import PtyError
from skywire.pty.far_program import Connect
from skywire.wire.pty.session import NewSession
from skywire.wire.pty.shell import Command, WindowSize

MOST_TERMINALS: Final = 16
"""At a time."""
_ID_BYTES: Final = 16

ConnectTo: TypeAlias = Callable[[str], Connect]
"""What connects to the host that words name, this node for no words; raises :class:`SkywireError` for others."""


@asynccontextmanager
async def page_terminals(connect_to: ConnectTo, keep_seconds: float) -> AsyncIterator[PageTerminals]:
    """Have terminals while the block runs. Its end leaves the programs on other hosts running.

    Args:
        connect_to: see there.
        keep_seconds: how long a terminal goes on while no page shows it.
    """
    async with Background() as tasks:
        yield PageTerminals(connect_to, keep_seconds, tasks)


@final
class PageTerminals:
    """See :func:`page_terminals`."""

    def __init__(self, connect_to: ConnectTo, keep_seconds: float, tasks: TaskGroup) -> None:
        self._connect_to = connect_to
        self._keep_seconds = keep_seconds
        self._tasks = tasks
        self._terminals: dict[str, PageTerminal] = {}

    @property
    def all(self) -> tuple[PageTerminal, ...]:
        """Those there are, the oldest first."""
        return tuple(self._terminals.values())

    def begin(self, wanted: Begin) -> PageTerminal:
        """Begin a session.

        Raises:
            SkywireError: the peer is none, or there are too many.
        """
        size = WindowSize(wanted.columns, wanted.rows)
        id_ = secrets.token_hex(_ID_BYTES)
        wish = NewSession(Command("", size=size, environment=_environment()), id=id_)
        return self._add(id_, wanted.peer, wish, size)

    def go_on(self, wanted: GoOn) -> PageTerminal:
        """Go on with one that is here, or with a session that its host still has.

        Raises:
            SkywireError: the peer is none, or there are too many.
        """
        found = self._terminals.get(wanted.id)
        size = WindowSize(wanted.columns, wanted.rows)
        return found or self._add(wanted.id, wanted.peer, wanted.id, size)

    def _add(self, id_: str, peer: str, wish: NewSession | str, size: WindowSize) -> PageTerminal:
        if len(self._terminals) >= MOST_TERMINALS:
            raise PtyError(f"{MOST_TERMINALS} terminals are open, as many as may be: end one that is listed")
        terminal = PageTerminal(id_, peer, self._connect_to(peer), wish, size, self._keep_seconds)
        self._terminals[id_] = terminal
        self._tasks.start_soon(self._run, terminal)
        return terminal

    async def _run(self, terminal: PageTerminal) -> None:
        try:
            await terminal.run()
        finally:
            del self._terminals[terminal.id]


def _environment() -> tuple[str, ...]:
    """What programs there are to know of the terminal, which is an xterm of many colours, and knows UTF-8 alone."""
    language = os.environ.get("LANG", "")
    return (
        "TERM=xterm-256color",
        "COLORTERM=truecolor",
        f"LANG={language if 'utf' in language.lower() else 'C.UTF-8'}",
    )
