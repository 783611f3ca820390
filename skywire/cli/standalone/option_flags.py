"""The options of an app as flags: generated from the dataclass that is their one source."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import Parameter as Argument
from pathlib import Path
from typing import Annotated, Final, final, get_origin

from cyclopts import Group, Parameter

from skywire.app.loaded import LoadedDef
from skywire.app.options import OptionError, OptionInfo, decode, describe
from skywire.app.typed_json import MisfitError, encode, from_text, kind_of
from skywire.cli.control.words import visible
from skywire.cli.program import UsageError

_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]<>#|~])")
_PREFIX: Final = "option_"
"""Before the names of options among the arguments of a command."""


@final
@dataclass(frozen=True)
class OptionFlag:
    """One option as a flag.

    Args:
        info: the option.
        flag: its name on the command line, with its hyphens.
        variable: of the environment, for a secret.
    """

    info: OptionInfo
    flag: str
    variable: str

    @property
    def key(self) -> str:
        """Its name among the arguments."""
        return f"{_PREFIX}{self.info.name}"

    def argument(self, group: Group) -> Argument:
        """The argument of a function."""
        info = self.info
        if info.secret:
            source = f"{kind_of(info.kind)}: the first line of this file; or set {self.variable}"
            return self._made(Path | None, group, source)
        if info.kind is bool:
            shown = f"default: {'on' if info.default else 'off'}"
            return self._made(bool | None, group, shown, negative=f"--no-{self.flag[2:]}")
        shown = "" if info.default in {None, ""} or info.default == () else f"; default: {_shown(info.default)}"
        if _is_list(info):
            return self._made(tuple[str, ...], group, f"{kind_of(info.kind)}; may be repeated{shown}", default=())
        return self._made(str | None, group, f"{kind_of(info.kind)}{shown}")

    def _made(self, kind: object, group: Group, more: str, *, default: object = None, negative: str = "") -> Argument:
        parameter = Parameter(
            name=self.flag,
            group=group,
            negative=negative,
            help=as_written(f"{self.info.help} ({more})".strip()),
            show_default=False,
            allow_leading_hyphen=not self.info.secret and self.info.kind is not bool,
        )
        return Argument(self.key, Argument.KEYWORD_ONLY, default=default, annotation=Annotated[kind, parameter])

    def value(self, given: object) -> object:
        """What was given, as JSON; None where nothing was.

        Raises:
            UsageError: it does not fit, or its file cannot be read.
        """
        match given:
            case Path():
                from skywire.cli.identity import first_line

                return self._read(first_line(given, UsageError), str(given))
            case None | () if self.info.secret and self.variable in os.environ:
                return self._read(os.environ.pop(self.variable), self.variable)  # which children would get
            case str():
                return self._read(given, self.flag)
            case tuple():
                return [each for text in given for each in self._items(text)] or None
            case _:
                return given

    def _items(self, text: str) -> list[object]:
        found = self._read(text, self.flag)
        return found if isinstance(found, list) else [found]

    def _read(self, text: str, source: str) -> object:
        try:
            return encode(from_text(self.info.kind, text, source))
        except MisfitError as error:
            if self.info.secret:
                raise UsageError(f"{source}: it does not fit, and is not shown, being secret") from None
            raise UsageError(visible(str(error))) from None


def flags_of(loaded: LoadedDef, taken: frozenset[str]) -> tuple[OptionFlag, ...]:
    """The options of a definition as flags.

    Args:
        loaded: the definition.
        taken: flags that are there already; an option of such a name gets the definition's before its own.
    """
    found: list[OptionFlag] = []
    used = set(taken)
    for info in describe(loaded.options):
        word = info.name.replace("_", "-") + ("-file" if info.secret else "")
        if {f"--{word}", f"--no-{word}"} & used:
            word = f"{loaded.name}-{word}"
        used |= {f"--{word}", f"--no-{word}"}
        variable = f"SKYWIRE_{loaded.name}_{info.name}".upper().replace("-", "_")
        found.append(OptionFlag(info, f"--{word}", variable))
    return tuple(found)


def read_options(loaded: LoadedDef, flags: tuple[OptionFlag, ...], given: Mapping[str, object]) -> object:
    """The options of an app, of its class.

    Args:
        loaded: its definition.
        flags: what there is to give.
        given: the arguments of its command, by their names.

    Raises:
        UsageError: a value does not fit.
    """
    values = {flag.info.name: flag.value(given.get(flag.key)) for flag in flags}
    try:
        return decode(loaded.options, {name: value for name, value in values.items() if value is not None})
    except OptionError as error:
        raise UsageError(visible(str(error))) from None


def as_written(text: str) -> str:
    """A text of a definition for a help, which else would take it for Markdown, and leave out what is in angles."""
    return _MARKDOWN.sub(r"\\\1", visible(text))


def _is_list(info: OptionInfo) -> bool:
    return get_origin(info.kind) is tuple


def _shown(value: object) -> object:
    plain = encode(value)
    return ",".join(map(str, plain)) if isinstance(plain, list) else plain
