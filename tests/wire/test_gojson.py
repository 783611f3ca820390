"""JSON of the Go network, as tables and as properties."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skywire.errors import LocalProtocolError
from skywire.wire.gojson import (
    MAX_DEPTH,
    JsonError,
    Members,
    Number,
    check_text,
    compact_json,
    json_string,
    read_array,
    read_json,
)

LIMIT = 1 << 16


@pytest.mark.parametrize(
    ("body", "value", "rest"),
    [
        (b"null", None, ""),
        (b"true", True, ""),
        (b"false", False, ""),
        (b" \t\r\n5 ", Number("5"), " "),
        (b"-0", Number("-0"), ""),
        (b"1.50e+3", Number("1.50e+3"), ""),
        (b"9" * 5000, Number("9" * 5000), ""),
        (b"01", Number("0"), "1"),
        (b"nullnonsense", None, "nonsense"),
        (b'"\\u0056\\u00e9\\ud83d\\ude00\\/\\b"', "Vé\U0001f600/\b", ""),
        ('"é\U0001f600\x7f"'.encode(), "é\U0001f600\x7f", ""),
        (b'"\xff"', "\udcff", ""),
        (b'"\\ud800"', "\ud800", ""),
        (b"[ ] \n[", [], " \n["),
        (b'[1,"x",[null]]', [Number("1"), "x", [None]], ""),
        (b"{ }", Members(), ""),
        (b'{"b":1,"a":{"c":[]},"b":2}', [("b", Number("1")), ("a", [("c", [])]), ("b", Number("2"))], ""),
    ],
)
def test_values(body: bytes, value: object, rest: str) -> None:
    read, behind = read_json(body, LIMIT)
    assert (read, behind) == (value, rest)
    assert isinstance(read, Members) == body.lstrip().startswith(b"{")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"nul",
        b"{",
        b'{"version":"0.0.1"',
        b'{"version":"0.0.1",}',
        b"{'version':'0.0.1'}",
        b"\xef\xbb\xbf{}",
        b"\x00{}",
        b'{"version":"\x01"}',
        b'{"sequence":01}',
        b'{"sequence":NaN}',
        b'{"unknown":Infinity}',
        b'{"unknown":-Infinity}',
        b'"\\x"',
        b"[1,]",
    ],
)
def test_what_is_no_json(body: bytes) -> None:
    with pytest.raises(JsonError, match="not JSON: "):
        read_json(body, LIMIT)


def test_the_limit_of_size() -> None:
    assert read_json(b"null".ljust(100), 100) == (None, " " * 96)
    with pytest.raises(JsonError, match="101 bytes of JSON, the limit is 100"):
        read_json(b"null".ljust(101), 100)


def nested(depth: int) -> bytes:
    return b'{"x":' + b"[" * (depth - 1) + b'"]]]]"' + b"]" * (depth - 1) + b"}"


def test_the_limit_of_depth() -> None:
    value, _ = read_json(nested(MAX_DEPTH), LIMIT)
    assert compact_json(value).encode() == nested(MAX_DEPTH)
    with pytest.raises(JsonError, match="deeper than 32"):
        read_json(nested(MAX_DEPTH + 1), LIMIT)


@pytest.mark.parametrize(
    "body",
    [
        b"null" + b"[" * 100,
        b'{"version":""}' + b"[" * 100,
        b'{"version":"' + b"[" * 100 + b'"}',
        b'{"version":"\\"' + b"[" * 100 + b'"}',
        b"[]" * 30000,
        b"[" + b"{}," * 20000 + b"{}]",
    ],
)
def test_brackets_that_do_not_nest(body: bytes) -> None:
    read_json(body, LIMIT)


@pytest.mark.parametrize("body", [b"[" * 60000, b'{"a":' * 12000, b"[" + b"[]," * 20000, b'["' + b"[" * 60000])
def test_many_brackets(body: bytes) -> None:
    with pytest.raises(JsonError):
        read_json(body, LIMIT)


def test_arrays() -> None:
    assert read_array(b' [1,null] "x"', LIMIT) == ([Number("1"), None], ' "x"')
    assert read_array(b"null,", LIMIT) == ([], ",")
    for body in (b"", b"{}", b'{"a":1}', b'"x"', b"[", b"5", b"false", b"[]".ljust(LIMIT + 1)):
        with pytest.raises(JsonError):
            read_array(body, LIMIT)


def test_strings_escape_only_what_they_must() -> None:
    every_control = "".join(map(chr, range(0x20)))
    escaped = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
    assert json_string(every_control) == '"' + "".join(escaped.get(c, f"\\u{ord(c):04x}") for c in every_control) + '"'
    assert json_string('"\\') == '"\\"\\\\"'
    for plain in ("", "plain", "<>&/'\x7f", "\u2028\u2029é\U0001f600"):
        assert json_string(plain) == f'"{plain}"'


def test_compact_text_keeps_order_repetition_and_numbers() -> None:
    body = b' { "b" : 1.50 , "a" : [ true , false , null , -0 , 1E2 ] , "b" : "\\u0008\\/" , "" : { } , "c" : [ ] } '
    text = '{"b":1.50,"a":[true,false,null,-0,1E2],"b":"\\u0008/","":{},"c":[]}'
    assert compact_json(read_json(body, LIMIT)[0]) == text


@pytest.mark.parametrize("body", [b'"\xff"', b'"\xed\xa0\x80"', b'"\\ud800"', b'"\\ud800\xed\xb0\x80"', b'"x\\udc00"'])
def test_text_that_cannot_be_written(body: bytes) -> None:
    text, _ = read_json(body, LIMIT)
    assert isinstance(text, str)
    with pytest.raises(LocalProtocolError, match="lone surrogate"):
        check_text(text)


@pytest.mark.parametrize("text", ["", "plain", "\0", "é\U0001f600\uffff"])
def test_text_that_can_be_written(text: str) -> None:
    check_text(text)


numbers = (st.integers() | st.floats(allow_nan=False, allow_infinity=False)).map(lambda number: Number(repr(number)))
values = st.recursive(
    st.none() | st.booleans() | st.text(max_size=20) | numbers,
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(st.tuples(st.text(max_size=5), inner), max_size=3).map(Members)
    ),
    max_leaves=10,
)


@given(values)
def test_what_is_written_reads_back(value: object) -> None:
    text = compact_json(value)
    assert read_json(text.encode(), LIMIT) == (value, "")


@given(st.text(max_size=50))
def test_every_string_is_json(text: str) -> None:
    assert json.loads(json_string(text)) == text


@given(st.binary(max_size=100) | st.text('[]{}",:\\0eu.-nutl ', max_size=30).map(str.encode))
def test_any_bytes_are_a_value_or_an_error(body: bytes) -> None:
    try:
        value, rest = read_json(body, LIMIT)
    except JsonError:
        return
    assert body.decode(errors="surrogateescape").endswith(rest)
    text = compact_json(value)
    try:
        check_text(text)
    except LocalProtocolError:
        return
    assert read_json(text.encode(), LIMIT) == (value, "")
