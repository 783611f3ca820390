"""Where a file that is copied comes to be: under the very name that was asked for, whole or not at all.

What has come so far is kept in a folder beside it, so that the complete file only gets another name.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, final

from skywire.pty.errors import PtyError
from skywire.pty.printable import printable
from skywire.transfer import remove_parts
from skywire.transfer.notes import read_notes

KEPT_SECONDS: Final = 7 * 86400.0
"""For which what was begun with can be continued; then it is removed when the next file comes to that folder."""
_PARTS: Final = ".skywire-copies"
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_PRIVATE: Final = 0o600


@final
class Landing:
    """One file that is to come. All calls block.

    Args:
        target: where to; a folder means that name in it.
        name: the file's own.
        mode: its permissions; what the user's umask takes away is not given, and a file that is replaced keeps its own.
        replace: whether a file that is there may be replaced; a symbolic link is replaced itself, not what it is to.

    Raises:
        PtyError: it cannot be there; the text says why.
    """

    def __init__(self, target: Path, name: str, mode: int, *, replace: bool) -> None:
        if "\0" in f"{target}{name}":
            raise PtyError("a path has no zero bytes")
        try:
            folder = target.is_dir()
            self._folder: Final = (target if folder else target.parent).resolve()
            self.path: Final = self._folder / (name if folder else target.name)
            if not self._folder.is_dir():
                raise PtyError(f"{_shown(target.parent)}: no such folder")
            there = self.path.lstat() if os.path.lexists(self.path) else None
        except (OSError, ValueError) as error:
            raise _failure(target, error) from error
        if there is not None and not (stat.S_ISREG(there.st_mode) or stat.S_ISLNK(there.st_mode)):
            raise PtyError(f"{_shown(self.path)} is there, and is no file")
        if there is not None and not replace:
            raise PtyError(f"{_shown(self.path)} exists: --force replaces it")
        self._replace = replace
        self._mode = mode & ~_umask() if there is None or stat.S_ISLNK(there.st_mode) else stat.S_IMODE(there.st_mode)
        self.parts: Final = self._folder / f"{_PARTS}-{os.geteuid()}"
        """Folder of what has come so far."""

    def open(self) -> None:
        """Make that folder, and remove what is too old from it.

        Raises:
            PtyError: it cannot be made, or is somebody else's.
        """
        try:
            with suppress(FileExistsError):
                self.parts.mkdir(0o700)
            facts = self.parts.lstat()
            if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
                raise PtyError(f"{_shown(self.parts)} is no folder of this user alone: remove it")
            _remove_old(self.parts, time.time() - KEPT_SECONDS)
        except OSError as error:
            raise _failure(self.parts, error) from error

    def close(self) -> None:
        """Remove that folder if nothing is in it."""
        with suppress(OSError):
            self.parts.rmdir()

    def give_name(self, part: Path) -> Path:
        """See :data:`skywire.transfer.part.GiveName`: all is as it was, or the file is in place.

        Raises:
            PtyError: there is a file by now.
            OSError: it cannot be done.
        """
        # Both names are in it: if its path leads elsewhere by now, there is no part.
        folder = os.open(self.parts.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            part.chmod(self._mode)
            try:
                self._rename(part, folder)
            except BaseException:
                part.chmod(_PRIVATE)  # or it would not be continued
                raise
            os.fsync(folder)
        finally:
            os.close(folder)
        return self.path

    def _rename(self, part: Path, folder: int) -> None:
        source, name = f"{self.parts.name}/{part.name}", self.path.name
        if self._replace:
            os.replace(source, name, src_dir_fd=folder, dst_dir_fd=folder)
            return
        try:
            os.link(source, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            raise PtyError(
                f"{_shown(self.path)} exists by now: --force replaces it, and nothing has to be sent again"
            ) from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # A file system without links: nothing is replaced but what comes into being at this very moment.
            if os.path.lexists(self.path):
                raise PtyError(f"{_shown(self.path)} exists by now: --force replaces it") from None
            os.rename(source, name, src_dir_fd=folder, dst_dir_fd=folder)
        else:
            os.unlink(source, dir_fd=folder)


def path_of(text: str, home: Path) -> Path:
    """What a path in words means.

    Args:
        text: relative to the home, or absolute; ``~`` at its begin is the home, too.
        home: a folder.

    Raises:
        PtyError: it ends as only a folder does, and is none.
    """
    path = home / (text[2:].lstrip("/") if text.startswith("~/") else "" if text == "~" else text)
    if text.endswith("/") and not _is_folder(path):
        raise PtyError(f"{printable(text)}: no such folder")
    return path


def refuse_folder(path: Path) -> None:
    """Say what to do with a folder that is to be copied.

    Raises:
        PtyError: it is one.
    """
    if _is_folder(path):
        raise PtyError(f"{_shown(path)} is a folder, and single files are copied: pack it first, with tar or zip")


def _remove_old(folder: Path, before: float) -> None:
    """Remove what was last written to before a time, Unix time in seconds."""
    found = {each: each.lstat().st_mtime for each in folder.iterdir()}
    notes = {each: read_notes(each) for each in found}
    remove_parts(folder, {there.origin for each, there in notes.items() if there and found[each] >= before})
    for each, changed in found.items():  # drafts, and what else nothing is known of
        part = each.with_suffix("") if each.name.endswith(".part.json") else each
        if changed < before and notes.get(part) is None:
            with suppress(OSError):
                each.unlink()


def _umask() -> int:
    """What this process does not permit; to ask the system means to change it for a moment, for all threads."""
    with suppress(OSError, ValueError), Path("/proc/self/status").open(encoding="ascii", errors="replace") as facts:
        for line in facts:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o077


def _is_folder(path: Path) -> bool:
    """Whether it is known to be one."""
    try:
        return path.is_dir()
    except (OSError, ValueError):  # what is wrong is told to whoever uses it
        return False


def _shown(path: Path) -> str:
    return printable(str(path))


def _failure(path: Path, error: Exception) -> PtyError:
    why = error.strerror if isinstance(error, OSError) else error
    return PtyError(f"{_shown(path)}: {why or error}")
