"""A file that is being received: it has its name only when it is complete, and can be continued until then.

``NAME.part`` has the bytes, ``NAME.part.json`` says of what. The part is locked while it is in use, so that no two
transfers write to one. Nothing that is there already is ever written to, and nobody but the user can read it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Lock
from typing import Final, TypeAlias, final

from skywire.transfer.errors import AlreadyReceiving, FileFailed, NoSpace
from skywire.transfer.names import numbered, safe_name
from skywire.transfer.notes import Notes, Origin, notes_path, read_notes, write_notes

MAX_SAME_NAME: Final = 10_000
"""Files of one name that a folder takes."""
HASH_STEP: Final = 16 << 20
"""Bytes that are hashed between two chances to be cancelled."""
SYNC_SIZE: Final = 256 << 20
"""Bytes after which what was written is made to last, so that the end is not one long wait."""
_READ_SIZE: Final = 1 << 20
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})

GiveName: TypeAlias = Callable[[Path], Path]
"""Gives a complete file, which is at that path, its name, and gives that; what it raises leaves it where it is."""


@final
class Part:
    """The part of one file, locked; made by :func:`open_part`. All calls block, and are safe in any thread."""

    def __init__(self, folder: Path, name: str, path: Path, descriptor: int, notes: Notes | None) -> None:
        self.path: Final = path
        self.notes = notes
        """What the bytes are of; None where there are none."""
        self.size = 0
        """Bytes that are there and hashed."""
        self._folder = folder
        self._name = name
        self._descriptor: int | None = descriptor
        self._digest = hashlib.sha256()
        self._unsynced = 0
        # A thread may be left behind in a call; the descriptor must not become another file's meanwhile.
        self._lock = Lock()

    @property
    def sha256(self) -> str:
        """Of the bytes that are there."""
        return self._digest.hexdigest()

    def hash_more(self) -> bool:
        """Read some of what is there already; whether there is more of it.

        Raises:
            FileFailed: it cannot be read.
        """
        with self._lock:
            descriptor = self._require_open()
            end = self.size + HASH_STEP
            try:
                while self.size < end and (data := os.pread(descriptor, _READ_SIZE, self.size)):
                    self._digest.update(data)
                    self.size += len(data)
            except OSError as error:
                raise FileFailed(f"cannot read {self.path}: {error.strerror or error}") from error
            return self.size >= end

    def note(self, notes: Notes) -> None:
        """Write down what the bytes will be of, before the first of them.

        Raises:
            FileFailed, NoSpace: it cannot be written.
        """
        with self._lock:
            self._require_open()
            try:
                write_notes(self.path, notes)
            except OSError as error:
                raise self._failure(error) from error
            self.notes = notes

    def append(self, pieces: Sequence[bytes]) -> None:
        """Write what comes next.

        Raises:
            FileFailed, NoSpace: it cannot be written; what comes before it is there.
        """
        with self._lock:
            descriptor = self._require_open()
            try:
                for piece in pieces:
                    _write_all(descriptor, piece, self.size)
                    self._digest.update(piece)
                    self.size += len(piece)
                    self._unsynced += len(piece)
                if self._unsynced >= SYNC_SIZE:
                    self._unsynced = 0
                    os.fsync(descriptor)
            except OSError as error:
                raise self._failure(error) from error

    def free_bytes(self) -> int:
        """What the user may still write to that disk.

        Raises:
            FileFailed: it cannot be found out.
        """
        with self._lock:
            try:
                found = os.fstatvfs(self._require_open())
            except OSError as error:
                raise self._failure(error) from error
            return found.f_bavail * found.f_frsize

    def finish(self, give_name: GiveName | None = None) -> Path:
        """Give the complete file its name, or that name with a number when there is such a file by now.

        Args:
            give_name: does it instead, and makes it last.

        Returns:
            Where it is.

        Raises:
            FileFailed, NoSpace: it cannot be done; the part stays.
        """
        with self._lock:
            descriptor = self._require_open()
            try:
                os.fsync(descriptor)
                if not _is_at(descriptor, self.path):
                    raise FileFailed(f"{self.path} is not any more the file that was written")
                path = self._give_name() if give_name is None else give_name(self.path)
                notes_path(self.path).unlink(missing_ok=True)
                _sync_folder(self._folder)
            except OSError as error:
                raise self._failure(error) from error
            return path

    def discard(self) -> None:
        """Leave nothing of it; the next attempt begins anew."""
        with self._lock, suppress(OSError):
            if _is_at(self._require_open(), self.path):
                self.path.unlink()
                notes_path(self.path).unlink(missing_ok=True)

    def close(self) -> None:
        """Give it back. What is there stays for the next attempt, unless that is nothing."""
        with self._lock:
            if self._descriptor is None:
                return
            with suppress(OSError):
                if not os.fstat(self._descriptor).st_size and _is_at(self._descriptor, self.path):
                    notes_path(self.path).unlink(missing_ok=True)
                    self.path.unlink()
            os.close(self._descriptor)
            self._descriptor = None

    def _give_name(self) -> Path:
        for number in range(MAX_SAME_NAME):
            path = self._folder / numbered(self._name, number)
            try:
                os.link(self.path, path)
            except FileExistsError:
                continue
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                # A file system without links: nothing is replaced but what comes into being at this very moment.
                if os.path.lexists(path):
                    continue
                self.path.rename(path)
            else:
                self.path.unlink()
            return path
        raise _too_many(self._folder, self._name)

    def _require_open(self) -> int:
        if self._descriptor is None:
            raise FileFailed(f"{self.path} was given back already")
        return self._descriptor

    def _failure(self, error: OSError) -> FileFailed | NoSpace:
        return _failure(self.path, error)


def open_part(folder: Path, name: str, origin: Origin, sha256: str = "") -> Part:
    """Find what there is of a file, or begin it; nothing of it is hashed yet.

    Args:
        folder: where; made if it is not there.
        name: in the sender's words; made safe, and given a number when it is taken.
        origin: who sends what.
        sha256: of the whole file, where that is known; a part of another one is removed.

    Raises:
        AlreadyReceiving: somebody else does that just now.
        FileFailed, NoSpace: it cannot be done.
    """
    name = safe_name(name)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        taken = {each.name for each in folder.iterdir()}
        for number in range(MAX_SAME_NAME):
            part = folder / f"{numbered(name, number)}.part"
            if notes_path(part).name not in taken:
                continue
            notes = read_notes(part)
            if notes is not None and notes.origin == origin and (found := _reopen(folder, name, part, notes, sha256)):
                return found
        for number in range(MAX_SAME_NAME):
            whole = numbered(name, number)
            part = folder / f"{whole}.part"
            if taken.isdisjoint({whole, notes_path(part).name}) and (begun := _begin(folder, name, part)):
                return begun
    except OSError as error:
        raise _failure(folder, error) from error
    raise _too_many(folder, name)


def remove_parts(folder: Path, keep: Collection[Origin]) -> None:
    """Remove the parts in a folder that nobody goes on with; what somebody has just now stays.

    Args:
        folder: where; it need not be there.
        keep: the origins of parts that stay.

    Raises:
        FileFailed: it cannot be done.
    """
    try:
        for each in folder.iterdir() if folder.is_dir() else ():
            part = each.with_suffix("")
            if notes_path(part) == each and part.suffix == ".part":
                notes = read_notes(part)
                if notes is not None and notes.origin not in keep:
                    _remove(part)
    except OSError as error:
        raise FileFailed(f"cannot remove parts of files from {folder}: {error.strerror or error}") from error


def _remove(part: Path) -> None:
    with suppress(FileNotFoundError):
        descriptor = _lock(part, _FLAGS & ~os.O_CREAT)
        if descriptor is None:
            return
        try:
            part.unlink()
        finally:
            os.close(descriptor)
    notes_path(part).unlink(missing_ok=True)


def _reopen(folder: Path, name: str, path: Path, notes: Notes, sha256: str) -> Part | None:
    """Take the part that an earlier attempt left; None where it is of no use any more, and gone."""
    try:
        descriptor = _lock(path, _FLAGS & ~os.O_CREAT)
    except FileNotFoundError:
        notes_path(path).unlink(missing_ok=True)
        return None
    if descriptor is None:
        raise AlreadyReceiving(f"{path.name.removesuffix('.part')} is being received already")
    facts = os.fstat(descriptor)
    # With a second link it has got its name, and the attempt ended before the part was taken away.
    is_usable = _is_private(facts) and facts.st_size <= notes.head.size
    if not is_usable or notes.head.sha256 != (sha256 or notes.head.sha256):
        path.unlink()
        notes_path(path).unlink(missing_ok=True)
        os.close(descriptor)
        return None
    return Part(folder, name, path, descriptor, notes)


def _begin(folder: Path, name: str, path: Path) -> Part | None:
    """Begin a part; None where there is something that is not ours."""
    if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
        return None
    descriptor = _lock(path, _FLAGS)
    if descriptor is None:
        return None
    facts = os.fstat(descriptor)
    # An empty one is what an attempt leaves that was killed before it knew more.
    if facts.st_size or not _is_private(facts):
        os.close(descriptor)
        return None
    return Part(folder, name, path, descriptor, None)


def _lock(path: Path, flags: int) -> int | None:
    """Open a part and lock it; None while somebody else has it.

    Raises:
        OSError: it cannot be opened.
    """
    with ExitStack() as stack:
        descriptor = os.open(path, flags, 0o600)
        stack.callback(os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        if not _is_at(descriptor, path):  # it has got its name, or was removed, after it was opened here
            return None
        stack.pop_all()
        return descriptor


def _is_private(facts: os.stat_result) -> bool:
    """Whether nobody else can read or write it, and it has no other name."""
    return not facts.st_mode & 0o077 and facts.st_uid == os.geteuid() and facts.st_nlink == 1


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _write_all(descriptor: int, data: bytes, start: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, start)
        rest = rest[written:]
        start += written


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _failure(path: Path, error: OSError) -> FileFailed | NoSpace:
    kind = NoSpace if error.errno in _FULL else FileFailed
    return kind(f"cannot write {path}: {error.strerror or error}")


def _too_many(folder: Path, name: str) -> FileFailed:
    return FileFailed(f"{folder} has {MAX_SAME_NAME} files of the name {name} already: move some away")
