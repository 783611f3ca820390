"""Compiled writers: from a schema to a function that appends values.

Source: protocol-dmsg.md section 4.3.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final, TypeAlias

from skywire.errors import LocalProtocolError
from skywire.wire.gob.scalars import (
    MAX_INT,
    MAX_UINT,
    MIN_INT,
    write_bytes,
    write_float,
    write_int,
    write_uint,
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
    Field,
    GobType,
    GobValue,
    Map,
    Opaque,
    Slice,
    Struct,
    describe,
    zero,
)

Writer: TypeAlias = Callable[[bytearray, GobValue], None]
"""Appends a value, zero or not, to a message; raises LocalProtocolError when it is no value of the schema."""

_WRITERS_KEPT: Final = 256
"""Schemas whose writer is kept; a program has some dozens."""


def _write_bool(out: bytearray, value: GobValue) -> None:
    if not isinstance(value, bool):
        raise _mismatch(value, BOOL)
    out.append(value)


def _write_int(out: bytearray, value: GobValue) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not MIN_INT <= value <= MAX_INT:
        raise _mismatch(value, INT)
    write_int(out, value)


def _write_uint(out: bytearray, value: GobValue) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_UINT:
        raise _mismatch(value, UINT)
    write_uint(out, value)


def _write_float(out: bytearray, value: GobValue) -> None:
    if not isinstance(value, float):
        raise _mismatch(value, FLOAT)
    write_float(out, value)


def _write_bytes(out: bytearray, value: GobValue) -> None:
    if not isinstance(value, bytes):
        raise _mismatch(value, BYTES)
    write_bytes(out, value)


def _write_string(out: bytearray, value: GobValue) -> None:
    if not isinstance(value, str):
        raise _mismatch(value, STRING)
    try:
        write_bytes(out, value.encode())
    except UnicodeEncodeError:
        raise LocalProtocolError("a string with lone surrogates has no UTF-8 form") from None


_BASIC_WRITERS: Final[dict[Basic, Writer]] = {
    BOOL: _write_bool,
    INT: _write_int,
    UINT: _write_uint,
    FLOAT: _write_float,
    BYTES: _write_bytes,
    STRING: _write_string,
}


def message_writer(schema: GobType) -> Writer:
    """A writer of the value in a message, from behind its type id on."""
    write = value_writer(schema)
    if isinstance(schema, Struct):
        return write

    def write_single(out: bytearray, value: GobValue) -> None:
        out.append(0)
        write(out, value)

    return write_single


@functools.lru_cache(_WRITERS_KEPT)
def value_writer(schema: GobType) -> Writer:
    """A writer of values inside others."""
    match schema:
        case Basic():
            return _BASIC_WRITERS[schema]
        case Opaque():
            return _write_bytes
        case Array():
            return _items_writer(schema, value_writer(schema.elem), schema.length)
        case Slice():
            return _items_writer(schema, value_writer(schema.elem), None)
        case Map():
            return _map_writer(schema)
    return _struct_writer(schema)


def _items_writer(schema: GobType, write_item: Writer, length: int | None) -> Writer:
    def write_items(out: bytearray, value: GobValue) -> None:
        if not isinstance(value, tuple) or (length is not None and len(value) != length):
            raise _mismatch(value, schema)
        write_uint(out, len(value))
        for item in value:
            write_item(out, item)

    return write_items


def _map_writer(schema: Map) -> Writer:
    write_key, write_elem = value_writer(schema.key), value_writer(schema.elem)

    def write_pair(out: bytearray, value: GobValue) -> None:
        if not isinstance(value, tuple) or len(value) != 2:
            raise _mismatch(value, schema)
        write_key(out, value[0])
        write_elem(out, value[1])

    return _items_writer(schema, write_pair, None)


_NEVER: Final = object()
"""Equal to no value."""


def _struct_writer(schema: Struct) -> Writer:
    size = len(schema.fields)
    steps = [(number, _omitted(field), value_writer(field.type)) for number, field in enumerate(schema.fields)]

    def write_struct(out: bytearray, value: GobValue) -> None:
        if not isinstance(value, tuple) or len(value) != size:
            raise _mismatch(value, schema)
        last = -1
        for number, omitted, write in steps:
            item = value[number]
            if item == omitted:
                continue
            write_uint(out, number - last)
            write(out, item)
            last = number
        out.append(0)

    return write_struct


def _omitted(field: Field) -> object:
    """The value with which a field is left out of its struct: nested structs and arrays never are."""
    if field.optional:
        return None
    if isinstance(field.type, Struct | Array):
        return _NEVER
    return zero(field.type)


def _mismatch(value: GobValue, schema: GobType) -> LocalProtocolError:
    return LocalProtocolError(f"a {type(value).__name__} was given that is no value of {describe(schema)}")
