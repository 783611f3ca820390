"""yamux frames: a header of 12 bytes, and a body behind the header of a data frame.

Header, big-endian: version (1 byte, 0), type (1), flags (2), stream id (4), length (4). Here version, type and flags
are one number, the *word*, so that the word of a plain data frame is 0.

Source: protocol-dmsg.md section 3.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from typing import Final, TypeAlias, final

from skywire.errors import ProtocolError

HEADER_SIZE: Final = 12
"""Bytes of a header."""

SYN: Final = 1
"""Flag: the first frame of a stream; on a ping, a question."""
ACK: Final = 2
"""Flag: the stream was accepted; on a ping, an answer."""
FIN: Final = 4
"""Flag: the sender sends no more bytes on this stream."""
RST: Final = 8
"""Flag: the stream is over in both directions, at once."""
FLAG_BITS: Final = 0xFFFF
"""The part of a word that holds the flags; bits without a meaning are ignored, as upstream does."""

TYPE_SHIFT: Final = 16
"""How many bits of a word lie below its type."""
DATA: Final = 0 << TYPE_SHIFT
"""Word of a data frame; length counts the bytes of its body."""
WINDOW_UPDATE: Final = 1 << TYPE_SHIFT
"""Word of a window update; length is added to what its receiver may send."""
PING: Final = 2 << TYPE_SHIFT
"""Word of a ping; length is an opaque id, which the answer repeats."""
GO_AWAY: Final = 3 << TYPE_SHIFT
"""Word of a go-away; length is a :class:`GoAwayReason`."""
CONTINUED: Final = -1
"""Stands in for the word where a piece goes on with the body that the last input ended in."""

_LAST_WORD: Final = GO_AWAY | FLAG_BITS
_VERSION_SHIFT: Final = 24
_HEADER: Final = Struct(">III")


@final
class GoAwayReason(IntEnum):
    """Why a side takes no more streams; anything but NORMAL ends the session."""

    NORMAL = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2


Piece: TypeAlias = tuple[int, int, int, int, int]
"""A header and what the input holds of its body, or CONTINUED and more of a body that an earlier input began.

Word or CONTINUED; stream id; length, for CONTINUED the bytes still missing; then where the body starts and stops in the
input. The body is complete when ``stop - start == length``.
"""


def encode_header(word: int, stream_id: int, length: int) -> bytes:
    """The 12 bytes of a header.

    Args:
        word: a type combined with flags, for instance ``WINDOW_UPDATE | SYN``.
        stream_id: uint32; 0 for pings and go-aways.
        length: uint32.
    """
    return _HEADER.pack(word, stream_id, length)


@final
class FrameReader:
    """Cuts a received byte stream into headers and pieces of bodies, without copying the bodies.

    It keeps no more than an incomplete header between inputs.
    """

    __slots__ = ("_head", "_missing", "_stream_id")

    def __init__(self) -> None:
        self._head = b""
        self._missing = 0
        self._stream_id = 0

    @property
    def partial(self) -> bool:
        """Whether the input so far ends inside a frame."""
        return bool(self._head) or self._missing > 0

    def lone_body(self, data: bytes) -> int:
        """The stream of an input that is exactly one plain data frame with a body, as a small message is; else 0.

        Such an input need not be :meth:`cut`.
        """
        if self._missing or self._head or len(data) <= HEADER_SIZE:
            return 0
        word, stream_id, length = _HEADER.unpack_from(data)
        return int(stream_id) if word == DATA and length == len(data) - HEADER_SIZE else 0

    def cut(self, data: bytes) -> Iterator[Piece]:
        """The pieces that ``data`` holds, in order; they must all be taken before the next input.

        Raises:
            ProtocolError: a header has an unknown version or type. Pieces before it have been handed out.
        """
        size = len(data)
        head, start = self._head, 0
        if self._missing and size:
            length, start = self._missing, min(self._missing, size)
            self._missing = length - start
            yield CONTINUED, self._stream_id, length, 0, start
        elif head:
            start = HEADER_SIZE - len(head)
            head += data[:start]
            if len(head) < HEADER_SIZE:
                self._head = head
                return
            self._head = b""
        while True:
            if head:
                word, stream_id, length = _HEADER.unpack(head)
                head = b""
            elif start + HEADER_SIZE <= size:
                word, stream_id, length = _HEADER.unpack_from(data, start)
                start += HEADER_SIZE
            else:
                break
            if word > _LAST_WORD:
                raise ProtocolError(_unknown(word))
            stop = start + length if word < WINDOW_UPDATE else start
            if stop > size:
                self._missing, self._stream_id = stop - size, stream_id
                stop = size
            yield word, stream_id, length, start, stop
            start = stop
        self._head = data[start:]


def _unknown(word: int) -> str:
    if version := word >> _VERSION_SHIFT:
        return f"a frame of yamux version {version}, only 0 is known"
    return f"a frame of type {word >> TYPE_SHIFT}, known are 0 to {GO_AWAY >> TYPE_SHIFT}"
