"""Places where an application is served, so that one suite can hold all of them to the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import httpx
from anyio import CancelScope, EndOfStream, connect_tcp, create_task_group, fail_after, wait_all_tasks_blocked
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint
from starlette.types import ASGIApp

from skywire import HostPort
from skywire.http.client import http_client
from skywire.http.limits import DEFAULT_LIMITS, HttpLimits
from skywire.http.server import HttpServer, http_handler
from tests.net import meetings
from tests.net.meetings import CLIENT, ME, Meeting, Port

LOOPBACK = HostPort("127.0.0.1", 0)
PATIENCE = 10.0
"""Seconds for what takes milliseconds."""


@dataclass
class Served:
    """An application that is being served, and how to reach it."""

    base_url: str
    connect: Callable[[], AbstractAsyncContextManager[ByteStream]]
    client: Callable[[], httpx.AsyncClient]
    live: Callable[[], int]
    scope: CancelScope

    async def nothing_is_live(self) -> None:
        """Wait until all connections are over for the server."""
        await until(lambda: not self.live())


class Place(Protocol):
    """One kind of connection to serve an application on."""

    def __call__(self, app: ASGIApp, limits: HttpLimits = DEFAULT_LIMITS) -> AbstractAsyncContextManager[Served]:
        """Serve ``app`` while the block runs."""
        ...


def on_network(meeting: Meeting) -> Place:
    @asynccontextmanager
    async def place(app: ASGIApp, limits: HttpLimits = DEFAULT_LIMITS) -> AsyncIterator[Served]:
        async with meeting(Port(http_handler(app, limits=limits))) as served:
            url = str(served.addresses[0])

            @asynccontextmanager
            async def connect() -> AsyncIterator[ByteStream]:
                async with await served.dial() as conn:
                    yield conn

            yield Served(
                url,
                connect,
                lambda: http_client(served.dialler(CLIENT), ME, base_url=url),
                lambda: served.table.live,
                served.scope,
            )

    return place


@asynccontextmanager
async def tcp(app: ASGIApp, limits: HttpLimits = DEFAULT_LIMITS) -> AsyncIterator[Served]:
    """Plain TCP over loopback."""
    server = HttpServer(app, listen=[LOOPBACK], limits=limits)
    async with create_task_group() as task_group:
        await task_group.start(server.serve)
        (where,) = server.addresses

        @asynccontextmanager
        async def connect() -> AsyncIterator[ByteStream]:
            async with await connect_tcp(where.host, where.port) as stream:
                yield stream

        yield Served(
            f"http://{where}",
            connect,
            lambda: httpx.AsyncClient(base_url=f"http://{where}", trust_env=False),
            lambda: server.live,
            task_group.cancel_scope,
        )
        task_group.cancel_scope.cancel()


PLACES: dict[str, Place] = {
    "memory": on_network(meetings.memory),
    "pktcp": on_network(meetings.pktcp),
    "tcp": tcp,
}


async def until(condition: Callable[[], bool]) -> None:
    """Let others run until it is so."""
    with fail_after(PATIENCE):
        while not condition():
            await checkpoint()


async def settled(value: Callable[[], int]) -> int:
    """A value once everybody waits for somebody else, kernel included."""
    before = -1
    with fail_after(PATIENCE):
        while (now := value()) != before or not now:
            before = now
            await wait_all_tasks_blocked()
    return before


async def read_all(stream: ByteStream) -> bytes:
    """All that comes until the other end closes."""
    received = bytearray()
    with fail_after(PATIENCE):
        try:
            while True:
                received += await stream.receive()
        except EndOfStream:
            return bytes(received)


async def read_until(stream: ByteStream, end: bytes) -> bytes:
    """What comes until it ends so."""
    received = b""
    with fail_after(PATIENCE):
        while not received.endswith(end):
            received += await stream.receive()
    return received


async def ask(served: Served, request: bytes) -> bytes:
    """The answer to ``request``, up to the end of the connection."""
    async with served.connect() as stream:
        await stream.send(request)
        return await read_all(stream)


def get(path: str = "/", *fields: str, method: str = "GET") -> bytes:
    """A request without a body."""
    lines = [f"{method} {path} HTTP/1.1", "Host: here", *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1")
