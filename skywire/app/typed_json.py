"""JSON to values of declared types, and back: strictly, so that nothing is coerced and nothing unknown passed over.

What reads configuration and what speaks between processes is the same. An error names the path of the value.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from skywire.errors import SkywireError
from skywire.keys import PubKey
from skywire.known_names import listed
from skywire.net.address import Address, HostPort

T = TypeVar("T")

_TEXT_FORMS: Final[Mapping[type, Callable[[str], object]]] = {
    PubKey: PubKey.from_hex,
    Address: Address.parse,
    HostPort: HostPort.parse,
    Path: Path,
}
"""Classes whose values are written as text, with what reads it; ``str`` writes it."""
_FORM_NAMES: Final[Mapping[object, str]] = {
    PubKey: "public key",
    Address: "address",
    HostPort: "host:port",
    Path: "path",
}
_PLAIN: Final = frozenset({str, int, float, bool})
_LARGEST: Final = 2**1023
"""Whole numbers below it have a nearest number that is no infinity."""
_TRUTHS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("on", "true", "yes", "1"), True),
    **dict.fromkeys(("off", "false", "no", "0"), False),
}
_NOTHING: Final = frozenset({"", "none"})
_NAMES: Final[Mapping[object, str]] = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


class MisfitError(SkywireError):
    """A value does not fit its type; the text begins with its path."""


def decode_object(kind: type[T], values: object, path: str) -> T:
    """Read a JSON object into a dataclass; what it lacks takes its default.

    Raises:
        MisfitError: it does not fit.
    """
    if not isinstance(values, Mapping):
        raise MisfitError(f"{path}: an object is expected, this is {name_of(values)}")
    hints = get_type_hints(kind)
    known = {each.name: each for each in fields_of(kind)}
    for name in values:
        if name not in known:
            raise MisfitError(f"{path}.{name}: there is no such option; {listed(name, known)}")
    for name, each in known.items():
        if name not in values and each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING:
            raise MisfitError(f"{path}.{name}: it is missing")
    try:
        return kind(**{name: decode(hints[name], value, f"{path}.{name}") for name, value in values.items()})
    except MisfitError:
        raise
    except (SkywireError, ValueError) as error:  # what the class itself does not accept
        raise MisfitError(f"{path}: {error}") from None


def decode(hint: object, value: object, path: str) -> object:
    """Read a JSON value.

    Args:
        hint: the type: a dataclass, an enumeration, a number, text, a class with a text form, ``tuple[T, ...]``,
            ``Mapping[str, T]``, or a union of them.
        value: from :func:`json.loads`.
        path: of the value, for errors.

    Raises:
        MisfitError: it does not fit.
    """
    origin = get_origin(hint)
    if origin in {Union, types.UnionType}:
        return _decode_union(get_args(hint), value, path)
    if origin is tuple:
        item, *rest = get_args(hint)
        if rest == [Ellipsis] and isinstance(value, list):
            return tuple(decode(item, each, f"{path}[{number}]") for number, each in enumerate(value))
    elif origin is not None and issubclass(origin, Mapping):
        _, item = get_args(hint)
        if isinstance(value, Mapping):
            return {str(key): decode(item, each, f"{path}.{key}") for key, each in value.items()}
    elif hint is object or (hint is type(None) and value is None):
        return value
    elif isinstance(hint, type):
        return _decode_plain(hint, value, path)
    raise MisfitError(f"{path}: {_wanted(hint)} is expected, this is {name_of(value)}")


def from_text(hint: object, text: str, path: str) -> object:
    """Read a value as people write it on a command line or in the environment.

    Args:
        hint: the type, as for :func:`decode`; what is neither plain nor a list of plain values is written as JSON.
        text: the value; the items of a list are separated by commas.
        path: what it is, for errors.

    Raises:
        MisfitError: it does not fit.
    """
    if any("\ud800" <= each <= "\udfff" for each in text):  # bytes that are no UTF-8, as Python has them
        raise MisfitError(f"{path}: text in UTF-8 is expected, this is {name_of(text)}")
    origin = get_origin(hint)
    if origin in {Union, types.UnionType}:
        members = [each for each in get_args(hint) if each is not type(None)]
        if len(members) < len(get_args(hint)) and text in _NOTHING:
            return None
        return from_text(members[0], text, path) if len(members) == 1 else decode(hint, text, path)
    if hint is bool:
        if (truth := _TRUTHS.get(text.lower())) is None:
            raise MisfitError(f"{path}: on or off is expected, this is {name_of(text)}")
        return truth
    if hint in {int, float}:
        return decode(hint, _number(text), path)
    if origin is tuple and not text.startswith("["):
        item = get_args(hint)[0]
        return tuple(from_text(item, each.strip(), path) for each in text.split(",") if each.strip())
    if hint is str or (isinstance(hint, type) and (hint in _TEXT_FORMS or issubclass(hint, Enum))):
        return decode(hint, text, path)
    try:
        value = json.loads(text)
    except ValueError:
        raise MisfitError(f"{path}: {_wanted(hint)} is expected, written as JSON") from None
    return decode(hint, value, path)


def encode(value: object) -> object:
    """A value as JSON; of dataclasses all fields."""
    if isinstance(value, Enum):
        return value.value
    if type(value) in _TEXT_FORMS or isinstance(value, Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: encode(getattr(value, each.name)) for each in fields_of(type(value))}
    if isinstance(value, tuple | list):
        return [encode(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): encode(each) for key, each in value.items()}
    return value


def fields_of(kind: type[object]) -> tuple[dataclasses.Field[object], ...]:
    """The fields of a dataclass."""
    if not dataclasses.is_dataclass(kind):
        raise TypeError(f"{kind.__name__} is no dataclass")
    return cast("tuple[dataclasses.Field[object], ...]", dataclasses.fields(kind))


def name_of(value: object) -> str:
    """What a JSON value is, in words."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text {value[:40]!r}"
        case list() | tuple():
            return "a list"
        case Mapping():
            return "an object"
        case _:
            return type(value).__name__


