"""JSON as the Go network reads and writes it: what json-iterator tolerates, how it escapes.

Whoever checks a signature writes again what was read, so nothing gets lost on the way: objects keep the order of
their members and repeated keys, numbers keep their text.

Source: protocol-dmsg.md section 6.2.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Final, final

from skywire.errors import LocalProtocolError, ProtocolError

MAX_DEPTH: Final = 32
"""Deepest nesting of arrays and objects; an entry needs 3, a list of entries 4."""
BLANKS: Final = " \t\n\r"
"""What may stand around a JSON value."""

_STRINGS_AND_BRACKETS: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{}]', re.DOTALL)
_ESCAPES: Final = {code: f"\\u{code:04x}" for code in range(0x20)} | {
    ord('"'): '\\"',
    ord("\\"): "\\\\",
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\\t",
}


class JsonError(ProtocolError):
    """Bytes from a peer are not JSON, not the JSON that was expected, or exceed a limit."""


class Members(list[tuple[str, object]]):
    """A JSON object as it was written: its members in order, repeated keys included."""


@final
@dataclass(frozen=True, slots=True)
class Number:
    """A JSON number as it was written.

    Args:
        text: digits, possibly with sign, fraction and exponent.
    """

    text: str


def read_json(body: bytes, limit: int) -> tuple[object, str]:
    """Read the first JSON value.

    Args:
        body: UTF-8; bytes that are not come out as lone surrogates.
        limit: most bytes to accept.

    Returns:
        The value, of None, bool, str, :class:`Number`, list and :class:`Members`, and the text behind it.

    Raises:
        JsonError: too long, nested too deeply, or no JSON value.
    """
    if len(body) > limit:
        raise JsonError(f"{len(body)} bytes of JSON, the limit is {limit}")
    text = body.decode("utf-8", "surrogateescape")
    start = len(text) - len(text.lstrip(BLANKS))
    if text.count("[") + text.count("{") > MAX_DEPTH and text.startswith(("[", "{"), start):
        _check_depth(text, start)
    try:
        decoded: tuple[object, int] = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise JsonError(f"not JSON: {error}") from None
    value, end = decoded
    return value, text[end:]


def _refuse_constant(name: str) -> object:
    raise JsonError(f"not JSON: {name}")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=Members, parse_int=Number, parse_float=Number, parse_constant=_refuse_constant
)


def _check_depth(text: str, start: int) -> None:
    depth = 0
    for found in _STRINGS_AND_BRACKETS.finditer(text, start):
        match found.group():
            case "[" | "{":
                depth += 1
                if depth > MAX_DEPTH:
                    raise JsonError(f"JSON nested deeper than {MAX_DEPTH}")
            case "]" | "}":
                depth -= 1
                if not depth:
                    return


def read_array(body: bytes, limit: int) -> tuple[list[object], str]:
    """Read the first JSON value, which is an array; ``null`` is an empty one.

    Args:
        body: as for :func:`read_json`.
        limit: most bytes to accept.

    Returns:
        Its items, and the text behind it.

    Raises:
        JsonError: it is none, or as :func:`read_json`.
    """
    value, rest = read_json(body, limit)
    if value is None:
        return [], rest
    if isinstance(value, Members) or not isinstance(value, list):
        raise JsonError("not a JSON array")
    return value, rest


def compact_json(value: object) -> str:
    """What :func:`read_json` read, as text without white space; numbers as they were."""
    match value:
        case str():
            return json_string(value)
        case Number(text):
            return text
        case Members():
            return "{" + ",".join([f"{json_string(key)}:{compact_json(item)}" for key, item in value]) + "}"
        case list():
            return "[" + ",".join([compact_json(item) for item in value]) + "]"
        case None:
            return "null"
        case _:
            return "true" if value else "false"


def json_string(text: str) -> str:
    """A JSON string, quotes included, with no more escapes than there must be."""
    plain = encode_basestring(text)
    if len(plain) == len(text) + 2:
        return plain
    return f'"{text.translate(_ESCAPES)}"'


def check_text(text: str) -> None:
    """Make sure that text can be written.

    Raises:
        LocalProtocolError: it holds a lone surrogate.
    """
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise LocalProtocolError("text holds a lone surrogate, or was not UTF-8") from None
