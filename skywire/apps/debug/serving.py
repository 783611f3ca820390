"""The behaviour of the debug app."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeAlias

from anyio import sleep_forever, to_thread
from anyio.abc import TaskStatus
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from skywire.app import VISOR_API, AppHost, FacilityAbsent
from skywire.app.tasks import running_tasks
from skywire.app.typed_json import encode
from skywire.apps.debug import HTTP, DebugOptions
from skywire.apps.debug.memory import look
from skywire.apps.debug.sockets import open_sockets
from skywire.errors import SkywireError
from skywire.http.limits import HttpLimits
from skywire.http.server import http_handler

LIMITS: Final = HttpLimits(connections=16, finish_seconds=2.0)
"""What those who look may cost."""
_SAFE: Final = {"x-content-type-options": "nosniff", "content-security-policy": "default-src 'none'"}

Told: TypeAlias = tuple[object, Iterable[str]]
"""The same twice: as JSON, and as lines for people."""


async def serve(host: AppHost, options: DebugOptions, *, task_status: TaskStatus[None]) -> None:
    """Serve until cancelled."""
    handler = http_handler(debug_app(host), limits=LIMITS)
    async with host.serve(HTTP, handler, label="debug", peers=frozenset(options.allow), hidden=True):
        task_status.started()
        await sleep_forever()


def debug_app(host: AppHost) -> ASGIApp:
    """The ASGI application; who may ask has been decided before."""

    async def ports() -> Told:
        return await _ports(host)

    views = {"/tasks": _tasks, "/memory": _memory, "/ports": ports}

    async def index() -> Told:
        return {"paths": list(views)}, views

    return Router(
        [Route(path, _answering(view), methods=["GET"]) for path, view in {"/": index, **views}.items()],
        redirect_slashes=False,
    )


def _answering(view: Callable[[], Awaitable[Told]]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        data, lines = await view()
        if "application/json" in request.headers.get("accept", ""):
            return Response(json.dumps(encode(data)), media_type="application/json", headers=_SAFE)
        return PlainTextResponse("".join(f"{line}\n" for line in lines), headers=_SAFE)

    return answer


async def _tasks() -> Told:
    tasks = running_tasks()
    return tasks, map(str, tasks)


async def _memory() -> Told:
    memory = await to_thread.run_sync(look)
    lines = [
        f"resident     {memory.resident:>14,} bytes",
        f"peak         {memory.peak:>14,} bytes",
        f"collections  {' '.join(map(str, memory.collections))} so far, {' '.join(map(str, memory.waiting))} waiting",
        f"objects      {memory.objects:>14,} watched, {memory.counted:,} counted",
        *(f"{kind.count:>27,} {kind.name}" for kind in memory.kinds),
    ]
    return memory, lines


async def _ports(host: AppHost) -> Told:
    sockets = await to_thread.run_sync(open_sockets)
    lines = [f"{each.kind:<5} {each.state:<12} {each.local} {each.remote}".rstrip() for each in sockets]
    try:
        network = host.facility(VISOR_API).network
        served, listeners = await network.ports(), await network.listeners()
    except (FacilityAbsent, SkywireError) as error:
        return {"trouble": str(error), "sockets": sockets}, [f"served ports are not known: {error}", "", *lines]
    told = [
        f"{each.port:<6} {','.join(each.networks):<12} {each.owner} ({each.label})"
        f"{' hidden' if each.hidden else ''} {each.connections} connections"
        for each in served
    ]
    told += [f"{each.host} {each.port} {each.owner} ({each.label})" for each in listeners]
    return {"served": served, "listeners": listeners, "sockets": sockets}, [*told, "", *lines]