def kind_of(hint: object) -> str:
    """What values of a type are, in words for people."""
    origin = get_origin(hint)
    if origin in {Union, types.UnionType}:
        return " or ".join(dict.fromkeys(kind_of(each) for each in get_args(hint) if each is not type(None)))
    if origin is tuple:
        return f"list: {kind_of(get_args(hint)[0])}"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return " | ".join(str(each.value) for each in hint)
    if isinstance(hint, type) and hint in _TEXT_FORMS:
        return _FORM_NAMES.get(hint, hint.__name__)
    return _wanted(hint).removeprefix("a ").removeprefix("an ")


def _decode_plain(hint: type[object], value: object, path: str) -> object:
    if dataclasses.is_dataclass(hint) and hint not in _TEXT_FORMS:
        return decode_object(hint, value, path)
    try:
        if hint in _TEXT_FORMS and isinstance(value, str):
            return _TEXT_FORMS[hint](value)
        if issubclass(hint, Enum) and isinstance(value, str | int):
            return hint(value)
    except ValueError as error:
        known = f"; it is one of {', '.join(str(each.value) for each in hint)}" if issubclass(hint, Enum) else ""
        raise MisfitError(f"{path}: {error}{known}") from None
    if hint is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST:
        return float(value)
    if hint in _PLAIN and type(value) is hint:
        return value
    raise MisfitError(f"{path}: {_wanted(hint)} is expected, this is {name_of(value)}")


def _number(text: str) -> object:
    """A number, or the text where it is none."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _decode_union(members: tuple[Any, ...], value: object, path: str) -> object:
    if value is None and type(None) in members:
        return None
    if type(value) in members:  # a number is not to become another kind of number
        return value
    errors: list[MisfitError] = []
    for member in members:
        if member is not type(None):
            try:
                return decode(member, value, path)
            except MisfitError as error:
                errors.append(error)
    raise errors[-1]


def _wanted(hint: object) -> str:
    if isinstance(hint, type):
        return _NAMES.get(hint, "a text" if hint in _TEXT_FORMS else f"a {hint.__name__}")
    return "a list" if get_origin(hint) is tuple else "an object"
