"""TCP streams as protocols of an asyncio event loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, cast, final

import aiohappyeyeballs
from aiohappyeyeballs import AddrInfoType
from anyio import (
    BrokenResourceError,
    BusyResourceError,
    CancelScope,
    ClosedResourceError,
    EndOfStream,
)
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from skywire.net.tcp.contract import (
    ACCEPT_PAUSE,
    SHORTAGES,
    Handler,
    Sink,
    SocketAddress,
    TcpListener,
    TcpStream,
    keep_alive,
    log,
    plain_address,
)

READ_AHEAD: Final = 262144
"""Bytes that may wait for the reader before the system is told to hold the sender back; one read of the loop can add as
many again."""
NEXT_ADDRESS_DELAY: Final = 0.25
"""Seconds before the next address of a name is tried beside the ones before it (RFC 8305)."""
BACKLOG: Final = 4096
"""Connections that the system may complete before they are taken."""
_ACCEPTS_IN_A_ROW: Final = 16
"""Connections to take before other tasks get their turn."""
_JOINED: Final = 16384
"""Bytes up to which one copy is cheaper than telling the system of many parts."""
_SENDS_IN_A_ROW: Final = 32
"""Sends that do not wait after which other tasks get their turn all the same."""


async def connect(host: str, port: int) -> TcpStream:
    """See :func:`skywire.net.tcp.connect`."""
    if _is_literal(host):
        return await _stream_of(await _connect_literal(host, port))
    addresses = await _look_up(host, port)
    return await _stream_of(await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=NEXT_ADDRESS_DELAY))


async def _connect_literal(host: str, port: int) -> socket.socket:
    """Connect to an IP address; by itself uvloop would have a thread look it up, which costs as much as the rest."""
    ((family, kind, protocol, _, address),) = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
    )
    loop = asyncio.get_running_loop()
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.connect(address)
        connected = loop.create_future()
        loop.add_writer(sock, _wake, connected)
        try:
            await connected
        finally:
            loop.remove_writer(sock)
        if number := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(number, os.strerror(number))
    except BaseException:
        sock.close()
        raise
    return sock


async def _stream_of(connected: socket.socket) -> _Stream:
    """Hand a socket over to the loop. Not to be cancelled: uvloop would keep the half-made transport for ever."""
    loop = asyncio.get_running_loop()
    try:
        with CancelScope(shield=True):
            _, stream = await loop.create_connection(_Stream, sock=connected)
    except BaseException:
        connected.close()
        raise
    return stream


async def listen(host: str, port: int) -> TcpListener:
    """See :func:`skywire.net.tcp.listen`."""
    found = await _look_up(host, port, socket.AI_PASSIVE)
    with contextlib.ExitStack() as unless_all_listen:
        sockets: list[socket.socket] = []
        not_here: OSError | None = None
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                sock = socket.socket(family, kind, protocol)
                unless_all_listen.callback(sock.close)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.setblocking(False)
                sock.bind(address)
            except OSError as error:
                # A name may stand for addresses of a kind that this machine does not have.
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                not_here = error
                continue
            sock.listen(BACKLOG)
            sockets.append(sock)
        if not sockets and not_here is not None:
            raise not_here
        unless_all_listen.pop_all()
    return _Listener(sockets)


async def _look_up(host: str, port: int, flags: int = 0) -> Sequence[AddrInfoType]:
    try:
        return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except UnicodeError as error:  # from Python's own encoding of names
        raise OSError(f"{host!r} cannot be a host name: {error}") from None


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class _Listener(TcpListener):
    def __init__(self, sockets: list[socket.socket]) -> None:
        self._sockets = sockets
        self._loop = asyncio.get_running_loop()
        self._pauses: dict[socket.socket, asyncio.TimerHandle] = {}

    @property
    def addresses(self) -> list[SocketAddress]:
        return [plain_address(sock.getsockname()) for sock in self._sockets]

    async def serve(self, handler: Handler, task_group: TaskGroup, shortage: Callable[[], None]) -> None:
        accepted: list[socket.socket] = []
        arrived = self._loop.create_future()

        def accept_from(sock: socket.socket) -> None:
            for _ in range(_ACCEPTS_IN_A_ROW):
                try:
                    connection, _ = sock.accept()
                except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                    break  # there is none, or the one there was has given up
                except OSError as error:
                    self._loop.remove_reader(sock)
                    self._pauses[sock] = self._loop.call_later(ACCEPT_PAUSE, resume, sock)
                    log.warning("cannot take another connection: %s", error)
                    if error.errno in SHORTAGES:
                        shortage()
                    break
                connection.setblocking(False)
                accepted.append(connection)
            if accepted:
                _wake(arrived)

        def resume(sock: socket.socket) -> None:
            del self._pauses[sock]
            self._loop.add_reader(sock, accept_from, sock)

        try:
            for sock in self._sockets:
                self._loop.add_reader(sock, accept_from, sock)
            while True:
                # A callback of the loop is no task, and only a task may start others.
                await arrived
                arrived = self._loop.create_future()
                for connection in accepted:
                    task_group.start_soon(self._hand_over, connection, handler)
                accepted.clear()
        finally:
            for pause in self._pauses.values():
                pause.cancel()
            for sock in self._sockets:
                self._loop.remove_reader(sock)
            for connection in accepted:
                connection.close()

    async def aclose(self) -> None:
        for sock in self._sockets:
            sock.close()
        await checkpoint()

    async def _hand_over(self, accepted: socket.socket, handler: Handler) -> None:
        try:
            stream = await _stream_of(accepted)
        except OSError:
            return  # its peer gave up
        await handler(stream)


@final
class _Stream(asyncio.Protocol, TcpStream):
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = asyncio.Transport()
        self._received: deque[bytes] = deque()
        self._received_size = 0
        self._reading_paused = False
        self._writing_paused = False
        self._resuming = False  # writing, just now
        self._ended = False  # by the peer
        self._lost = False
        self._error: Exception | None = None
        self._closed = False  # by us
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._sends_in_a_row = 0
        self._sink: Sink | None = None
        self._sink_error: Exception | None = None

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
        # Nothing is lost by it: a send waits until the system has taken everything.
        self.abort()
        await checkpoint()

    def abort(self) -> None:
        if not self._closed:
            self._closed = True
            self._received.clear()
            if self._resuming:  # where asyncio would close the socket twice
                self._loop.call_soon(self._transport.abort)
            else:
                self._transport.abort()
            _wake(self._reader)
            _wake(self._writer)

    async def deliver(self, sink: Sink) -> None:
        self._sink = sink
        try:
            if not self._writing_paused:
                sink.writable()  # what was written before is gone
            while self._received:
                sink.data_received(self._received.popleft())
            self._received_size = 0
            if self._reading_paused and not self._lost:
                self._reading_paused = False
                self._transport.resume_reading()
            while not (self._closed or self._ended or self._lost):
                self._reader = self._loop.create_future()
                try:
                    await self._reader
                finally:
                    self._reader = None
        finally:
            self._sink = None
        if self._sink_error is not None:
            raise self._sink_error
        if self._closed:
            raise ClosedResourceError
        if not self._ended:
            raise BrokenResourceError from self._error

    def write(self, parts: Sequence[bytes | memoryview]) -> bool:
        transport = self._transport
        if self._closed or self._lost or transport.is_closing():
            return False
        if len(parts) == 1:
            transport.write(parts[0])
        elif sum(map(len, parts)) <= _JOINED:
            transport.write(b"".join(parts))
        else:
            transport.writelines(parts)
        return not self._writing_paused

    @property
    def unsent(self) -> int:
        return 0 if self._closed or self._lost else self._transport.get_write_buffer_size()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(0)
        keep_alive(self._transport.get_extra_info("socket"))

    def data_received(self, data: bytes) -> None:
        if self._closed:
            return
        if self._sink is not None:
            try:
                self._sink.data_received(bytes(data))
            except Exception as error:
                self._sink_error = error
                self.abort()
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
        if self._sink is not None:
            self._resuming = True
            try:
                self._sink.writable()
            except Exception as error:
                self._sink_error = error
                self.abort()
            finally:
                self._resuming = False

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
