"""The file that a visor is configured by: read strictly, changed without losing what others wrote into it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias, final

from anyio import to_thread

from skywire.app.api import Warned
from skywire.app.record import InstanceConfig
from skywire.json_document import Document, DocumentError
from skywire.key_path import KeyPath, parse_path, show_path
from skywire.privatefile import PrivateFile
from skywire.visor.config.errors import ConfigError, WrongSettings
from skywire.visor.config.locking import locked
from skywire.visor.config.notices import notices_of, problems_of
from skywire.visor.config.reading import Reading
from skywire.visor.config.schema import VisorConfig

MAX_FILE: Final = 4 << 20
"""Bytes of a configuration."""
FILE: Final = PrivateFile("configuration", MAX_FILE, ConfigError)

Edit: TypeAlias = Callable[[Document, VisorConfig | None], Document]
"""Changes a document; it also gets what the document means, None where that cannot be said."""


@final
@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that was read.

    Args:
        document: with its lines.
        config: what it means.
        warnings: what its writer should know.
    """

    document: Document
    config: VisorConfig
    warnings: tuple[Warned, ...]


@final
class ConfigFile:
    """A configuration in a file. It also is where app instances are written down; see
    :class:`skywire.control.apps.Rows`.

    Every change reads the file anew, changes what is to change and nothing else, and replaces the file whole, under a
    lock, so that processes do not lose each other's changes; the file of before is kept with ``.bak`` behind its name.
    What would not load any more is refused, and nothing is changed.

    Args:
        path: the file.
        loaded: what was read from it.
    """

    def __init__(self, path: Path, loaded: Loaded) -> None:
        self.path: Final = path
        self._loaded = loaded

    @classmethod
    def load(cls, path: Path) -> ConfigFile:
        """Read a file.

        Raises:
            WrongSettings: values in it cannot be used.
            ConfigError: it is missing, open to others, of another user, too large, or no JSON object.
        """
        return cls(path, load_text(path, read_text(path)))

    @property
    def config(self) -> VisorConfig:
        """What is in it, as of the last time it was read or written."""
        return self._loaded.config

    @property
    def document(self) -> Document:
        """The same as it stands there."""
        return self._loaded.document

    @property
    def warnings(self) -> tuple[Warned, ...]:
        """What its writer should know."""
        return self._loaded.warnings

    async def set(self, key: KeyPath | str, value: object) -> None:
        """Give a key a value.

        Args:
            key: such as ``transport.stcpr_port``; objects that lead to it are made.
            value: as JSON.

        Raises:
            ConfigError: it is no path, the file would not load any more, or cannot be read or written.
        """
        path = as_path(key)
        await self.change(lambda document, _: document.put(path, value))

    async def unset(self, key: KeyPath | str) -> None:
        """Take a key out, so that it has its default.

        Raises:
            ConfigError: see :meth:`set`.
        """
        path = as_path(key)
        await self.change(lambda document, _: document.drop(path))

    async def put(self, config: InstanceConfig) -> None:
        """See :class:`skywire.control.apps.Rows`."""
        from skywire.visor.config.row_edits import put_row

        await self.change(lambda document, meaning: put_row(document, _known(self.path, meaning), config))

    async def drop(self, name: str) -> None:
        """See :class:`skywire.control.apps.Rows`."""
        from skywire.visor.config.row_edits import drop_row

        await self.change(lambda document, meaning: drop_row(document, _known(self.path, meaning), name))

    async def change(self, edit: Edit) -> None:
        """Change the file.

        Raises:
            ConfigError: see :meth:`set`.
        """
        self._loaded = await to_thread.run_sync(change_file, self.path, edit)


def load_text(path: Path, text: str) -> Loaded:
    """Read the text of a configuration.

    Args:
        path: where it is, for errors.
        text: what is there.

    Raises:
        WrongSettings: values in it cannot be used.
        ConfigError: it is no JSON object.
    """
    return _loaded(path, _parse(path, text))


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        ConfigError: it is missing, open to others, of another user, or too large.
    """
    try:
        return FILE.read(path)
    except ConfigError as error:
        try:
            is_open = path.stat().st_mode & 0o077
        except (OSError, ValueError):
            raise error from None
        if is_open:
            raise ConfigError(f"{error}. Upstream's programs write it with mode 0644") from None
        raise


def change_file(path: Path, edit: Edit) -> Loaded:
    """Change a file; it waits for other processes that do, and for the disk.

    Raises:
        WrongSettings: it would not load any more.
        ConfigError: it cannot be read, changed so or written.
    """
    path = Path(os.path.realpath(path))  # a link stays one
    with locked(path):
        before = _parse(path, read_text(path))
        reading, meaning = _read(before)
        try:
            after = edit(before, None if reading.problems else meaning)
        except DocumentError as error:
            raise ConfigError(f"{path} cannot be changed so: {error.reason}") from None
        except (TypeError, ValueError) as error:  # no JSON, or no place for it
            raise ConfigError(f"{path} cannot be changed so: {error}") from None
        loaded = _loaded(path, after)
        if len(after.text.encode()) > MAX_FILE:
            raise ConfigError(f"{path} would have more than {MAX_FILE} bytes")
        if after.text != before.text:
            FILE.write(path, after.text, replace=True, keep=True)
    return loaded


def as_path(key: KeyPath | str) -> KeyPath:
    """A path, of its text or itself.

    Raises:
        ConfigError: it is none.
    """
    if not isinstance(key, str):
        return key
    try:
        return parse_path(key)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _parse(path: Path, text: str) -> Document:
    try:
        return Document(text)
    except DocumentError as error:
        raise ConfigError(f"{path}, {error}") from None


def _read(document: Document) -> tuple[Reading, VisorConfig]:
    reading = Reading()
    config = reading.section(VisorConfig, document.root)
    wrong = {path for path, _ in reading.problems}
    reading.problems += [each for each in problems_of(config) if each[0] not in wrong]
    reading.notices += notices_of(config)
    return reading, config


def _loaded(path: Path, document: Document) -> Loaded:
    reading, config = _read(document)
    if reading.problems:
        raise WrongSettings(placed(path, document, reading.problems), placed(path, document, reading.notices))
    return Loaded(document, config, placed(path, document, reading.notices))


def placed(path: Path, document: Document, findings: Iterable[tuple[KeyPath, str]]) -> tuple[Warned, ...]:
    """What was found, with file and line, in the order of the lines."""
    found: list[tuple[int, Warned]] = []
    for key, text in findings:
        at = key
        while at and document.find(at) is None:
            at = at[:-1]
        line = document.line(at)
        where = str(path) if line is None else f"{path}, line {line}"
        found.append((line or 0, Warned(f"{where}: {show_path(key)}", text)))
    return tuple(each for _, each in sorted(found, key=lambda pair: pair[0]))


def _known(path: Path, config: VisorConfig | None) -> VisorConfig:
    """What a document means.

    Raises:
        ConfigError: values in it cannot be used, so that rows in it cannot be told.
    """
    if config is None:
        raise ConfigError(f"{path} cannot be used as it is now: see skywire cli config check")
    return config
