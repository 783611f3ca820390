"""What the log server answers over the network: some to everybody, the rest to the keys that are allowed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Container, Mapping
from html import escape
from typing import Final, TypeAlias, final

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from skywire.app import FacilityAbsent
from skywire.apps.log_server.facts import Facts
from skywire.apps.log_server.follows import FOLLOW_SECONDS, MOST_OF_ONE, Follows
from skywire.apps.log_server.log_query import LogQuery, QueryError
from skywire.apps.log_server.log_sources import LogSource, LogTap, app_log, process_log
from skywire.errors import SkywireError
from skywire.http.live import Give, LiveResponse
from skywire.http.peer import peer_of
from skywire.keys import PubKey
from skywire.net.background import Background
from skywire.version import __version__

PUBLIC_PATHS: Final = ("/health", "/services")
ALLOWED_PATHS: Final = (
    "/node-info",
    "/node-info/checksum",
    "/skywire.log",
    "/visor.log",
    "/apps",
    "/apps/<name>/log",
    "/stats",
)
TEXT: Final = "text/plain; charset=utf-8"
SAFE: Final = {"x-content-type-options": "nosniff", "content-security-policy": "default-src 'none'"}
"""On every answer: a log is written by strangers, and a browser shall only show it."""

Endpoint: TypeAlias = Callable[[Request], Awaitable[ASGIApp]]


@final
class NetworkApp:
    """An ASGI application for connections that prove a key.

    Args:
        facts: what is told.
        allowed: the keys that may read more than everybody.
        files: answers for all other paths; none: there is nothing.
        follows: the streams that are open.
    """

    def __init__(self, facts: Facts, allowed: Container[PubKey], files: ASGIApp | None, follows: Follows) -> None:
        self._facts = facts
        self._allowed = allowed
        self._follows = follows
        routes = [
            self._route("/", self._index),
            self._route("/health", self._health),
            self._route("/services", self._services),
            self._route("/node-info", self._node_info, closed=True),
            self._route("/node-info/checksum", self._checksum, closed=True),
            self._route("/skywire.log", self._process_log, closed=True),
            self._route("/visor.log", self._process_log, closed=True),
            self._route("/apps", self._apps, closed=True),
            self._route("/apps/{name}/log", self._app_log, closed=True),
            self._route("/stats", self._stats, closed=True),
        ]
        self._router = Router(routes, redirect_slashes=False, default=files or _nothing_there)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._router(scope, receive, send)

    def _route(self, path: str, endpoint: Endpoint, *, closed: bool = False) -> Route:
        async def answer(request: Request) -> ASGIApp:
            peer = peer_of(request.scope)
            if closed and (peer is None or peer.pk not in self._allowed):
                return told(401, "only keys that the owner of this node allows may read this")
            return await answered(endpoint, request)

        return Route(path, answer, methods=["GET"])

    async def _index(self, request: Request) -> ASGIApp:
        if "text/html" not in request.headers.get("accept", ""):
            return as_json(
                {"service": "log-server", "version": __version__, "public": PUBLIC_PATHS, "allowed": ALLOWED_PATHS}
            )
        items = "".join(f'<li><a href="{each}">{each}</a></li>' for each in PUBLIC_PATHS)
        others = "".join(f"<li>{escape(each)}</li>" for each in ALLOWED_PATHS)
        page = (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>Log server</title>\n</head>\n'
            f"<body>\n<h1>Log server</h1>\n<h2>For everybody</h2>\n<ul>{items}</ul>\n"
            f"<h2>For allowed keys</h2>\n<ul>{others}</ul>\n</body>\n</html>\n"
        )
        return HTMLResponse(page, headers=SAFE)

    async def _health(self, _: Request) -> ASGIApp:
        return Response(await self._facts.health(), media_type="application/json", headers=SAFE)

    async def _services(self, _: Request) -> ASGIApp:
        return as_json(await self._facts.services())

    async def _node_info(self, _: Request) -> ASGIApp:
        return as_json(await self._facts.node_info())

    async def _checksum(self, _: Request) -> ASGIApp:
        return told(200, hashlib.sha256(_encoded(await self._facts.node_info())).hexdigest())

    async def _stats(self, _: Request) -> ASGIApp:
        return as_json(await self._facts.stats())

    async def _apps(self, _: Request) -> ASGIApp:
        return as_json(await self._facts.apps())

    async def _process_log(self, request: Request) -> ASGIApp:
        return await self._log(request, process_log(self._facts.visor()))

    async def _app_log(self, request: Request) -> ASGIApp:
        name, visor = request.path_params["name"], self._facts.visor()
        if name not in {each.name for each in await visor.apps.list()}:
            return told(404, "there is no app instance of that name")
        return await self._log(request, app_log(visor, name))

    async def _log(self, request: Request, source: LogSource) -> ASGIApp:
        query = LogQuery.parse(request.query_params.multi_items())
        peer = peer_of(request.scope)
        if query.follow and request.method == "GET" and peer is not None:
            return _FollowedLog(source, query, self._follows, peer.pk)
        kept = await source.read(0.0, None)
        body = b"".join(query.show(line) for line in query.select(kept))
        return Response(body, media_type=TEXT, headers={**SAFE, "x-log-lines": str(len(kept))})


@final
class _FollowedLog:
    """A log as a response that goes on."""

    def __init__(self, source: LogSource, query: LogQuery, follows: Follows, peer: PubKey) -> None:
        self._source = source
        self._query = query
        self._follows = follows
        self._peer = peer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._follows.room(self._peer) as has_room:
            response: ASGIApp = LiveResponse(self._tell, seconds=FOLLOW_SECONDS, media_type=TEXT, headers=SAFE)
            if not has_room:
                response = told(429, f"you follow {MOST_OF_ONE} logs already, or others follow too many; end one first")
            await response(scope, receive, send)

    async def _tell(self, give: Give) -> None:
        query = self._query
        with self._follows.until_end():
            async with Background() as task_group:
                tap = LogTap(task_group, query.wants)
                tap.add(self._source)
                await tap.begun()
                kept = await self._source.read(0.0, None)
                tap.skip(self._source.name, kept)
                for line in query.select(kept):
                    await give(query.show(line))
                while True:
                    _, line, dropped = await tap.next()
                    if dropped:
                        await give(f"... {dropped} lines came too fast\n".encode())
                    await give(query.show(line))


async def answered(endpoint: Endpoint, request: Request) -> ASGIApp:
    """The response of an endpoint, or what can be said of its failure."""
    try:
        return await endpoint(request)
    except FacilityAbsent as error:
        return told(503, str(error))
    except QueryError as error:
        return told(400, str(error))
    except SkywireError as error:
        return told(502, f"the visor does not tell it: {error}")


def told(status: int, text: str) -> Response:
    """A sentence."""
    return PlainTextResponse(f"{text}\n", status, headers=SAFE)


def as_json(value: object, headers: Mapping[str, str] = SAFE) -> Response:
    """Plain data."""
    return Response(_encoded(value), media_type="application/json", headers=dict(headers))


def _encoded(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


async def _nothing_there(scope: Scope, receive: Receive, send: Send) -> None:
    await told(404, "there is nothing of that name")(scope, receive, send)
