"""The configuration file of a dmsg server: upstream's JSON object, read strictly.

dataclasses-json has no part in it. Every value of this flat object has to be checked with its line and turned into
something else, a key, an address or a time, and after that there is nothing left to decode.

Source: protocol-dmsg.md section 5.1.
"""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final
from urllib.parse import urlsplit

from skywire import keyfile
from skywire.dmsg.relay.config_file import FILE, ConfigError, InvalidSetting, Members
from skywire.dmsg.relay.registration import UPDATE_SECONDS
from skywire.dmsg.relay.relay import MAX_SESSIONS
from skywire.errors import InvalidAddress, InvalidKey, KeyFileError
from skywire.keys import PubKey, SecKey
from skywire.log_levels import LOG_LEVELS
from skywire.net.address import HostPort
from skywire.wire.discovery import SERVER_TTL_S

MOST_SESSIONS: Final = 1 << 20
"""Most sessions that can be configured: the descriptors that a process may usually have at most."""
SECOND: Final = 10**9
"""Nanoseconds."""
LOCAL_ADDRESS: Final = ":8081"
"""Where a server listens unless told otherwise."""
HEALTH_ADDRESS: Final = ":8082"
"""Where its health is served unless told otherwise."""
LOG_LEVEL: Final = "info"
"""How much it logs unless told otherwise."""
DISCOVERY: Final = "http://dmsgd.skywire.skycoin.com"
"""The discovery of the public network, in generated configurations."""
_KEYS: Final = (
    "public_key",
    "secret_key",
    "secret_key_file",
    "discovery",
    "public_address",
    "local_address",
    "health_endpoint_address",
    "log_level",
    "update_interval",
    "max_sessions",
)
_URL: Final = re.compile(r"https?://(?:(?![?#])[!-~])+")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RelayConfig:
    """What a dmsg server is told; its repr has no secret.

    Args:
        identity: the keys.
        discovery: where it announces itself, ``http://host:port`` or with https.
        public_address: host:port that clients are told to connect to; empty for where it listens, if that is one host.
        local_address: where it listens: host:port, [ipv6]:port, or :port for every address of this machine.
        health_endpoint_address: where its health is served by HTTP, likewise.
        log_level: one of LOG_LEVELS.
        update_interval: nanoseconds between two announcements that change nothing; 0 for UPDATE_SECONDS.
        max_sessions: most clients at a time.
        secret_key_file: the file that the secret key is kept in, as it stands in the configuration; empty when the key
            is in the configuration itself.
        unknown: members of the object that mean nothing here, kept for whoever they are for: names, and their values
            as JSON.

    Raises:
        InvalidSetting: one of them is out of its range.
    """

    identity: SecKey
    discovery: str = field(repr=False)
    public_address: str
    local_address: str = LOCAL_ADDRESS
    health_endpoint_address: str = HEALTH_ADDRESS
    log_level: str = LOG_LEVEL
    update_interval: int = 0
    max_sessions: int = MAX_SESSIONS
    secret_key_file: str = ""
    unknown: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        _check_discovery(self.discovery)
        _check_listen("local_address", self.local_address)
        _check_listen("health_endpoint_address", self.health_endpoint_address)
        _check_public(self.public_address, self.local_address)
        if self.log_level.lower() not in LOG_LEVELS:
            raise InvalidSetting("log_level", f"{self.log_level[:100]!r} is none of {', '.join(LOG_LEVELS)}")
        if self.update_interval and not SECOND <= self.update_interval < SERVER_TTL_S * SECOND:
            raise InvalidSetting(
                "update_interval",
                f"nanoseconds are expected, from {SECOND} (1 s) to below {SERVER_TTL_S * SECOND}, after which the"
                f" discovery forgets the server; 0 stands for {UPDATE_SECONDS:g} s",
            )
        if not 1 <= self.max_sessions <= MOST_SESSIONS:
            raise InvalidSetting("max_sessions", f"1 to {MOST_SESSIONS} is expected")

    @property
    def update_seconds(self) -> float:
        """Seconds between two announcements that change nothing."""
        return self.update_interval / SECOND if self.update_interval else UPDATE_SECONDS

    @property
    def level(self) -> int:
        """The log level by the numbers of :mod:`logging`."""
        return LOG_LEVELS[self.log_level.lower()]


def generate(*, loopback: bool = False) -> RelayConfig:
    """A new configuration with a new key, as upstream makes it.

    Args:
        loopback: whether it is for a network inside this machine, with a discovery at port 9090.
    """
    if not loopback:
        return RelayConfig(identity=SecKey.generate(), discovery=DISCOVERY, public_address="127.0.0.1:8081")
    return RelayConfig(
        identity=SecKey.generate(),
        discovery="http://127.0.0.1:9090",
        public_address="127.0.0.1:8081",
        local_address="127.0.0.1:8081",
        health_endpoint_address="127.0.0.1:8082",
    )


