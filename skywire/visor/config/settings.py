"""What a visor goes by: flag before environment before file before default.

| setting | flag | environment | file | default |
| --- | --- | --- | --- | --- |
| the file itself | ``-c`` | ``SKYWIRE_CONFIG`` | | ``./skywire-config.json`` if it exists, else in the user's folder |
| identity | | ``SKYWIRE_SK`` | ``sk`` | none: an error |
| log_level | ``log_level`` | ``SKYWIRE_LOG_LEVEL`` | ``log_level`` | info |
| local_path | ``local_path`` | ``SKYWIRE_LOCAL_PATH`` | ``local_path`` | ./local, or the user's folder without a file |
| discovery | ``discovery`` | ``SKYWIRE_DMSG_DISC`` | ``dmsg.discovery`` | none |
| min_sessions | ``min_sessions`` | | ``dmsg.sessions_count`` | 2 |
| servers | | | ``dmsg.servers`` | none |
| shutdown_seconds | | | ``shutdown_timeout`` | 10 |
| grants | | | ``hypervisors``, ``control`` | none |

A folder in the file is relative to the file; everywhere else it is relative to where one is. Secrets are never flags.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar, final

from platformdirs import user_config_path, user_data_path

from skywire.app.api import Grant
from skywire.app.interface import Role
from skywire.errors import InvalidKey
from skywire.keys import PubKey, SecKey
from skywire.log_levels import LOG_LEVELS
from skywire.visor.config.errors import ConfigError
from skywire.visor.config.file import ConfigFile
from skywire.visor.config.notices import why_no_discovery
from skywire.visor.config.schema import LOG_LEVEL, SHUTDOWN, VisorConfig
from skywire.wire.entry import Entry, ServerPart

T = TypeVar("T")

CONFIG_VARIABLE: Final = "SKYWIRE_CONFIG"
KEY_VARIABLE: Final = "SKYWIRE_SK"
CONFIG_NAME: Final = "skywire-config.json"
MIN_SESSIONS: Final = 2
FLAGS: Final = frozenset({"log_level", "local_path", "discovery", "min_sessions"})
"""The settings that can be flags."""

_VARIABLES: Final[Mapping[str, str]] = {
    "log_level": "SKYWIRE_LOG_LEVEL",
    "local_path": "SKYWIRE_LOCAL_PATH",
    "discovery": "SKYWIRE_DMSG_DISC",
}
_DEFAULT: Final = "default"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a visor goes by.

    Args:
        identity: its key.
        log_level: by the numbers of :mod:`logging`.
        local_path: the folder of its data, absolute.
        discovery: the URL of the dmsg discovery; empty for none.
        servers: entries of dmsg servers that are known beforehand.
        min_sessions: dmsg servers to keep sessions with; 0 for all.
        shutdown_seconds: that it may take to end.
        grants: who may control it from afar, each key once.
        sources: where each of them came from, by its name.
    """

    identity: SecKey
    log_level: int
    local_path: Path
    discovery: str = field(repr=False)
    servers: tuple[Entry, ...]
    min_sessions: int
    shutdown_seconds: float
    grants: tuple[Grant, ...]
    sources: Mapping[str, str]


def find_config(flag: Path | None, environ: Mapping[str, str]) -> Path:
    """Where the configuration is, or would be.

    Args:
        flag: the file that the command line names; it wins.
        environ: the environment.
    """
    if flag is not None:
        return flag
    if environ.get(CONFIG_VARIABLE):
        return Path(environ[CONFIG_VARIABLE])
    here = Path(CONFIG_NAME)
    return here if here.exists() else default_config()


def default_config() -> Path:
    """Where the configuration of a user is unless said otherwise."""
    return user_config_path("skywire") / CONFIG_NAME


def resolve(config: ConfigFile | None, flags: Mapping[str, str], environ: Mapping[str, str]) -> Settings:
    """Bring together what is said in different places.

    Args:
        config: the file; None where there is none.
        flags: of the command line, by the names of FLAGS; those that are not given are left out.
        environ: the environment.

    Raises:
        ConfigError: a value cannot be used, or there is no secret key; the text says whose it is.
        ValueError: there is no such flag.
    """
    if not flags.keys() <= FLAGS:
        raise ValueError(f"there are the flags {', '.join(sorted(FLAGS))}, not {', '.join(sorted(flags))}")
    return _Resolution(config, flags, environ).settings()


