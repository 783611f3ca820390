"""What a peer says of the types that it sends, reduced to what reading needs: a graph of type ids.

Source: protocol-dmsg.md section 4.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from skywire.wire.gob.types import Marshaler

COMPLEX_ID: Final = 7
INTERFACE_ID: Final = 8
"""Last of the type ids that need no definition."""
FIRST_USER_ID: Final = 64
"""First id of the types that a stream defines."""


@final
@dataclass(frozen=True, slots=True)
class WireArray:
    elem: int
    length: int


@final
@dataclass(frozen=True, slots=True)
class WireSlice:
    elem: int


@final
@dataclass(frozen=True, slots=True)
class WireMap:
    key: int
    elem: int


@final
@dataclass(frozen=True, slots=True)
class WireStruct:
    fields: tuple[tuple[bytes, int], ...]
    """Name and type id of each field; the names are UTF-8 when the peer is honest."""


@final
@dataclass(frozen=True, slots=True)
class WireOpaque:
    marshaler: Marshaler


WireType: TypeAlias = WireArray | WireSlice | WireMap | WireStruct | WireOpaque
WireTypes: TypeAlias = Mapping[int, WireType]


def inner_ids(wire: WireType) -> tuple[int, ...]:
    """The type ids that a type is built of."""
    match wire:
        case WireArray(elem) | WireSlice(elem):
            return (elem,)
        case WireMap(key, elem):
            return key, elem
        case WireStruct(fields):
            return tuple(type_id for _, type_id in fields)
    return ()
