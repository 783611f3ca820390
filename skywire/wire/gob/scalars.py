"""The primitive encodings of gob: unsigned and signed integers, floats and blobs.

Readers take a whole message and a position, and return the value and the position behind it. They let ``IndexError``
out where a message ends early; whoever holds the message turns it into :class:`GobError`.

Source: protocol-dmsg.md section 4.3.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from skywire.errors import ProtocolError

MAX_UINT: Final = 2**64 - 1
MAX_INT: Final = 2**63 - 1
MIN_INT: Final = -(2**63)

_INLINE: Final = 0x80
"""Integers below are one byte; a byte from here on says how many bytes follow."""
_MAX_UINT_BYTES: Final = 8
_FLOAT: Final = Struct("<d")


class GobError(ProtocolError):
    """Bytes received from a peer are no gob, exceed a limit, or do not fit the type that was expected."""


def read_uint(data: bytes | bytearray, pos: int) -> tuple[int, int]:
    """An unsigned integer; leading zero bytes are accepted.

    Raises:
        GobError: longer than 8 bytes, or the bytes end inside it.
        IndexError: there is not even a first byte.
    """
    first = data[pos]
    if first < _INLINE:
        return first, pos + 1
    size = 256 - first
    if size > _MAX_UINT_BYTES:
        raise GobError(f"an integer announces {size} bytes, the limit is {_MAX_UINT_BYTES}")
    end = pos + 1 + size
    if end > len(data):
        raise GobError("the message ends inside an integer")
    return int.from_bytes(data[pos + 1 : end]), end


def read_int(data: bytes, pos: int) -> tuple[int, int]:
    """A signed integer; raises as :func:`read_uint`."""
    value, pos = read_uint(data, pos)
    return (~(value >> 1) if value & 1 else value >> 1), pos


def read_bool(data: bytes, pos: int) -> tuple[bool, int]:
    """A truth value: any integer but 0 is true; raises as :func:`read_uint`."""
    value, pos = read_uint(data, pos)
    return value != 0, pos


def read_float(data: bytes, pos: int) -> tuple[float, int]:
    """A float of 64 bits; raises as :func:`read_uint`."""
    value, pos = read_uint(data, pos)
    number: float = _FLOAT.unpack(value.to_bytes(_MAX_UINT_BYTES))[0]
    return number, pos


def read_bytes(data: bytes, pos: int) -> tuple[bytes, int]:
    """A length and as many bytes.

    Raises:
        GobError: longer than what is left, or as :func:`read_uint`.
        IndexError: there is not even a first byte.
    """
    length, pos = read_uint(data, pos)
    end = pos + length
    if end > len(data):
        raise GobError(f"a blob of {length} bytes is longer than the rest of its message")
    return data[pos:end], end


def read_string(data: bytes, pos: int) -> tuple[str, int]:
    """A length and as many bytes of UTF-8; raises as :func:`read_bytes`, and ``GobError`` when it is not UTF-8."""
    blob, pos = read_bytes(data, pos)
    try:
        return blob.decode(), pos
    except UnicodeDecodeError:
        raise GobError("a string is not UTF-8") from None


def write_uint(out: bytearray, value: int) -> None:
    """Append an integer from 0 to ``MAX_UINT``, in its shortest form."""
    if value < _INLINE:
        out.append(value)
    else:
        size = (value.bit_length() + 7) >> 3
        out.append(256 - size)
        out += value.to_bytes(size)


def write_int(out: bytearray, value: int) -> None:
    """Append an integer from ``MIN_INT`` to ``MAX_INT``, in its shortest form."""
    write_uint(out, value << 1 if value >= 0 else ~value << 1 | 1)


def write_float(out: bytearray, value: float) -> None:
    """Append a float of 64 bits."""
    write_uint(out, int.from_bytes(_FLOAT.pack(value)))


def write_bytes(out: bytearray, value: bytes) -> None:
    """Append a length and the bytes."""
    write_uint(out, len(value))
    out += value
