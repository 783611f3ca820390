"""A terminal that somebody sits at: what is shown is what an emulator of one shows."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pyte

from tests.programs.running import PATIENCE

COLUMNS = 100
LINES = 40


class _Answering(pyte.HistoryScreen):
    """Tells programs where the cursor is, which they ask."""

    def __init__(self, answer: Callable[[bytes], object]) -> None:
        super().__init__(COLUMNS, LINES, history=1000)
        self._answer = answer

    def select_graphic_rendition(self, *attrs: int, private: bool = False) -> None:
        """What is private are questions about the keyboard."""
        if not private:
            super().select_graphic_rendition(*attrs)

    def write_process_input(self, data: str) -> None:
        self._answer(data.encode())


@dataclass
class Terminal:
    """A program at a terminal.

    Args:
        pid: of the program.
        descriptor: our end of the terminal.
    """

    pid: int
    descriptor: int
    received: bytes = b""
    code: int | None = None
    screen: _Answering = field(init=False)

    def __post_init__(self) -> None:
        self.screen = _Answering(self.write)
        self._stream = pyte.ByteStream(self.screen)

    @property
    def shown(self) -> str:
        """What is on the screen."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def write(self, data: bytes) -> None:
        os.write(self.descriptor, data)

    def type(self, text: str) -> None:
        self.write(text.encode())

    def resize(self, lines: int, columns: int) -> None:
        """Make its window another size, as a person does by dragging a corner."""
        self.screen.resize(lines, columns)
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def until(self, *texts: str) -> str:
        """Wait until all of these are shown; what is, then."""
        limit = time.monotonic() + PATIENCE
        while not all(text in self.shown for text in texts):
            assert self._take(limit), f"{texts} did not come; the screen is:\n{self.shown}"
        return self.shown

    def until_gone(self, text: str) -> str:
        """Wait until this is not shown any more."""
        limit = time.monotonic() + PATIENCE
        while text in self.shown:
            assert self._take(limit), f"{text!r} did not go; the screen is:\n{self.shown}"
        return self.shown

    def end(self) -> int:
        """Wait for the end of the program; its exit code."""
        limit = time.monotonic() + PATIENCE
        while self._take(limit):
            pass
        assert time.monotonic() < limit, f"it does not end; the screen is:\n{self.shown}"
        return self.wait()

    def wait(self) -> int:
        """The exit code of the program, which has ended, or is about to."""
        if self.code is None:
            _, status = os.waitpid(self.pid, 0)
            self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def _take(self, limit: float) -> bool:
        """Take what is written next; whether anything was before the end, or the limit."""
        if not select.select([self.descriptor], [], [], max(0.0, limit - time.monotonic()))[0]:
            return False
        try:
            data = os.read(self.descriptor, 65536)
        except OSError:  # how the end of a terminal shows
            return False
        self.received += data
        self._stream.feed(data)
        return bool(data)


@contextmanager
def at_terminal(words: list[str], environment: Mapping[str, str]) -> Iterator[Terminal]:
    """Run a program at a terminal of its own while the block runs."""
    pid, descriptor = pty.fork()
    if pid == 0:
        os.execvpe(words[0], words, {**environment, "TERM": "xterm-256color", "COLUMNS": "", "LANG": "C.UTF-8"})
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    terminal = Terminal(pid, descriptor)
    try:
        yield terminal
    finally:
        if terminal.code is None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            terminal.wait()
        os.close(descriptor)
