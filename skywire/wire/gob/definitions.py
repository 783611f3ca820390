"""Type definitions on the wire: the numbering of our types, and the table of a peer's.

Source: protocol-dmsg.md section 4.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Final, final

from skywire.wire.gob.readers import message_reader
from skywire.wire.gob.scalars import GobError, write_int, write_uint
from skywire.wire.gob.types import (
    BYTES,
    INT,
    Array,
    Basic,
    Field,
    GobType,
    GobValue,
    Map,
    Marshaler,
    Opaque,
    Slice,
    Struct,
)
from skywire.wire.gob.wiretype import (
    FIRST_USER_ID,
    INTERFACE_ID,
    WireArray,
    WireMap,
    WireOpaque,
    WireSlice,
    WireStruct,
    WireType,
    WireTypes,
    inner_ids,
)
from skywire.wire.gob.writers import value_writer

MAX_TYPES: Final = 32
"""Type definitions in one object or stream; upstream's stream objects have 3, a terminal's connection 8."""
MAX_DEFINITION_SIZE: Final = 8192
"""Bytes of one type definition: room for some 500 fields, and what they take in memory stays below 100 times that."""

_WIRE_TYPE_ID: Final = 16

# A definition is itself a gob struct. Names are BYTES here, which look the same on the wire, because a name that is no
# UTF-8 harms nobody.
_COMMON: Final = Field("CommonType", Struct("CommonType", (Field("Name", BYTES), Field("Id", INT))))
_OPAQUE: Final = Struct("GobEncoderType", (_COMMON,))
_FIELD: Final = Struct("FieldType", (Field("Name", BYTES), Field("Id", INT)))
_WIRE_TYPE: Final = Struct(
    "WireType",
    (
        Field("ArrayT", Struct("ArrayType", (_COMMON, Field("Elem", INT), Field("Len", INT))), optional=True),
        Field("SliceT", Struct("SliceType", (_COMMON, Field("Elem", INT))), optional=True),
        Field("StructT", Struct("StructType", (_COMMON, Field("Field", Slice(_FIELD)))), optional=True),
        Field("MapT", Struct("MapType", (_COMMON, Field("Key", INT), Field("Elem", INT))), optional=True),
        Field("GobEncoderT", _OPAQUE, optional=True),
        Field("BinaryMarshalerT", _OPAQUE, optional=True),
        Field("TextMarshalerT", _OPAQUE, optional=True),
    ),
)
_MARSHALERS: Final = {4: Marshaler.GOB, 5: Marshaler.BINARY, 6: Marshaler.TEXT}
_MARSHALER_FIELDS: Final = {marshaler: number for number, marshaler in _MARSHALERS.items()}

_write_wire_type: Final = value_writer(_WIRE_TYPE)


class _Kind(IntEnum):
    """Fields of ``_WIRE_TYPE`` before those of the opaque types."""

    ARRAY = 0
    SLICE = 1
    STRUCT = 2
    MAP = 3


@final
class TypeIds:
    """The numbering of types that a Go process keeps: a type gets the next id when it is first used.

    Encoders may share one, as the connections of a Go process do; each stream still defines the types that it uses.

    Args:
        first_id: the id of the first type, from 64.
    """

    __slots__ = ("_ids", "_next")

    def __init__(self, first_id: int = FIRST_USER_ID) -> None:
        self._ids: dict[GobType, int] = {}
        self._next = first_id

    def of(self, schema: GobType) -> int:
        """The id of a type; it and the types inside get theirs now if they have none, in the order that Go has."""
        if isinstance(schema, Basic):
            return schema.value
        known = self._ids.get(schema)
        if known is not None:
            return known
        if isinstance(schema, Struct):
            own = self._take(schema)
            for field in schema.fields:
                self.of(field.type)
            return own
        for inner in _inner_types(schema):
            self.of(inner)
        return self._take(schema)

    def _take(self, schema: GobType) -> int:
        own = self._next
        self._next += 1
        self._ids[schema] = own
        return own


def definitions(schema: GobType, ids: TypeIds, sent: set[GobType]) -> Iterator[bytes]:
    """The messages that define a type and those inside it, outermost first, without those in ``sent``.

    Args:
        schema: what is about to be sent.
        ids: the numbering; types without an id get one.
        sent: types that the stream has defined; the new ones are added.
    """
    if isinstance(schema, Basic) or schema in sent:
        return
    sent.add(schema)
    own = ids.of(schema)
    message = bytearray()
    write_int(message, -own)
    _write_wire_type(message, _describe(schema, own, ids))
    yield framed(message)
    for inner in _inner_types(schema):
        yield from definitions(inner, ids, sent)


def framed(message: bytes | bytearray) -> bytes:
    """A message behind its length."""
    out = bytearray()
    write_uint(out, len(message))
    return bytes(out + message)


def _inner_types(schema: GobType) -> tuple[GobType, ...]:
    match schema:
        case Array() | Slice():
            return (schema.elem,)
        case Map():
            return schema.key, schema.elem
        case Struct():
            return tuple(field.type for field in schema.fields)
    return ()


def _describe(schema: Array | Slice | Map | Struct | Opaque, own: int, ids: TypeIds) -> GobValue:
    """The definition of a type, as a value of ``_WIRE_TYPE``."""
    common = (schema.name.encode(), own)
    match schema:
        case Array():
            return _of_kind(_Kind.ARRAY, (common, ids.of(schema.elem), schema.length))
        case Slice():
            return _of_kind(_Kind.SLICE, (common, ids.of(schema.elem)))
        case Map():
            return _of_kind(_Kind.MAP, (common, ids.of(schema.key), ids.of(schema.elem)))
        case Struct():
            fields = tuple((field.name.encode(), ids.of(field.type)) for field in schema.fields)
            return _of_kind(_Kind.STRUCT, (common, fields))
    return _of_kind(_MARSHALER_FIELDS[schema.marshaler], (common,))


def _of_kind(number: int, kind: GobValue) -> GobValue:
    value: list[GobValue] = [None] * len(_WIRE_TYPE.fields)
    value[number] = kind
    return tuple(value)


def _understand(value: GobValue) -> WireType:
    """The type that a value of ``_WIRE_TYPE`` defines.

    Raises:
        GobError: it defines none or several, or one that no Go program can have.
    """
    assert isinstance(value, tuple)
    present = [(number, kind) for number, kind in enumerate(value) if kind is not None]
    if len(present) != 1:
        raise GobError(f"a type definition has {len(present)} kinds")
    ((number, kind),) = present
    assert isinstance(kind, tuple)
    match number, kind[1:]:
        case _Kind.ARRAY, (int(elem), int(length)):
            return WireArray(elem, length)
        case _Kind.SLICE, (int(elem),):
            return WireSlice(elem)
        case _Kind.STRUCT, (tuple(fields),):
            return WireStruct(tuple(_understand_fields(fields)))
        case _Kind.MAP, (int(key), int(elem)):
            return WireMap(key, elem)
    return WireOpaque(_MARSHALERS[number])


def _understand_fields(fields: tuple[GobValue, ...]) -> Iterator[tuple[bytes, int]]:
    names: set[bytes] = set()
    for field in fields:
        assert isinstance(field, tuple)
        name, type_id = field
        assert isinstance(name, bytes)
        assert isinstance(type_id, int)
        if not name or name in names:
            raise GobError("a struct has a field without a name, or two of one name")
        names.add(name)
        yield name, type_id


def _bootstrap() -> WireTypes:
    """The types of which definitions are made, which every stream knows."""
    ids = TypeIds(_WIRE_TYPE_ID)
    types: dict[int, WireType] = {}

    def learn(schema: GobType) -> None:
        if not isinstance(schema, Basic):
            own = ids.of(schema)
            types[own] = _understand(_describe(schema, own, ids))
            for inner in _inner_types(schema):
                learn(inner)

    learn(_WIRE_TYPE)
    return types


_read_wire_type: Final = message_reader(_WIRE_TYPE, _WIRE_TYPE_ID, _bootstrap())


@final
class TypeTable:
    """The types that a peer has defined in one stream.

    Args:
        limit: most definitions to accept.
    """

    __slots__ = ("_limit", "_usable", "types")

    def __init__(self, limit: int = MAX_TYPES) -> None:
        self.types: dict[int, WireType] = {}
        self._limit = limit
        self._usable: set[int] = set(range(1, INTERFACE_ID + 1))

    def define(self, type_id: int, message: bytes, pos: int) -> None:
        """Take a definition, which is in ``message`` from ``pos`` to its end.

        Raises:
            GobError: damaged, not the end of the message, a limit exceeded, or an id that is taken.
        """
        if len(message) > MAX_DEFINITION_SIZE:
            raise GobError(f"a type definition has {len(message)} bytes, the limit is {MAX_DEFINITION_SIZE}")
        if type_id < FIRST_USER_ID or type_id in self.types:
            raise GobError(f"type {type_id} is defined already")
        if len(self.types) == self._limit:
            raise GobError(f"more than {self._limit} types are defined")
        try:
            value, end = _read_wire_type(message, pos)
        except IndexError:
            raise GobError("a type definition ends early") from None
        if end != len(message):
            raise GobError("bytes follow a type definition inside its message")
        self.types[type_id] = _understand(value)

    def require(self, type_id: int) -> None:
        """Make sure that a type and all that it is built of are known.

        Raises:
            GobError: one is not.
        """
        pending = [type_id]
        while pending:
            wanted = pending.pop()
            if wanted in self._usable:
                continue
            wire = self.types.get(wanted)
            if wire is None:
                raise GobError(f"type {wanted} is not defined")
            self._usable.add(wanted)
            pending.extend(inner_ids(wire))
