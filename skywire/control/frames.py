"""JSON messages on a byte stream, each behind its length: 4 bytes, big-endian."""

from __future__ import annotations

import json
from contextlib import suppress
from struct import Struct
from typing import Final, final

from anyio import ClosedResourceError, EndOfStream, IncompleteRead, Lock
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream

from skywire.errors import ProtocolError

MAX_MESSAGE: Final = 4 << 20
"""Bytes of the longest message: the state of a node with a thousand apps has half of it."""

_LENGTH: Final = Struct(">I")


@final
class MessageStream:
    """Sends and receives JSON objects.

    Args:
        stream: carries them; owned, and closed, by this.
    """

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._input = BufferedByteReceiveStream(stream)
        self._sending = Lock()

    async def receive(self) -> dict[str, object]:
        """The next message.

        Raises:
            EndOfStream: the peer has ended the connection.
            BrokenResourceError: it broke.
            ProtocolError: it sent something else.
        """
        try:
            (length,) = _LENGTH.unpack(await self._input.receive_exactly(_LENGTH.size))
        except IncompleteRead:
            raise EndOfStream from None
        if length > MAX_MESSAGE:
            raise ProtocolError(f"a message announces {length} bytes, the limit is {MAX_MESSAGE}")
        try:
            message = json.loads(await self._input.receive_exactly(length))
        except IncompleteRead:
            raise EndOfStream from None
        except (ValueError, RecursionError) as error:
            raise ProtocolError(f"a message is no JSON: {error}") from None
        if not isinstance(message, dict):
            raise ProtocolError("a message is a JSON object")
        return message

    async def send(self, message: dict[str, object]) -> None:
        """Send a message; tasks take turns.

        Raises:
            BrokenResourceError: the connection broke.
            ProtocolError: the message is too long.
        """
        body = json.dumps(message, separators=(",", ":")).encode()
        if len(body) > MAX_MESSAGE:
            raise ProtocolError(f"a message would have {len(body)} bytes, the limit is {MAX_MESSAGE}")
        async with self._sending:
            await self._stream.send(_LENGTH.pack(len(body)) + body)

    async def aclose(self) -> None:
        """Close the connection. Idempotent."""
        with suppress(ClosedResourceError):
            await self._stream.aclose()
