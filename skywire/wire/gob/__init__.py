"""Gob, the encoding of Go values that dmsg's signed objects and Go's net/rpc use: only what those need, and bounded.

Source: protocol-dmsg.md section 4.3.
"""

from skywire.wire.gob.codec import MAX_OBJECT_SIZE, Codec
from skywire.wire.gob.decode import MAX_MESSAGE_SIZE, Decoder, Message
from skywire.wire.gob.definitions import MAX_DEFINITION_SIZE, MAX_TYPES, TypeIds
from skywire.wire.gob.encode import Encoder
from skywire.wire.gob.readers import MAX_NESTING
from skywire.wire.gob.rpc import REQUEST, RESPONSE, RpcMessage, RpcReader, RpcWriter
from skywire.wire.gob.scalars import GobError
from skywire.wire.gob.types import (
    BOOL,
    BYTES,
    EMPTY,
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
    Marshaler,
    Opaque,
    Slice,
    Struct,
)

__all__ = [
    "BOOL",
    "BYTES",
    "EMPTY",
    "FLOAT",
    "INT",
    "MAX_DEFINITION_SIZE",
    "MAX_MESSAGE_SIZE",
    "MAX_NESTING",
    "MAX_OBJECT_SIZE",
    "MAX_TYPES",
    "REQUEST",
    "RESPONSE",
    "STRING",
    "UINT",
    "Array",
    "Basic",
    "Codec",
    "Decoder",
    "Encoder",
    "Field",
    "GobError",
    "GobType",
    "GobValue",
    "Map",
    "Marshaler",
    "Message",
    "Opaque",
    "RpcMessage",
    "RpcReader",
    "RpcWriter",
    "Slice",
    "Struct",
    "TypeIds",
]
