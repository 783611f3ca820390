"""The transport of an asyncio protocol whose bytes go through a byte stream instead of a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, final

SOCKET_APP: Final = "skywire.socket_app"
"""Which of the transport's extra information is the application that serves websockets on it."""
SEND_SIZE: Final = 65536
"""Most bytes to hand to the stream at a time, so that a limit in seconds means a rate."""
HIGH_WATER: Final = 65536
"""Bytes waiting to be sent from which on the protocol is asked to write no more; a client that does not read costs
them."""
LOW_WATER: Final = 16384
"""Bytes waiting to be sent from which on it may go on."""


@final
class StreamTransport(asyncio.Transport):
    """Keeps what the protocol writes until :meth:`next_to_send` takes it, and says when the protocol wants to read.

    Args:
        protocol: writes, and is told to pause.
        client: the other end, for the protocol to know.
        server: this end.
        extra: what else the protocol may want to know of the connection.
    """

    def __init__(
        self,
        protocol: asyncio.Protocol,
        *,
        client: tuple[str, int],
        server: tuple[str, int],
        extra: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        super().__init__({**extra, "peername": client, "sockname": server})
        self.protocol = protocol
        """Writes now: another one once it has been replaced."""
        self._unsent = bytearray()
        self._paused = False
        self._closing = False
        self._written_to = asyncio.Event()
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._roomy = asyncio.Event()
        self._roomy.set()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Have another protocol write from now on."""
        assert isinstance(protocol, asyncio.Protocol)
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The one that writes now."""
        return self.protocol

    async def roomy(self) -> None:
        """Wait until what was written has been taken, but for a little, or nothing more is."""
        await self._roomy.wait()

    async def wanted(self) -> None:
        """Wait until the protocol takes more, or until there is nothing it could be fed any more."""
        await self._wanted.wait()

    async def next_to_send(self) -> bytes:
        """Wait for bytes that were written.

        Returns:
            At least one byte; none when the transport is closed and everything was taken.
        """
        while not self._unsent and not self._closing:
            self._written_to.clear()
            await self._written_to.wait()
        piece = bytes(self._unsent[:SEND_SIZE])
        del self._unsent[:SEND_SIZE]
        if self._paused and len(self._unsent) <= LOW_WATER:
            self._paused = False
            self._roomy.set()
            self.protocol.resume_writing()
        return piece

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep ``data`` for :meth:`next_to_send`; after the end it is dropped."""
        if self._closing:
            return
        self._unsent += data
        self._written_to.set()
        if not self._paused and len(self._unsent) > HIGH_WATER:
            self._paused = True
            self._roomy.clear()
            self.protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        """Bytes that wait to be taken."""
        return len(self._unsent)

    def close(self) -> None:
        """Take no more; what was written before is still sent."""
        self._closing = True
        self._written_to.set()
        self._wanted.set()
        self._roomy.set()

    def is_closing(self) -> bool:
        """Whether it takes no more."""
        return self._closing

    def pause_reading(self) -> None:
        """Feed the protocol no more for now."""
        if not self._closing:
            self._wanted.clear()

    def resume_reading(self) -> None:
        """Feed the protocol again."""
        self._wanted.set()
