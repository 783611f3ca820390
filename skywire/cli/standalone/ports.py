"""The ports and hosts that a command line names for an app that runs alone."""

from __future__ import annotations

from typing import Final

from skywire.app.loaded import DefinitionError, LoadedDef, check_ports
from skywire.cli.program import UsageError
from skywire.errors import InvalidAddress
from skywire.net.address import HostPort, check_host

LOOPBACK: Final = "127.0.0.1"
"""Where an app listens unless told otherwise: nobody from outside comes by mistake."""


def port_numbers(loaded: LoadedDef, texts: tuple[str, ...]) -> dict[str, int]:
    """The numbers of ports.

    Args:
        loaded: whose they are.
        texts: each ``name=number``, or only the number.

    Raises:
        UsageError: that makes no sense.
    """
    found: dict[str, int] = {}
    for text in texts:
        name, equals, number = text.rpartition("=")
        if not equals:
            name = _only_port(loaded, f"--port {text[:100]}")
        if not (number.isascii() and number.isdigit() and len(number) <= 5) or name in found:
            raise UsageError(f"--port takes NAME=NUMBER, each port once, this is {text[:100]!r}")
        found[name] = int(number)
    return _checked(loaded, found)


def _only_port(loaded: LoadedDef, what: str) -> str:
    if len(loaded.ports) != 1:
        names = ", ".join(port.name for port in loaded.ports) or "none"
        raise UsageError(f"{what}: say which port, as --port NAME=NUMBER; {loaded.name} has: {names}")
    return loaded.ports[0].name


def listening(
    loaded: LoadedDef, texts: tuple[str, ...], ports: dict[str, int]
) -> tuple[tuple[str, ...], dict[str, int]]:
    """The hosts to listen on, and the ports with those that were given behind a host.

    Args:
        loaded: what listens.
        texts: each a host, or a host and a port.
        ports: the numbers of ports that were given otherwise.

    Raises:
        UsageError: that makes no sense.
    """
    hosts: list[str] = []
    for text in texts:
        host, number = _split(text)
        hosts.append(host)
        if number is not None:
            name = _only_port(loaded, f"--listen {text[:100]}")
            if ports.get(name, number) != number:
                raise UsageError(f"{loaded.name} has one port, and it cannot be both {ports[name]} and {number}")
            ports = {**ports, name: number}
    return tuple(dict.fromkeys(hosts)) or (LOOPBACK,), _checked(loaded, ports)


def _split(text: str) -> tuple[str, int | None]:
    """Host and port of ``host``, ``host:port``, ``ipv6``, or ``[ipv6]:port``."""
    try:
        if text.count(":") == 1 or "]:" in text:
            where = HostPort.parse(text)
            return where.host, where.port
        host = text.removeprefix("[").removesuffix("]")
        check_host(host)
    except InvalidAddress as error:
        raise UsageError(f"--listen: {error}") from None
    return host, None


def _checked(loaded: LoadedDef, ports: dict[str, int]) -> dict[str, int]:
    try:
        check_ports(loaded, ports)
    except DefinitionError as error:
        raise UsageError(str(error)) from None
    return ports
