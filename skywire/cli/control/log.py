"""Logs: what was said, and what is being said."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias, final

from anyio import EndOfStream, create_memory_object_stream
from anyio.streams.memory import MemoryObjectSendStream
from cyclopts import Parameter

from skywire.app.log_line import LogLine
from skywire.cli.control.nodes import Node, run_on
from skywire.cli.control.reach import LOCAL, Reach
from skywire.cli.control.words import clock_time, level, level_name, moment, visible_lines
from skywire.cli.program import UsageError
from skywire.net.background import Background

KEPT: Final = 1000
"""Lines that are asked for where nothing says how many: a whole log may be longer than a message can be."""
KEPT_BEFORE_FOLLOWING: Final = 10
WAITING: Final = 4096
"""Lines that come while the kept ones are written."""
_STYLES: Final = {"debug": "2", "warning": "33", "error": "31", "critical": "1;31"}
"""Colours of lines by level, as terminals are told them (ECMA-48)."""

Follow: TypeAlias = Annotated[
    bool, Parameter(name=["--follow", "-f"], negative="", help="Go on with what is said from now on, until Ctrl-C.")
]
Since: TypeAlias = Annotated[
    str | None, Parameter(help="Lines from there on: 10m (so long ago), an ISO time, or beginning.")
]
Level: TypeAlias = Annotated[
    str, Parameter(name=["--level", "--min-level"], help="Lines of this level and above: debug, info, warning, error.")
]
Last: TypeAlias = Annotated[
    int | None, Parameter(name=["--last", "-n"], help="So many lines at most, the newest; 1000 unless given.")
]
JsonLines: TypeAlias = Annotated[bool, Parameter(name="--json", negative="", help="Write one JSON object a line.")]


@final
@dataclass(frozen=True)
class Wanted:
    """Which lines.

    Args:
        since: seconds of Unix time.
        level: least level.
        last: most lines.
        follow: whether to go on.
        as_json: whether to write JSON.
    """

    since: float
    level: int
    last: int
    follow: bool
    as_json: bool


def log(
    name: str,
    since: str | None = None,
    /,
    *,
    follow: Follow = False,
    since_option: Annotated[Since, Parameter(name="--since")] = None,
    least: Level = "debug",
    last: Last = None,
    as_json: JsonLines = False,
    reach: Reach = LOCAL,
) -> None:
    """Tell what it has said.

    Parameters
    ----------
    since:
        Lines from there on, as --since has it.
    """
    wanted = wanted_lines(since_option or since, least, last, follow=follow, as_json=as_json)

    async def work(node: Node) -> None:
        await show(
            wanted,
            node,
            lambda: node.apps.log(name, wanted.since, wanted.level, wanted.last),
            lambda: node.apps.follow_log(name, wanted.level),
        )

    run_on(reach, work, instance=name)


def wanted_lines(since: str | None, least: str, last: int | None, *, follow: bool, as_json: bool) -> Wanted:
    """Which lines the options mean.

    Raises:
        UsageError: they make no sense.
    """
    if last is not None and last < 0:
        raise UsageError("--last is 0 or more")
    if last is None:
        last = KEPT_BEFORE_FOLLOWING if follow and since is None else KEPT
    return Wanted(0.0 if since is None else moment(since), level(least), last, follow, as_json)


async def show(
    wanted: Wanted,
    node: Node,
    kept: Callable[[], Awaitable[tuple[LogLine, ...]]],
    coming: Callable[[], AsyncIterator[LogLine]],
) -> None:
    """Write the lines that are kept, and those that come: each once, and none lost in between.

    Args:
        wanted: which.
        node: for the time that an answer may take.
        kept: asks for those that are kept.
        coming: asks for those that come.
    """
    if not wanted.follow:
        lines = await node.ask(kept())
        for line in lines:
            write(line, as_json=wanted.as_json)
        if not lines and not wanted.as_json:
            print("there are no such lines", file=sys.stderr)
        return
    sending, receiving = create_memory_object_stream[LogLine](WAITING)
    async with Background() as tasks, sending, receiving:
        tasks.start_soon(_pass_on, coming(), sending)
        seen = set()
        for line in await node.ask(kept()):
            seen.add(_key(line))
            write(line, as_json=wanted.as_json)
        with suppress(EndOfStream):
            while True:
                line = await receiving.receive()
                if _key(line) not in seen:
                    write(line, as_json=wanted.as_json)


async def _pass_on(lines: AsyncIterator[LogLine], sending: MemoryObjectSendStream[LogLine]) -> None:
    async for line in lines:
        await sending.send(line)
    await sending.aclose()


def write(line: LogLine, *, as_json: bool) -> None:
    """Write one line of a log."""
    name = level_name(line.level)
    if as_json:
        print(json.dumps({"time": line.time, "level": name, "text": line.text}), flush=True)
        return
    text = visible_lines(line.text).replace("\n", "\n    ")
    shown = f"{clock_time(line.time)} {name.upper():<7} {text}"
    if sys.stdout.isatty() and (style := _STYLES.get(name)):
        shown = f"\x1b[{style}m{shown}\x1b[0m"
    print(shown, flush=True)


def _key(line: LogLine) -> tuple[int, int, str]:
    """What makes a line the same in a file and as it came: files keep microseconds."""
    return round(line.time * 1e6), line.level, line.text
