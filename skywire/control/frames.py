"""JSON messages on a byte stream, each behind its length: 4 bytes, big-endian."""

from __future__ import annotations

import json
from contextlib import suppress
from struct import Struct
from typing import Final, final

from anyio import BrokenResourceError, ClosedResourceError, EndOfStream, IncompleteRead, Lock, move_on_after
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint_if_cancelled
from anyio.streams.buffered import BufferedByteReceiveStream

from skywire.errors import ProtocolError

MAX_MESSAGE: Final = 4 << 20
"""Bytes of the longest message: the state of a node with a thousand apps has half of it."""
SEND_SECONDS: Final = 30.0
"""For the peer to take a message; whoever does not is left."""
RECEIVE_SECONDS: Final = 60.0
"""For a message to come in, from its first byte; one that does not would hold what came of it for ever."""

_LENGTH: Final = Struct(">I")


@final
class MessageStream:
    """Sends and receives JSON objects.

    Args:
        stream: carries them; owned, and closed, by this.
        limit: bytes of the longest message, either way.
    """

    def __init__(self, stream: ByteStream, limit: int = MAX_MESSAGE) -> None:
        self._stream = stream
        self._limit = limit
        self._input = BufferedByteReceiveStream(stream)
        self._sending = Lock()
        self._torn = False  # whether a message may have gone out in part, so that none can follow

    async def receive(self) -> dict[str, object]:
        """The next message.

        Raises:
            EndOfStream: the peer has ended the connection.
            BrokenResourceError: it broke.
            ProtocolError: it sent something else, or stopped in the middle.
        """
        first = await self._input.receive(1)
        body: bytes | None = None
        with move_on_after(RECEIVE_SECONDS):
            body = await self._receive_body(first)
        if body is None:
            raise ProtocolError(f"a message has not come within {RECEIVE_SECONDS:g} s")
        try:
            message = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ProtocolError(f"a message is no JSON: {error}") from None
        if not isinstance(message, dict):
            raise ProtocolError("a message is a JSON object")
        return message

    async def send(self, message: dict[str, object]) -> None:
        """Send a message; tasks take turns. What has begun to go out goes out whole, even if the caller is cancelled.

        Raises:
            BrokenResourceError: the connection broke, or the peer does not read.
            ProtocolError: the message is too long.
        """
        body = json.dumps(message, separators=(",", ":")).encode()
        if len(body) > self._limit:
            raise ProtocolError(f"a message would have {len(body)} bytes, the limit is {self._limit}")
        async with self._sending:
            await checkpoint_if_cancelled()
            if self._torn:
                raise BrokenResourceError
            self._torn = True
            with move_on_after(SEND_SECONDS, shield=True):
                await self._stream.send(_LENGTH.pack(len(body)) + body)
                self._torn = False
            if self._torn:
                raise BrokenResourceError

    async def _receive_body(self, first: bytes) -> bytes:
        try:
            (length,) = _LENGTH.unpack(first + await self._input.receive_exactly(_LENGTH.size - len(first)))
            if length > self._limit:
                raise ProtocolError(f"a message announces {length} bytes, the limit is {self._limit}")
            return await self._input.receive_exactly(length)
        except IncompleteRead:
            raise EndOfStream from None

    async def aclose(self) -> None:
        """Close the connection. Idempotent."""
        with suppress(ClosedResourceError):
            await self._stream.aclose()
