"""A file that is being downloaded: it has its name only when it is complete, and can be continued until then.

Beside ``FILE.part`` there is ``FILE.part.json``, which says what the bytes are of. Without it nobody could tell whether
what the server has now is still the same file. ``FILE.part`` is locked from before it is looked at until it has its
name, so that two downloads never write to one file.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
import tempfile
import time
from calendar import timegm
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Final, Self, final

from anyio import to_thread

from skywire.cli.dmsg.connection import FileFailed
from skywire.errors import NetworkError, SkywireError

MAX_NOTES: Final = 131072
"""Bytes that are read of what is noted of a partial file: a URL of 8192 characters, each as long as it gets when it is
percent-encoded, and a validator."""
MAX_VALIDATOR: Final = 1024
"""Characters; one that is longer is none."""
CLOCK_SLACK: Final = 60
"""Seconds that the last change has to be before the answer: a second one within the same second would not show, and the
two times may be of different clocks."""

_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19})")
_UNSATISFIED: Final = re.compile(r"bytes \*/([0-9]{1,19})")
_HTTP_DATE: Final = "%a, %d %b %Y %H:%M:%S GMT"
_NOTES_BEGIN: Final = b'{"url": "'
_PART_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class TransferFailed(NetworkError):
    """The request was not answered, or not to its end."""


class ResumeFailed(SkywireError):
    """The server's answer does not continue the partial file."""


@dataclass(frozen=True)
class Origin:
    """What a partial file is of.

    Args:
        url: where it comes from.
        validator: a strong ``ETag`` or a ``Last-Modified``, whatever stands for this very content; empty for none.
    """

    url: str
    validator: str


