"""The options of an app: a frozen dataclass is the one source of its configuration, its flags and their help.

JSON is read strictly, against the types of the fields: nothing is coerced, nothing unknown is passed over, and an error
names the path of the value.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeVar, Union, cast, final, get_args, get_origin, get_type_hints

from skywire.errors import SkywireError
from skywire.keys import PubKey
from skywire.net.address import Address, HostPort

T = TypeVar("T")

_HELP: Final = "skywire.help"
_SECRET: Final = "skywire.secret"  # noqa: S105 - the name of a mark
_TEXT_FORMS: Final[Mapping[type, Callable[[str], object]]] = {
    PubKey: PubKey.from_hex,
    Address: Address.parse,
    HostPort: HostPort.parse,
    Path: Path,
}
"""Classes whose values are written as text, with what reads it; ``str`` writes it."""


class OptionError(SkywireError):
    """An option does not exist, or its value does not fit; the text names it."""


def option(default: T, *, help: str = "", secret: bool = False) -> T:  # noqa: A002 - as everywhere for command lines
    """A field of an options class, with what people need to know of it.

    Args:
        default: its value unless set; immutable.
        help: what it does, in one line.
        secret: it is taken from a file or the environment only, and never shown.
    """
    made: T = field(default=default, metadata={_HELP: help, _SECRET: secret})
    return made


@final
@dataclass(frozen=True, slots=True)
class OptionInfo:
    """One option, for help and checks.

    Args:
        name: of the field.
        kind: its type.
        default: its value unless set.
        help: what it does.
        secret: whether it is never shown.
    """

    name: str
    kind: object
    default: object
    help: str
    secret: bool


def describe(kind: type[object]) -> tuple[OptionInfo, ...]:
    """The options of a class, in their order."""
    hints = get_type_hints(kind)
    return tuple(
        OptionInfo(
            each.name,
            hints[each.name],
            _default_of(each),
            str(each.metadata.get(_HELP, "")),
            bool(each.metadata.get(_SECRET, False)),
        )
        for each in _fields(kind)
    )


def decode(kind: type[T], values: object, path: str = "options") -> T:
    """Read JSON into an options class.

    Args:
        kind: the class.
        values: a JSON object.
        path: of the object, for errors.

    Raises:
        OptionError: it does not fit.
    """
    if not isinstance(values, Mapping):
        raise OptionError(f"{path}: an object is expected, this is {_name_of(values)}")
    hints = get_type_hints(kind)
    known = {each.name for each in _fields(kind)}
    for name in values:
        if name not in known:
            raise OptionError(
                f"{path}.{name}: there is no such option; there are: {', '.join(sorted(known)) or 'none'}"
            )
    try:
        return kind(**{name: _decode(hints[name], value, f"{path}.{name}") for name, value in values.items()})
    except OptionError:
        raise
    except (SkywireError, ValueError) as error:  # what the class itself does not accept
        raise OptionError(f"{path}: {error}") from None


def encode(options: object, *, secrets: bool = False) -> dict[str, object]:
    """An options object as JSON: what differs from the defaults.

    Args:
        options: an instance of an options class.
        secrets: whether secret values are included.
    """
    found: dict[str, object] = {}
    for each in _fields(type(options)):
        value = getattr(options, each.name)
        if value != _default_of(each) and (secrets or not each.metadata.get(_SECRET, False)):
            found[each.name] = _encode(value)
    return found


def _fields(kind: type[object]) -> tuple[dataclasses.Field[object], ...]:
    if not dataclasses.is_dataclass(kind):
        raise TypeError(f"{kind.__name__} is no dataclass")
    return cast("tuple[dataclasses.Field[object], ...]", dataclasses.fields(kind))


def _default_of(each: dataclasses.Field[object]) -> object:
    if each.default is not MISSING:
        return each.default
    return None if each.default_factory is MISSING else each.default_factory()


def _decode(hint: object, value: object, path: str) -> object:
    origin = get_origin(hint)
    if origin in {Union, types.UnionType}:
        return _decode_union(get_args(hint), value, path)
    if origin is tuple:
        item, *rest = get_args(hint)
        if rest == [Ellipsis] and isinstance(value, list):
            return tuple(_decode(item, each, f"{path}[{number}]") for number, each in enumerate(value))
    elif origin in {dict, Mapping}:
        _, item = get_args(hint)
        if isinstance(value, Mapping):
            return {str(key): _decode(item, each, f"{path}.{key}") for key, each in value.items()}
    elif isinstance(hint, type):
        return _decode_plain(hint, value, path)
    raise OptionError(f"{path}: {_wanted(hint)} is expected, this is {_name_of(value)}")


def _decode_plain(hint: type[object], value: object, path: str) -> object:
    if dataclasses.is_dataclass(hint) and hint not in _TEXT_FORMS:
        return decode(hint, value, path)
    try:
        if hint in _TEXT_FORMS and isinstance(value, str):
            return _TEXT_FORMS[hint](value)
        if issubclass(hint, Enum) and isinstance(value, str | int):
            return hint(value)
    except ValueError as error:
        known = f"; it is one of {', '.join(str(each.value) for each in hint)}" if issubclass(hint, Enum) else ""
        raise OptionError(f"{path}: {error}{known}") from None
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint in {str, int, float, bool} and type(value) is hint:
        return value
    raise OptionError(f"{path}: {_wanted(hint)} is expected, this is {_name_of(value)}")


def _decode_union(members: tuple[Any, ...], value: object, path: str) -> object:
    if value is None and type(None) in members:
        return None
    errors: list[OptionError] = []
    for member in members:
        if member is not type(None):
            try:
                return _decode(member, value, path)
            except OptionError as error:
                errors.append(error)
    raise errors[-1]


def _encode(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if type(value) in _TEXT_FORMS or isinstance(value, Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return encode(value)
    if isinstance(value, tuple | list):
        return [_encode(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): _encode(each) for key, each in value.items()}
    return value


def _wanted(hint: object) -> str:
    names = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    if isinstance(hint, type):
        return names.get(hint, "a text" if hint in _TEXT_FORMS else f"a {hint.__name__}")
    return "a list" if get_origin(hint) is tuple else "an object"


def _name_of(value: object) -> str:
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