@final
class _Resolution:
    """Finds each setting, and where it came from."""

    def __init__(self, file: ConfigFile | None, flags: Mapping[str, str], environ: Mapping[str, str]) -> None:
        self._file = file
        self._flags = flags
        self._environ = environ
        self._sources: dict[str, str] = {}

    def settings(self) -> Settings:
        """All of them."""
        config = VisorConfig() if self._file is None else self._file.config
        identity = self._identity(config)
        shutdown = config.shutdown_timeout or SHUTDOWN
        return Settings(
            identity=identity,
            log_level=self._text("log_level", _level, config.log_level, LOG_LEVEL, ("log_level",)),
            local_path=self._local_path(config),
            discovery=self._text("discovery", _url, config.dmsg.discovery, "", ("dmsg", "discovery")),
            servers=self._from_file("servers", _servers(config), ("dmsg", "servers")),
            min_sessions=self._min_sessions(config),
            shutdown_seconds=self._from_file("shutdown_seconds", shutdown.total_seconds(), ("shutdown_timeout",)),
            grants=self._from_file("grants", grants_of(config), ("hypervisors",), ("control",)),
            sources=self._sources,
        )

    def _identity(self, config: VisorConfig) -> SecKey:
        text = self._environ.get(KEY_VARIABLE)
        if text:
            try:
                key = SecKey.from_hex(text.strip())
            except InvalidKey as error:
                raise ConfigError(f"{KEY_VARIABLE}: {error}") from None
            if config.sk is None and config.pk not in {None, key.public}:
                raise ConfigError(f"{KEY_VARIABLE} is of {key.public}, and the configuration is for {config.pk}")
            self._sources["identity"] = KEY_VARIABLE
            return key
        if config.sk is None:
            where = f"set {KEY_VARIABLE}, or make a configuration with: skywire cli config gen"
            name = "" if self._file is None else f"{self._file.path}: sk: "
            raise ConfigError(f"{name}there is no secret key: {where}")
        return self._from_file("identity", config.sk, ("sk",))

    def _local_path(self, config: VisorConfig) -> Path:
        said = self._said("local_path")
        if said is not None:
            return Path(said).absolute()
        if self._file is None:
            return self._from_file("local_path", user_data_path("skywire"), ("local_path",))
        path = self._file.path.absolute().parent / (config.local_path or ".")
        return self._from_file("local_path", path, ("local_path",))

    def _min_sessions(self, config: VisorConfig) -> int:
        text = self._said("min_sessions")
        if text is None:
            count = config.dmsg.sessions_count
            return self._from_file("min_sessions", MIN_SESSIONS if count is None else count, ("dmsg", "sessions_count"))
        if not text.isascii() or not text.isdigit() or len(text) > 9:
            raise ConfigError(f"{self._sources['min_sessions']}: a number of servers is expected, or 0 for all")
        return int(text)

    def _text(self, name: str, read: Callable[[str], T], written: str, default: str, *keys: tuple[str, ...]) -> T:
        """A setting that is a text wherever it stands."""
        said = self._said(name)
        if said is None:
            return self._from_file(name, read(written or default), *keys)
        try:
            return read(said)
        except ConfigError as error:
            raise ConfigError(f"{self._sources[name]}: {error}") from None

    def _said(self, name: str) -> str | None:
        """What the command line or the environment says; an empty variable says nothing."""
        if name in self._flags:
            self._sources[name] = f"--{name.replace('_', '-')}"
            return self._flags[name]
        variable = _VARIABLES.get(name, "")
        if value := self._environ.get(variable, ""):
            self._sources[name] = variable
            return value
        return None

    def _from_file(self, name: str, value: T, *keys: tuple[str, ...]) -> T:
        """A setting of the file, or its default where no key of it stands there."""
        document = None if self._file is None else self._file.document
        found = [key for key in keys if document and (document.find(key) or document.find((key[0], 0, *key[1:])))]
        source = " and ".join(".".join(key) for key in found)
        self._sources[name] = f"{source} in {self._file.path}" if self._file is not None and found else _DEFAULT
        return value


def grants_of(config: VisorConfig) -> tuple[Grant, ...]:
    """Who may control the visor from afar, each key once: the hypervisors all, others as ``control`` says."""
    found = {key: Grant(key, Role.ADMIN, "hypervisors") for key in config.hypervisors}
    for key, role in config.control.items():
        found.setdefault(key, Grant(key, role, "control"))
    return tuple(found.values())


def _servers(config: VisorConfig) -> tuple[Entry, ...]:
    return tuple(
        Entry(_key(server.static), server=ServerPart(server.server.address, available_sessions=1))
        for server in config.dmsg.servers
    )


def _key(key: PubKey | None) -> PubKey:
    assert key is not None  # or the file would not have loaded
    return key


def _level(text: str) -> int:
    if text.lower() not in LOG_LEVELS:
        raise ConfigError(f"{text[:100]!r} is none of {', '.join(LOG_LEVELS)}")
    return LOG_LEVELS[text.lower()]


def _url(text: str) -> str:
    if text and (reason := why_no_discovery(text)):
        raise ConfigError(reason)
    return text
