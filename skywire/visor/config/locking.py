"""One process at a time changes a file."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from skywire.visor.config.errors import ConfigError

WAIT_SECONDS: Final = 10.0
"""For others to have changed the file; they take some milliseconds."""
_PAUSE: Final = 0.01


@contextmanager
def locked(path: Path, *, wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Keep others from changing a file while the block runs. Blocks the thread.

    Args:
        path: the file; beside it is another one with ``.lock`` behind its name, which stays.
        wait_seconds: for others.

    Raises:
        ConfigError: the lock cannot be made, or others do not come to an end.
    """
    lock = path.with_name(f"{path.name}.lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"cannot write {path}: its lock {lock} cannot be made: {reason}") from error
    try:
        deadline = time.monotonic() + wait_seconds
        while not _taken(descriptor, path):
            if time.monotonic() > deadline:
                raise ConfigError(f"cannot write {path}: another process has locked it for {wait_seconds:g} seconds")
            time.sleep(_PAUSE)
        yield
    finally:
        os.close(descriptor)  # which gives the lock back


def _taken(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise ConfigError(f"cannot write {path}: it cannot be locked: {error.strerror}") from error
    return True
