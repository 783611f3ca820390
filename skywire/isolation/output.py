"""What a child process writes to its standard output or error, line by line."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, final

from anyio import notify_closing, wait_readable
from anyio.lowlevel import checkpoint

READ_SIZE: Final = 65536
MAX_LINE: Final = 4096
"""Bytes of a line; longer ones come in pieces."""
_LAST_READS: Final = 16
"""Reads of what is left when nobody waits any more."""


@final
class Output:
    """A pipe whose reading end is ours; a context manager that closes it.

    A pipe of ours rather than one of the event loop's, so that the end of the process can be waited for while others
    still hold its output open.

    Args:
        take: is given each line.
    """

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take
        self._rest = b""
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close_writer()
        notify_closing(self._reader)
        os.close(self._reader)

    def close_writer(self) -> None:
        """Close our copy of the writing end, once the process has it. Idempotent."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    async def read(self) -> None:
        """Take lines until the end, or until cancelled; then what is there already."""
        try:
            while True:
                await wait_readable(self._reader)
                if not self._read_once():
                    return
                await checkpoint()  # who writes without end is not to keep others from their turn
        finally:
            for _ in range(_LAST_READS):
                if not self._read_once():
                    break
            if self._rest:
                self._give(self._rest)
                self._rest = b""

    def _read_once(self) -> bool:
        """Whether there was anything."""
        try:
            data = os.read(self._reader, READ_SIZE)
        except BlockingIOError:
            return False
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            self._give(line)
        if len(self._rest) > MAX_LINE:
            self._give(self._rest)
            self._rest = b""
        return bool(data)

    def _give(self, line: bytes) -> None:
        for start in range(0, len(line), MAX_LINE):
            self._take(line[start : start + MAX_LINE].decode("utf-8", errors="replace").rstrip("\r"))
