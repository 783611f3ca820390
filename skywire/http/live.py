"""Responses that go on: a log that is followed, events for a page. They end when the client leaves or time is up."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias, final

from anyio import create_task_group, move_on_after
from starlette.datastructures import MutableHeaders
from starlette.types import Receive, Scope, Send

Give: TypeAlias = Callable[[bytes], Awaitable[None]]
"""Sends one more piece, and waits while the client is slow."""


@final
class LiveResponse:
    """An ASGI response of pieces that come over time.

    Its connection is closed behind it, so that whoever ends it need not wait for the next request of the client.
    The usual streaming response finds out that its client has left when it sends the next piece, which may be never.

    Args:
        produce: gives the pieces; cancelled when nobody wants more.
        seconds: after which it ends, as if there were no more.
        media_type: of the whole.
        headers: further fields of the head.
    """

    def __init__(
        self,
        produce: Callable[[Give], Awaitable[None]],
        *,
        seconds: float,
        media_type: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._produce = produce
        self._seconds = seconds
        self._headers = MutableHeaders(headers={"content-type": media_type, "connection": "close", **(headers or {})})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def give(piece: bytes) -> None:
            await send({"type": "http.response.body", "body": piece, "more_body": True})

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            task_group.cancel_scope.cancel()

        await send({"type": "http.response.start", "status": 200, "headers": self._headers.raw})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        async with create_task_group() as task_group:
            task_group.start_soon(watch)
            with move_on_after(self._seconds):
                await self._produce(give)
            await send({"type": "http.response.body", "body": b""})
            task_group.cancel_scope.cancel()


def server_sent(event: str, data: object, *, number: str = "") -> bytes:
    """One server-sent event.

    Args:
        event: its kind.
        data: anything that JSON knows.
        number: what a client that connects again names as the last that it has got; digits and dots.
    """
    mark = f"id: {number}\n" if number else ""
    return f"{mark}event: {event}\ndata: {json.dumps(data)}\n\n".encode()
