"""TCP streams as protocols of an asyncio event loop."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections import deque
from collections.abc import Callable
from typing import Final, cast, final

import aiohappyeyeballs
from anyio import BrokenResourceError, BusyResourceError, ClosedResourceError, EndOfStream, sleep_forever
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from skywire.net.tcp import Handler, SocketAddress, TcpListener, TcpStream, plain_address

READ_AHEAD: Final = 262144
"""Bytes that may wait for the reader before the system is told to hold the sender back; one read of the loop can add as
many again."""
NEXT_ADDRESS_DELAY: Final = 0.25
"""Seconds before the next address of a name is tried beside the ones before it (RFC 8305)."""
BACKLOG: Final = 4096
"""Connections that the system may complete before they are taken."""
_SENDS_IN_A_ROW: Final = 32
"""Sends that do not wait after which other tasks get their turn all the same."""


async def connect(host: str, port: int) -> TcpStream:
    """See :func:`skywire.net.tcp.connect`."""
    loop = asyncio.get_running_loop()
    if _is_literal(host):
        _, stream = await loop.create_connection(_Stream, host, port)
        return stream
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    sock = await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=NEXT_ADDRESS_DELAY)
    try:
        _, stream = await loop.create_connection(_Stream, sock=sock)
    except BaseException:
        sock.close()
        raise
    return stream


async def listen(host: str, port: int) -> TcpListener:
    """See :func:`skywire.net.tcp.listen`."""
    listener = _Listener()
    listener.server = await asyncio.get_running_loop().create_server(
        lambda: _Stream(listener.take), host, port, backlog=BACKLOG, start_serving=False
    )
    return listener


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class _Listener(TcpListener):
    server: asyncio.Server

    def __init__(self) -> None:
        self._handler: Handler | None = None
        self._task_group: TaskGroup | None = None

    @property
    def addresses(self) -> list[SocketAddress]:
        return [plain_address(sock.getsockname()) for sock in self.server.sockets]

    async def serve(self, handler: Handler, task_group: TaskGroup) -> None:
        self._handler, self._task_group = handler, task_group
        await self.server.start_serving()
        await sleep_forever()

    def take(self, stream: _Stream) -> None:
        """A connection was made."""
        assert self._handler is not None
        assert self._task_group is not None
        try:
            self._task_group.start_soon(self._handler, stream)
        except RuntimeError:  # the task group has ended
            stream.abort()

    async def aclose(self) -> None:
        self.server.close()
        await checkpoint()


@final
class _Stream(asyncio.Protocol, TcpStream):
    """A connection.

    Args:
        made: told when it is there.
    """

    def __init__(self, made: Callable[[_Stream], None] | None = None) -> None:
        self._made = made
        self._loop = asyncio.get_running_loop()
        self._transport = asyncio.Transport()
        self._received: deque[bytes] = deque()
        self._received_size = 0
        self._reading_paused = False
        self._writing_paused = False
        self._ended = False  # by the peer
        self._lost = False
        self._error: Exception | None = None
        self._closed = False  # by us
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._sends_in_a_row = 0

    @property
    def local(self) -> SocketAddress:
        return self._address("sockname")

    @property
    def remote(self) -> SocketAddress:
        return self._address("peername")

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if max_bytes < 1:
            raise ValueError(f"at least 1 byte must be asked for, not {max_bytes}")
        if self._reader is not None:
            raise BusyResourceError("receiving from")
        received = self._received
        while self._closed or not received:
            if self._closed:
                raise ClosedResourceError
            if self._ended:
                raise EndOfStream
            if self._lost:
                raise BrokenResourceError from self._error
            self._sends_in_a_row = 0
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        data = received.popleft()
        if len(data) > max_bytes:
            received.appendleft(data[max_bytes:])
            data = data[:max_bytes]
        self._received_size -= len(data)
        if self._reading_paused and self._received_size < READ_AHEAD and not self._lost:
            self._reading_paused = False
            self._transport.resume_reading()
        return data

    async def send(self, item: bytes) -> None:
        if self._writer is not None:
            raise BusyResourceError("sending to")
        self._check_writable()
        self._transport.write(item)
        if self._writing_paused:
            self._sends_in_a_row = 0
            self._writer = self._loop.create_future()
            try:
                await self._writer
            finally:
                self._writer = None
            self._check_writable()
        elif self._sends_in_a_row < _SENDS_IN_A_ROW:
            self._sends_in_a_row += 1
        else:
            self._sends_in_a_row = 0
            await checkpoint()

    async def send_eof(self) -> None:
        if self._closed:
            raise ClosedResourceError
        if not self._lost:
            with contextlib.suppress(OSError):
                self._transport.write_eof()

    async def aclose(self) -> None:
        self.abort()
        await checkpoint()

    def abort(self) -> None:
        """Close both directions. What was sent is on its way, since a send waits until the system has taken it."""
        if not self._closed:
            self._closed = True
            self._received.clear()
            self._transport.abort()
            _wake(self._reader)
            _wake(self._writer)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(0)
        if self._made is not None:
            self._made(self)

    def data_received(self, data: bytes) -> None:
        if self._closed:
            return
        self._received.append(bytes(data))
        self._received_size += len(data)
        if self._received_size >= READ_AHEAD and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()
        _wake(self._reader)

    def eof_received(self) -> bool:
        self._ended = True
        _wake(self._reader)
        return True  # the other direction goes on

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._error = exc
        _wake(self._reader)
        _wake(self._writer)

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        _wake(self._writer)

    def _check_writable(self) -> None:
        if self._closed:
            raise ClosedResourceError
        if self._lost or self._transport.is_closing():
            raise BrokenResourceError from self._error

    def _address(self, which: str) -> SocketAddress:
        address: tuple[str, int] | None = self._transport.get_extra_info(which)
        if address is None:
            raise BrokenResourceError("the connection was over before it was looked at")
        return plain_address(address)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
