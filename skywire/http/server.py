"""HTTP servers: any ASGI application on connections of a network, or on local TCP addresses.

They run on asyncio. The lifespan of an application is not run, because the same one may be served by several servers
at a time: what it needs is opened by whoever makes it, around them all.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from typing import Final, final

from anyio import TASK_STATUS_IGNORED, BrokenResourceError, aclose_forcefully, create_task_group, sleep_forever
from anyio.abc import TaskStatus
from starlette.types import ASGIApp

from skywire.http.connection import HttpConnection
from skywire.http.limits import DEFAULT_LIMITS, HttpLimits
from skywire.http.peer import Ends
from skywire.net.address import HostPort
from skywire.net.conn import Conn
from skywire.net.half_open import HalfOpen
from skywire.net.listening import listen_on
from skywire.net.tcp import TcpListener, TcpStream

_log: Final = logging.getLogger("skywire.http")


def http_handler(app: ASGIApp, *, limits: HttpLimits = DEFAULT_LIMITS) -> Callable[[Conn], Awaitable[None]]:
    """The handler for a dispatcher that serves HTTP/1.1 on each connection until it is over, and closes it.

    The ``client`` of a request is the peer's key in hexadecimal and its port, on TCP its host and port; see
    :func:`skywire.http.peer.peer_of` for what is proven. The ``scheme`` is the network's name, so that addresses an
    application makes for itself are of that network. Header fields that claim to know the client are not looked at.

    A client that leaves ends its requests: the application is told by ``http.disconnect``, and by an OSError when it
    sends; what it then still does is cancelled after a while. Nothing is left when this returns or is cancelled.

    Args:
        app: answers; as a whole it may be served on many connections at a time.
        limits: what clients may cost.
    """
    crowd = _Crowd(app, limits)

    async def handle(conn: Conn) -> None:
        await crowd.serve(conn, Ends.of(conn))

    return handle


@final
class _Crowd:
    """Connections that share one limit of their number."""

    def __init__(self, app: ASGIApp, limits: HttpLimits) -> None:
        self._app = app
        self._limits = limits
        self._live: dict[HttpConnection, None] = {}

    def __len__(self) -> int:
        return len(self._live)

    async def serve(self, stream: Conn | TcpStream, ends: Ends) -> None:
        """Serve one more connection to its end, or close it because there is no room."""
        if len(self._live) >= self._limits.connections:
            self.make_room()
        if len(self._live) >= self._limits.connections:
            _log.info("%s:%d was turned away: all %d connections are busy", *ends.client, self._limits.connections)
            await aclose_forcefully(stream)
            return
        connection = HttpConnection(self._app, stream, ends, self._limits)
        self._live[connection] = None
        try:
            await connection.serve()
        finally:
            self._live.pop(connection, None)

    def make_room(self) -> None:
        """There is nothing left for another connection: a quarter of those that wait for their clients go."""
        waiting = HalfOpen(self._limits.connections)
        for each in self._live:
            if each.waits:
                waiting.add(each.host, each.reading)
        waiting.make_room()
        self._live = {each: None for each in self._live if not each.reading.cancel_called}


@final
class HttpServer:
    """Serves an application on local TCP addresses, in the clear and to everyone who can reach them.

    Args:
        app: see :func:`http_handler`.
        listen: where; nowhere for who has listeners already, see :meth:`serve_on`.
        limits: what clients may cost.
    """

    def __init__(self, app: ASGIApp, *, listen: Iterable[HostPort] = (), limits: HttpLimits = DEFAULT_LIMITS) -> None:
        self._listen = tuple(listen)
        self._addresses: tuple[HostPort, ...] = ()
        self._crowd = _Crowd(app, limits)

    @property
    def addresses(self) -> tuple[HostPort, ...]:
        """Where it listens, with the ports the system chose; empty while it does not serve."""
        return self._addresses

    @property
    def live(self) -> int:
        """Connections at this moment."""
        return len(self._crowd)

    async def serve(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Take connections until cancelled; reports started once it does.

        Raises:
            ListenError: a local address cannot be used.
        """
        async with AsyncExitStack() as stack:
            listeners = [await stack.enter_async_context(await listen_on(where)) for where in self._listen]
            await self.serve_on(listeners, task_status=task_status)

    async def serve_on(
        self, listeners: Iterable[TcpListener], *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED
    ) -> None:
        """Take connections of listeners that somebody else closes, until cancelled; reports started once it does."""
        async with create_task_group() as task_group:
            for listener in listeners:
                self._addresses += tuple(HostPort(host, port) for host, port in listener.addresses)
                task_group.start_soon(listener.serve, self._serve_stream, task_group, self._crowd.make_room)
            try:
                task_status.started()
                await sleep_forever()
            finally:
                self._addresses = ()

    async def _serve_stream(self, stream: TcpStream) -> None:
        try:
            ends = Ends.of(stream)
        except BrokenResourceError:
            await aclose_forcefully(stream)
            return
        try:
            await self._crowd.serve(stream, ends)
        except Exception:
            _log.exception("the connection of %s:%d failed", *ends.client)
