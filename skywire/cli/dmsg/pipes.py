"""The standard input and output as a task may wait for them: whatever they are, and however long the other end takes.

A thread that waits for a terminal cannot be cancelled and would keep the program from ending, so the event loop waits.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
import sys
import termios
from array import array
from typing import Final, final

from anyio import to_thread, wait_readable, wait_writable

READ_SIZE: Final = 65536
"""Most bytes to read at a time."""
PIPE_PIECE: Final = select.PIPE_BUF
"""Bytes that a pipe which is ready takes without making us wait."""
FILE_PIECE: Final = 1 << 18
"""Bytes to write to a file at a time."""


async def read_input() -> bytes:
    """The next bytes of the standard input, as soon as there are any; none at the end.

    Raises:
        OSError: it cannot be read.
    """
    if sys.stdin is None:  # it was closed from the start
        return b""
    descriptor = sys.stdin.fileno()
    try:
        while True:
            try:
                await wait_readable(descriptor)
            except PermissionError:  # a file: the system will not tell, as that never takes long
                return await to_thread.run_sync(os.read, descriptor, READ_SIZE)
            try:
                return os.read(descriptor, READ_SIZE)
            except BlockingIOError:
                continue
    except OSError as error:
        if error.errno == errno.EIO:  # the terminal is gone
            return b""
        raise


def input_waits() -> bool:
    """Whether there is input that was not read yet."""
    if sys.stdin is None:
        return False
    count = array("i", [0])
    try:
        fcntl.ioctl(sys.stdin.fileno(), termios.FIONREAD, count)
    except OSError:  # it is no kind of thing where that can be told
        return False
    return count[0] > 0


@final
class Output:
    """Writes to the standard output.

    Raises:
        OSError: there is none.
    """

    def __init__(self) -> None:
        if sys.stdout is None:
            raise OSError(errno.EBADF, "there is no standard output")
        sys.stdout.flush()
        self._descriptor = sys.stdout.fileno()
        self._ready = select.poll()
        self._ready.register(self._descriptor, select.POLLOUT)
        self._piece = FILE_PIECE if stat.S_ISREG(os.fstat(self._descriptor).st_mode) else PIPE_PIECE

    async def write(self, data: bytes) -> None:
        """Write all of ``data``.

        Raises:
            BrokenPipeError: nobody reads any more.
            OSError: it cannot be written.
        """
        rest = memoryview(data)
        while rest:
            if not self._ready.poll(0):
                await wait_writable(self._descriptor)
            try:
                rest = rest[os.write(self._descriptor, rest[: self._piece]) :]
            except BlockingIOError:
                await wait_writable(self._descriptor)
