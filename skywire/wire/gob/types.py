"""Gob schemas: what a program says of the Go types it sends and expects.

A value of a schema is plain immutable Python: bool, int, float, bytes, str, and tuples for arrays, slices, structs (one
item per field, in order) and maps (pairs of key and element, in order). None is an absent map, opaque value or optional
struct or array; it stands only in a field of a struct.

Source: protocol-dmsg.md section 4.3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias, final

GobValue: TypeAlias = "bool | int | float | bytes | str | tuple[GobValue, ...] | None"


@final
class Basic(Enum):
    """The types that need no definition; the value is the type id that they have in every stream."""

    BOOL = 1
    INT = 2
    """int8 to int64; a Python int of 64 bits with sign."""
    UINT = 3
    """uint8 to uint64; a Python int of 64 bits. A narrower width is for the user of the value to check."""
    FLOAT = 4
    BYTES = 5
    STRING = 6
    """UTF-8 only, unlike a Go string."""


BOOL: Final = Basic.BOOL
INT: Final = Basic.INT
UINT: Final = Basic.UINT
FLOAT: Final = Basic.FLOAT
BYTES: Final = Basic.BYTES
STRING: Final = Basic.STRING


@final
class Marshaler(Enum):
    """Which of Go's interfaces an opaque type encodes itself with; both sides must agree on it."""

    GOB = "GobEncoder"
    BINARY = "BinaryMarshaler"
    TEXT = "TextMarshaler"


@final
@dataclass(frozen=True, slots=True)
class Opaque:
    """A type that encodes itself, as a blob; its value is bytes, None when absent from a struct.

    Args:
        name: of the Go type, without its package.
        marshaler: how the Go type encodes itself.
    """

    name: str
    marshaler: Marshaler = Marshaler.BINARY


@final
@dataclass(frozen=True, slots=True)
class Array:
    """A fixed number of elements. An array of bytes is one of UINT elements, unlike a slice of bytes.

    Args:
        elem: type of the elements.
        length: number of elements, from 0.
        name: of the Go type. An unnamed one has none, unless a struct's field is where the process first used it: then
            its Go expression, such as ``[2]string``.

    Raises:
        ValueError: the length is negative.
    """

    elem: GobType
    length: int
    name: str = ""

    def __post_init__(self) -> None:
        if self.length < 0:
            raise ValueError(f"an array has 0 or more elements, not {self.length}")


@final
@dataclass(frozen=True, slots=True)
class Slice:
    """Any number of elements. A slice of bytes is BYTES.

    Args:
        elem: type of the elements.
        name: as of :class:`Array`, such as ``[]string``.
    """

    elem: GobType
    name: str = ""


@final
@dataclass(frozen=True, slots=True)
class Map:
    """Pairs of key and element. A key that a peer repeats is repeated here too; in Go its last element counts.

    Args:
        key: type of the keys.
        elem: type of the elements.
        name: as of :class:`Array`, such as ``map[string]bool``.
    """

    key: GobType
    elem: GobType
    name: str = ""


@final
@dataclass(frozen=True, slots=True)
class Field:
    """One field of a struct.

    Args:
        name: of the Go field, capitalised as all fields are that gob sends.
        type: of its values.
        optional: a pointer in Go, so that None is told from an all-zero value. Only structs and arrays have the
            difference on the wire.

    Raises:
        ValueError: the name is empty, or the type cannot be optional.
    """

    name: str
    type: GobType
    optional: bool = False

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a field has a name")
        if self.optional and not isinstance(self.type, Struct | Array):
            raise ValueError(f"field {self.name}: only a struct or an array can be optional")


@final
@dataclass(frozen=True, slots=True)
class Struct:
    """Named fields. When decoding, fields are matched by name and the name of the struct does not matter.

    Args:
        name: of the Go type, without its package; empty for ``struct{}``.
        fields: in the order of the Go type.

    Raises:
        ValueError: two fields have one name.
    """

    name: str
    fields: tuple[Field, ...]
    _hash: int = field(init=False, repr=False, compare=False)
    """Looked at several times for each value; to find it takes a walk through all that the type is built of."""

    def __post_init__(self) -> None:
        if len({each.name for each in self.fields}) != len(self.fields):
            raise ValueError(f"struct {self.name}: two fields have one name")
        object.__setattr__(self, "_hash", hash((self.name, self.fields)))

    def __hash__(self) -> int:
        return self._hash


GobType: TypeAlias = Basic | Opaque | Array | Slice | Map | Struct

EMPTY: Final = Struct("", ())
"""``struct{}``; as a target it takes a struct of any fields and ignores them."""

_BASIC_ZEROS: Final[dict[Basic, GobValue]] = {
    BOOL: False,
    INT: 0,
    UINT: 0,
    FLOAT: 0.0,
    BYTES: b"",
    STRING: "",
}


def zero(schema: GobType) -> GobValue:
    """The value that a field of this type has when its struct was sent without it."""
    match schema:
        case Basic():
            return _BASIC_ZEROS[schema]
        case Array():
            return (zero(schema.elem),) * schema.length
        case Slice():
            return ()
        case Map() | Opaque():
            return None
    return tuple(None if field.optional else zero(field.type) for field in schema.fields)


def describe(schema: GobType) -> str:
    """The kind and name of a type, for the text of an error."""
    if isinstance(schema, Basic):
        return schema.name.lower()
    return f"{type(schema).__name__.lower()} {schema.name}".rstrip()
