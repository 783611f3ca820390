"""Applications for tests."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from anyio import Event
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

PIECE = bytes(range(256)) * 256
"""64 KiB."""


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """Says hello to whatever is asked."""
    await PlainTextResponse(f"hello {scope['path']}")(scope, receive, send)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends a body back."""
    request = Request(scope, receive)
    await Response(await request.body(), media_type="application/octet-stream")(scope, receive, send)


async def count(scope: Scope, receive: Receive, send: Send) -> None:
    """Says how many bytes a body has, and of which digest they are."""
    size, digest = 0, hashlib.sha256()
    async for piece in Request(scope, receive).stream():
        size += len(piece)
        digest.update(piece)
    await PlainTextResponse(f"{size} {digest.hexdigest()}")(scope, receive, send)


async def pieces(number: int) -> AsyncIterator[bytes]:
    for _ in range(number):
        yield PIECE


async def big(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends as many pieces of 64 KiB as the path says."""
    number = int(scope["path"].strip("/"))
    headers = {"Content-Length": str(number * len(PIECE))}
    await StreamingResponse(pieces(number), headers=headers)(scope, receive, send)


async def broken(scope: Scope, receive: Receive, send: Send) -> None:
    raise LookupError("a mistake of the application")


@dataclass
class Endless:
    """Sends for ever, and knows how much was taken and how it ended."""

    sent: int = 0
    ended: BaseException | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": PIECE, "more_body": True})
                self.sent += len(PIECE)
        except BaseException as error:
            self.ended = error
            raise


@dataclass
class Held:
    """Holds each request until it is released, and knows how many it holds."""

    app: ASGIApp
    holding: int = 0
    released: Event = field(default_factory=Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.holding += 1
        try:
            await self.released.wait()
        finally:
            self.holding -= 1
        await self.app(scope, receive, send)


@dataclass
class Stubborn:
    """Goes on when it is cancelled, until it is released."""

    working: bool = False
    released: Event = field(default_factory=Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.working = True
        while not self.released.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await self.released.wait()
        self.working = False


def by_path(routes: Mapping[str, ASGIApp]) -> ASGIApp:
    """The application of the first part of the path."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        first = scope["path"].split("/")[1]
        await routes.get(first, hello)(scope, receive, send)

    return app
