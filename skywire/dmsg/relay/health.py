"""The health of a dmsg server by HTTP, in upstream's form.

Source: protocol-dmsg.md section 5.1.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from skywire.version import __version__
from skywire.wire.discovery import Health, answer_health


def health_app(started_ns: int) -> Router:
    """An ASGI application that answers ``GET /health``.

    Args:
        started_ns: when the server started, Unix time in nanoseconds.
    """
    answer = answer_health(Health(started_ns, __version__))

    async def health(_: Request) -> Response:
        return Response(answer.body, answer.status, media_type=answer.content_type)

    return Router([Route("/health", health)], redirect_slashes=False)
