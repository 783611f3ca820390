"""One HTTP/1.1 connection of the server: uvicorn's protocol on a byte stream, with time limits and no stray task.

uvicorn's h11 protocol is used and not its faster httptools one, which keeps request heads, trailers and pipelined
requests of any number and size.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from email.utils import formatdate
from functools import cache, lru_cache
from typing import Final, final

import h11
from anyio import (
    BrokenResourceError,
    CancelScope,
    ClosedResourceError,
    EndOfStream,
    create_task_group,
    current_time,
    fail_after,
    sleep,
)
from anyio.abc import ByteStream
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.server import ServerState

from skywire.http.limits import HttpLimits
from skywire.http.peer import Ends
from skywire.http.transport import SOCKET_APP, StreamTransport
from skywire.net.errors import HalfCloseUnsupported

READ_SIZE: Final = 65536
"""Most bytes to feed to the protocol at a time."""
LINGER_SECONDS: Final = 1.0
"""For a client that is still sending to read its answer and to leave: what it sends to a closed connection may destroy
the answer on its way."""
CANCEL_SECONDS: Final = 5.0
"""For a cancelled application to end."""

_log: Final = logging.getLogger("skywire.http")
_protocol_log: Final = logging.getLogger("skywire.http.protocol")
# uvicorn warns of each malformed request, and tells of each websocket, and no peer shall be able to fill a log. Its
# errors are the application's.
_protocol_log.addFilter(lambda record: record.levelno >= logging.ERROR)


@final
class HttpConnection:
    """Serves one connection, once.

    Args:
        app: what answers.
        stream: carries the connection; closed at the end.
        ends: who is at each end of it.
        limits: what it may cost.
    """

    def __init__(self, app: ASGIApp, stream: ByteStream, ends: Ends, limits: HttpLimits) -> None:
        self._app = app
        self._stream = stream
        self._ends = ends
        self._limits = limits
        self._state = ServerState()
        self._requests: set[CancelScope] = set()
        self._sending = False
        self.reading: Final = CancelScope()
        """To be cancelled to end the connection as if the client had left."""
        self._http = _protocol(limits, self._state)
        self._http.app = self._serve_request
        extra = {SOCKET_APP: self._serve_socket}
        self._transport = StreamTransport(self._http, client=ends.client, server=ends.server, extra=extra)

    @property
    def host(self) -> str:
        """The host, or the key in hexadecimal, of the client."""
        return self._ends.client[0]

    @property
    def waits(self) -> bool:
        """Whether it is the client's turn: no request is complete, and none is being answered."""
        if self._is_socket or self._sending or self._transport.get_write_buffer_size():
            return False
        is_incomplete = self._http.conn.their_state is h11.SEND_BODY and not self._http.cycle.response_started
        return is_incomplete or not self._state.tasks

    @property
    def _is_socket(self) -> bool:
        """Whether it is none of HTTP any more."""
        return self._transport.protocol is not self._http

    async def serve(self) -> None:
        """Serve requests until the connection is over, and wait for what they started."""
        self._http.connection_made(self._transport)
        try:
            async with create_task_group() as task_group:
                task_group.start_soon(self._write, task_group.cancel_scope)
                try:
                    with self.reading:
                        await self._read()
                finally:
                    # Before the application runs again, which must not write to what is over.
                    self._transport.protocol.connection_lost(None)
                task_group.cancel_scope.cancel()
        finally:
            try:
                await self._stream.aclose()
            finally:
                await self._end_requests()

    async def _read(self) -> None:
        """Feed the protocol until the peer, or a time limit, ends it."""
        conn = self._http.conn
        head_due = current_time() + self._limits.head_seconds
        while True:
            await self._transport.wanted()
            due = math.inf
            if self._is_socket:
                await self._transport.roomy()  # what it is asked it answers, whether or not that is read
            elif conn.their_state is h11.IDLE:
                due = head_due
            elif conn.their_state is h11.SEND_BODY:
                due = current_time() + self._limits.stall_seconds
            try:
                if due == math.inf:
                    data = await self._stream.receive(READ_SIZE)
                else:
                    with fail_after(due - current_time()):
                        data = await self._stream.receive(READ_SIZE)
                if self._transport.is_closing():
                    continue
                self._transport.protocol.data_received(data)
            except (EndOfStream, BrokenResourceError, ClosedResourceError):
                return
            except TimeoutError:
                _log.debug("%s:%d sent too slowly", *self._ends.client)
                return
            except h11.LocalProtocolError as error:
                # What came is no HTTP, and the response has begun, so that it cannot be said.
                _log.debug("%s:%d: %s", *self._ends.client, error)
                return
            if conn.their_state is not h11.IDLE:
                head_due = math.inf
            elif head_due == math.inf:
                head_due = current_time() + self._limits.head_seconds

    async def _write(self, connection: CancelScope) -> None:
        """Send what the protocol writes until it closes, or the peer takes no more; then end the connection."""
        try:
            while data := await self._transport.next_to_send():
                self._sending = True
                with fail_after(self._limits.stall_seconds):
                    await self._stream.send(data)
                self._sending = False
            if self._is_socket or self._http.conn.their_state in (h11.SEND_BODY, h11.ERROR):
                with contextlib.suppress(HalfCloseUnsupported):
                    await self._stream.send_eof()
                await sleep(LINGER_SECONDS)
        except (BrokenResourceError, ClosedResourceError):
            pass
        except TimeoutError:
            _log.debug("%s:%d does not take its response", *self._ends.client)
        connection.cancel()

    async def _serve_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application as the protocol sees it."""
        cycle = self._http.cycle
        transport = self._transport
        self._state.default_headers[:] = [_date(int(time.time()))]

        async def send_to_client(message: Message) -> None:
            if transport.is_closing():
                raise ClientDisconnected("the client is gone")
            if request.deadline == math.inf:
                request.deadline = current_time() + self._limits.response_seconds
            await send(message)
            if cycle.response_complete:
                request.deadline = math.inf

        # This is cancelled and not the task, from which parts of an application could not be shielded.
        request = CancelScope()
        self._requests.add(request)
        try:
            with request:
                await self._app(self._ends.extend(scope), receive, send_to_client)
        except Exception as error:
            # What fails behind a response that was sent is no news of the client.
            if cycle.response_complete or not transport.is_closing():
                raise
            _log.debug("a request of %s:%d was given up: %r", *self._ends.client, error)
        finally:
            self._requests.discard(request)
        if request.cancelled_caught:
            transport.close()
        if transport.is_closing():
            cycle.disconnected = True

    async def _serve_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application as the protocol of websockets sees it."""
        self._state.default_headers[:] = [_date(int(time.time()))]
        request = CancelScope()
        self._requests.add(request)
        try:
            with request:
                await self._app(self._ends.extend(scope), receive, send)
        except Exception as error:
            if not self._transport.is_closing():
                raise
            _log.debug("a websocket of %s:%d was given up: %r", *self._ends.client, error)
        finally:
            self._requests.discard(request)
        if request.cancelled_caught:
            self._transport.close()

    async def _end_requests(self) -> None:
        """Give the application time to end what it does, then cancel it."""
        tasks = self._state.tasks
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=self._limits.finish_seconds)
        finally:
            if tasks:
                for request in self._requests:
                    request.cancel()
                with CancelScope(shield=True):
                    _, stuck = await asyncio.wait(tasks, timeout=CANCEL_SECONDS)
                for task in stuck:
                    _log.error("an application ignores that it was cancelled: %r", task)


