"""Compiled readers: from a schema and a peer's types to a function that reads values.

Fields are matched by name and everything else is skipped, so compiling is where a type mismatch shows. Reading costs
time in proportion to the bytes of the message, whatever the types say: every element and field takes at least one byte.

Source: protocol-dmsg.md section 4.3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from skywire.wire.gob.scalars import (
    GobError,
    read_bool,
    read_bytes,
    read_float,
    read_int,
    read_string,
    read_uint,
)
from skywire.wire.gob.types import (
    BOOL,
    BYTES,
    FLOAT,
    INT,
    STRING,
    UINT,
    Array,
    Basic,
    GobType,
    GobValue,
    Map,
    Opaque,
    Slice,
    Struct,
    describe,
    zero,
)
from skywire.wire.gob.wiretype import (
    COMPLEX_ID,
    INTERFACE_ID,
    WireArray,
    WireMap,
    WireOpaque,
    WireSlice,
    WireStruct,
    WireTypes,
)

MAX_NESTING: Final = 16
"""Levels of arrays, slices, maps and structs in a skipped value: a type may contain itself, so types set no bound."""

Reader: TypeAlias = Callable[[bytes, int], tuple[GobValue, int]]
"""Reads a value from a message at a position; returns it and the position behind it."""

_BASIC_READERS: Final[dict[Basic, Reader]] = {
    BOOL: read_bool,
    INT: read_int,
    UINT: read_uint,
    FLOAT: read_float,
    BYTES: read_bytes,
    STRING: read_string,
}
_ONE_UINT: Final = frozenset((BOOL.value, INT.value, UINT.value, FLOAT.value))
_ONE_BLOB: Final = frozenset((BYTES.value, STRING.value))


def message_reader(schema: GobType, type_id: int, types: WireTypes) -> Reader:
    """A reader of the value in a message, from behind its type id on.

    Args:
        schema: what is expected.
        type_id: what the message says it is.
        types: the definitions of ``type_id`` and of all that it is built of.

    Raises:
        GobError: the two do not fit.
    """
    if isinstance(schema, Struct):
        wire = _wire_struct(schema, type_id, types)
        names = {field.name.encode() for field in schema.fields}
        if names and wire.fields and names.isdisjoint(name for name, _ in wire.fields):
            raise GobError(f"what came has no field in common with {describe(schema)}")
        return _struct_reader(schema, wire, types)
    read = _reader(schema, type_id, types)

    def read_single(data: bytes, pos: int) -> tuple[GobValue, int]:
        delta, pos = read_uint(data, pos)
        if delta:
            raise GobError("a value outside a struct begins with a field number other than 0")
        return read(data, pos)

    return read_single


def _reader(schema: GobType, type_id: int, types: WireTypes) -> Reader:
    wire = types.get(type_id)
    match schema, wire:
        case Basic(), _ if schema.value == type_id:
            return _BASIC_READERS[schema]
        case Opaque(_, expected), WireOpaque(actual) if expected is actual:
            return read_bytes
        case Array(elem, length), WireArray(wire_elem, wire_length) if length == wire_length:
            return _array_reader(_reader(elem, wire_elem, types), length)
        case Slice(elem), WireSlice(wire_elem):
            return _slice_reader(_reader(elem, wire_elem, types))
        case Map(key, elem), WireMap(wire_key, wire_elem):
            return _map_reader(_reader(key, wire_key, types), _reader(elem, wire_elem, types))
        case Struct(), _:
            return _struct_reader(schema, _wire_struct(schema, type_id, types), types)
    raise GobError(f"expected was {describe(schema)}, what came is another type")


def _wire_struct(schema: Struct, type_id: int, types: WireTypes) -> WireStruct:
    wire = types.get(type_id)
    if not isinstance(wire, WireStruct):
        raise GobError(f"expected was {describe(schema)}, what came is another type")
    return wire


def _array_reader(read_elem: Reader, length: int) -> Reader:
    def read_array(data: bytes, pos: int) -> tuple[GobValue, int]:
        count, pos = _read_count(data, pos, 1)
        if count != length:
            raise GobError(f"an array of {length} elements came with {count}")
        return _read_items(read_elem, count, data, pos)

    return read_array


def _slice_reader(read_elem: Reader) -> Reader:
    def read_slice(data: bytes, pos: int) -> tuple[GobValue, int]:
        count, pos = _read_count(data, pos, 1)
        return _read_items(read_elem, count, data, pos)

    return read_slice


def _map_reader(read_key: Reader, read_elem: Reader) -> Reader:
    def read_pair(data: bytes, pos: int) -> tuple[GobValue, int]:
        key, pos = read_key(data, pos)
        _require_more(data, pos)
        elem, pos = read_elem(data, pos)
        return (key, elem), pos

    def read_map(data: bytes, pos: int) -> tuple[GobValue, int]:
        count, pos = _read_count(data, pos, 2)
        return _read_items(read_pair, count, data, pos)

    return read_map


def _read_items(read: Reader, count: int, data: bytes, pos: int) -> tuple[GobValue, int]:
    items: list[GobValue] = []
    for _ in range(count):
        _require_more(data, pos)
        item, pos = read(data, pos)
        items.append(item)
    return tuple(items), pos


def _struct_reader(schema: Struct, wire: WireStruct, types: WireTypes) -> Reader:
    zeros = zero(schema)
    assert isinstance(zeros, tuple)
    places = {field.name.encode(): place for place, field in enumerate(schema.fields)}
    ignored = len(zeros)
    steps: list[tuple[Reader, int]] = []
    for name, type_id in wire.fields:
        place = places.get(name)
        if place is None:
            steps.append((_skipper(type_id, types), ignored))
        else:
            steps.append((_reader(schema.fields[place].type, type_id, types), place))

    def read_struct(data: bytes, pos: int) -> tuple[GobValue, int]:
        values = [*zeros, None]
        number = -1
        size = len(data)
        while pos < size:
            delta = data[pos]
            if delta < 0x80:
                pos += 1
            else:
                delta, pos = read_uint(data, pos)
            if not delta:
                break
            number += delta
            if number >= len(steps):
                raise GobError(f"field number {number} of a struct with {len(steps)} fields")
            read, place = steps[number]
            values[place], pos = read(data, pos)
        values.pop()
        return tuple(values), pos

    return read_struct


def _skipper(type_id: int, types: WireTypes) -> Reader:
    def skip(data: bytes, pos: int) -> tuple[GobValue, int]:
        return None, _skip(types, type_id, data, pos, MAX_NESTING)

    return skip


def _skip(types: WireTypes, type_id: int, data: bytes, pos: int, levels: int) -> int:
    """The position behind a value that nobody wants; ``levels`` of nesting are left."""
    if type_id in _ONE_UINT:
        return read_uint(data, pos)[1]
    if type_id in _ONE_BLOB:
        return read_bytes(data, pos)[1]
    if type_id == COMPLEX_ID:
        return read_uint(data, read_uint(data, pos)[1])[1]
    if type_id == INTERFACE_ID:
        return _skip_interface(data, pos)
    if not levels:
        raise GobError(f"a value is nested deeper than {MAX_NESTING} levels")
    match types[type_id]:
        case WireStruct(fields):
            return _skip_fields(types, fields, data, pos, levels - 1)
        case WireMap(key, elem):
            return _skip_items(types, (key, elem), None, data, pos, levels - 1)
        case WireSlice(elem):
            return _skip_items(types, (elem,), None, data, pos, levels - 1)
        case WireArray(elem, length):
            return _skip_items(types, (elem,), length, data, pos, levels - 1)
    return read_bytes(data, pos)[1]


def _skip_items(
    types: WireTypes, type_ids: tuple[int, ...], length: int | None, data: bytes, pos: int, levels: int
) -> int:
    count, pos = _read_count(data, pos, len(type_ids))
    if length is not None and count != length:
        raise GobError(f"an array of {length} elements came with {count}")
    for _ in range(count):
        for type_id in type_ids:
            _require_more(data, pos)
            pos = _skip(types, type_id, data, pos, levels)
    return pos


def _skip_fields(types: WireTypes, fields: tuple[tuple[bytes, int], ...], data: bytes, pos: int, levels: int) -> int:
    number = -1
    while pos < len(data):
        delta, pos = read_uint(data, pos)
        if not delta:
            break
        number += delta
        if number >= len(fields):
            raise GobError(f"field number {number} of a struct with {len(fields)} fields")
        pos = _skip(types, fields[number][1], data, pos, levels)
    return pos


def _skip_interface(data: bytes, pos: int) -> int:
    """Behind a value that brings its type along: name, type id, length, and bytes that need not be understood."""
    name, pos = read_bytes(data, pos)
    if not name:
        return pos
    type_id, pos = read_int(data, pos)
    if type_id < 0:
        raise GobError("a type is defined inside a value")
    return read_bytes(data, pos)[1]


def _read_count(data: bytes, pos: int, item_size: int) -> tuple[int, int]:
    """A number of items, each of which takes at least ``item_size`` bytes."""
    count, pos = read_uint(data, pos)
    if count * item_size > len(data) - pos:
        raise GobError(f"{count} elements are announced, {len(data) - pos} bytes are left")
    return count, pos


def _require_more(data: bytes, pos: int) -> None:
    """A struct may end with its message, but an element may not begin there: it would cost its sender nothing."""
    if pos >= len(data):
        raise GobError("the message ends before its last element")
