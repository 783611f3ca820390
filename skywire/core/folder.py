"""The folder of a process's data, which is its own: two with one folder would fight over everything."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from skywire.errors import SkywireError

LOCK: Final = "process.lock"
"""The file that the running process holds; the lock goes with it, however it ends."""


class FolderError(SkywireError):
    """The folder of the data cannot be used."""


class FolderTaken(FolderError):
    """Another process uses the folder."""


@contextmanager
def owning(folder: Path, who: str, second: str) -> Iterator[None]:
    """Have a folder for this process alone while the block runs; it is made if it is not there.

    Args:
        folder: the folder.
        who: what this process is, for messages, for instance ``visor``.
        second: what another one of it needs, for messages.

    Raises:
        FolderTaken: another process uses it.
        FolderError: it cannot be used.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise FolderError(f"cannot use {folder} for the data of the {who}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderTaken(
                f"another {who} uses {folder}: is it running already? A second one needs {second}"
            ) from None
        yield
    finally:
        os.close(descriptor)
