"""``skywire app pty copy``: a file of another node to here, or one from here to another node."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self, final

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from skywire.app.terminal import AppSession
from skywire.apps.pty import CopyArguments
from skywire.apps.pty.peers import FarPlace, far_place
from skywire.apps.pty.terminal import reaching, telling
from skywire.errors import SkywireError
from skywire.pty.far_files import FarFiles
from skywire.pty.landing import path_of

_FORM: Final = "one of SOURCE and TARGET, and not both, is <public key>:<path>, or <public key>@<host>:<path> on TCP"


async def copy(session: AppSession, arguments: CopyArguments) -> int:
    """See :class:`skywire.app.terminal.TerminalProgram`."""

    async def run() -> int:
        source, target = far_place(arguments.source), far_place(arguments.target)
        if source is not None and target is None:
            local = path_of(arguments.target, Path.cwd())
            with _Bar() as bar:
                await (await _files(session, source, bar)).take(source.path, local, replace=arguments.force)
        elif target is not None and source is None:
            local = path_of(arguments.source, Path.cwd())
            with _Bar() as bar:
                await (await _files(session, target, bar)).give(local, target.path, replace=arguments.force)
        else:
            raise SkywireError(_FORM)
        return 0

    return await telling(run)


async def _files(session: AppSession, place: FarPlace, bar: _Bar) -> FarFiles:
    reach, address = await reaching(session, place.peer)
    return FarFiles(reach, address.pk, bar.show, bar.complain)


@final
class _Bar:
    """Shows at the terminal how far a file is; says nothing to a file or a pipe but of trouble."""

    def __init__(self) -> None:
        self._progress = Progress(
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=False,
            disable=not sys.stderr.isatty(),
        )
        self._task = self._progress.add_task("", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, done: int, size: int) -> None:
        """See :data:`skywire.pty.far_files.Progress`."""
        self._progress.update(self._task, completed=done, total=size)

    def complain(self, trouble: str | None) -> None:
        """See :data:`skywire.pty.far_program.Notice`."""
        text = "connected again" if trouble is None else f"{trouble}; trying again"
        if self._progress.disable:
            sys.stderr.write(f"skywire: {text}\n")
        else:
            self._progress.console.print(f"skywire: {text}", markup=False, highlight=False)
