"""Servers and where they listen."""

from __future__ import annotations

from dataclasses import dataclass

from skywire.errors import InvalidAddress
from skywire.keys import PubKey
from skywire.net.address import HostPort
from skywire.wire.entry import Entry


@dataclass(frozen=True, slots=True)
class ServerPlace:
    """A server and where it listens.

    Args:
        key: its public key.
        where: its address.
    """

    key: PubKey
    where: HostPort


def place_of(entry: Entry) -> ServerPlace | None:
    """The server that an entry is of; None when it is of none, or its address is none."""
    if entry.static is None or entry.server is None:
        return None
    try:
        return ServerPlace(entry.static, HostPort.parse(entry.server.address))
    except InvalidAddress:
        return None
