"""The discovery's HTTP API as an ASGI application."""

from __future__ import annotations

import logging
from typing import Final, final

from anyio import move_on_after
from starlette.types import Receive, Scope, Send

from skywire.dmsg.discovery.directory import Directory, Request
from skywire.http.limits import HttpLimits
from skywire.wire.discovery import MAX_LIST_SIZE, Action, Answer, Route, route
from skywire.wire.entry import MAX_ENTRY_SIZE

BODY_SECONDS: Final = 5.0
"""For the whole body of a request to come in; upstream gives it 3 s with its head."""
BODY_LIMITS: Final = {
    Action.POST_ENTRY: MAX_ENTRY_SIZE,
    Action.DELETE_ENTRY: MAX_ENTRY_SIZE,
    Action.DEREGISTER: MAX_LIST_SIZE,
}
"""Most bytes of a body, where one is read at all."""
TOO_SLOW: Final = Answer(408, b"", "")
"""The answer to who does not finish a body in time."""
PIECE_SIZE: Final = 65536
"""Most bytes of an answer to hand out at a time, so that one that is long is not copied for each who asked."""
HTTP_LIMITS: Final = HttpLimits(response_seconds=30.0)
"""For a server of this application. Who takes longer over an answer keeps it in memory when it is outdated long since;
upstream allows 3 s."""
MAX_LOGGED: Final = 64
"""Most characters of what a client sent that are logged. ``X-Forwarded-For`` is believed for nothing else."""

_log: Final = logging.getLogger("skywire.dmsg.discovery.http")


@final
class DiscoveryApp:
    """An ASGI application that serves a directory.

    Args:
        directory: what is served.
        body_seconds: see BODY_SECONDS.
    """

    def __init__(self, directory: Directory, *, body_seconds: float = BODY_SECONDS) -> None:
        self._directory = directory
        self._body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI 3, type ``http`` only)."""
        method: str = scope["method"]
        path: str = scope["raw_path"].decode("latin-1")
        where = route(method, path)
        if isinstance(where, Answer):
            answer, whole = where, True
        else:
            limit = BODY_LIMITS.get(where.action, 0)
            if where.action is Action.DEREGISTER and not self._is_monitor(scope):
                limit = 0  # of who is refused in any case, no megabyte is held
            body = await self._read(receive, limit) if limit else b""
            if body is None:
                return
            if isinstance(body, Answer):
                answer, whole = body, False
            else:
                answer = await self._directory.answer(_request(where, scope, body))
                whole = len(body) <= limit
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("%s: %s %r: %d", _client(scope), method, path[:MAX_LOGGED], answer.status)
        await _send(answer, send, close=not whole)

    def _is_monitor(self, scope: Scope) -> bool:
        return _header(scope, b"nm-pk") in self._directory.rules.network_monitors

    async def _read(self, receive: Receive, limit: int) -> bytes | Answer | None:
        """The body, cut off somewhere beyond the limit; or the answer to who is too slow, or None: the client left."""
        body = bytearray()
        with move_on_after(self._body_seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                body += message.get("body", b"")
                if not message.get("more_body", False) or len(body) > limit:
                    return bytes(body[: limit + 1])
        return TOO_SLOW


def _request(where: Route, scope: Scope, body: bytes) -> Request:
    query: str = scope["query_string"].decode("latin-1")
    if where.action is not Action.DEREGISTER:
        return Request(where, query, body)
    return Request(where, query, body, _header(scope, b"nm-pk"), _header(scope, b"nm-sign"))


def _header(scope: Scope, wanted: bytes) -> str:
    """The first value of a header, empty when missing."""
    for name, value in scope["headers"]:
        if name == wanted:
            text: str = value.decode("latin-1")
            return text
    return ""


def _client(scope: Scope) -> str:
    """Who says to have asked, for the log."""
    client = scope.get("client")
    forwarded = _header(scope, b"x-forwarded-for")
    shown = "somebody" if client is None else f"{client[0]}:{client[1]}"
    return f"{shown} (for {forwarded[:MAX_LOGGED]!r})" if forwarded else shown


async def _send(answer: Answer, send: Send, *, close: bool) -> None:
    headers = [(b"content-length", str(len(answer.body)).encode())]
    if answer.content_type:
        headers.append((b"content-type", answer.content_type.encode()))
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    left = memoryview(answer.body)
    while len(left) > PIECE_SIZE:
        await send({"type": "http.response.body", "body": bytes(left[:PIECE_SIZE]), "more_body": True})
        left = left[PIECE_SIZE:]
    await send({"type": "http.response.body", "body": bytes(left)})
