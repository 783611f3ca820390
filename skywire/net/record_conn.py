"""A connection whose bytes travel as records over some byte stream: TCP, or a stream of a relay session."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol, final

from anyio import BrokenResourceError, BusyResourceError, ClosedResourceError, EndOfStream
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint_if_cancelled

from skywire.errors import ProtocolError
from skywire.net.address import Address
from skywire.net.conn import Conn, Owner, check_record
from skywire.net.errors import HalfCloseUnsupported, StreamBroken
from skywire.wire.noise import TransportKeys
from skywire.wire.records import MAX_RECORD, Buffer, RecordReader, Sealer

READ_SIZE: Final = 262144
"""Most bytes to ask of the stream below at a time: many records are opened per wake-up."""
WRITE_SIZE: Final = 262144
"""Most bytes to seal before they are handed on, so that a large send needs little memory."""


class Framer(Protocol):
    """Puts records into the form in which they travel."""

    def seal_records(self, data: Buffer) -> bytes:
        """``data`` as records of at most 4070 bytes each; no data, no record."""
        ...


class Reader(Protocol):
    """Takes records out of that form; see :class:`skywire.wire.records.RecordReader`."""

    @property
    def waiting(self) -> bool:
        """Whether something may be taken before more is fed."""
        ...

    @property
    def error(self) -> ProtocolError | None:
        """Why nothing more can be read, or None."""
        ...

    @property
    def partial(self) -> bool:
        """Whether the input ends inside a record; to be asked when all was taken."""
        ...

    def feed(self, data: bytes) -> None:
        """Give more input."""
        ...

    def take(self, max_bytes: int) -> bytes:
        """As many whole records as fit, or the head of the first; empty when more input is needed."""
        ...

    def take_record(self) -> bytes:
        """One record, or what :meth:`take` left of one; empty when more input is needed."""
        ...


class FramedConn(Conn):
    """A connection whose records travel over a byte stream in some form; see :class:`skywire.net.conn.Conn`.

    Args:
        stream: carries the records; owned, and closed, by this connection.
        framer: makes that form.
        reader: reads it.
        local: this end.
        remote: the other end; its key is proven.
        owner: on whose behalf it exists.
        half_close: whether one direction can end alone.
    """

    def __init__(
        self,
        stream: ByteStream,
        framer: Framer,
        reader: Reader,
        *,
        local: Address,
        remote: Address,
        owner: Owner,
        half_close: bool,
    ) -> None:
        super().__init__(local=local, remote=remote, owner=owner)
        self.half_close = half_close
        self._stream = stream
        self._sealer = framer
        self._reader = reader
        self._receiving = False
        self._sending = False
        self._send_in_doubt = False
        self._sending_ended = False

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """See :meth:`Conn.receive`."""
        if max_bytes < 1:
            raise ValueError(f"at least 1 byte must be asked for, not {max_bytes}")
        return await self._receive(max_bytes)

    async def receive_record(self) -> bytes:
        """See :meth:`Conn.receive_record`."""
        return await self._receive(None)

    async def receive_records(self, max_bytes: int) -> list[bytes]:
        """See :meth:`Conn.receive_records`."""
        records = [await self._receive(None)]
        size = len(records[0])
        while self._reader.waiting and size + MAX_RECORD <= max_bytes and (record := self._reader.take_record()):
            records.append(record)
            size += len(record)
        self.bytes_in += size - len(records[0])
        return records

    async def send(self, item: bytes) -> None:
        """See :meth:`Conn.send`."""
        self._check_sending()
        size = len(item)
        first = self._sealer.seal_records(item if size <= WRITE_SIZE else memoryview(item)[:WRITE_SIZE])
        rest = (
            self._sealer.seal_records(memoryview(item)[start : start + WRITE_SIZE])
            for start in range(WRITE_SIZE, size, WRITE_SIZE)
        )
        await self._send(first, rest)
        self.bytes_out += size

    async def send_records(self, records: Sequence[bytes]) -> None:
        """See :meth:`Conn.send_records`."""
        for record in records:
            check_record(record)
        self._check_sending()
        await self._send(b"".join(map(self._sealer.seal_records, records)))
        self.bytes_out += sum(map(len, records))

    async def send_record(self, data: bytes) -> None:
        """See :meth:`Conn.send_record`."""
        check_record(data)
        await self.send(data)

    async def send_eof(self) -> None:
        """End this direction; the other one goes on. Idempotent.

        Raises:
            HalfCloseUnsupported: the network has no way to do so.
        """
        if not self.half_close:
            raise HalfCloseUnsupported(f"the {self.network} network cannot end one direction of a connection only")
        if self._sending:
            raise BusyResourceError("sending to")
        if not self._sending_ended:
            self._sending_ended = True
            try:
                await self._stream.send_eof()
            except BrokenResourceError as error:
                raise StreamBroken(f"the connection to {self.remote} broke") from error

    async def aclose(self) -> None:
        """Close both directions. Idempotent."""
        self.closed = True
        await self._stream.aclose()

    def _check_sending(self) -> None:
        if self._sending:
            raise BusyResourceError("sending to")
        if self._sending_ended:
            raise ClosedResourceError
        if self._send_in_doubt:
            raise StreamBroken(f"an earlier send to {self.remote} failed or was cancelled midway; dial again")

    async def _send(self, first: bytes, rest: Iterable[bytes] = ()) -> None:
        """Hand on what :meth:`_check_sending` has let through."""
        self._sending = self._send_in_doubt = True
        try:
            await self._stream.send(first)
            for data in rest:
                await self._stream.send(data)
            # Left by an exception, some of these bytes may be on their way: no later record could follow them.
            self._send_in_doubt = False
        except BrokenResourceError as error:
            raise StreamBroken(f"the connection to {self.remote} broke") from error
        finally:
            self._sending = False

    async def _receive(self, max_bytes: int | None) -> bytes:
        """Up to so many bytes, or one record."""
        if self._receiving:
            raise BusyResourceError("receiving from")
        if self.closed:
            raise ClosedResourceError
        reader = self._reader
        self._receiving = True
        try:
            if reader.waiting:
                # What one read brought is bounded, so other tasks get their turn without a full checkpoint here.
                await checkpoint_if_cancelled()
            else:
                await self._feed()
            while not (data := reader.take_record() if max_bytes is None else reader.take(max_bytes)):
                await self._feed()
        finally:
            self._receiving = False
        self.bytes_in += len(data)
        return data

    async def _feed(self) -> None:
        """Give the reader more input."""
        reader = self._reader
        if reader.error is not None:
            raise StreamBroken(f"the connection to {self.remote} was ended: {reader.error}") from reader.error
        try:
            reader.feed(await self._stream.receive(READ_SIZE))
        except EndOfStream:
            if reader.partial:
                raise StreamBroken(f"the connection to {self.remote} ended inside a record") from None
            raise
        except BrokenResourceError as error:
            raise StreamBroken(f"the connection to {self.remote} broke") from error


@final
class RecordConn(FramedConn):
    """A connection of sealed records.

    Args:
        stream: carries the records; owned, and closed, by this connection.
        keys: of the finished handshake.
        local: this end.
        remote: the other end; its key is proven.
        owner: on whose behalf it exists.
        half_close: whether ending one direction of ``stream`` leaves the other.
        received: what already came behind the handshake.
        post_quantum: whether the keys also depend on a post-quantum secret.
    """

    def __init__(
        self,
        stream: ByteStream,
        keys: TransportKeys,
        *,
        local: Address,
        remote: Address,
        owner: Owner,
        half_close: bool,
        received: bytes = b"",
        post_quantum: bool = False,
    ) -> None:
        reader = RecordReader(keys.receive)
        super().__init__(
            stream, Sealer(keys.send), reader, local=local, remote=remote, owner=owner, half_close=half_close
        )
        self.post_quantum: Final = post_quantum
        """Whether recorded traffic stays closed to an adversary with a quantum computer."""
        if received:
            reader.feed(received)
