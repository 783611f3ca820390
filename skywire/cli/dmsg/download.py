"""A file that is being downloaded: it has its name only when it is complete, and can be continued until then.

Beside ``FILE.part`` there is ``FILE.part.json``, which says what the bytes are of. Without it nobody could tell whether
what the server has now is still the same file.
"""

from __future__ import annotations

import json
import os
import re
import stat
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Final, Self, final

from anyio import to_thread

from skywire.cli.dmsg.connection import FileFailed
from skywire.errors import SkywireError

MAX_NOTES: Final = 16384
"""Bytes that are read of what is noted of a partial file."""

_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19})")
_UNSATISFIED: Final = re.compile(r"bytes \*/([0-9]{1,19})")


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
        FileFailed: it exists, or is none.
    """

    def __init__(self, path: Path, origin_url: str, *, replace: bool, resume: bool) -> None:
        self.path: Final = path
        self._url = origin_url
        self._part = path.with_name(f"{path.name}.part")
        self._notes = path.with_name(f"{path.name}.part.json")
        self._descriptor: int | None = None
        self.size = 0
        """Bytes that are there."""
        self.validator = ""
        """What the bytes that are there are of, when they may be continued."""
        try:
            if path.exists() and not path.is_file():
                raise FileFailed(f"{path} is no regular file")
            if path.exists() and not (replace or resume):
                raise FileFailed(f"{path} exists already: use --replace or --continue")
            origin = self._read_notes()
            for beside in (self._part, self._notes):
                if origin is None and os.path.lexists(beside):
                    raise FileFailed(f"{beside} exists and is not from here: move it away")
            if resume and origin is not None and origin.url == origin_url and origin.validator and self._part.exists():
                self.size = self._part.stat().st_size
                self.validator = origin.validator if self.size else ""
        except OSError as error:
            raise _failure(path, error) from error

    def __enter__(self) -> Self:
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
        if self.validator and status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            match = _UNSATISFIED.fullmatch(content_range)
            if match is None or int(match[1]) != self.size:
                raise ResumeFailed(f"{self._part} is not a part of what the server has: start anew without --continue")
            return False
        if self.validator and status == HTTPStatus.PARTIAL_CONTENT:
            self._check(content_range, validator)
        elif self.validator and status >= HTTPStatus.BAD_REQUEST:
            raise ResumeFailed(f"the server was asked to go on at byte {self.size} and answers with status {status}")
        else:
            self.size = 0
            self.validator = validator
        try:
            self._open()
        except OSError as error:
            raise _failure(self._part, error) from error
        return True

    async def write(self, data: bytes) -> None:
        """Write some of the body.

        Raises:
            FileFailed: it cannot be written.
        """
        assert self._descriptor is not None
        try:
            await to_thread.run_sync(_write_all, self._descriptor, data)
        except OSError as error:
            raise _failure(self._part, error) from error
        self.size += len(data)

    async def finish(self) -> None:
        """Give the complete file its name.

        Raises:
            FileFailed: it cannot be done.
        """
        try:
            if self._descriptor is not None:
                await to_thread.run_sync(os.fsync, self._descriptor)
            self._close()
            self._part.replace(self.path)
            self._notes.unlink(missing_ok=True)
        except OSError as error:
            raise _failure(self.path, error) from error

    def discard(self) -> None:
        """Remove what was written."""
        self._close()
        self._part.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)

    def _check(self, content_range: str, validator: str) -> None:
        match = _CONTENT_RANGE.fullmatch(content_range)
        if match is None or int(match[1]) != self.size or int(match[2]) != int(match[3]) - 1:
            raise ResumeFailed(
                f"the server was asked to go on at byte {self.size} and answers with {content_range[:100]!r}"
            )
        if validator != self.validator:
            raise ResumeFailed("the server goes on with something else than what it began with")

    def _open(self) -> None:
        if not self.size:
            self._part.unlink(missing_ok=True)
            self._notes.write_text(json.dumps(asdict(Origin(self._url, self.validator))), "utf-8")
        flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_APPEND
        if not self.size:
            flags |= os.O_CREAT | os.O_EXCL
        self._descriptor = os.open(self._part, flags, 0o666)

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _read_notes(self) -> Origin | None:
        try:
            descriptor = os.open(self._notes, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            text = file.read(MAX_NOTES)
        try:
            notes: object = json.loads(text)
        except (ValueError, RecursionError):
            return None
        if not isinstance(notes, dict):
            return None
        url, validator = notes.get("url"), notes.get("validator")
        return Origin(url, validator) if isinstance(url, str) and isinstance(validator, str) else None


def strong_validator(etag: str, last_modified: str) -> str:
    """What can stand in ``If-Range``: a strong ``ETag``, else the time of the last change, else nothing.

    Source: RFC 9110 section 13.1.5.
    """
    if etag and not etag.startswith("W/"):
        return etag
    return last_modified


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _failure(path: Path, error: OSError) -> FileFailed:
    return FileFailed(f"cannot write {path}: {error.strerror or error}")
