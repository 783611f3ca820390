"""The files of which a page is made: its own, and those that all pages share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

_SHARED: Final = Path(__file__).parent / "page"
"""Colours, and the stream of events."""
_MEDIA_TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


def page_content(folder: Path) -> Mapping[str, Callable[[Request], Awaitable[Response]]]:
    """What answers each path: the files of a folder, ``index.html`` as ``/``, and those that all pages share."""
    files = [each for place in (_SHARED, folder) for each in sorted(place.iterdir()) if each.suffix in _MEDIA_TYPES]
    answers = {
        "/" if each.name == "index.html" else f"/{each.name}": _answer(each.read_bytes(), _MEDIA_TYPES[each.suffix])
        for each in files
    }
    return {**answers, "/favicon.ico": _no_icon}


def _answer(content: bytes, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_: Request) -> Response:
        return Response(content, media_type=f"{media_type}; charset=utf-8")

    return answer


async def _no_icon(_: Request) -> Response:
    return Response(status_code=204)
