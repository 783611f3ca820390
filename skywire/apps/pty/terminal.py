"""``skywire app pty shell`` and ``exec``: a program of another node, at this terminal or in this pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from anyio.abc import ByteStream

from skywire.app.terminal import AppSession
from skywire.apps.pty import FAILED, WAY, ExecArguments, ShellArguments, WayArguments
from skywire.control.local import connect_locally
from skywire.errors import SkywireError
from skywire.net.address import Address
from skywire.pty.far_files import Reach
from skywire.pty.far_program import Connect
from skywire.pty.opening import ask
from skywire.wire.pty.opening import PROXY, PTY, Request
from skywire.wire.pty.session import NewSession
from skywire.wire.pty.shell import Command

_PASSED_ON: Final = ("TERM", "COLORTERM", "LANG", "LC_ALL", "LC_CTYPE", "NO_COLOR")
"""Variables of this terminal that programs there are to know."""


async def shell(session: AppSession, arguments: ShellArguments) -> int:
    """See :class:`skywire.app.terminal.TerminalProgram`."""
    from skywire.apps.pty.terminal_pipe import run_pipe
    from skywire.apps.pty.terminal_shell import at_a_terminal, run_shell

    async def run() -> int:
        connect = await _connect(session, arguments.peer)
        if at_a_terminal():
            again = f"skywire app {session.name} shell {arguments.peer} --session "
            return await run_shell(connect, arguments.session or _wish(arguments.words), again)
        return await run_pipe(connect, arguments.session or _wish(arguments.words, terminal=False), 0)

    return await telling(run)


async def execute(session: AppSession, arguments: ExecArguments) -> int:
    """See :class:`skywire.app.terminal.TerminalProgram`."""
    from skywire.apps.pty.terminal_pipe import run_pipe

    async def run() -> int:
        if not arguments.words:
            raise SkywireError("what is to run is missing: it follows the key")
        connect = await _connect(session, arguments.peer)
        return await run_pipe(
            connect, _wish(arguments.words, terminal=False, folder=arguments.folder), arguments.time_limit
        )

    return await telling(run)


def _wish(words: tuple[str, ...], *, terminal: bool = True, folder: str = "") -> NewSession:
    environment = tuple(f"{name}={os.environ[name]}" for name in _PASSED_ON if name in os.environ)
    name, *rest = words or ("",)
    return NewSession(Command(name, tuple(rest), environment=environment), folder, terminal)


async def _connect(session: AppSession, peer: str) -> Connect:
    """What connects to a host's pty."""
    connect, _ = await reaching(session, peer)
    return partial(connect, Request(PTY))


async def reaching(session: AppSession, peer: str) -> tuple[Reach, Address]:
    """What connects to a host through the instance, whose key is the one that the host knows; and the host's address.

    Raises:
        SkywireError: the words name no host.
    """
    way = await session.call(WAY, WayArguments(peer))

    @asynccontextmanager
    async def connect(request: Request) -> AsyncIterator[ByteStream]:
        async with await connect_locally(Path(way.socket)) as stream:
            await ask(stream, Request(PROXY, {"address": way.address, "path": str(request)}))
            yield stream

    return connect, Address.parse(way.address)


async def telling(run: Callable[[], Awaitable[int]]) -> int:
    """Tell of our failures by themselves: any other exit code is the program's."""
    try:
        return await run()
    except SkywireError as error:
        sys.stderr.write(f"skywire: {error}\n")
        return FAILED
