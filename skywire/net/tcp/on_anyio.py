"""TCP streams as anyio has them, for event loops other than asyncio."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Final

import anyio
from anyio import (
    BrokenResourceError,
    CancelScope,
    ClosedResourceError,
    EndOfStream,
    Event,
    TypedAttributeLookupError,
    aclose_forcefully,
    create_task_group,
)
from anyio.abc import SocketAttribute, SocketListener, SocketStream, TaskGroup

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


async def connect(host: str, port: int) -> TcpStream:
    """See :func:`skywire.net.tcp.connect`."""
    return _Stream(await anyio.connect_tcp(host, port))


async def listen(host: str, port: int) -> TcpListener:
    """See :func:`skywire.net.tcp.listen`."""
    listener = await anyio.create_tcp_listener(local_host=host, local_port=port)
    return _Listener([one for one in listener.listeners if isinstance(one, SocketListener)])


READ_SIZE: Final = 262144
"""Bytes to ask for at a time while a stream is delivered."""
WRITE_SIZE: Final = 65536
"""Bytes to hand on at a time of what the system did not take at once."""


class _Stream(TcpStream):
    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._delivery: CancelScope | None = None
        self._delivery_error: Exception | None = None
        self._aborted = False
        self._unwritten = memoryview(b"")
        self._written_to = Event()
        self._socket = stream.extra(SocketAttribute.raw_socket)
        keep_alive(self._socket)

    @property
    def local(self) -> SocketAddress:
        return plain_address(self._stream.extra(SocketAttribute.local_address))

    @property
    def remote(self) -> SocketAddress:
        try:
            return plain_address(self._stream.extra(SocketAttribute.remote_address))
        except TypedAttributeLookupError:
            raise BrokenResourceError("the connection was over before it was looked at") from None

    async def receive(self, max_bytes: int = 65536) -> bytes:
        return await self._stream.receive(max_bytes)

    async def send(self, item: bytes) -> None:
        await self._stream.send(item)

    async def send_eof(self) -> None:
        try:
            await self._stream.send_eof()
        except OSError as error:
            raise BrokenResourceError from error

    async def aclose(self) -> None:
        self.abort()
        await self._stream.aclose()

    def abort(self) -> None:
        self._aborted = True
        if self._delivery is not None:
            self._delivery.cancel()

    async def deliver(self, sink: Sink) -> None:
        try:
            async with create_task_group() as task_group:
                self._delivery = task_group.cancel_scope
                if self._aborted:
                    task_group.cancel_scope.cancel()
                task_group.start_soon(self._write_on, sink, task_group.cancel_scope)
                await self._read_on(sink)
                task_group.cancel_scope.cancel()
        finally:
            if self._aborted:
                await aclose_forcefully(self._stream)
        if self._aborted:
            raise ClosedResourceError
        if self._delivery_error is not None:
            raise self._delivery_error

    def write(self, parts: Sequence[bytes | memoryview]) -> bool:
        data = b"".join(parts)
        try:
            taken = self._socket.send(data)
        except OSError:  # full; or over, as the delivery is about to notice
            taken = 0
        if taken == len(data):
            return True
        self._unwritten = memoryview(data)[taken:]
        self._written_to.set()
        return False

    @property
    def unsent(self) -> int:
        return len(self._unwritten)

    async def _read_on(self, sink: Sink) -> None:
        try:
            while True:
                sink.data_received(await self._stream.receive(READ_SIZE))
        except EndOfStream:
            pass
        except Exception as error:
            self._delivery_error = error

    async def _write_on(self, sink: Sink, delivery: CancelScope) -> None:
        try:
            while True:
                await self._written_to.wait()
                self._written_to = Event()
                while self._unwritten:
                    await self._stream.send(bytes(self._unwritten[:WRITE_SIZE]))
                    self._unwritten = self._unwritten[WRITE_SIZE:]
                sink.writable()
        except Exception as error:
            self._delivery_error = error
            delivery.cancel()


class _Listener(TcpListener):
    def __init__(self, listeners: list[SocketListener]) -> None:
        self._listeners = listeners

    @property
    def addresses(self) -> list[SocketAddress]:
        return [plain_address(one.extra(SocketAttribute.local_address)) for one in self._listeners]

    async def serve(self, handler: Handler, task_group: TaskGroup, shortage: Callable[[], None]) -> None:
        async with create_task_group() as accepting:
            for listener in self._listeners:
                accepting.start_soon(self._accept_from, listener, handler, task_group, shortage)

    async def aclose(self) -> None:
        async with AsyncExitStack() as stack:  # which closes all of them even when it is cancelled in between
            for listener in self._listeners:
                stack.push_async_callback(listener.aclose)

    @staticmethod
    async def _accept_from(
        listener: SocketListener, handler: Handler, task_group: TaskGroup, shortage: Callable[[], None]
    ) -> None:
        while True:
            try:
                stream = await listener.accept()
            except (OSError, BrokenResourceError) as error:
                reason = error if isinstance(error, OSError) else error.__cause__
                if not isinstance(reason, ConnectionAbortedError):
                    log.warning("cannot take another connection: %s", reason)
                    if isinstance(reason, OSError) and reason.errno in SHORTAGES:
                        shortage()
                    await anyio.sleep(ACCEPT_PAUSE)
                # Anything else is of the one connection that was being taken, which its peer gave up.
                continue
            task_group.start_soon(handler, _Stream(stream))