def load(path: Path) -> RelayConfig:
    """Read a configuration, and the key file that it may name.

    Args:
        path: the file; a key file is looked for from its folder on.

    Raises:
        ConfigError: missing, open to others, no JSON object, or a value cannot be used.
    """
    members = Members(path)
    try:
        return RelayConfig(
            identity=_identity(path, members),
            discovery=members.text("discovery"),
            public_address=members.text("public_address"),
            local_address=members.text("local_address", LOCAL_ADDRESS),
            health_endpoint_address=members.text("health_endpoint_address", HEALTH_ADDRESS),
            log_level=members.text("log_level", LOG_LEVEL),
            update_interval=members.number("update_interval", 0),
            max_sessions=members.number("max_sessions", MAX_SESSIONS),
            secret_key_file=members.text("secret_key_file", ""),
            unknown=members.others(_KEYS),
        )
    except InvalidSetting as error:
        raise ConfigError(f"{members.place(error.key)}: {error}") from None


def save(path: Path, config: RelayConfig, *, replace: bool = False) -> None:
    """Write a configuration, whole or not at all, readable by its owner alone.

    Args:
        path: the file; its folder must exist.
        config: what to write.
        replace: whether a file that is already there may be replaced; it is kept with ``.bak`` behind its name.

    Raises:
        ConfigError: it exists and ``replace`` is False, or it cannot be written.
    """
    FILE.write(path, _encode(config), replace=replace, keep=True)


def _identity(path: Path, members: Members) -> SecKey:
    """The keys of a configuration.

    Raises:
        InvalidSetting: there is none, or they do not belong together.
    """
    try:
        public = PubKey.from_hex(members.text("public_key"))
    except InvalidKey as error:
        raise InvalidSetting("public_key", str(error)) from None
    source = "secret_key_file"
    if source not in members:
        source = "secret_key"
        try:
            key = SecKey.from_hex(members.text(source))
        except InvalidKey as error:
            raise InvalidSetting(source, str(error)) from None
    elif "secret_key" in members:
        raise InvalidSetting("secret_key", "there is a secret_key_file as well, and only one of them can be right")
    else:
        try:
            key = keyfile.load(path.parent / members.text(source), _no_passphrase)
        except KeyFileError as error:
            raise InvalidSetting(source, str(error)) from None
    if key.public != public:
        raise InvalidSetting("public_key", f"it does not belong to the {source}, whose public key is {key.public}")
    return key


def _no_passphrase() -> str:
    raise KeyFileError("the key is sealed, and nobody is there to give its passphrase when a server starts")


def _check_discovery(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = _URL.fullmatch(url) and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good:
        # Not quoted: it may hold a password.
        raise InvalidSetting("discovery", "http://host:port or https://host is expected, perhaps with a path")


def _check_listen(key: str, text: str) -> None:
    try:
        HostPort.parse(f"localhost{text}" if text.startswith(":") else text)
    except InvalidAddress as error:
        raise InvalidSetting(key, str(error)) from None


def _check_public(text: str, local: str) -> None:
    if not text:
        if _is_every_address(local.rpartition(":")[0]):
            raise InvalidSetting(
                "public_address",
                f"it is empty, and local_address ({local}) does not tell where clients find the server",
            )
        return
    try:
        place = HostPort.parse(text)
        good = bool(place.port) and not _is_every_address(place.host)
    except InvalidAddress:
        good = False
    if not good:
        raise InvalidSetting("public_address", f"{text[:100]!r} is no host:port that clients could connect to")


def _is_every_address(host: str) -> bool:
    try:
        return not host or ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:  # a name
        return False


def _encode(config: RelayConfig) -> str:
    known: dict[str, str | int] = {
        "public_key": config.identity.public.hex(),
        **(
            {"secret_key_file": config.secret_key_file}
            if config.secret_key_file
            else {"secret_key": config.identity.expose_hex()}
        ),
        "discovery": config.discovery,
        "public_address": config.public_address,
        "local_address": config.local_address,
        "health_endpoint_address": config.health_endpoint_address,
        "log_level": config.log_level,
        "update_interval": config.update_interval,
        "max_sessions": config.max_sessions,
    }
    members = [(key, json.dumps(value)) for key, value in known.items()]
    lines = [f"\t{json.dumps(key)}: {text}" for key, text in (*members, *config.unknown)]
    return "{\n" + ",\n".join(lines) + "\n}\n"
