"""Records on a local socket: each behind its length, 2 bytes, big-endian. Two lengths are marks without a record."""

from __future__ import annotations

from struct import Struct
from typing import Final, final

from skywire.errors import ProtocolError
from skywire.net.record_buffer import RecordBuffer
from skywire.wire.records import MAX_RECORD, PREFIX_SIZE, Buffer

END: Final = b"\x00\x00"
"""The sender sends no more; the other direction goes on."""
BROKEN: Final = b"\xff\xff"
"""The connection broke."""

_LENGTH: Final = Struct(">H")
_BROKEN_LENGTH: Final = 0xFFFF


@final
class RecordFramer:
    """The sending half of one direction."""

    __slots__ = ()

    def seal_records(self, data: Buffer) -> bytes:
        """``data`` as records of at most 4070 bytes each; no data, no record."""
        size = len(data)
        if 0 < size <= MAX_RECORD:
            return _LENGTH.pack(size) + data
        view = memoryview(data)
        parts: list[Buffer] = []
        for start in range(0, size, MAX_RECORD):
            chunk = view[start : start + MAX_RECORD]
            parts.append(_LENGTH.pack(len(chunk)))
            parts.append(chunk)
        return b"".join(parts)


@final
class FrameReader:
    """The receiving half of one direction. What comes behind a mark or a violation is ignored."""

    __slots__ = ("_input", "_records", "ended", "error")

    def __init__(self) -> None:
        self._input = b""  # less than a frame
        self._records = RecordBuffer()
        self.ended = False
        """Whether the sender said that it sends no more."""
        self.error: ProtocolError | None = None
        """Why nothing more can be read, or None."""

    @property
    def waiting(self) -> bool:
        """Whether something may be taken before more is fed."""
        return self._records.size > 0

    @property
    def partial(self) -> bool:
        """Whether the input ends inside a frame."""
        return bool(self._input)

    def feed(self, data: bytes) -> None:
        """Give more input."""
        if self.ended or self.error is not None:
            return
        data = self._input + data if self._input else data
        start, size = 0, len(data)
        records: list[bytes] = []
        while size - start >= PREFIX_SIZE:
            length = data[start] << 8 | data[start + 1]
            if not 1 <= length <= MAX_RECORD:
                self._mark(length)
                start = size
                break
            end = start + PREFIX_SIZE + length
            if end > size:
                break
            records.append(data[start + PREFIX_SIZE : end])
            start = end
        self._input = data[start:]
        self._records.put(records)

    def take(self, max_bytes: int) -> bytes:
        """As many whole records as fit, or the head of the first; empty when more input is needed."""
        return self._records.take_bytes(max_bytes) if self._records.size else b""

    def take_record(self) -> bytes:
        """One record, or what :meth:`take` left of one; empty when more input is needed."""
        return self._records.take_record() if self._records.size else b""

    def _mark(self, length: int) -> None:
        if length == 0:
            self.ended = True
        elif length == _BROKEN_LENGTH:
            self.error = ProtocolError("it broke on its way to the other process")
        else:
            self.error = ProtocolError(f"a record announces {length} bytes, allowed are 1 to {MAX_RECORD}")
