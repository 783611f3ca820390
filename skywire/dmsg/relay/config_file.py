"""A JSON object in a file that holds secrets, read strictly and with its lines.

Nothing here knows what the members mean.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Final, NoReturn, final

from skywire.errors import SkywireError
from skywire.privatefile import PrivateFile

MAX_FILE: Final = 1 << 16
"""Bytes of a configuration that are read; a generated one of a dmsg server has about 400."""

_BLANKS: Final = re.compile(r"[ \t\n\r]*")
_KINDS: Final[Mapping[type, str]] = {
    bool: "true or false",
    dict: "an object",
    float: "a number with a fraction",
    int: "a number",
    list: "a list",
    str: "text",
    type(None): "null",
}


class ConfigError(SkywireError):
    """A configuration cannot be used or written; the text names the file, the line and the key."""


class InvalidSetting(ConfigError):
    """A value cannot be used.

    Args:
        key: whose.
        reason: the rest of the sentence '<key>: ...'; never quotes a secret.
    """

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key}: {reason}")
        self.key = key


FILE: Final = PrivateFile("configuration", MAX_FILE, ConfigError)
"""How a configuration is read and written."""


@final
class Members:
    """The members of a file's JSON object, and the lines they begin in.

    Args:
        path: the file; see :class:`skywire.privatefile.PrivateFile` for how it has to be.

    Raises:
        ConfigError: it cannot be read, is no such object, or has a name in it twice.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values: dict[str, object] = {}
        self._texts: dict[str, str] = {}
        self._lines: dict[str, int] = {}
        text = FILE.read(path)
        self._check(text)
        self._scan(text)

    def text(self, key: str, default: str | None = None) -> str:
        """A text; it has to be there when there is no default.

        Raises:
            InvalidSetting: it is missing, or something else; so in :meth:`number`.
        """
        value = self._value(key, default)
        return value if isinstance(value, str) else self._refuse(key, "text", value)

    def number(self, key: str, default: int) -> int:
        """A whole number."""
        value = self._value(key, default)
        # True is an int to Python.
        return value if type(value) is int else self._refuse(key, "a whole number", value)

    def others(self, known: Container[str]) -> tuple[tuple[str, str], ...]:
        """Names and JSON of the members that are not ``known``, as they stand there."""
        return tuple((key, text) for key, text in self._texts.items() if key not in known)

    def place(self, key: str) -> str:
        """Where a member is: file and line, or the file when it is missing."""
        return f"{self._path}, line {self._lines[key]}" if key in self._lines else str(self._path)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def _value(self, key: str, default: object) -> object:
        if default is None and key not in self._values:
            raise InvalidSetting(key, "it is missing")
        return self._values.get(key, default)

    def _refuse(self, key: str, wanted: str, value: object) -> NoReturn:
        raise InvalidSetting(key, f"{wanted} is expected, this is {_KINDS[type(value)]}")

    def _check(self, text: str) -> None:
        try:
            value: object = json.loads(text, parse_constant=_refuse_constant)
        except json.JSONDecodeError as error:
            raise ConfigError(f"{self._path}, line {error.lineno}: this is no JSON: {error.msg}") from None
        except (ValueError, RecursionError):
            raise ConfigError(f"{self._path} is no configuration: it has a number or a depth beyond measure") from None
        if not isinstance(value, dict):
            raise ConfigError(f"{self._path} is no configuration: it is no JSON object")

    def _scan(self, text: str) -> None:
        """Go through the text of an object that is known to be one."""
        decode = json.JSONDecoder().raw_decode
        at = _skip(text, text.index("{") + 1)
        while text[at] != "}":
            line = text.count("\n", 0, at) + 1
            name: tuple[str, int] = decode(text, at)
            key, end = name
            begin = _skip(text, text.index(":", end) + 1)
            item: tuple[object, int] = decode(text, begin)
            value, end = item
            if key in self._values:
                raise ConfigError(f"{self._path}, line {line}: {key[:100]!r} stands there twice")
            self._values[key], self._texts[key], self._lines[key] = value, text[begin:end], line
            at = _skip(text, end)
            if text[at] == ",":
                at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    """Where what is not blank begins."""
    blanks = _BLANKS.match(text, at)
    return blanks.end() if blanks else at


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no number of JSON")
