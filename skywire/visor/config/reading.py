"""A JSON object into dataclasses: strictly, with every error at once and each with its line.

dataclasses-json has no part in it, nor has :mod:`skywire.app.typed_json` for objects: the first turns a text into a
list of letters, the second ends at the first error, and neither knows lines, older names of keys, or keys that are to
be kept. Plain values are typed_json's.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, is_dataclass
from datetime import timedelta
from typing import Annotated, Final, TypeGuard, TypeVar, Union, final, get_args, get_origin, get_type_hints

from skywire.app.interface import Role
from skywire.app.typed_json import MisfitError, decode, fields_of, name_of
from skywire.errors import InvalidKey
from skywire.json_document import Node
from skywire.key_path import KeyPath
from skywire.keys import PubKey, SecKey
from skywire.known_names import near
from skywire.visor.config.kinds import FIRST_OF_LIST, KEYS, SECRET, Within, read_duration

T = TypeVar("T")

_LIKE: Final = 0.85
"""How like a known key one has to be to be taken for a slip: most that are not known are upstream's."""
_ROLES: Final = {role.name.lower(): role for role in Role}


@final
class Reading:
    """What reading found, beside the values."""

    def __init__(self) -> None:
        self.problems: list[tuple[KeyPath, str]] = []
        """What does not fit, in the order of the schema."""
        self.notices: list[tuple[KeyPath, str]] = []
        """What is not as its writer may think."""

    def section(self, kind: type[T], node: Node, path: KeyPath = ()) -> T:
        """Read an object into a dataclass; what does not fit has its default, and is among the problems."""
        values: dict[str, object] = {}
        known = members_of(kind)
        found: dict[str, str] = {}
        for name, child in node.children.items():
            field = known.get(str(name))
            if field is None:
                self.notices.append(((*path, name), _unknown(str(name), known)))
            elif field.name in found:
                text = f"it stands there twice: {found[field.name]} is the one that counts"
                self.notices.append(((*path, name), text))
            elif child.value is not None:
                found[field.name] = str(name)
                self._member(values, kind, field, child, (*path, name))
        return kind(**values)

    def value(self, hint: object, node: Node, path: KeyPath, *, secret: bool = False) -> object:
        """Read a value of a type.

        Raises:
            MisfitError: it does not fit; what is inside lists and objects is among the problems instead.
        """
        if hint is object:
            return node.value
        origin, arguments = get_origin(hint), get_args(hint)
        if origin in {Union, types.UnionType}:
            return self._either(arguments, node, path, secret=secret)
        if origin is Annotated:
            return _number(arguments, node)
        if origin is tuple and isinstance(node.value, list):
            return tuple(self._each(arguments[0], node, path, secret=secret))
        if origin is not None and issubclass(origin, Mapping) and isinstance(node.value, dict):
            return self._mapping(arguments, node, path, secret=secret)
        if hint in _READERS:
            return _READERS[hint](node.value)
        if is_section(hint) and isinstance(node.value, dict):
            return self.section(hint, node, path)
        try:
            return _plain(hint, node.value)
        except MisfitError:
            if secret:
                raise MisfitError(f"{_wanted(hint)} is expected, this is something else") from None
            raise

    def _member(
        self, values: dict[str, object], kind: type[object], field: Field[object], node: Node, path: KeyPath
    ) -> None:
        if field.metadata[FIRST_OF_LIST] and isinstance(node.value, list):
            if not node.value:
                return
            if len(node.value) > 1:
                self.notices.append((path, f"there are {len(node.value)} of them, and only the first one is used"))
            node, path = node.children[0], (*path, 0)
        try:
            values[field.name] = self.value(hints_of(kind)[field.name], node, path, secret=field.metadata[SECRET])
        except (MisfitError, ValueError) as error:
            self.problems.append((path, str(error)))

    def _each(self, hint: object, node: Node, path: KeyPath, *, secret: bool) -> Iterator[object]:
        for at, child in node.children.items():
            try:
                yield self.value(hint, child, (*path, at), secret=secret)
            except (MisfitError, ValueError) as error:
                self.problems.append(((*path, at), str(error)))

    def _mapping(
        self, hints: tuple[object, ...], node: Node, path: KeyPath, *, secret: bool
    ) -> Mapping[object, object]:
        found: dict[object, object] = {}
        for name, child in node.children.items():
            try:
                key = _public_key(name) if hints[0] is PubKey else name
                found[key] = self.value(hints[1], child, (*path, name), secret=secret)
            except (MisfitError, ValueError) as error:
                self.problems.append(((*path, name), str(error)))
        return found

    def _either(self, hints: tuple[object, ...], node: Node, path: KeyPath, *, secret: bool) -> object:
        wanted = [hint for hint in hints if hint is not type(None)]
        if wanted == [PubKey] and isinstance(node.value, str) and not node.value.strip("0"):
            return None  # how upstream writes a key that there is not
        for hint in wanted[1:]:
            if type(node.value) is hint:
                return node.value
        return self.value(wanted[0], node, path, secret=secret)


