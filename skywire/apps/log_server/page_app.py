"""The page of the log server: its files, and a stream of events that fills them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final, final

from anyio import move_on_after
from anyio.abc import TaskGroup
from starlette.requests import Request
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from skywire.app import FacilityAbsent
from skywire.app.api import VisorAPI
from skywire.app.feed import Feed
from skywire.app.logs import LogLine
from skywire.app.page_content import page_content
from skywire.apps.log_server.facts import Facts, Json
from skywire.apps.log_server.log_query import inert
from skywire.apps.log_server.log_sources import LogSource, LogTap, app_log, process_log
from skywire.errors import SkywireError
from skywire.http.live import Give, LiveResponse, server_sent
from skywire.net.background import Background

STREAM_SECONDS: Final = 3600.0
"""After which a browser connects anew."""
RETRY_MILLISECONDS: Final = 2000
"""That a browser waits before it does."""
REFRESH_SECONDS: Final = 5.0
"""Between two looks at the apps when nothing tells of a change."""
QUIET_SECONDS: Final = 15.0
"""Without a line after which a stream shows that it lives."""
BACKLOG: Final = 500
"""Lines of the past that a page begins with."""
LONGEST_ENTRY: Final = 2000
"""Characters of an entry that a page shows."""


def page_app(facts: Facts) -> ASGIApp:
    """The ASGI application of the page."""

    async def events(request: Request) -> ASGIApp:
        stream = _Stream(facts, _since(request.headers.get("last-event-id", "")))
        return LiveResponse(stream.tell, seconds=STREAM_SECONDS, media_type="text/event-stream; charset=utf-8")

    content = page_content(Path(__file__).parent / "page")
    routes = [Route(path, answer, methods=["GET"]) for path, answer in content.items()]
    return Router([*routes, Route("/events", events, methods=["GET"])], redirect_slashes=False)


def _since(mark: str) -> float:
    """From when on a browser wants lines, by the mark of the last that it has got."""
    try:
        seconds = float(mark)
    except ValueError:
        return 0.0
    return seconds + 1e-6 if math.isfinite(seconds) else 0.0


@final
class _Stream:
    """What one browser is told."""

    def __init__(self, facts: Facts, since: float) -> None:
        self._facts = facts
        self._since = since
        self._changes = Feed[None](1)

    async def tell(self, give: Give) -> None:
        await give(f"retry: {RETRY_MILLISECONDS}\n\n".encode())
        try:
            visor = self._facts.visor()
            async with Background() as task_group:
                await self._tell(give, visor, task_group)
        except FacilityAbsent as error:
            await give(server_sent("trouble", {"reason": str(error)}))
        except SkywireError as error:
            await give(server_sent("trouble", {"reason": f"the visor does not answer: {error}"}))

    async def _tell(self, give: Give, visor: VisorAPI, task_group: TaskGroup) -> None:
        tap = LogTap(task_group)
        task_group.start_soon(self._note_changes, visor)
        await tap.begun()
        rows = await self._facts.rows()
        await give(server_sent("apps", rows))
        sources = [process_log(visor), *(app_log(visor, str(row["name"])) for row in rows)]
        for source in sources:
            tap.add(source)
        await tap.begun()
        for name, line in await self._backlog(tap, sources):
            await give(_line(name, line))
        task_group.start_soon(self._tell_apps, give, visor, tap, rows)
        while True:
            with move_on_after(QUIET_SECONDS) as waiting:
                name, line, dropped = await tap.next()
            if waiting.cancelled_caught:
                await give(b": nothing new\n\n")
                continue
            if dropped:
                await give(server_sent("dropped", {"count": dropped}))
            await give(_line(name, line))

    async def _backlog(self, tap: LogTap, sources: list[LogSource]) -> list[tuple[str, LogLine]]:
        found: list[tuple[str, LogLine]] = []
        for source in sources:
            try:
                lines = await source.read(self._since, BACKLOG)
            except SkywireError:
                continue  # it is gone again
            tap.skip(source.name, lines)
            found += [(source.name, line) for line in lines]
        found.sort(key=lambda each: each[1].time)
        return found[-BACKLOG:]

    async def _note_changes(self, visor: VisorAPI) -> None:
        try:
            async for _ in visor.events.events("app."):
                self._changes.put(None)
        except SkywireError:
            pass  # the clock tells as well, only later

    async def _tell_apps(self, give: Give, visor: VisorAPI, tap: LogTap, told: list[Json]) -> None:
        while True:
            with move_on_after(REFRESH_SECONDS):
                await self._changes.next()
            try:
                rows = await self._facts.rows()
            except SkywireError:
                continue
            for row in rows:
                tap.add(app_log(visor, str(row["name"])))
            if rows != told:
                told = rows
                await give(server_sent("apps", rows))


def _line(name: str, line: LogLine) -> bytes:
    entry = {"app": name, "time": line.time, "level": line.level, "text": inert(line.text, LONGEST_ENTRY)}
    return server_sent("line", entry, number=f"{line.time:.6f}")
