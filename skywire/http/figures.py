"""Figures for Prometheus as an ASGI application."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp


def figures_app(registry: CollectorRegistry) -> ASGIApp:
    """An ASGI application that answers ``GET /metrics`` with what is registered, always in the same format."""

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})

    return Router([Route("/metrics", metrics)], redirect_slashes=False)
