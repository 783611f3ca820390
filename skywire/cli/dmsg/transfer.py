"""What ``curl`` does: a request, tried as often as told, and what becomes of the answer."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final, Self

import httpx
from anyio import open_file, sleep
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from skywire.cli.dmsg import pipes
from skywire.cli.dmsg.connection import Connection, FileFailed, printable
from skywire.cli.dmsg.download import Download, TransferFailed, strong_validator
from skywire.cli.program import UsageError, show_json
from skywire.errors import SkywireError
from skywire.http.client import DEFAULT_TIMEOUT, http_client
from skywire.net.conn import Owner
from skywire.net.errors import DialError

OWNER: Final = Owner("curl")
READ_SIZE: Final = 65536
"""Bytes of a file to send at a time."""


class AnswerRefused(SkywireError):
    """The answer is an error, or longer than allowed."""


@dataclass(frozen=True)
class Transfer:
    """A request; the fields are what :func:`skywire.cli.dmsg.curl.curl` is told."""

    url: httpx.URL
    method: str
    headers: httpx.Headers = field(repr=False)
    data: str | None = field(repr=False)
    data_file: str | None
    output: Path | None
    replace: bool
    resume: bool
    show_head: bool
    fail: bool
    retries: int
    retry_wait: float
    max_size: int | None
    as_json: bool

    async def run(self, connection: Connection) -> None:
        """Do it.

        Raises:
            DialError: the peer cannot be reached.
            TransferFailed: the answer did not come, or broke off.
            AnswerRefused: it is an error, or too long.
            ResumeFailed: it does not continue what is there.
            FileFailed: a local file cannot be used.
            UsageError: the request breaks the rules of HTTP.
        """
        timeout = DEFAULT_TIMEOUT if connection.timeout is None else httpx.Timeout(connection.timeout)
        async with (
            connection.network() as network,
            http_client(network, OWNER, timeout=timeout, reuse_seconds=0) as client,
        ):
            resume = self.resume
            for left in range(self.retries, -1, -1):
                attempt = _Attempt(self, resume=resume, quiet=connection.quiet)
                try:
                    await attempt.run(client)
                except (DialError, TransferFailed) as error:
                    if not left or attempt.has_printed:
                        raise
                    connection.tell(f"{error}; the next attempt is in {self.retry_wait:g} s")
                    resume = resume or (attempt.has_saved and self.method == "GET" and "range" not in self.headers)
                    await sleep(self.retry_wait)
                else:
                    return


class _Attempt:
    def __init__(self, transfer: Transfer, *, resume: bool, quiet: bool) -> None:
        self.has_printed = False
        """Whether something has gone to the standard output, so that there can be no second attempt."""
        self.has_saved = False
        """Whether some of the file may be there, so that a second attempt can go on."""
        self._transfer = transfer
        self._resume = resume
        self._quiet = quiet
        self._started = time.monotonic()

    async def run(self, client: httpx.AsyncClient) -> None:
        transfer = self._transfer
        with ExitStack() as stack:
            download = None
            if transfer.output is not None:
                download = Download(transfer.output, str(transfer.url), replace=transfer.replace, resume=self._resume)
                stack.enter_context(download)
            headers = transfer.headers.copy()
            if download is not None:
                headers.update(download.request_headers)
            content, length = self._content()
            if length is not None:
                headers["Content-Length"] = str(length)
            request = client.build_request(transfer.method, transfer.url, headers=headers, content=content)
            try:
                response = await client.send(request, stream=True)
                try:
                    await self._take(response, download)
                finally:
                    await response.aclose()
            except httpx.HTTPError as error:
                raise _failure(error) from error

    def _content(self) -> tuple[bytes | AsyncIterator[bytes] | None, int | None]:
        """What to send, and its length where that has to be said."""
        transfer = self._transfer
        if transfer.data is not None:
            return transfer.data.encode("utf-8", "surrogateescape"), None
        if transfer.data_file is None:
            return None, None
        if transfer.data_file == "-":
            return _standard_input(), None
        path = Path(transfer.data_file)
        try:
            # Not every file without a size is empty: those of /proc have none.
            size = (path.stat().st_size if path.is_file() else 0) or None
        except OSError as error:
            raise _unreadable(path, error) from error
        return _file(path, size), size

    async def _take(self, response: httpx.Response, download: Download | None) -> None:
        transfer = self._transfer
        status = response.status_code
        if transfer.fail and status >= HTTPStatus.BAD_REQUEST:
            raise AnswerRefused(f"the answer of {transfer.url} is {_status(response)}")
        if transfer.show_head:
            await self._print(_head(response))
        size, resumed_at = 0, 0
        if download is None:
            async for piece in response.aiter_raw():
                size += len(piece)
                self._check_size(size)
                await self._print(piece)
        else:
            resumed_at = await self._save(response, download)
            size = download.size
        if transfer.as_json:
            show_json(
                {
                    "url": str(transfer.url),
                    "status": status,
                    "headers": dict(response.headers),
                    "size": size,
                    "resumed_at": resumed_at,
                    "seconds": round(time.monotonic() - self._started, 3),
                    "file": None if transfer.output is None else str(transfer.output),
                }
            )

    async def _save(self, response: httpx.Response, download: Download) -> int:
        """Write the body to the file; at which byte it went on."""
        headers = response.headers
        validator = strong_validator(headers.get("etag", ""), headers.get("last-modified", ""), headers.get("date", ""))
        announced = headers.get("content-length", "")
        # What is too long already is not begun with.
        if announced.isdecimal():
            self._check_size(int(announced))
        if download.begin(response.status_code, headers.get("content-range", ""), validator):
            self.has_saved = True
            resumed_at = download.size
            with self._progress(resumed_at, int(announced) if announced.isdecimal() else None) as progress:
                async for piece in response.aiter_raw():
                    try:
                        self._check_size(download.size + len(piece))
                    except AnswerRefused:
                        download.discard()
                        raise
                    await download.write(piece)
                    progress.advance(len(piece))
        else:
            resumed_at = download.size
        await download.finish()
        return resumed_at

    async def _print(self, data: bytes) -> None:
        self.has_printed = True
        await pipes.Output().write(data)

    def _check_size(self, size: int) -> None:
        limit = self._transfer.max_size
        if limit is not None and size > limit:
            raise AnswerRefused(f"the answer of {self._transfer.url} is longer than {limit} bytes")

    def _progress(self, done: int, announced: int | None) -> _Bar:
        total = None if announced is None else done + announced
        return _Bar(done, total, shown=not self._quiet and sys.stderr.isatty())


class _Bar:
    """Shows at the terminal how far a download is."""

    def __init__(self, done: int, total: int | None, *, shown: bool) -> None:
        self._progress = Progress(
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not shown,
        )
        self._task = self._progress.add_task("", total=total, completed=done)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, size: int) -> None:
        self._progress.advance(self._task, size)


async def _standard_input() -> AsyncIterator[bytes]:
    while piece := await pipes.read_input():
        yield piece


async def _file(path: Path, size: int | None) -> AsyncIterator[bytes]:
    """What is in a file, which has to be of the size that was announced, if one was."""
    sent = 0
    try:
        async with await open_file(path, "rb") as file:
            while piece := await file.read(READ_SIZE):
                sent += len(piece)
                if size is not None and sent > size:
                    break
                yield piece
    except OSError as error:
        raise _unreadable(path, error) from error
    if size is not None and sent != size:
        raise FileFailed(f"{path} changed while it was sent")


def _unreadable(path: Path, error: OSError) -> FileFailed:
    return FileFailed(f"cannot read {path}: {error.strerror or error}")


def _failure(error: httpx.HTTPError) -> SkywireError:
    cause = error.__cause__
    if isinstance(cause, DialError):
        return cause
    if isinstance(error, httpx.LocalProtocolError):
        return UsageError(f"this is no request of HTTP: {error}")
    return TransferFailed(f"the answer did not come, or not to its end: {str(error) or type(error).__name__}")


def _status(response: httpx.Response) -> str:
    return printable(f"{response.status_code} {response.reason_phrase}".rstrip())


def _head(response: httpx.Response) -> bytes:
    """The head as lines; what could command a terminal is left out."""
    lines = [f"{response.http_version} {_status(response)}"]
    lines += [printable(f"{name.decode('latin-1')}: {value.decode('latin-1')}") for name, value in response.headers.raw]
    return "".join(f"{line}\n" for line in [*lines, ""]).encode()
