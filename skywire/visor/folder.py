"""The folder of a visor's data, which is its own: two of them with one configuration would fight over everything."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from skywire.errors import SkywireError

LOCK: Final = "visor.lock"
"""The file that the running visor holds; the lock goes with the process, however it ends."""


class FolderError(SkywireError):
    """The folder of the data cannot be used."""


class FolderTaken(FolderError):
    """Another visor uses the folder."""


@contextmanager
def owning(folder: Path) -> Iterator[None]:
    """Have a folder for this process alone while the block runs; it is made if it is not there.

    Raises:
        FolderTaken: another visor uses it.
        FolderError: it cannot be used.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise FolderError(f"cannot use {folder} for the data of the visor: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderTaken(
                f"another visor uses {folder}: is it running already? A second one needs a configuration of its own, "
                "with another key and another local_path"
            ) from None
        yield
    finally:
        os.close(descriptor)
