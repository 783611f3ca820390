"""Gob from peers that mean harm or are broken: refusals, limits, bounded work, and round trips of everything else."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skywire.wire.gob import (
    BOOL,
    BYTES,
    EMPTY,
    INT,
    MAX_DEFINITION_SIZE,
    MAX_MESSAGE_SIZE,
    MAX_NESTING,
    MAX_OBJECT_SIZE,
    MAX_TYPES,
    STRING,
    UINT,
    Array,
    Basic,
    Codec,
    Decoder,
    Encoder,
    Field,
    GobError,
    GobType,
    GobValue,
    Map,
    Marshaler,
    Message,
    Opaque,
    Slice,
    Struct,
    TypeIds,
)
from skywire.wire.gob.scalars import write_int, write_uint
from tests.vectors_io import load


def uint(value: int) -> bytes:
    out = bytearray()
    write_uint(out, value)
    return bytes(out)


def signed(value: int) -> bytes:
    out = bytearray()
    write_int(out, value)
    return bytes(out)


def message(type_id: int, *parts: bytes) -> bytes:
    body = signed(type_id) + b"".join(parts)
    return uint(len(body)) + body


def struct_type(type_id: int, *fields: tuple[str, int]) -> bytes:
    described = (b"\1" + uint(len(name)) + name.encode() + b"\1" + signed(inner) + b"\0" for name, inner in fields)
    return message(-type_id, b"\3\1\2", signed(type_id), b"\0\1", uint(len(fields)), *described, b"\0\0")


def slice_type(type_id: int, elem: int) -> bytes:
    return message(-type_id, b"\2\1\2", signed(type_id), b"\0\1", signed(elem), b"\0\0")


def array_type(type_id: int, elem: int, length: int) -> bytes:
    return message(-type_id, b"\1\1\2", signed(type_id), b"\0\1", signed(elem), b"\1", signed(length), b"\0\0")


def map_type(type_id: int, key: int, elem: int) -> bytes:
    return message(-type_id, b"\4\1\2", signed(type_id), b"\0\1", signed(key), b"\1", signed(elem), b"\0\0")


def opaque_type(type_id: int) -> bytes:
    return message(-type_id, b"\6\1\2", signed(type_id), b"\0\0\0")


COMPLEX, INTERFACE = 7, 8
ROOT = Struct("Root", (Field("A", INT),))


def with_extra(extra: int, value: bytes, *definitions: bytes) -> bytes:
    """A ``Root`` whose field A is 1, behind a field that nobody knows."""
    return struct_type(64, ("X", extra), ("A", 2)) + b"".join(definitions) + message(64, b"\1", value, b"\1\2\0")


def nested(levels: int) -> bytes:
    """A value of a struct whose one field is of its own type."""
    return b"\1" * (levels - 1) + b"\0" * levels


SKIPPED = {
    "bool": with_extra(1, b"\1"),
    "blob": with_extra(5, b"\2\xff\xff"),
    "string that is no UTF-8": with_extra(6, b"\2\xff\xff"),
    "complex": with_extra(COMPLEX, b"\xfe\xf0\x3f\0"),
    "nil interface": with_extra(INTERFACE, b"\0"),
    "interface": with_extra(INTERFACE, b"\3int" + signed(2) + b"\2\0\7"),
    "opaque": with_extra(65, b"\2zz", opaque_type(65)),
    "slice": with_extra(65, b"\2\1\2", slice_type(65, 3)),
    "array": with_extra(65, b"\2\1\2", array_type(65, 3, 2)),
    "map of slices": with_extra(65, b"\1\1k\2\1\2", map_type(65, 6, 66), slice_type(66, 3)),
    "struct": with_extra(65, b"\2\1z\0", struct_type(65, ("P", 3), ("Q", 6))),
    "type that contains itself": with_extra(65, nested(MAX_NESTING), struct_type(65, ("Next", 65))),
    "struct that ends with the message": (
        struct_type(64, ("A", 2), ("X", 65)) + struct_type(65, ("P", 3)) + message(64, b"\1\2\1\1\5")
    ),
    "id near the end": with_extra(2**63 - 1, b"\0", slice_type(2**63 - 1, 3)),
    "inner types first": opaque_type(70) + slice_type(71, 70) + with_extra(71, b"\1\1z"),
    "unused definition": slice_type(70, 1234) + with_extra(1, b"\1"),
}


@pytest.mark.parametrize("data", SKIPPED.values(), ids=SKIPPED)
def test_skipped(data: bytes) -> None:
    assert Codec(ROOT).decode(data) == (1,)
    assert Codec(ROOT).decode(data + b"\xff") == (1,)


REFUSED = {
    "empty": (b"", "ends early"),
    "definitions only": (struct_type(64, ("A", 2)), "ends early"),
    "message of no bytes": (b"\0", "announces 0 bytes"),
    "length of 9 bytes": (b"\xf7" + b"\0" * 9, "an integer announces 9 bytes"),
    "length of 8 bytes, incomplete": (b"\xf8" + b"\0" * 7, "ends early"),
    "length beyond the limit": (b"\xfd\1\0\0" + b"\0" * 20, "announces 65536 bytes"),
    "type id beyond its message": (b"\1\xff\x80\0\0", "inside an integer"),
    "undefined type": (message(64, b"\1\2\0"), "type 64 is not defined"),
    "type 0": (message(0, b"\0\0"), "type 0 is not defined"),
    "undefined type inside": (struct_type(64, ("A", 2), ("X", 65)) + message(64, b"\1\2\0"), "65 is not defined"),
    "definition of a known id": (struct_type(63, ("A", 2)) + message(64, b"\0"), "63 is defined already"),
    "definition twice": (struct_type(64, ("A", 2)) * 2 + message(64, b"\0"), "64 is defined already"),
    "definition that is cut": (message(-64, b"\3\1\1") + message(64, b"\0"), "definition ends early"),
    "definition with more behind": (
        message(-64, b"\3\1\2" + signed(64) + b"\0\0\0\0") + message(64, b"\0"),
        "bytes follow",
    ),
    "definition of nothing": (message(-64, b"\0") + message(64, b"\0"), "0 kinds"),
    "definition of two kinds": (message(-64, b"\2\0\1\0\0") + message(64, b"\0"), "2 kinds"),
    "definition of an unknown kind": (message(-64, b"\x08\0\0") + message(64, b"\0"), "field number 7"),
    "field without a name": (struct_type(64, ("A", 2), ("", 2)) + message(64, b"\0"), "without a name"),
    "fields of one name": (struct_type(64, ("A", 2), ("A", 2)) + message(64, b"\0"), "two of one name"),
    "nothing in common": (struct_type(64, ("B", 2)) + message(64, b"\0"), "no field in common"),
    "value that is cut": (struct_type(64, ("A", 2)) + message(64, b"\1"), "value ends early"),
    "field number": (struct_type(64, ("A", 2)) + message(64, b"\2\2\0"), "field number 1"),
    "huge field number": (
        struct_type(64, ("A", 2)) + message(64, b"\xf8" + b"\xff" * 8, b"\2\0"),
        f"field number {2**64 - 2}",
    ),
    "skipped field number": (with_extra(65, b"\2\0\0", struct_type(65, ("P", 3))), "field number 1"),
    "skipped blob too long": (with_extra(5, b"\x20"), "longer than the rest"),
    "skipped count too high": (with_extra(65, b"\x20", slice_type(65, 3)), "32 elements"),
    "skipped count absurd": (with_extra(65, b"\xf8" + b"\xff" * 8, slice_type(65, 3)), "elements are announced"),
    "skipped map count too high": (with_extra(65, b"\3\1\1", map_type(65, 3, 3)), "3 elements"),
    "skipped array of another length": (with_extra(65, b"\1\1", array_type(65, 3, 2)), "2 elements came with 1"),
    "skipped array of absurd length": (with_extra(65, b"\1\1", array_type(65, 3, 2**60)), "came with 1"),
    "skipped array of negative length": (with_extra(65, b"\1\1", array_type(65, 3, -1)), "came with 1"),
    "skipped elements for nothing": (
        with_extra(65, b"\2", slice_type(65, 66), struct_type(66, ("P", 3), ("Q", 3), ("R", 3))),
        "ends before its last element",
    ),
    "type defined inside a value": (with_extra(INTERFACE, b"\1t" + signed(-70) + b"\0"), "inside a value"),
    "nested too deep": (
        with_extra(65, nested(MAX_NESTING + 1), struct_type(65, ("Next", 65))),
        f"deeper than {MAX_NESTING}",
    ),
    "nested in circles too deep": (
        with_extra(65, b"\1" * 40, map_type(65, 66, 67), slice_type(66, 65), array_type(67, 66, 1)),
        f"deeper than {MAX_NESTING}",
    ),
    "object too long": (SKIPPED["bool"] + bytes(MAX_OBJECT_SIZE), "an object has"),
    "too many definitions": (
        b"".join(slice_type(100 + i, 3) for i in range(MAX_TYPES)) + SKIPPED["bool"],
        f"more than {MAX_TYPES} types",
    ),
    "definition too long": (
        struct_type(64, *((f"F{i:04}", 3) for i in range(MAX_DEFINITION_SIZE // 10))) + message(64, b"\0"),
        "a type definition has",
    ),
}


@pytest.mark.parametrize(("data", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused(data: bytes, reason: str) -> None:
    with pytest.raises(GobError, match=reason):
        Codec(ROOT).decode(data)


PAIR = Struct("Pair", (Field("P", UINT), Field("Q", UINT)))


@pytest.mark.parametrize(
    ("schema", "data", "reason"),
    [
        (INT, message(2, b"\1\2"), "field number other than 0"),
        (INT, message(2, b"\0"), "ends early"),
        (INT, message(2), "ends early"),
        (INT, message(2, b"\0\xff"), "inside an integer"),
        (BYTES, message(5, b"\0\2z"), "longer than the rest"),
        (STRING, message(6, b"\0\2\xc3\x28"), "not UTF-8"),
        (Slice(UINT), slice_type(64, 3) + message(64, b"\0\5\1\1"), "5 elements are announced, 2 bytes"),
        (Slice(UINT), slice_type(64, 3) + message(64, b"\0\2\xff\x80"), "before its last element"),
        (Slice(PAIR), slice_type(64, 65) + struct_type(65, ("P", 3)) + message(64, b"\0\2\1\1"), "before its last"),
        (Map(UINT, UINT), map_type(64, 3, 3) + message(64, b"\0\2\1\1\1"), "2 elements are announced, 3 bytes"),
        (Map(UINT, PAIR), map_type(64, 3, 65) + struct_type(65, ("P", 3)) + message(64, b"\0\1\xff\x80"), "before its"),
        (Array(UINT, 2), array_type(64, 3, 2) + message(64, b"\0\3\1\1\1"), "an array of 2 elements came with 3"),
    ],
)
def test_refused_where_expected(schema: GobType, data: bytes, reason: str) -> None:
    with pytest.raises(GobError, match=reason):
        Codec(schema).decode(data)


def test_long_definitions_are_understood_too() -> None:
    data = struct_type(64, ("A", 2), *((f"F{i:04}", 3) for i in range(300))) + message(64, b"\1\2\0")
    assert len(data) > 1024
    codec = Codec(ROOT)
    assert [codec.decode(data) for _ in range(2)] == [(1,), (1,)]


def test_a_stream_has_its_own_limits() -> None:
    assert Decoder().receive(message(5, b"\0", uint(MAX_MESSAGE_SIZE - 6), bytes(MAX_MESSAGE_SIZE - 6)))
    for decoder, data, reason in (
        (Decoder(), uint(MAX_MESSAGE_SIZE + 1), "announces 131073 bytes"),
        (Decoder(max_message=9), uint(10), "announces 10 bytes, allowed are 1 to 9"),
        (Decoder(max_types=1), slice_type(64, 3) + slice_type(65, 3), "more than 1 types"),
    ):
        assert not decoder.receive(data)
        with pytest.raises(GobError, match=reason):
            raise decoder.error or AssertionError
        assert not decoder.receive(message(2, b"\0\2"))


def test_what_a_stream_owes() -> None:
    decoder = Decoder()
    assert not decoder.partial
    for byte in slice_type(64, 3):
        assert not decoder.receive(bytes([byte]))
        assert decoder.partial
    assert decoder.receive(message(64, b"\0\1\1"))
    assert not decoder.partial


def test_a_value_that_does_not_fit_leaves_the_stream_readable() -> None:
    decoder = Decoder()
    first, second = decoder.receive(message(2, b"\0\2") * 2)
    with pytest.raises(GobError):
        first.decode(STRING)
    assert (first.decode(INT), second.decode(INT)) == (1, 1)


def calls(function: Callable[[], object]) -> int:
    """Python calls into the package under test while ``function`` runs."""
    count = 0

    def profile(frame: FrameType, event: str, _: object) -> None:
        nonlocal count
        if event == "call" and "/wire/gob/" in frame.f_code.co_filename:
            count += 1

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count


FILL = 60_000
COSTLY = {
    "numbers": with_extra(65, uint(FILL) + bytes(FILL), slice_type(65, 3)),
    "empty structs": with_extra(65, uint(FILL) + bytes(FILL), slice_type(65, 66), struct_type(66)),
    "empty slices": with_extra(65, uint(FILL) + bytes(FILL), slice_type(65, 66), slice_type(66, 65)),
    "maps": with_extra(65, uint(FILL // 2) + bytes(FILL), map_type(65, 66, 66), array_type(66, 65, 0)),
    "interfaces": with_extra(65, uint(FILL) + bytes(FILL), slice_type(65, INTERFACE)),
    "interfaces with values": with_extra(65, uint(FILL // 4) + b"\1t\4\0" * (FILL // 4), slice_type(65, INTERFACE)),
    "tiny definitions": b"".join(message(-(64 + i), b"\2\0\0") for i in range(FILL // 7)),
    "wide definitions": b"".join(
        struct_type(64 + i, ("A", 2), *((f"S{j:02x}", 65 + j % 30 if i == 0 else 3) for j in range(250)))
        for i in range(31)
    )
    + message(64, b"\1\2\0"),
    "circles of definitions": b"".join(
        struct_type(64 + i, ("A", 2), *((f"S{j:02x}", 64 + (i + j) % 31) for j in range(200))) for i in range(31)
    )
    + message(64, b"\1\2\0"),
}
WORK_PER_BYTE = 6
"""Calls for each byte of an object, at worst."""


@pytest.mark.parametrize("data", COSTLY.values(), ids=COSTLY)
def test_work_is_in_proportion_to_bytes(data: bytes) -> None:
    assert len(data) <= MAX_OBJECT_SIZE

    def decode() -> None:
        with contextlib.suppress(GobError):
            Codec(ROOT).decode(data)

    assert calls(decode) < WORK_PER_BYTE * len(data)


def test_definitions_seen_before_cost_nothing() -> None:
    data = SKIPPED["map of slices"]
    codec = Codec(ROOT)
    first, again = calls(lambda: codec.decode(data)), calls(lambda: codec.decode(data))
    assert again < first / 2


NAMES = ("A", "B", "Cc", "Data", "E" * 130)


@st.composite
def schemas(draw: st.DrawFn, depth: int = 3) -> GobType:
    kinds: tuple[type[GobType], ...] = (Basic, Opaque)
    if depth:
        kinds = (Basic, Opaque, Slice, Array, Map, Struct, Struct)
    kind = draw(st.sampled_from(kinds))
    inner = schemas(depth - 1)
    if kind is Opaque:
        return Opaque(draw(st.sampled_from(NAMES)), draw(st.sampled_from(list(Marshaler))))
    if kind is Slice:
        return Slice(draw(inner), draw(st.sampled_from(("", "[]T"))))
    if kind is Array:
        return Array(draw(inner), draw(st.integers(0, 3)))
    if kind is Map:
        return Map(draw(inner), draw(inner))
    if kind is Struct:
        fields: list[Field] = []
        for name in draw(st.lists(st.sampled_from(NAMES), unique=True)):
            field_type = draw(inner)
            fields.append(Field(name, field_type, isinstance(field_type, Struct | Array) and draw(st.booleans())))
        return Struct(draw(st.sampled_from(("", *NAMES))), tuple(fields))
    return draw(st.sampled_from(list(Basic)))


def draw_value(draw: st.DrawFn, schema: GobType) -> GobValue:
    match schema:
        case Basic.BOOL:
            return draw(st.booleans())
        case Basic.INT:
            return draw(st.integers(-(2**63), 2**63 - 1))
        case Basic.UINT:
            return draw(st.integers(0, 2**64 - 1))
        case Basic.FLOAT:
            return draw(st.floats(allow_nan=False))
        case Basic.STRING:
            return draw(st.text(max_size=20))
        case Slice(elem):
            return tuple(draw_value(draw, elem) for _ in range(draw(st.integers(0, 3))))
        case Array(elem, length):
            return tuple(draw_value(draw, elem) for _ in range(length))
        case Map(key, elem):
            return tuple((draw_value(draw, key), draw_value(draw, elem)) for _ in range(draw(st.integers(0, 3))))
        case Struct(_, fields):
            return tuple(draw_field(draw, field) for field in fields)
    return draw(st.binary(max_size=200))


def draw_field(draw: st.DrawFn, field: Field) -> GobValue:
    if (field.optional or isinstance(field.type, Map | Opaque)) and draw(st.booleans()):
        return None
    return draw_value(draw, field.type)


@st.composite
def values(draw: st.DrawFn, schema: GobType) -> GobValue:
    return draw_value(draw, schema)


@st.composite
def typed_values(draw: st.DrawFn) -> tuple[GobType, GobValue]:
    schema = draw(schemas())
    return schema, draw_value(draw, schema)


@given(typed_values())
def test_what_is_encoded_is_decoded(item: tuple[GobType, GobValue]) -> None:
    schema, value = item
    encoded = Codec(schema).encode(value)
    assert Encoder().encode(schema, value) == encoded
    decoder = Decoder(max_types=1000)
    (received,) = decoder.receive(encoded)
    decoded = received.decode(schema)
    assert decoded == value
    assert Codec(schema).encode(decoded) == encoded


def pieces(decoder: Decoder, stream: bytes) -> list[Message]:
    return [received for byte in stream for received in decoder.receive(bytes([byte]))]


@given(st.lists(typed_values(), max_size=3), st.integers(64, 2**40))
def test_a_stream_of_values(items: list[tuple[GobType, GobValue]], first_id: int) -> None:
    encoder = Encoder(TypeIds(first_id))
    stream = b"".join(encoder.encode(schema, value) for schema, value in items)
    whole, slow = Decoder(max_types=1000), Decoder(max_types=1000)
    received = whole.receive(stream)
    assert [part.decode(schema) for part, (schema, _) in zip(received, items, strict=True)] == [
        value for _, value in items
    ]
    assert pieces(slow, stream) == received
    assert not whole.partial
    assert not slow.partial


@given(schemas(), st.data())
def test_a_type_is_defined_once(schema: GobType, data: st.DataObject) -> None:
    encoder, decoder = Encoder(), Decoder(max_types=1000)
    decoder.receive(encoder.encode(schema, data.draw(values(schema))))
    value = data.draw(values(schema))
    second = encoder.encode(schema, value)
    assert Codec(schema).encode(value).endswith(second)
    (received,) = decoder.receive(second)
    assert received.decode(schema) == value


TARGETS: tuple[GobType, ...] = (
    ROOT,
    EMPTY,
    BYTES,
    Slice(PAIR),
    Map(STRING, Slice(UINT)),
    Struct(
        "StreamRequest",
        (
            Field("Timestamp", INT),
            Field("SrcAddr", Struct("Addr", (Field("PK", Opaque("PubKey")), Field("Port", UINT)))),
            Field("IPinfo", BOOL),
            Field("ReqHash", Array(UINT, 32)),
        ),
    ),
)
VALID = [
    *SKIPPED.values(),
    *(case.data("gob") for case in load("gob_decode.json").many("decode_request")),
    *(case.data("gob") for case in load("gob_stream.json").many("responses")[:3]),
    *(case.data("stream") for case in load("gob_rpc_pty.json").many("streams")),
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["set", "insert", "delete", "cut"])):
            case "set":
                data[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
            case "insert":
                data[place:place] = draw(st.binary(max_size=4))
            case "delete":
                del data[place : place + draw(st.integers(1, 4))]
            case _:
                del data[place:]
    return bytes(data)


framed = st.lists(st.tuples(st.integers(-70, 70), st.binary(max_size=12))).map(
    lambda parts: b"".join(message(type_id, body) for type_id, body in parts)
)
hostile = st.binary(max_size=200) | framed | mutated()


@given(hostile, st.sampled_from(TARGETS))
def test_any_bytes_are_a_value_or_an_error(data: bytes, schema: GobType) -> None:
    codec = Codec(schema)
    try:
        value = codec.decode(data)
    except GobError:
        return
    assert codec.decode(codec.encode(value)) == value


@given(hostile, st.integers(1, 4))
def test_any_stream_is_the_same_in_pieces(data: bytes, max_types: int) -> None:
    whole, slow = Decoder(max_message=500, max_types=max_types), Decoder(max_message=500, max_types=max_types)
    received = whole.receive(data)
    assert pieces(slow, data) == received
    assert str(slow.error) == str(whole.error)
    assert slow.partial == whole.partial
    for part in received:
        for schema in TARGETS:
            try:
                part.decode(schema)
            except GobError:
                continue
