"""Encoding and decoding of objects that are a whole gob stream each: definitions, then one value.

Source: protocol-dmsg.md section 4.3.
"""

from __future__ import annotations

import functools
from typing import Final, final

from skywire.wire.gob.decode import message_span, read_value
from skywire.wire.gob.definitions import MAX_TYPES, TypeIds, TypeTable, definitions
from skywire.wire.gob.readers import Reader, message_reader
from skywire.wire.gob.scalars import GobError, read_int, write_int, write_uint
from skywire.wire.gob.types import GobType, GobValue
from skywire.wire.gob.writers import message_writer

MAX_OBJECT_SIZE: Final = 0xFFFF
"""Bytes of one object, which travels behind a length of 16 bits."""
_PLANS_KEPT: Final = 64
"""Definition prefixes per codec whose reader is kept: peers' processes differ in the ids that they give to types."""
_MAX_KEPT_PREFIX: Final = 1024
"""Bytes of the longest prefix that is kept: upstream's objects have below 200."""


@final
class Codec:
    """One type of object, encoded as a fresh Go process does it, decoded from whatever any Go process makes of it.

    Args:
        schema: type of the value.
    """

    __slots__ = ("_definitions", "_kept_reader", "_schema", "_type_id", "_write")

    def __init__(self, schema: GobType) -> None:
        ids = TypeIds()
        type_id = bytearray()
        write_int(type_id, ids.of(schema))
        self._schema = schema
        self._type_id = bytes(type_id)
        self._definitions = b"".join(definitions(schema, ids, set()))
        self._write = message_writer(schema)
        self._kept_reader = functools.lru_cache(_PLANS_KEPT)(self._reader)

    def encode(self, value: GobValue) -> bytes:
        """The object of a value; nothing checks it against ``MAX_OBJECT_SIZE``.

        Raises:
            LocalProtocolError: ``value`` is none of the schema.
        """
        body = bytearray(self._type_id)
        self._write(body, value)
        out = bytearray(self._definitions)
        write_uint(out, len(body))
        return bytes(out + body)

    def decode(self, data: bytes) -> GobValue:
        """The first value of an object; bytes behind it are ignored, as Go does.

        Raises:
            GobError: ``data`` holds no value, is damaged, exceeds a limit or does not fit the schema.
        """
        if len(data) > MAX_OBJECT_SIZE:
            raise GobError(f"an object has {len(data)} bytes, the limit is {MAX_OBJECT_SIZE}")
        start = 0
        for _ in range(MAX_TYPES + 1):
            message, end = _whole_message(data, start)
            type_id, pos = read_int(message, 0)
            if type_id >= 0:
                reader = self._kept_reader if start <= _MAX_KEPT_PREFIX else self._reader
                return read_value(reader(data[:start], type_id), message, pos)
            start = end
        raise GobError(f"more than {MAX_TYPES} types are defined")

    def _reader(self, prefix: bytes, type_id: int) -> Reader:
        """The reader for objects whose definitions are ``prefix`` and whose value is of type ``type_id``."""
        table = TypeTable()
        start = 0
        while start < len(prefix):
            message, start = _whole_message(prefix, start)
            defined, pos = read_int(message, 0)
            table.define(-defined, message, pos)
        table.require(type_id)
        return message_reader(self._schema, type_id, table.types)


def _whole_message(data: bytes, start: int) -> tuple[bytes, int]:
    """The message that begins at ``start`` with its length, and the position behind it."""
    span = message_span(data, start, MAX_OBJECT_SIZE)
    if span is None:
        raise GobError("an object ends early")
    begin, end = span
    return data[begin:end], end
