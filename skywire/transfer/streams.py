"""Messages and pieces over a connection, with a limit on how long nothing may move."""

from __future__ import annotations

from typing import Final, Protocol, final

from anyio import BrokenResourceError, EndOfStream, fail_after

from skywire.errors import ProtocolError
from skywire.keys import PubKey
from skywire.transfer.errors import Interrupted, Stalled
from skywire.wire.transfer import Message, TransferReader, encode_message

READ_SIZE: Final = 262144
"""Most bytes to take from a connection at a time."""


class Remote(Protocol):
    """Who is at the other end; its text is for people."""

    @property
    def pk(self) -> PubKey:
        """Its key, which is proven."""
        ...


class Carrier(Protocol):
    """What carries a transfer: a :class:`skywire.net.conn.Conn`, or any stream of bytes whose other end is known."""

    @property
    def remote(self) -> Remote:
        """The other end."""
        ...

    async def receive(self, max_bytes: int = ..., /) -> bytes:
        """As streams of anyio."""
        ...

    async def send(self, item: bytes, /) -> None:
        """As streams of anyio."""
        ...


@final
class TransferStream:
    """A connection, as both ends of a transfer use it.

    Args:
        conn: carries it; not closed here.
        stall_seconds: for the peer to take or give anything.
    """

    def __init__(self, conn: Carrier, stall_seconds: float) -> None:
        self._conn = conn
        self._stall_seconds = stall_seconds
        self._reader = TransferReader()
        self._events: list[Message | bytes] = []

    async def tell(self, message: Message) -> None:
        """Send a message; see :meth:`send`."""
        await self.send(encode_message(message))

    async def send(self, data: bytes) -> None:
        """Send frames.

        Raises:
            Stalled: the peer does not take them.
            Interrupted: the connection broke.
        """
        try:
            with fail_after(self._stall_seconds):
                await self._conn.send(data)
        except TimeoutError:
            raise Stalled(f"{self._conn.remote} took nothing for {self._stall_seconds:g} s") from None
        except BrokenResourceError as error:
            raise Interrupted(str(error) or f"the connection to {self._conn.remote} broke") from error

    async def next_message(self) -> Message:
        """The next message, where a piece has no place.

        Raises:
            ProtocolError: a piece comes, or a rule is broken.
            Stalled, Interrupted: as :meth:`next_events`.
        """
        if not self._events:
            self._events = await self.next_events()
        event = self._events.pop(0)
        if isinstance(event, bytes):
            raise ProtocolError(f"{self._conn.remote} sends a piece where none belongs")
        return event

    async def next_events(self) -> list[Message | bytes]:
        """What comes next, at least one message or piece.

        Raises:
            ProtocolError: a rule is broken.
            Stalled: nothing comes.
            Interrupted: the connection ended.
        """
        events, self._events = self._events, []
        try:
            with fail_after(self._stall_seconds):  # for all of a message: its bytes could come one in a minute
                while not events:
                    if self._reader.error is not None:
                        raise ProtocolError(f"{self._conn.remote}: {self._reader.error}") from self._reader.error
                    events = self._reader.receive(await self._receive())
        except TimeoutError:
            raise Stalled(f"nothing came from {self._conn.remote} for {self._stall_seconds:g} s") from None
        return events

    async def _receive(self) -> bytes:
        try:
            return await self._conn.receive(READ_SIZE)
        except EndOfStream:
            raise Interrupted(f"{self._conn.remote} ended the connection") from None
        except BrokenResourceError as error:
            raise Interrupted(str(error) or f"the connection to {self._conn.remote} broke") from error
