"""Decoding of a long-lived gob stream, as under net/rpc, whose messages come in pieces.

Source: protocol-dmsg.md section 4.3 and 7.3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, final

from skywire.wire.gob.definitions import MAX_TYPES, TypeTable
from skywire.wire.gob.readers import Reader, message_reader
from skywire.wire.gob.scalars import GobError, read_int, read_uint
from skywire.wire.gob.types import GobType, GobValue

MAX_MESSAGE_SIZE: Final = 128 * 1024
"""Bytes of one message in a stream: twice the largest piece of terminal output."""


def message_span(data: bytes | bytearray, start: int, limit: int) -> tuple[int, int] | None:
    """Where the message that begins at ``start`` with its length has its first byte, and where it ends.

    Args:
        data: what there is so far.
        start: position of the length.
        limit: largest length to accept, in bytes.

    Returns:
        Two positions, or None while the message is incomplete.

    Raises:
        GobError: the length is malformed, 0, or above the limit.
    """
    available = len(data) - start
    if not available or available < _length_size(data[start]):
        return None
    length, begin = read_uint(data, start)
    if not 0 < length <= limit:
        raise GobError(f"a message announces {length} bytes, allowed are 1 to {limit}")
    end = begin + length
    return (begin, end) if end <= len(data) else None


def _length_size(first: int) -> int:
    """Bytes of an integer that begins with ``first``; 1 also for one that is too long, which is an error at once."""
    return 257 - first if first >= 0xF8 else 1


class Plans:
    """Readers for the types of one stream, each compiled at its first use."""

    __slots__ = ("_readers", "_table")

    def __init__(self, table: TypeTable) -> None:
        self._table = table
        self._readers: dict[tuple[GobType, int], Reader] = {}

    def read(self, schema: GobType, type_id: int, body: bytes) -> GobValue:
        """See :meth:`Message.decode`."""
        key = schema, type_id
        read = self._readers.get(key)
        if read is None:
            read = self._readers[key] = message_reader(schema, type_id, self._table.types)
        return read_value(read, body, 0)


def read_value(read: Reader, message: bytes, pos: int) -> GobValue:
    """The value in ``message`` at ``pos``; what follows it is ignored, as Go does.

    Raises:
        GobError: damaged, or it ends early.
    """
    try:
        return read(message, pos)[0]
    except IndexError:
        raise GobError("a value ends early") from None


@final
@dataclass(frozen=True, slots=True)
class Message:
    """A value that has arrived; what it is expected to be can be said later."""

    type_id: int
    """The peer's number of its type."""
    body: bytes
    """The encoded value."""
    _plans: Plans = field(repr=False, compare=False)

    def decode(self, schema: GobType) -> GobValue:
        """The value, fitted to ``schema``.

        Raises:
            GobError: it does not fit, or is damaged. The stream can be read on.
        """
        return self._plans.read(schema, self.type_id, self.body)


@final
class Decoder:
    """The receiving half of one direction.

    The first violation ends it: it is kept in :attr:`error`, messages before it are still handed out, input after it is
    ignored.

    Args:
        max_message: largest message to accept, in bytes.
        max_types: most type definitions to accept.
    """

    __slots__ = ("_buffer", "_max_message", "_owes_value", "_plans", "_table", "error")

    def __init__(self, *, max_message: int = MAX_MESSAGE_SIZE, max_types: int = MAX_TYPES) -> None:
        self._buffer = bytearray()
        self._max_message = max_message
        self._table = TypeTable(max_types)
        self._plans = Plans(self._table)
        self._owes_value = False
        self.error: GobError | None = None
        """Why nothing more can be read, or None."""

    @property
    def partial(self) -> bool:
        """Whether the input so far ends inside a message, or behind definitions without a value; not after an error."""
        return self.error is None and (bool(self._buffer) or self._owes_value)

    def receive(self, data: bytes) -> list[Message]:
        """The values that ``data`` completes."""
        messages: list[Message] = []
        if self.error is not None:
            return messages
        self._buffer += data
        try:
            self._take(messages)
        except GobError as error:
            self.error = error
            self._buffer.clear()
        return messages

    def _take(self, messages: list[Message]) -> None:
        start = 0
        while (span := message_span(self._buffer, start, self._max_message)) is not None:
            begin, start = span
            message = bytes(self._buffer[begin:start])
            type_id, pos = read_int(message, 0)
            self._owes_value = type_id < 0
            if type_id < 0:
                self._table.define(-type_id, message, pos)
            else:
                self._table.require(type_id)
                messages.append(Message(type_id, message[pos:], self._plans))
        del self._buffer[:start]
