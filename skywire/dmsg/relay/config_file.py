"""A JSON object in a file that holds secrets, read strictly and with its lines.

Nothing here knows what the members mean.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from pathlib import Path
from typing import Final, NoReturn, final

from skywire.errors import SkywireError
from skywire.json_document import Document, DocumentError
from skywire.privatefile import PrivateFile

MAX_FILE: Final = 1 << 16
"""Bytes of a configuration that are read; a generated one of a dmsg server has about 400."""

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
        try:
            self._document = Document(FILE.read(path))
        except DocumentError as error:
            raise ConfigError(f"{path}, {error}") from None

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
        return tuple((key, self._document.source((key,)) or "") for key in self._document.value if key not in known)

    def place(self, key: str) -> str:
        """Where a member is: file and line, or the file when it is missing."""
        line = self._document.line((key,))
        return str(self._path) if line is None else f"{self._path}, line {line}"

    def __contains__(self, key: str) -> bool:
        return key in self._document.value

    def _value(self, key: str, default: object) -> object:
        if default is None and key not in self:
            raise InvalidSetting(key, "it is missing")
        return self._document.value.get(key, default)

    def _refuse(self, key: str, wanted: str, value: object) -> NoReturn:
        raise InvalidSetting(key, f"{wanted} is expected, this is {_KINDS[type(value)]}")
