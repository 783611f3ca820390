"""The standard streams of this process, read and written without holding up anything else, whatever they are."""

from __future__ import annotations

import os
from typing import Final

from anyio import wait_readable, wait_writable
from anyio.lowlevel import checkpoint

IN: Final = 0
OUT: Final = 1
ERRORS: Final = 2

_READ_SIZE: Final = 1 << 16
_WRITE_SIZE: Final = 4096
"""Bytes that a pipe takes at once when it takes any; terminals likewise."""
_FILE_SIZE: Final = 1 << 18


async def read(descriptor: int) -> bytes:
    """What comes next; empty at the end."""
    try:
        await wait_readable(descriptor)
    except PermissionError:  # a file is always readable, and cannot be waited for
        await checkpoint()
    return os.read(descriptor, _READ_SIZE)


async def write(descriptor: int, data: bytes) -> None:
    """Write all of it.

    Raises:
        OSError: nobody reads it any more, or the disk is full.
    """
    view, size = memoryview(data), _WRITE_SIZE
    while view:
        try:
            if size == _WRITE_SIZE:
                await wait_writable(descriptor)
        except PermissionError:  # a file, as above
            size = _FILE_SIZE
            await checkpoint()
        view = view[os.write(descriptor, view[:size]) :]