def members_of(kind: type[object]) -> Mapping[str, Field[object]]:
    """The fields of a section by the names they have in JSON, older names included."""
    return {name: field for field in fields_of(kind) for name in (field.metadata[KEYS] or (field.name,))}


def hints_of(kind: type[object]) -> Mapping[str, object]:
    """The types of the fields of a section, by the name of the field."""
    return get_type_hints(kind, include_extras=True)


def is_section(hint: object) -> TypeGuard[type[object]]:
    """Whether a type is one of an object with declared members."""
    return isinstance(hint, type) and is_dataclass(hint) and hint not in _READERS


def hint_at(kind: type[object], path: KeyPath) -> object:
    """The type of a value in an object of some type; ``object`` where nobody knows."""
    hint: object = kind
    for step in path:
        origin, arguments = get_origin(hint), get_args(hint)
        if isinstance(step, int):
            hint = arguments[0] if origin is tuple else hint  # the first of a list that stands for one object
        elif isinstance(origin, type) and issubclass(origin, Mapping):
            hint = arguments[1]
        elif is_section(hint) and step in members_of(hint):
            hint = _section_of(hints_of(hint)[members_of(hint)[step].name])
        else:
            return object
    return hint


def is_textual(hint: object) -> bool:
    """Whether values of a type are written as texts in JSON."""
    return hint is str or (isinstance(hint, type) and hint in _READERS)


def is_list(hint: object) -> bool:
    """Whether values of a type are lists."""
    return get_origin(hint) is tuple


def _section_of(hint: object) -> object:
    """The first type of a union, which is the one that has something in it."""
    return get_args(hint)[0] if get_origin(hint) in {Union, types.UnionType} else hint


def _unknown(name: str, known: Mapping[str, object]) -> str:
    same = next((each for each in known if each.lower() == name.lower()), None)
    hint = f"it is written {same} here" if same else near(name, known, likeness=_LIKE)
    return f"it means nothing here, and is kept; {hint}" if hint else "it means nothing here, and is kept"


def _plain(hint: object, value: object) -> object:
    if is_section(hint):
        raise MisfitError(f"an object is expected, this is {name_of(value)}")
    try:
        return decode(hint, value, "")
    except MisfitError as error:
        raise MisfitError(str(error).removeprefix(": ")) from None


def _wanted(hint: object) -> str:
    if get_origin(hint) is tuple:
        return "a list"
    return "a text" if hint is str else "an object"


def _number(arguments: tuple[object, ...], node: Node) -> object:
    value, (_, within) = _plain(arguments[0], node.value), arguments
    if isinstance(within, Within) and isinstance(value, int) and not within.low <= value <= within.high:
        raise MisfitError(f"{within.low} to {within.high} is expected, this is {name_of(value)[:60]}")
    return value


def _secret_key(value: object) -> SecKey | None:
    if not isinstance(value, str):
        raise MisfitError("a secret key is expected, this is something else")
    return SecKey.from_hex(value) if value.strip("0") else None


def _role(value: object) -> Role:
    role = _ROLES.get(value) if isinstance(value, str) else None
    if role is None:
        raise MisfitError(f"{', '.join(_ROLES)} is expected, this is {name_of(value)}")
    return role


def _public_key(value: object) -> PubKey:
    if not isinstance(value, str):
        raise MisfitError(f"a public key is expected, this is {name_of(value)}")
    try:
        return PubKey.from_hex(value)
    except InvalidKey as error:
        raise MisfitError(str(error)) from None


def _span(value: object) -> timedelta:
    try:
        return read_duration(value)
    except ValueError as error:
        raise MisfitError(f"{error}; this is {name_of(value)}") from None


_READERS: Final[Mapping[object, Callable[[object], object]]] = {
    SecKey: _secret_key,
    Role: _role,
    PubKey: _public_key,
    timedelta: _span,
}
