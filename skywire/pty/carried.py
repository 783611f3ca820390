"""A connection that carries a file, whatever it goes through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from anyio.abc import ByteStream

from skywire.keys import PubKey


@final
@dataclass(frozen=True, slots=True)
class FarEnd:
    """Who is at the other end.

    Args:
        pk: its key, which is proven.
    """

    pk: PubKey

    def __str__(self) -> str:
        return str(self.pk)


@final
class Carried:
    """See :class:`skywire.transfer.streams.Carrier`.

    Args:
        stream: carries it; not closed here.
        peer: the key of the other end.
    """

    def __init__(self, stream: ByteStream, peer: PubKey) -> None:
        self._stream = stream
        self.remote: Final = FarEnd(peer)

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """See :class:`anyio.abc.ByteStream`."""
        return await self._stream.receive(max_bytes)

    async def send(self, item: bytes) -> None:
        """See :class:`anyio.abc.ByteStream`."""
        await self._stream.send(item)
