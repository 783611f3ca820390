"""Files that hold a secret: refused when others can read or plant them, written whole and for their owner alone."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import final

from skywire.errors import SkywireError


@final
@dataclass(frozen=True, slots=True)
class PrivateFile:
    """A kind of such files.

    Args:
        name: what it is called in errors, such as ``key file``.
        limit: bytes that are read at most.
        failed: the class of its errors.
    """

    name: str
    limit: int
    failed: type[SkywireError]

    def read(self, path: Path) -> str:
        """The text of a file.

        Raises:
            SkywireError: of the class ``failed``: open to others, of another user, too large, no text, or not there.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise self.failed(f"cannot read the {self.name} {path}: {error.strerror}") from error
        except ValueError:
            raise self.failed(f"{str(path)!r} is no name of a file") from None
        try:
            self._check_safe(path, os.fstat(descriptor))
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                content = file.read(self.limit + 1)
        finally:
            os.close(descriptor)
        if len(content) > self.limit:
            raise self.failed(f"{path} is no {self.name}: it has more than {self.limit} bytes")
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            raise self.failed(f"{path} is no {self.name}: it is not plain text") from None

    def write(self, path: Path, text: str, *, replace: bool = False, keep: bool = False) -> None:
        """Write a file, whole or not at all, readable by its owner alone.

        Args:
            path: the file; its folder must exist.
            text: what to write.
            replace: whether a file that is already there may be replaced.
            keep: whether that one is kept, with ``.bak`` behind its name.

        Raises:
            SkywireError: of the class ``failed``: it exists and ``replace`` is False, or it cannot be written.
        """
        mark = secrets.token_hex(8)
        try:
            draft, former = path.with_name(f".{path.name}.{mark}"), path.with_name(f".{path.name}.{mark}.bak")
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self.failed(f"cannot write {path}: {error.strerror}") from error
        except ValueError:
            raise self.failed(f"{str(path)!r} is no name of a file") from None
        try:
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(descriptor)
                if keep and replace:
                    with contextlib.suppress(FileNotFoundError):
                        os.link(path, former)
                        former.replace(path.with_name(f"{path.name}.bak"))
                if replace:
                    draft.replace(path)
                else:
                    os.link(draft, path)
                _sync_folder(path.parent)
            finally:
                for leftover in (draft, former):
                    leftover.unlink(missing_ok=True)
        except FileExistsError:
            raise self.failed(f"{path} exists already; it is not replaced unless told so") from None
        except OSError as error:
            raise self.failed(f"cannot write {path}: {error.strerror}") from error

    def _check_safe(self, path: Path, facts: os.stat_result) -> None:
        if not stat.S_ISREG(facts.st_mode):
            raise self.failed(f"{path} is no regular file")
        if facts.st_mode & 0o077:
            mode = stat.S_IMODE(facts.st_mode)
            raise self.failed(
                f"{path} is open to others (mode {mode:04o}), and it holds a secret key: run chmod 600 {path},"
                " or make a new one"
            )
        if facts.st_uid not in (os.geteuid(), 0):
            raise self.failed(f"{path} belongs to another user (uid {facts.st_uid})")


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
