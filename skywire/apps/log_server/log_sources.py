"""The logs of a node as they come, several in one queue."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, final

from anyio import move_on_after
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from skywire.app.api import VisorAPI
from skywire.app.feed import Feed
from skywire.app.logs import LogLine
from skywire.errors import SkywireError
from skywire.net.conn import CORE

WAITING: Final = 2000
"""Lines that wait for a slow reader before the oldest are dropped."""
LONGEST: Final = 32_768
"""Characters of a followed line; the rest is cut, or so many lines would be of any size."""
_CLEAN_UP_SECONDS: Final = 5.0
_REMEMBERED: Final = 512
"""Newest lines of what was read that are not told again by following."""


@final
@dataclass(frozen=True, slots=True)
class LogSource:
    """One log.

    Args:
        name: of the app instance, or ``core`` for the process itself.
        read: the newest kept lines, the oldest of them first: from this moment on, so many at most.
        follow: the lines as they come.
    """

    name: str
    read: Callable[[float, int | None], Awaitable[tuple[LogLine, ...]]]
    follow: Callable[[], AsyncIterator[LogLine]]


def process_log(visor: VisorAPI) -> LogSource:
    """The log of the process itself."""
    process = visor.process
    return LogSource(CORE.name, lambda since, last: process.log(since=since, last=last), process.follow_log)


def app_log(visor: VisorAPI, name: str) -> LogSource:
    """The log of an app instance."""
    apps = visor.apps
    return LogSource(name, lambda since, last: apps.log(name, since=since, last=last), lambda: apps.follow_log(name))


@final
class LogTap:
    """Follows logs, while a task group runs.

    Args:
        task_group: for one task per log.
        wants: which lines; the others take no room in the queue.
    """

    def __init__(self, task_group: TaskGroup, wants: Callable[[LogLine], bool] = lambda _: True) -> None:
        self._task_group = task_group
        self._wants = wants
        self._feed = Feed[tuple[str, LogLine]](WAITING)
        self._followed: set[str] = set()
        self._read: set[tuple[str, float, str]] = set()

    def add(self, source: LogSource) -> None:
        """Follow one more log, unless it is followed already."""
        if source.name not in self._followed:
            self._followed.add(source.name)
            self._task_group.start_soon(self._pump, source)

    async def begun(self) -> None:
        """Wait until what has been started hears of what happens from now on."""
        await checkpoint()  # which each new task has used to begin

    def skip(self, name: str, lines: Iterable[LogLine]) -> None:
        """Do not tell these again: they were read after following had begun."""
        self._read.update(_mark(name, _bounded(line)) for line in list(lines)[-_REMEMBERED:])

    async def next(self) -> tuple[str, LogLine, int]:
        """The next line with the name of its log, and how many were dropped before it."""
        dropped = 0
        while True:
            (name, line), missed = await self._feed.next()
            dropped += missed
            told = _mark(name, line)
            if told not in self._read:
                return name, line, dropped
            self._read.discard(told)

    async def _pump(self, source: LogSource) -> None:
        lines = source.follow()
        try:
            async for line in lines:
                if self._wants(line):
                    self._feed.put((source.name, _bounded(line)))
        except SkywireError:
            pass  # the instance is gone; if another one takes its name, it is followed anew
        finally:
            self._followed.discard(source.name)
            if (close := getattr(lines, "aclose", None)) is not None:
                with move_on_after(_CLEAN_UP_SECONDS, shield=True):
                    await close()


def _bounded(line: LogLine) -> LogLine:
    return line if len(line.text) <= LONGEST else replace(line, text=f"{line.text[:LONGEST]} ...")


def _mark(name: str, line: LogLine) -> tuple[str, float, str]:
    """What tells a line from others; files keep microseconds."""
    return name, round(line.time, 6), line.text
