"""A JSON object in a file that holds secrets: read strictly and with its lines, written whole.

Nothing here knows what the members mean.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import stat
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Final, NoReturn, final

from skywire.errors import SkywireError

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


@final
class Members:
    """The members of a file's JSON object, and the lines they begin in.

    Args:
        path: the file; see :func:`read` for how it has to be.

    Raises:
        ConfigError: it cannot be read, is no such object, or has a name in it twice.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values: dict[str, object] = {}
        self._texts: dict[str, str] = {}
        self._lines: dict[str, int] = {}
        text = read(path)
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


def read(path: Path) -> str:
    """The text of a file that nobody else can read or plant.

    Raises:
        ConfigError: it is open to others, of another user, too large, or not there.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    except ValueError:
        raise ConfigError(f"{str(path)!r} is no name of a file") from None
    try:
        _check_safe(path, os.fstat(descriptor))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(MAX_FILE + 1)
    finally:
        os.close(descriptor)
    if len(content) > MAX_FILE:
        raise ConfigError(f"{path} is no configuration: it has more than {MAX_FILE} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is no configuration: it is not plain text") from None


def _check_safe(path: Path, facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise ConfigError(f"{path} is no regular file")
    if facts.st_mode & 0o077:
        mode = stat.S_IMODE(facts.st_mode)
        raise ConfigError(
            f"{path} is open to others (mode {mode:04o}), and it holds a secret key: run chmod 600 {path},"
            " or make a new one"
        )
    if facts.st_uid not in (os.geteuid(), 0):
        raise ConfigError(f"{path} belongs to another user (uid {facts.st_uid})")


def write(path: Path, text: str, *, replace: bool = False) -> None:
    """Write a file, whole or not at all, readable by its owner alone.

    Args:
        path: the file; its folder must exist.
        text: what to write.
        replace: whether a file that is already there may be replaced; it is kept with ``.bak`` behind its name.

    Raises:
        ConfigError: it exists and ``replace`` is False, or it cannot be written.
    """
    mark = secrets.token_hex(8)
    draft, former = path.with_name(f".{path.name}.{mark}"), path.with_name(f".{path.name}.{mark}.bak")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            if replace:
                with contextlib.suppress(FileNotFoundError):
                    os.link(path, former)
                    former.replace(path.with_name(f"{path.name}.bak"))
                draft.replace(path)
            else:
                os.link(draft, path)
            _sync_folder(path.parent)
        finally:
            for leftover in (draft, former):
                leftover.unlink(missing_ok=True)
    except FileExistsError:
        raise ConfigError(f"{path} exists already; it is not replaced unless told so") from None
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
