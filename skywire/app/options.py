"""The options of an app: a frozen dataclass is the one source of its configuration, its flags and their help."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field
from typing import Final, TypeVar, final, get_type_hints

from skywire.app.typed_json import MisfitError, decode_object, fields_of, from_text
from skywire.app.typed_json import encode as encode_value
from skywire.errors import SkywireError
from skywire.known_names import listed

T = TypeVar("T")

_HELP: Final = "skywire.help"
_SECRET: Final = "skywire.secret"  # noqa: S105 - the name of a mark


class OptionError(SkywireError):
    """An option does not exist, or its value does not fit; the text names it."""


def option(default: T, *, help: str = "", secret: bool = False) -> T:  # noqa: A002 - as everywhere for command lines
    """A field of an options class, with what people need to know of it.

    Args:
        default: its value unless set; immutable.
        help: what it does, in one line.
        secret: it is taken from a file or the environment only, and never shown.
    """
    made: T = field(default=default, repr=not secret, metadata={_HELP: help, _SECRET: secret})
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
        for each in fields_of(kind)
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
    try:
        return decode_object(kind, values, path)
    except MisfitError as error:
        raise OptionError(_told(error, kind, path)) from None


def read_texts(kind: type[object], texts: Mapping[str, str], path: str = "options") -> dict[str, object]:
    """Values as people write them, as JSON.

    Args:
        kind: the options class.
        texts: by the name of the option; hyphens are as good as underscores.
        path: of the options, for errors.

    Raises:
        OptionError: there is no such option, or the value does not fit.
    """
    hints = {each.name: each.kind for each in describe(kind)}
    found: dict[str, object] = {}
    for name, text in zip(check_names(kind, texts, path), texts.values(), strict=True):
        try:
            found[name] = encode_value(from_text(hints[name], text, f"{path}.{name}"))
        except MisfitError as error:
            raise OptionError(_told(error, kind, path)) from None
    return found


def check_names(kind: type[object], names: Iterable[str], path: str = "options") -> tuple[str, ...]:
    """The names of options, as the class has them; hyphens are as good as underscores.

    Raises:
        OptionError: there is no such option.
    """
    known = {each.name: each.name for each in fields_of(kind)}
    found: list[str] = []
    for name in names:
        if (same := known.get(name.replace("-", "_"))) is None:
            raise OptionError(f"{path}.{name}: there is no such option; {listed(name, known)}")
        found.append(same)
    return tuple(found)


def encode(options: object, *, secrets: bool = False) -> dict[str, object]:
    """An options object as JSON: what differs from the defaults.

    Args:
        options: an instance of an options class.
        secrets: whether secret values are included.
    """
    found: dict[str, object] = {}
    for each in fields_of(type(options)):
        value = getattr(options, each.name)
        if value != _default_of(each) and (secrets or not each.metadata.get(_SECRET, False)):
            found[each.name] = encode_value(value)
    return found


def _told(error: MisfitError, kind: type[object], path: str) -> str:
    """The text of an error, without the value where that is secret."""
    text = str(error)
    for each in describe(kind):
        place = f"{path}.{each.name}"
        if each.secret and text.startswith(place) and not text[len(place) :][:1].isidentifier():
            return f"{place}: it does not fit, and is not shown, being secret"
    return text


def _default_of(each: Field[object]) -> object:
    if each.default is not MISSING:
        return each.default
    return None if each.default_factory is MISSING else each.default_factory()
