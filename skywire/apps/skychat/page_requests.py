"""What the page, and programs that use its HTTP interface, may ask: read strictly, refused in one line."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar, final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from skywire.app.options import OptionError, decode, read_texts
from skywire.app.typed_json import MisfitError, decode_object
from skywire.errors import SkywireError
from skywire.keys import PubKey

T = TypeVar("T")

Answer: TypeAlias = Callable[[Request], Awaitable[ASGIApp]]
"""What answers one kind of request."""
MOST_JSON: Final = 64 << 10
"""Bytes of a request's JSON: a message of 4096 bytes takes up to six times as many there."""
MOST_WAIT: Final = 60_000
MOST_HISTORY: Final = 500
_JSON: Final = "application/json"


class RequestRefused(SkywireError):
    """A request is not answered; the text says why.

    Args:
        status: of HTTP.
    """

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status: Final = status


@final
@dataclass(frozen=True, slots=True)
class Message:
    """A message to send; ``wait_ms`` is how long to wait for the peer to have it."""

    recipient: PubKey
    message: str
    wait_ms: int = 0
    reply_to: str = ""

    def __post_init__(self) -> None:
        _is_text("message", self.message)
        _is_text("reply_to", self.reply_to)
        _within("wait_ms", self.wait_ms, 0, MOST_WAIT)


@final
@dataclass(frozen=True, slots=True)
class Read:
    """What came in from a peer has been seen, up to the message with this number."""

    peer: PubKey
    number: int

    def __post_init__(self) -> None:
        _within("number", self.number, 1, 1 << 53)


@final
@dataclass(frozen=True, slots=True)
class Delete:
    """A message of ours to take back."""

    peer: PubKey
    id: str

    def __post_init__(self) -> None:
        _is_text("id", self.id)


@final
@dataclass(frozen=True, slots=True)
class Alias:
    """What a peer is to be called; empty for nothing."""

    peer: PubKey
    alias: str

    def __post_init__(self) -> None:
        _is_text("alias", self.alias)


@final
@dataclass(frozen=True, slots=True)
class Page:
    """A part of a history; see :meth:`skywire.apps.skychat.contract.Chat.history`."""

    peer: PubKey | None = None
    before: int = 0
    limit: int = 50

    def __post_init__(self) -> None:
        _within("before", self.before, 0, 1 << 53)
        _within("limit", self.limit, 1, MOST_HISTORY)


@final
@dataclass(frozen=True, slots=True)
class Since:
    """The last change that is known; None for what comes from now on."""

    since: int | None = None

    def __post_init__(self) -> None:
        _within("since", self.since or 0, 0, 1 << 53)


@final
@dataclass(frozen=True, slots=True)
class FileBegin:
    """A file of ``size`` bytes that is to be sent, with a message."""

    recipient: PubKey
    name: str
    size: int
    message: str = ""

    def __post_init__(self) -> None:
        _is_text("name", self.name)
        _is_text("message", self.message)


@final
@dataclass(frozen=True, slots=True)
class PieceAt:
    """Where in a file a piece begins."""

    offset: int = 0


def answering(answer: Answer) -> Answer:
    """An answer whose refusals are JSON with one line."""

    async def safely(request: Request) -> ASGIApp:
        try:
            return await answer(request)
        except RequestRefused as error:
            return refusal(str(error), error.status)
        except SkywireError as error:
            return refusal(str(error), 409)
        except ClientDisconnect:
            return Response(status_code=400)  # for nobody

    return safely


def refusal(text: str, status: int) -> Response:
    """One line, as JSON."""
    return JSONResponse({"error": " ".join(text.split())}, status)


def path_of(request: Request) -> str:
    """What it asks for, in the folder where the page is."""
    return request.url.path.removeprefix(str(request.scope.get("root_path", "")))


async def body(request: Request, most: int) -> bytes:
    """The whole body of a request.

    Raises:
        RequestRefused: it has more than ``most`` bytes.
    """
    received = bytearray()
    async for piece in request.stream():
        received += piece
        if len(received) > most:
            raise RequestRefused(f"a request to {path_of(request)} has at most {most} bytes", 413)
    return bytes(received)


async def json_body(request: Request, kind: type[T]) -> T:
    """The body of a request, as a value of a class.

    Raises:
        RequestRefused: it is too large, no JSON, or does not fit.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
        raise RequestRefused(f"the body is sent as {_JSON}", 415)
    received = await body(request, MOST_JSON)
    try:
        value = json.loads(received)
    except (ValueError, RecursionError):
        raise RequestRefused("the body is no JSON") from None
    return _fitting(kind, value)


def query(request: Request, kind: type[T]) -> T:
    """The parameters of a request, as a value of a class.

    Raises:
        RequestRefused: they do not fit.
    """
    try:
        return decode(kind, read_texts(kind, request.query_params, "request"), "request")
    except OptionError as error:
        raise RequestRefused(str(error)) from None


def public_key(text: str) -> PubKey:
    """A key in the path of a request.

    Raises:
        RequestRefused: it is none.
    """
    try:
        return PubKey.from_hex(text)
    except SkywireError as error:
        raise RequestRefused(str(error)) from None


def _fitting(kind: type[T], value: object) -> T:
    try:
        return decode_object(kind, value, "request")
    except MisfitError as error:
        raise RequestRefused(str(error)) from None


def _within(name: str, number: int, least: int, most: int) -> None:
    if not least <= number <= most:
        raise ValueError(f"{name} is {least} to {most}, this is {number}")


def _is_text(name: str, text: str) -> None:
    """JSON can write halves of characters, which no text has."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} is no text that can be written as UTF-8") from None
