"""The page of skychat, and its HTTP interface: for people and programs at this machine.

Source: upstream-2026.md section 4.1; ``POST /message``, ``GET /sse``, ``/events``, ``/history`` and ``/status`` are as
there, where they mean the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, final

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from skywire.app.page_content import page_content
from skywire.app.typed_json import encode
from skywire.apps.skychat.contract import Chat
from skywire.apps.skychat.page_files import MOST_PIECE, PageFiles, Progress
from skywire.apps.skychat.page_requests import (
    Alias,
    Answer,
    Delete,
    FileBegin,
    Message,
    Page,
    PieceAt,
    Read,
    RequestRefused,
    Since,
    answering,
    body,
    json_body,
    path_of,
    public_key,
    query,
    refusal,
)
from skywire.apps.skychat.page_streams import Happenings, tell_lines
from skywire.http.live import LiveResponse

STREAM_SECONDS: Final = 3600.0
"""After which a browser connects anew."""
_ALL: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def page_app(chat: Chat, uploads: Path) -> ASGIApp:
    """The ASGI application of the page; for :meth:`skywire.app.host.AppHost.serve_web`.

    Args:
        chat: what it shows.
        uploads: a folder for files that browsers send; made when it is needed, and tidied.
    """
    asked = _Asked(chat, PageFiles(chat, uploads))
    answers: Mapping[str, Mapping[str, Answer]] = {
        "/message": {"POST": asked.message},
        "/history": {"GET": asked.history},
        "/contacts": {"GET": asked.contacts},
        "/status": {"GET": asked.status},
        "/read": {"POST": asked.read},
        "/delete": {"POST": asked.delete},
        "/alias": {"POST": asked.alias},
        "/sse": {"GET": asked.sse},
        "/events": {"GET": asked.events},
        "/file": {"POST": asked.begin_file},
        "/upload/{key}": {"POST": asked.add_piece, "DELETE": asked.give_up},
        "/file/{peer}/{number}": {"GET": asked.file},
        **{path: {"GET": answer} for path, answer in page_content(Path(__file__).parent / "page").items()},
    }
    routes = [Route(path, _by_method(methods), methods=_ALL) for path, methods in answers.items()]
    return Router([*routes, Route("/{path:path}", _nothing, methods=_ALL)], redirect_slashes=False)


def _by_method(methods: Mapping[str, Answer]) -> Answer:
    answers = {name: answering(answer) for name, answer in methods.items()}
    allowed = ", ".join(answers)

    async def answer(request: Request) -> ASGIApp:
        chosen = answers.get("GET" if request.method == "HEAD" else request.method)
        if chosen is None:
            refused = refusal(f"{path_of(request)} takes {allowed}, not {request.method}", 405)
            refused.headers["allow"] = allowed
            return refused
        return await chosen(request)

    return answer


async def _nothing(request: Request) -> ASGIApp:
    return refusal(f"there is no {path_of(request)[:100]}", 404)


@final
class _Asked:
    """The answers."""

    def __init__(self, chat: Chat, files: PageFiles) -> None:
        self._chat = chat
        self._files = files

    async def message(self, request: Request) -> ASGIApp:
        asked = await json_body(request, Message)
        sent = await self._chat.send(asked.recipient, asked.message, reply_to=asked.reply_to, wait=asked.wait_ms / 1000)
        return JSONResponse(encode(sent))

    async def history(self, request: Request) -> ASGIApp:
        asked = query(request, Page)
        found = await self._chat.history(asked.peer, before=asked.before, limit=asked.limit)
        return JSONResponse({"messages": encode(found)})

    async def contacts(self, _: Request) -> ASGIApp:
        return JSONResponse({"contacts": encode(await self._chat.contacts())})

    async def status(self, _: Request) -> ASGIApp:
        return JSONResponse(encode(await self._chat.status()))

    async def read(self, request: Request) -> ASGIApp:
        asked = await json_body(request, Read)
        await self._chat.mark_read(asked.peer, asked.number)
        return JSONResponse({})

    async def delete(self, request: Request) -> ASGIApp:
        asked = await json_body(request, Delete)
        await self._chat.delete(asked.peer, asked.id)
        return JSONResponse({})

    async def alias(self, request: Request) -> ASGIApp:
        asked = await json_body(request, Alias)
        await self._chat.name(asked.peer, asked.alias)
        return JSONResponse({})

    async def sse(self, request: Request) -> ASGIApp:
        mark = request.headers.get("last-event-id", "")
        happenings = Happenings(self._chat, int(mark) if _is_number(mark) else query(request, Since).since)
        return LiveResponse(happenings.tell, seconds=STREAM_SECONDS, media_type="text/event-stream; charset=utf-8")

    async def events(self, request: Request) -> ASGIApp:
        since = query(request, Since).since
        return LiveResponse(
            lambda give: tell_lines(self._chat, since, give), seconds=STREAM_SECONDS, media_type="application/x-ndjson"
        )

    async def begin_file(self, request: Request) -> ASGIApp:
        asked = await json_body(request, FileBegin)
        return _progress(await self._files.begin(asked.recipient, asked.name, asked.size, asked.message))

    async def add_piece(self, request: Request) -> ASGIApp:
        offset = query(request, PieceAt).offset
        piece = await body(request, MOST_PIECE)
        return _progress(await self._files.add(request.path_params["key"], offset, piece))

    async def give_up(self, request: Request) -> ASGIApp:
        await self._files.give_up(request.path_params["key"])
        return JSONResponse({})

    async def file(self, request: Request) -> ASGIApp:
        peer, number = public_key(request.path_params["peer"]), request.path_params["number"]
        if not _is_number(number):
            raise RequestRefused("the number of a message is expected behind the key", 404)
        path, name = await self._files.received(peer, int(number))
        shown = name.encode("utf-8", "replace").decode()
        # Never as what it claims to be: nothing that a peer sends is ever a page of ours.
        return FileResponse(path, filename=shown, media_type="application/octet-stream")


def _is_number(text: str) -> bool:
    """Whether it is one of a message or a change."""
    return text.isascii() and text.isdecimal() and len(text) < 17


def _progress(progress: Progress) -> Response:
    return JSONResponse(encode(progress))
