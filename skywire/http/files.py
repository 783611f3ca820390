"""An application that serves a folder, as upstream's ``dmsg http`` does.

Source: protocol-dmsg.md section 7.1.
"""

from __future__ import annotations

import os
import stat
from itertools import islice
from pathlib import Path
from typing import Final, final
from urllib.parse import unquote_to_bytes

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

from skywire.http.listing import MAX_ENTRIES, Entry, link_to, listing_page

READ_SIZE: Final = 262144
"""Bytes of a file to read at a time."""


@final
class Folder(StaticFiles):
    """Serves what is in a folder, for reading: ranges, validators and content types as starlette has them.

    A folder answers with its ``index.html``, else with a list of what is in it. Hidden are names that begin with a dot,
    links that lead out of the folder, and what is neither file nor folder. Names need not be UTF-8.

    Args:
        path: of the folder.

    Raises:
        NotADirectoryError: it is none.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not Path(path).is_dir():
            raise NotADirectoryError(f"{os.fspath(path)} is no folder")
        super().__init__(directory=path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            response = await self.get_response(self.get_path(scope), scope)
        except HTTPException as error:
            response = PlainTextResponse(error.detail, error.status_code, error.headers)
        if isinstance(response, FileResponse):
            response.chunk_size = READ_SIZE
            send = _as_much_as_announced(send)
        response.headers["X-Content-Type-Options"] = "nosniff"
        await response(scope, receive, send)

    def get_path(self, scope: Scope) -> str:
        """What a request is for, relative to the folder; ends with a slash if the request does.

        Raises:
            HTTPException: 404, a name that is not served.
        """
        path = _full_path(scope).removeprefix(scope.get("root_path", ""))
        names = [name for name in path.split("/") if name]
        if any(name.startswith(".") or "\0" in name for name in names):
            raise HTTPException(404)
        return "/".join([*names, ""] if names and path.endswith("/") else names)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The response for what :meth:`get_path` gave.

        Raises:
            HTTPException: 404, there is no such file or folder; 405, the request is not for reading.
        """
        if scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(405, headers={"Allow": "GET, HEAD"})
        response = await to_thread.run_sync(self._find, path, scope)
        if response is None:
            raise HTTPException(404)
        return response

    def _find(self, path: str, scope: Scope) -> Response | None:
        full_path, found = self._look_up(path)
        if found is None:
            return None
        if not stat.S_ISDIR(found.st_mode):
            return None if path.endswith("/") else self.file_response(full_path, found, scope)
        if not (asked := _full_path(scope)).endswith("/"):
            # Relative, as nobody knows by what name this server is reached.
            query = f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
            return RedirectResponse(f"{link_to(asked.rpartition('/')[2])}/{query}", 301)
        index_path, index = self._look_up(f"{path}index.html")
        if index is not None and stat.S_ISREG(index.st_mode):
            return self.file_response(index_path, index, scope)
        return self._list(full_path, path)

    def _look_up(self, path: str) -> tuple[str, os.stat_result | None]:
        """Where ``path`` leads; nowhere unless that is a readable file or folder within what is served."""
        try:
            full_path, found = self.lookup_path(path)
        except OSError:
            return path, None
        if found is None or not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            return path, None
        return full_path, found if os.access(full_path, os.R_OK) else None

    def _list(self, full_path: str, path: str) -> HTMLResponse:
        with os.scandir(full_path) as scan:
            names = list(islice((each.name for each in scan if not each.name.startswith(".")), MAX_ENTRIES + 1))
        entries = []
        for name in names[:MAX_ENTRIES]:
            _, found = self._look_up(path + name)
            if found is not None:
                entries.append(Entry(name, stat.S_ISDIR(found.st_mode), found.st_size, found.st_mtime))
        page = listing_page(f"/{path}", entries, whole=len(names) <= MAX_ENTRIES)
        return HTMLResponse(page, headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"})


def _full_path(scope: Scope) -> str:
    """The path of a request with nothing lost; the one in the scope has lost what is not UTF-8."""
    return os.fsdecode(unquote_to_bytes(scope["raw_path"]))


def _as_much_as_announced(send: Send) -> Send:
    """Of a file that grows while it is sent, only what there was before."""
    left = 0

    async def send_some(message: Message) -> None:
        nonlocal left
        if message["type"] == "http.response.start":
            left = int(Headers(raw=list(message["headers"]))["content-length"])
        else:
            body = message["body"][:left]
            left -= len(body)
            message = {**message, "body": body}
        await send(message)

    return send_some
