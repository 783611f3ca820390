"""The log of each app instance: in files of bounded size, readable from any point in time, and followable.

One logging handler serves them all. A line belongs to the instance on whose behalf it was written, whatever logger it
went through: a library's warning about an app's connection is found in that app's log. Lines on behalf of no instance
are those of the process itself, under the name ``core``. Of several nodes in one process each has the lines of its own
tasks, and all have those of none.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime
from functools import partial
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final, final

from anyio.to_thread import run_sync

from skywire.app.feed import Feed
from skywire.app.log_line import LogLine as LogLine
from skywire.app.ownership import current_owner
from skywire.net.conn import CORE

FILE_BYTES: Final = 1 << 20
"""Size at which a file is put aside."""
FILES_ASIDE: Final = 3
"""Files that are kept of each instance beside the one that is written."""
READ_BYTES: Final = 3 << 20
"""Of lines that are read at once, written as JSON; a message between processes has at most 4 MiB."""
WAITING_LINES: Final = 4096
"""Lines that wait for who follows before the oldest are dropped."""

_keeper: Final[ContextVar[object]] = ContextVar("skywire.app.logs", default=None)
"""Who keeps what the running code says; None: whoever is there."""
_LINE_BYTES: Final = 100
"""Of a line's other fields."""
_LINE: Final = re.compile(r"(\S+) ([A-Z]+) (.*)", re.DOTALL)


@final
class AppLogs(logging.Handler):
    """To be added to the root logger.

    Args:
        folder: where the files are; made when the first line is written.
        file_bytes: size at which a file is put aside.
    """

    def __init__(self, folder: Path, *, file_bytes: int = FILE_BYTES) -> None:
        super().__init__()
        self._folder = folder
        self._file_bytes = file_bytes
        self._files: dict[str, _QuietFile] = {}
        self._followers: dict[str, set[Feed[LogLine]]] = {}
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """See :meth:`logging.Handler.emit`."""
        if _keeper.get() not in {None, self}:
            return
        name = current_owner() or CORE.name
        line = LogLine(record.created, record.levelno, self._text(record))
        for follower in tuple(self._followers.get(name, ())):  # it may change while a thread is here
            follower.put(line)
        file = self._files.get(name)
        if file is None:
            file = self._files[name] = _QuietFile(self._path(name), self._file_bytes)
        file.emit(_as_text(line))

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Keep what the block says, and all tasks that it starts, and keep it from others."""
        token = _keeper.set(self)
        try:
            yield
        finally:
            _keeper.reset(token)

    @contextmanager
    def follow(self, name: str) -> Iterator[Feed[LogLine]]:
        """Get the lines of an instance while the block runs."""
        follower = Feed[LogLine](WAITING_LINES)
        self._followers.setdefault(name, set()).add(follower)
        try:
            yield follower
        finally:
            followers = self._followers[name]
            followers.discard(follower)
            if not followers:
                del self._followers[name]

    async def lines(self, name: str, *, level: int = 0) -> AsyncGenerator[LogLine, None]:
        """The lines of an instance as they come, and a line for those that came too fast to be told."""
        with self.follow(name) as follower:
            while True:
                line, dropped = await follower.next()
                if dropped:
                    yield LogLine(line.time, logging.WARNING, f"{dropped} lines before this one came too fast")
                if line.level >= level:
                    yield line

    async def read(self, name: str, *, since: float = 0.0, level: int = 0, last: int | None = None) -> list[LogLine]:
        """The kept lines of an instance, the oldest first; of very many only the newest, as many as fit in a message.

        Args:
            name: of the instance.
            since: seconds of Unix time.
            level: of these levels and above.
            last: so many of them at most, the newest.
        """
        return await run_sync(lambda: _newest(self._read(name), since, level, last))

    def close(self) -> None:
        """Close all files."""
        for file in self._files.values():
            file.close()
        self._files.clear()
        super().close()

    def _text(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record)
        except Exception as error:  # whoever says something is not to fail at it
            reason = type(error).__name__
            return f"{record.name}: what {record.filename}:{record.lineno} says cannot be written: {reason}"

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _read(self, name: str) -> list[LogLine]:
        path = self._path(name)
        paths = [path.with_name(f"{path.name}.{number}") for number in range(FILES_ASIDE, 0, -1)]
        found: list[LogLine] = []
        for each in (*paths, path):
            try:
                # As it was written: a carriage return in a line of somebody else begins no entry.
                with each.open(encoding="utf-8", errors="replace", newline="") as file:
                    text = file.read()
            except OSError:
                continue
            for entry in text.split("\n"):
                _add(found, entry)
        return found


class _QuietFile(RotatingFileHandler):
    """A full disk costs log lines, and nothing else; what is taken away is made anew, for its owner alone."""

    def __init__(self, path: Path, size: int) -> None:
        super().__init__(path, maxBytes=size, backupCount=FILES_ASIDE, encoding="utf-8", delay=True)

    def emit(self, record: logging.LogRecord) -> None:
        """See :meth:`logging.Handler.emit`."""
        if self.stream is not None and not os.path.exists(self.baseFilename):  # noqa: PTH110 - it is for each line
            with suppress(OSError):  # of what a full disk has not taken
                self.stream.close()
            self.stream = None
        super().emit(record)

    def _open(self) -> TextIOWrapper:
        path = Path(self.baseFilename)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return open(path, "a", encoding="utf-8", opener=partial(os.open, mode=0o600))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is given
        """See :meth:`logging.Handler.handleError`."""


def _as_text(line: LogLine) -> logging.LogRecord:
    # The further lines of an entry are indented, so that it can be told where the next one begins.
    return logging.makeLogRecord({"msg": str(line).replace("\n", "\n  ")})


def _newest(lines: list[LogLine], since: float, level: int, last: int | None) -> list[LogLine]:
    """Those that are asked for, as far as they fit in a message."""
    found = [line for line in lines if line.time >= since and line.level >= level]
    room, most = READ_BYTES, len(found) if last is None else min(last, len(found))
    for count in range(most):
        room -= _LINE_BYTES + len(json.dumps(found[-1 - count].text))
        if room < 0:
            return found[len(found) - count :]
    return found[len(found) - most :]


def _add(found: list[LogLine], entry: str) -> None:
    """Read one line of a file: an entry, or more of the last one."""
    match = None if entry.startswith("  ") else _LINE.fullmatch(entry)
    if match is not None:
        when, level, text = match.groups()
        try:
            time = datetime.fromisoformat(when).timestamp()
        except ValueError:
            match = None
        else:
            number = logging.getLevelName(level)
            found.append(LogLine(time, number if isinstance(number, int) else logging.INFO, text))
    if match is None and entry and found:
        last = found[-1]
        found[-1] = LogLine(last.time, last.level, f"{last.text}\n{entry.removeprefix('  ')}")
