"""The one check before every page of every app."""

from __future__ import annotations

import logging
from html import escape
from typing import Final, final
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from skywire.app.page_tokens import PageTokens
from skywire.net.address import HostPort

_log: Final = logging.getLogger("skywire.app.web")

MAX_BODY: Final = 1 << 20
"""Bytes of the body of a request."""
_HTTP_PORT: Final = 80
_BEARER: Final = "bearer "
_POLICY: Final = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
_INLINE_STYLES: Final = "style-src 'self' 'unsafe-inline'"
SECURITY_HEADERS: Final = {
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""On every answer, whatever the app says; and a policy of what the page may load."""


@final
class PageCheck:
    """An ASGI application that lets requests through to another one.

    Args:
        app: what is behind it.
        address: where it is served.
        owner: the app instance whose page it is.
        tokens: those that open it.
        inline_styles: whether its scripts may make styles.
    """

    def __init__(
        self, app: ASGIApp, address: HostPort, owner: str, tokens: PageTokens, *, inline_styles: bool = False
    ) -> None:
        self.tokens: Final = tokens
        self.passed = 0
        """Requests that were let through."""
        self._app = app
        self._policy = f"{_POLICY}; {_INLINE_STYLES}" if inline_styles else _POLICY
        self._owner = owner
        self._cookie = f"skywire-page-{address.port}"
        self._root = f"/{tokens.session.place}"
        hosts = {address, HostPort("localhost", address.port)}
        self._hosts = {str(each) for each in hosts}
        if address.port == _HTTP_PORT:  # which browsers leave out
            self._hosts |= {each.removesuffix(f":{_HTTP_PORT}") for each in self._hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = Headers(scope=scope)
        send = _with_security_headers(send, self._policy)
        refusal = self._look_where_from(scope, headers) or self._look_for_proof(scope, headers)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        self.passed += 1
        if scope["path"].startswith(f"{self._root}/"):
            scope = {**scope, "root_path": self._root}
        await _Limited(receive, send).run(self._app, scope, headers)

    def _look_where_from(self, scope: Scope, headers: Headers) -> Response | None:
        host = headers.get("host", "").lower()
        if host not in self._hosts:
            # A name of somebody else that leads here would make this the page of somebody else.
            return PlainTextResponse(f"this is not {host[:100]!r}\n", 421)
        fetched_from = headers.get("sec-fetch-site", "")
        # No page can set this field, and a form has the origin `null` because we let no referrer out.
        origins = {f"http://{host}", *(["null"] if fetched_from == "same-origin" else [])}
        origin = headers.get("origin", f"http://{host}")
        if scope["type"] == "websocket":  # which any page may open to anywhere, and whose answer it may read
            origins, origin = {f"http://{host}"}, headers.get("origin", "")
        if origin not in origins or fetched_from not in {"", "same-origin", "none"}:
            return PlainTextResponse("this page answers no other page; open its address yourself\n", 403)
        return None

    def _look_for_proof(self, scope: Scope, headers: Headers) -> Response | None:
        authorization = headers.get("authorization", "")
        if authorization.lower().startswith(_BEARER):
            good = self.tokens.admits_token(authorization[len(_BEARER) :].strip())
            return None if good else self._explain()
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        token = next((value for name, value in query if name == "token"), None)
        is_open = self._is_open(headers)
        if token is not None and scope.get("method") == "GET":
            if self.tokens.exchange(token):
                return self._open(scope, query, self.tokens.session.secret)
            # Who is in already may come that way again; who is not is no further than before.
            return self._open(scope, query) if is_open or self.tokens.was_exchanged(token) else self._explain()
        return None if is_open else self._explain()

    def _is_open(self, headers: Headers) -> bool:
        """Whether the browser has kept what it got for a token; others at this host may give it more of that name."""
        cookies = (each.strip().partition("=") for each in headers.get("cookie", "").split(";"))
        return any(self.tokens.admits_session(value) for name, _, value in cookies if name == self._cookie)

    def _open(self, scope: Scope, query: list[tuple[str, str]], secret: str = "") -> Response:
        """To the same address without the token, so that it is in no history and on no screen."""
        rest = urlencode([(name, value) for name, value in query if name != "token"])
        path = scope["raw_path"].decode("latin-1").removeprefix(self._root).lstrip("/\\")
        response = RedirectResponse(f"{self._root}/{path}?{rest}" if rest else f"{self._root}/{path}", 303)
        if secret:
            response.set_cookie(self._cookie, secret, path=f"{self._root}/", httponly=True, samesite="strict")
        return response

    def _explain(self) -> Response:
        text = (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            "<title>Not open</title>\n</head>\n<body>\n"
            "<h1>This page is not open to you yet</h1>\n"
            f"<p>Get its address with <code>skywire app {escape(self._owner)} page</code>. "
            "An address opens it once; ask again for another.</p>\n</body>\n</html>\n"
        )
        return HTMLResponse(text, 401, headers={"www-authenticate": "Bearer"})


def _with_security_headers(send: Send, policy: str) -> Send:
    async def send_safely(message: Message) -> None:
        if message["type"] in {"http.response.start", "websocket.http.response.start"}:
            headers = MutableHeaders(raw=list(message.get("headers", ())))
            headers.update({**SECURITY_HEADERS, "content-security-policy": policy})
            message = {**message, "headers": headers.raw}
        await send(message)

    return send_safely


class _TooLargeError(Exception):
    """Ends an application that reads more than it may be sent."""


@final
class _Limited:
    """A request whose body has a limit."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._size = 0
        self._started = False

    async def run(self, app: ASGIApp, scope: Scope, headers: Headers) -> None:
        announced = headers.get("content-length", "0")  # the server has seen to it that it is a number
        try:
            if int(announced) > MAX_BODY:
                raise _TooLargeError
            await app(scope, self._take, self._give)
        except _TooLargeError:
            pass
        except Exception:
            if self._started:
                raise
            _log.exception("a page failed to answer %s", scope["path"].removeprefix(scope.get("root_path", "")))
            await PlainTextResponse("this failed; the log has more\n", 500)(scope, self._receive, self._send)
            return
        if not self._started and (self._size > MAX_BODY or int(announced) > MAX_BODY):
            await PlainTextResponse(f"a request has at most {MAX_BODY} bytes\n", 413)(scope, self._receive, self._send)

    async def _take(self) -> Message:
        message = await self._receive()
        self._size += len(message.get("body", b""))
        if self._size > MAX_BODY:
            raise _TooLargeError
        return message

    async def _give(self, message: Message) -> None:
        if self._size > MAX_BODY and not self._started:
            return  # what the application makes of its end; the answer is ours
        self._started = True
        await self._send(message)
