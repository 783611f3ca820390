"""Addresses of peers: ``dmsg://<key>:<port>``, ``skynet://<key>:<port>``, ``memory://<key>:<port>`` and
``tcp://<key>@<host>:<port>`` (IPv6 hosts in brackets).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, Self, final

from skywire.errors import InvalidAddress, InvalidKey
from skywire.keys import PubKey

OVERLAYS: Final = frozenset({"dmsg", "skynet", "memory"})
"""Networks whose ports belong to the key alone."""
TCP: Final = "tcp"
"""The network of key-encrypted TCP, whose addresses also name a host."""

MAX_PORT: Final = 0xFFFF

_MAX_TEXT: Final = 512
"""Longest address text that is looked at, in characters: a key, a host name of 253, and room."""
_FORM: Final = re.compile(r"([a-z]+)://([^@:/\[\]]+)(?:@(\[[^\[\]@]+\]|[^@:\[\]/]+))?:([0-9]{1,5})")
_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?")


@final
@dataclass(frozen=True, slots=True)
class Address:
    """Where a peer is reached on one network.

    Args:
        network: ``dmsg``, ``skynet``, ``memory`` or ``tcp``.
        pk: who is there.
        port: 1 to 65535; a port of the key on an overlay, a TCP port on ``tcp``.
        host: a host name or IP address without brackets; on ``tcp`` only, and there always.

    Raises:
        InvalidAddress: a part is out of its range.
    """

    network: str
    pk: PubKey
    port: int
    host: str | None = None

    def __post_init__(self) -> None:
        if self.network not in OVERLAYS and self.network != TCP:
            known = ", ".join(sorted({*OVERLAYS, TCP}))
            raise InvalidAddress(f"there is no network named {self.network!r}; known are {known}")
        if not 1 <= self.port <= MAX_PORT:
            raise InvalidAddress(f"a port is 1 to {MAX_PORT}, this is {self.port}")
        if self.network == TCP:
            if self.host is None:
                raise InvalidAddress("a tcp address names a host: tcp://<public key>@<host>:<port>")
            check_host(self.host)
        elif self.host is not None:
            raise InvalidAddress(f"a {self.network} address names no host: {self.network}://<public key>:<port>")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form.

        Raises:
            InvalidAddress: anything else; the text says what is wrong.
        """
        match = _FORM.fullmatch(text) if len(text) <= _MAX_TEXT else None
        if match is None:
            raise InvalidAddress(
                "an address is dmsg://<public key>:<port>, skynet://<public key>:<port> or "
                f"tcp://<public key>@<host>:<port>, this is {text[:100]!r}"
            )
        network, key, host, port = match.groups()
        try:
            pk = PubKey.from_hex(key)
        except InvalidKey as error:
            raise InvalidAddress(f"the key of address {text!r} is wrong: {error}") from None
        if host is not None and host.startswith("["):
            host = host[1:-1]
            if ":" not in host:
                raise InvalidAddress(f"only IPv6 addresses stand in brackets, not {host!r}")
        return cls(network, pk, int(port), host)

    def __str__(self) -> str:
        if self.host is None:
            return f"{self.network}://{self.pk}:{self.port}"
        return f"{self.network}://{self.pk}@{join_host_port(self.host, self.port)}"


@final
@dataclass(frozen=True, slots=True)
class HostPort:
    """A local TCP address to listen on.

    Args:
        host: an IP address or host name, without brackets.
        port: 0 to 65535; 0 lets the system choose.

    Raises:
        InvalidAddress: a part is out of its range.
    """

    host: str
    port: int

    def __post_init__(self) -> None:
        check_host(self.host)
        if not 0 <= self.port <= MAX_PORT:
            raise InvalidAddress(f"a local port is 0 to {MAX_PORT}, this is {self.port}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``host:port`` or ``[ipv6]:port``.

        Raises:
            InvalidAddress: anything else.
        """
        host, colon, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if not colon or not (port.isascii() and port.isdigit()) or len(port) > 5 or (":" in host and not bracketed):
            raise InvalidAddress(f"a local address is host:port or [ipv6]:port, this is {text[:100]!r}")
        return cls(host[1:-1] if bracketed else host, int(port))

    def __str__(self) -> str:
        return join_host_port(self.host, self.port)


def join_host_port(host: str, port: int) -> str:
    """``host:port``, with brackets where the host is an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def check_host(host: str) -> None:
    """Accept an IP address, or what can be a host name.

    Raises:
        InvalidAddress: anything else.
    """
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise InvalidAddress(f"{host[:100]!r} is no IPv6 address") from None
    elif not _HOST_NAME.fullmatch(host):
        raise InvalidAddress(f"{host[:100]!r} is neither an IP address nor a host name")
