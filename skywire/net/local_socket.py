"""A connected local socket as a byte stream that also carries descriptors.

Not anyio's own stream: that one, on asyncio, can call back into a wait that was cancelled at the same moment.
"""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Callable
from typing import Final, TypeVar, final

from anyio import (
    BrokenResourceError,
    ClosedResourceError,
    EndOfStream,
    ResourceGuard,
    notify_closing,
    wait_readable,
    wait_writable,
)
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.lowlevel import checkpoint

T = TypeVar("T")

_DESCRIPTOR_SIZE: Final = array.array("i").itemsize


@final
class LocalSocket(ByteStream):
    """See :class:`anyio.abc.ByteStream`, whose errors it has.

    Args:
        sock: owned, and closed, by this.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._closed = False
        self._receiving = ResourceGuard("receiving from")
        self._sending = ResourceGuard("sending to")

    @classmethod
    async def of(cls, stream: SocketStream) -> LocalSocket:
        """The socket of one of anyio's streams, which is of no use any more."""
        try:
            return cls(stream.extra(SocketAttribute.raw_socket).dup())
        finally:
            await stream.aclose()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Between 1 and ``max_bytes`` bytes; descriptors that come with them are closed by the system."""
        with self._receiving:
            data = await self._when_readable(lambda: self._socket.recv(max_bytes))
        if not data:
            raise EndOfStream
        return data

    async def receive_with_descriptor(self, max_bytes: int) -> tuple[bytes, socket.socket | None]:
        """The same, and the socket that came with it."""
        space = socket.CMSG_LEN(_DESCRIPTOR_SIZE)
        with self._receiving:
            data, ancillary, _, _ = await self._when_readable(lambda: self._socket.recvmsg(max_bytes, space))
        if not data:
            raise EndOfStream
        came: socket.socket | None = None
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS and len(content) >= _DESCRIPTOR_SIZE:
                (descriptor,) = array.array("i", content[:_DESCRIPTOR_SIZE])
                os.set_inheritable(descriptor, False)
                came = socket.socket(fileno=descriptor)
        return data, came

    async def send(self, item: bytes) -> None:
        """Send all of it."""
        with self._sending:
            await checkpoint()
            view = memoryview(item)
            while view:
                view = view[await self._when_writable(lambda: self._socket.send(view)) :]  # noqa: B023 - called at once

    async def send_with_descriptor(self, item: bytes, descriptor: int) -> None:
        """Send a few bytes and a descriptor with them."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        with self._sending:
            await checkpoint()
            sent = await self._when_writable(lambda: self._socket.sendmsg([item], rights))
        if sent != len(item):
            raise BrokenResourceError

    async def send_eof(self) -> None:
        """End this direction."""
        with self._sending:
            await checkpoint()
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError as error:
                raise self._failure() from error

    async def aclose(self) -> None:
        """Close both directions. Idempotent."""
        if not self._closed:
            self._closed = True
            notify_closing(self._socket)
            self._socket.close()
        await checkpoint()

    async def _when_readable(self, attempt: Callable[[], T]) -> T:
        await checkpoint()
        while True:
            try:
                return attempt()
            except BlockingIOError:
                await wait_readable(self._socket)
            except OSError as error:
                raise self._failure() from error

    async def _when_writable(self, attempt: Callable[[], T]) -> T:
        while True:
            try:
                return attempt()
            except BlockingIOError:
                await wait_writable(self._socket)
            except OSError as error:
                raise self._failure() from error

    def _failure(self) -> ClosedResourceError | BrokenResourceError:
        return ClosedResourceError() if self._closed else BrokenResourceError()
