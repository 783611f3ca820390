"""What a configuration means beside its types: what cannot be, and what its writer should know."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from skywire.app.interface import Role
from skywire.errors import InvalidAddress
from skywire.key_path import KeyPath
from skywire.log_levels import LOG_LEVELS
from skywire.net.address import HostPort
from skywire.version import __version__
from skywire.visor.config.schema import VisorConfig

NO_CONTROL_PORT: Final = (
    "this TCP port is not opened, since any user or web page of the machine could reach it: on this machine there is a"
    " unix socket, and dmsg port 3435 for the keys in hypervisors and control"
)
NO_PAGE: Final = "no page is served there: this program has no hypervisor yet"
"""Goes when there is one."""

_MAJOR: Final = re.compile(r"v?([0-9]+)\b")
_MAJORS: Final = frozenset({__version__.partition(".")[0], "1"})
_URL: Final = re.compile(r"(https?|dmsg)://(?:(?![?#])[!-~])+")


def problems_of(config: VisorConfig) -> Iterator[tuple[KeyPath, str]]:
    """What cannot be used, though its type fits."""
    if config.sk is not None and config.pk is not None and config.sk.public != config.pk:
        yield ("pk",), f"it does not belong to sk, whose public key is {config.sk.public}"
    if config.log_level.lower() not in LOG_LEVELS:
        yield ("log_level",), f"{config.log_level[:100]!r} is none of {', '.join(LOG_LEVELS)}"
    if config.shutdown_timeout < timedelta(0):
        yield ("shutdown_timeout",), "a time span that is not negative is expected"
    if config.dmsg.discovery and (reason := why_no_discovery(config.dmsg.discovery)):
        yield ("dmsg", "discovery"), reason
    if (config.dmsg.sessions_count or 0) < 0:
        yield ("dmsg", "sessions_count"), "the number of servers to keep sessions with is expected, or 0 for all"
    for at, server in enumerate(config.dmsg.servers):
        place: KeyPath = ("dmsg", "servers", at)
        if server.static is None:
            yield (*place, "static"), "the public key of the server is missing"
        try:
            HostPort.parse(server.server.address)
        except InvalidAddress as error:
            yield (*place, "server", "address"), str(error)


def notices_of(config: VisorConfig) -> Iterator[tuple[KeyPath, str]]:
    """What works, but may not be what its writer thinks."""
    major = _MAJOR.match(config.version)
    if major is not None and major[1] not in _MAJORS:
        version = config.version[:40]
        yield ("version",), f"it is for version {version}, this is {__version__}: some of it may mean something else"
    if config.cli_addr:
        yield ("cli_addr",), NO_CONTROL_PORT
    if config.launcher.server_addr:
        yield (
            ("launcher", "server_addr"),
            "this TCP port is not opened: apps run in the process itself, or over a socket that they inherit",
        )
    if config.pty.ssh_listen:
        yield ("pty", "ssh_listen"), "this TCP port is not opened by the visor: run the command `standalone pty`"
    if config.hypervisor is not None and config.hypervisor.http_addr:
        yield ("hypervisor", "http_addr"), NO_PAGE
    for key, role in config.control.items():
        if key in config.hypervisors and role is not Role.ADMIN:
            yield ("control", str(key)), "it is among the hypervisors too, who may do everything"


def why_no_discovery(url: str) -> str | None:
    """Why that is no address of a discovery; None when it is one. Not quoted: it may hold a password."""
    try:
        parts = urlsplit(url)
        good = _URL.fullmatch(url) and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    return None if good else "http://host:port, https://host or dmsg://key:port is expected"
