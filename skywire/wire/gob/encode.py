"""Encoding of values, byte for byte as Go does it.

Source: protocol-dmsg.md section 4.3.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from skywire.wire.gob.definitions import TypeIds, definitions, framed
from skywire.wire.gob.scalars import write_int
from skywire.wire.gob.types import GobType, GobValue
from skywire.wire.gob.writers import message_writer


@final
class Encoder:
    """The sending half of one direction: defines each type once, before its first value.

    Args:
        ids: the numbering of types; by default one of its own, from 64 on.
    """

    __slots__ = ("_ids", "_numbers", "_sent")

    def __init__(self, ids: TypeIds | None = None) -> None:
        self._ids = TypeIds() if ids is None else ids
        self._sent: set[GobType] = set()
        self._numbers: dict[GobType, bytes] = {}

    def encode(self, schema: GobType, value: GobValue) -> bytes:
        """The messages that send one value.

        Raises:
            LocalProtocolError: ``value`` is none of ``schema``; the stream is as before.
        """
        return self.encode_all(((schema, value),))

    def encode_all(self, items: Iterable[tuple[GobType, GobValue]]) -> bytes:
        """The messages that send several values, all or none.

        Raises:
            LocalProtocolError: a value is none of its schema; the stream is as before.
        """
        bodies: list[tuple[GobType, bytearray]] = []
        for schema, value in items:
            body = bytearray()
            message_writer(schema)(body, value)
            bodies.append((schema, body))
        parts: list[bytes] = []
        for schema, body in bodies:
            number = self._numbers.get(schema)
            if number is None:
                type_id = bytearray()
                write_int(type_id, self._ids.of(schema))
                number = self._numbers[schema] = bytes(type_id)
                parts.extend(definitions(schema, self._ids, self._sent))
            parts.append(framed(number + body))
        return b"".join(parts)