@final
class Download:
    """Writes a file; to be used in a ``with`` block.

    Args:
        path: the file.
        origin_url: where it comes from.
        replace: whether a file that is there may be replaced.
        resume: whether to continue what an earlier attempt left.

    Raises:
        FileFailed: on entering the block: the file exists, or is none, or another download to it is under way.
    """

    def __init__(self, path: Path, origin_url: str, *, replace: bool, resume: bool) -> None:
        self.path: Final = path
        self._url = origin_url
        self._replace = replace
        self._resume = resume
        self._part = path.with_name(f"{path.name}.part")
        self._notes = path.with_name(f"{path.name}.part.json")
        self._descriptor: int | None = None
        self._total: int | None = None
        self._is_ours = False
        self.size = 0
        """Bytes that are there."""
        self.validator = ""
        """What the bytes that are there are of, when they may be continued."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._close)
            try:
                self._look()
            except OSError as error:
                raise _failure(self.path, error) from error
            stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    @property
    def request_headers(self) -> dict[str, str]:
        """What to ask for."""
        return {"Range": f"bytes={self.size}-", "If-Range": self.validator} if self.validator else {}

    def begin(self, status: int, content_range: str, validator: str) -> bool:
        """Take the head of an answer.

        Args:
            status: of it.
            content_range: the field of that name, or empty.
            validator: see :class:`Origin`.

        Returns:
            Whether a body is to be written; False when everything was there already.

        Raises:
            ResumeFailed: the answer is not for what was asked.
            FileFailed: the file cannot be written.
        """
        continued = (HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE) if self.validator else ()
        if self._resume and status not in (HTTPStatus.OK, *continued):
            raise ResumeFailed(f"the server answers with status {status}; what is there is left as it is")
        if self.validator and status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            match = _UNSATISFIED.fullmatch(content_range)
            if match is None or int(match[1]) != self.size:
                raise ResumeFailed(f"{self._part} is not a part of what the server has: start anew without --continue")
            return False
        if self.validator and status == HTTPStatus.PARTIAL_CONTENT:
            self._total = self._check(content_range, validator)
        else:
            try:
                self._begin_anew(Origin(self._url, validator))
            except OSError as error:
                raise _failure(self._part, error) from error
            self.size = 0
            self.validator = validator
        return True

    async def write(self, data: bytes) -> None:
        """Write some of the body.

        Raises:
            FileFailed: it cannot be written.
            ResumeFailed: it is more than the server said there is.
        """
        assert self._descriptor is not None
        if self._total is not None and self.size + len(data) > self._total:
            raise ResumeFailed(f"the server sends more than the {self._total} bytes that it said there are")
        try:
            await to_thread.run_sync(_write_all, self._descriptor, data)
        except OSError as error:
            raise _failure(self._part, error) from error
        self.size += len(data)

    async def finish(self) -> None:
        """Give the complete file its name.

        Raises:
            TransferFailed: it is not complete.
            FileFailed: it cannot be done.
        """
        assert self._descriptor is not None
        if self._total is not None and self.size < self._total:
            raise TransferFailed(f"the answer ended at byte {self.size} of {self._total}")
        try:
            await to_thread.run_sync(os.fsync, self._descriptor)
            if not _is_at(self._descriptor, self._part):
                raise FileFailed(f"cannot write {self.path}: {self._part} is no more the file that was written")
            self._part.replace(self.path)
            self._notes.unlink(missing_ok=True)
        except OSError as error:
            raise _failure(self.path, error) from error

    def discard(self) -> None:
        """Leave nothing of what was written."""
        assert self._descriptor is not None
        os.ftruncate(self._descriptor, 0)

    def _look(self) -> None:
        """Lock the partial file, and see what is there."""
        if self.path.exists() and not self.path.is_file():
            raise FileFailed(f"{self.path} is no regular file")
        self._descriptor = self._lock()
        # Not before: another download may just have given it its name.
        if self.path.exists() and not (self._replace or self._resume):
            raise FileFailed(f"{self.path} exists already: use --replace or --continue")
        size = os.fstat(self._descriptor).st_size
        origin = self._read_notes()
        if origin is None and size:
            raise _foreign(self._part)
        self._is_ours = True
        if self._resume and origin is not None and origin.url == self._url and origin.validator and size:
            self.size, self.validator = size, origin.validator

    def _lock(self) -> int:
        descriptor = os.open(self._part, _PART_FLAGS, 0o666)
        with ExitStack() as stack:
            stack.callback(os.close, descriptor)
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise FileFailed(f"{self._part} is no regular file")
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Else it has got its name, or was removed, after it was opened here.
                if _is_at(descriptor, self._part):
                    stack.pop_all()
                    return descriptor
        raise FileFailed(f"another download to {self.path} is under way")

    def _check(self, content_range: str, validator: str) -> int:
        """Whether an answer goes on; how many bytes there are in all."""
        match = _CONTENT_RANGE.fullmatch(content_range)
        if match is None or int(match[1]) != self.size or int(match[2]) != int(match[3]) - 1:
            raise ResumeFailed(
                f"the server was asked to go on at byte {self.size} and answers with {content_range[:100]!r}"
            )
        if validator != self.validator:
            raise ResumeFailed("the server goes on with something else than what it began with")
        return int(match[3])

    def _begin_anew(self, origin: Origin) -> None:
        assert self._descriptor is not None
        number, name = tempfile.mkstemp(prefix=f"{self._notes.name}.", dir=self._notes.parent)
        draft = Path(name)
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                json.dump(asdict(origin), file)
                file.flush()
                os.fsync(number)
            # In this order: there must never be notes of something else than the bytes that are there.
            os.ftruncate(self._descriptor, 0)
            draft.replace(self._notes)
        finally:
            draft.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._descriptor is not None:
            with suppress(OSError):
                # Nothing came, or nothing of it was to stay. While it is there it is ours, because it is locked.
                if not os.fstat(self._descriptor).st_size and _is_at(self._descriptor, self._part):
                    if self._is_ours:
                        self._notes.unlink(missing_ok=True)
                    self._part.unlink()
            os.close(self._descriptor)
            self._descriptor = None

    def _read_notes(self) -> Origin | None:
        """What is noted; None when nothing is, or not to its end."""
        try:
            descriptor = os.open(self._notes, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _foreign(self._notes)
            text = file.read(MAX_NOTES)
        try:
            notes: object = json.loads(text)
        except (ValueError, RecursionError):
            if _NOTES_BEGIN.startswith(text[: len(_NOTES_BEGIN)]):
                return None
            raise _foreign(self._notes) from None
        match notes:
            case {"url": str(url), "validator": str(validator)}:
                return Origin(url, validator)
        raise _foreign(self._notes)


def strong_validator(etag: str, last_modified: str, date: str) -> str:
    """What can stand in ``If-Range``: a strong ``ETag``, else the time of the last change if it is one, else nothing.

    Source: RFC 9110 sections 8.8.2.2 and 13.1.5.
    """
    if etag and not etag.startswith("W/"):
        return etag if len(etag) <= MAX_VALIDATOR else ""
    try:
        age = timegm(time.strptime(date, _HTTP_DATE)) - timegm(time.strptime(last_modified, _HTTP_DATE))
    except ValueError:
        return ""
    return last_modified if age >= CLOCK_SLACK else ""


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _failure(path: Path, error: OSError) -> FileFailed:
    return FileFailed(f"cannot write {path}: {error.strerror or error}")


def _foreign(path: Path) -> FileFailed:
    return FileFailed(f"{path} exists and is not from here: move it away")
