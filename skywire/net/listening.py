"""Where to listen, and listening there with our own error."""

from __future__ import annotations

import socket

from skywire.net.address import HostPort
from skywire.net.errors import ListenError
from skywire.net.tcp import TcpListener, listen


async def listen_on(where: HostPort) -> TcpListener:
    """Listen on every address that the host stands for.

    Raises:
        ListenError: one cannot be used.
    """
    try:
        return await listen(where.host, where.port)
    except OSError as error:
        raise ListenError(f"cannot listen on {where}: {error.strerror or error}") from error


def listening_places(text: str) -> tuple[HostPort, ...]:
    """Where to listen for ``host:port``, ``[ipv6]:port``, or ``:port``: every address of this machine.

    Raises:
        InvalidAddress: it is none of them.
    """
    if not text.startswith(":"):
        return (HostPort.parse(text),)
    port = HostPort.parse(f"localhost{text}").port
    hosts = ("0.0.0.0", "::") if _has_ipv6() else ("0.0.0.0",)  # noqa: S104 - it says so
    return tuple(HostPort(host, port) for host in hosts)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True