@lru_cache(maxsize=1)
def _date(now: int) -> tuple[bytes, bytes]:
    return b"date", formatdate(now, usegmt=True).encode()


def _protocol(limits: HttpLimits, state: ServerState) -> H11Protocol:
    protocol = H11Protocol(config=_config(limits), server_state=state, app_state={})
    protocol.logger = _protocol_log
    protocol.access_log = False
    return protocol


@cache
def _config(limits: HttpLimits) -> Config:
    sockets = limits.sockets
    config = Config(
        _no_app,
        http=H11Protocol,
        ws="none" if sockets is None else _socket_protocol(),
        # What is compressed to a little may be too much, and what is secret may be told by its compressed size.
        ws_per_message_deflate=False,
        lifespan="off",
        interface="asgi3",
        log_config=None,
        # Peers are who the connection says they are, whatever a header claims.
        proxy_headers=False,
        forwarded_allow_ips="",
        server_header=False,
        workers=1,
        timeout_keep_alive=limits.idle_seconds,
        h11_max_incomplete_event_size=limits.head_bytes,
    )
    if sockets is not None:
        config.ws_max_size = sockets.message_bytes
        config.ws_ping_interval = sockets.ping_seconds
        config.ws_ping_timeout = sockets.pong_seconds
    config.load()
    return config


def _socket_protocol() -> type[asyncio.Protocol]:
    """Loaded by nobody who has no websockets."""
    from skywire.http.socket import SocketProtocol

    return SocketProtocol


async def _no_app(scope: Scope, receive: Receive, send: Send) -> None:
    """What the configuration wants to be given; each connection has its own application."""
