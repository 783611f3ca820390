"""The page of the remote shell: terminals in a browser, for people at this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from skywire.app.page_content import page_content
from skywire.apps.pty.page_socket import serve_socket
from skywire.apps.pty.page_terminals import MOST_TERMINALS, PageTerminals

MOST_SOCKETS: Final = 2 * MOST_TERMINALS
"""At a time; a page that comes back is there before the socket is found dead that it had before."""


def page_app(terminals: PageTerminals) -> ASGIApp:
    """The ASGI application of the page; for :meth:`skywire.app.host.AppHost.serve_web`, with ``inline_styles``."""
    sockets: set[WebSocket] = set()

    async def socket(asked: WebSocket) -> None:
        if len(sockets) >= MOST_SOCKETS:
            await asked.send_denial_response(Response(f"{MOST_SOCKETS} sockets are open, as many as may be\n", 503))
            return
        sockets.add(asked)
        try:
            await serve_socket(asked, terminals)
        finally:
            sockets.discard(asked)

    async def listed(_: Request) -> Response:
        return JSONResponse(
            {"terminals": [{"id": each.id, "peer": each.peer, "shown": each.shown} for each in terminals.all]}
        )

    content = page_content(Path(__file__).parent / "page")
    routes = [Route(path, answer, methods=["GET"]) for path, answer in content.items()]
    return Router(
        [*routes, Route("/terminals", listed, methods=["GET"]), WebSocketRoute("/socket", socket)],
        redirect_slashes=False,
    )
