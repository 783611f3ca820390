"""Who is connected to what, by the owner that every connection carries."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import TYPE_CHECKING, final
from weakref import WeakKeyDictionary

from skywire.keys import PubKey

if TYPE_CHECKING:  # who only asks what connections there are does not wait for ciphers
    from skywire.net.conn import Conn


@final
@unique
class Direction(StrEnum):
    """Who made a connection."""

    IN = "in"
    OUT = "out"


@final
@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """One connection, as people want to see it.

    Args:
        owner: the app instance on whose behalf it exists.
        network: what carries it.
        peer: the key of the other end.
        direction: who made it.
        local_port: ours; that of the app where the peer made it.
        remote_port: that of the peer.
        opened: seconds of Unix time.
        bytes_in: received.
        bytes_out: sent.
    """

    owner: str
    network: str
    peer: PubKey
    direction: Direction
    local_port: int
    remote_port: int
    opened: float
    bytes_in: int
    bytes_out: int


@final
class Connections:
    """The open connections of a process. A connection that nobody holds any more is forgotten by itself."""

    def __init__(self) -> None:
        self._directions: WeakKeyDictionary[Conn, Direction] = WeakKeyDictionary()

    def add(self, conn: Conn, direction: Direction) -> None:
        """Remember a connection until it is closed."""
        self._directions[conn] = direction

    def of(self, owner: str | None = None) -> tuple[ConnectionInfo, ...]:
        """Those of one owner, or all; the oldest first."""
        found = [
            _describe(conn, direction)
            for conn, direction in self._directions.items()
            if not conn.closed and owner in {None, conn.owner.name}
        ]
        return tuple(sorted(found, key=lambda each: each.opened))


def _describe(conn: Conn, direction: Direction) -> ConnectionInfo:
    return ConnectionInfo(
        owner=conn.owner.name,
        network=conn.network,
        peer=conn.remote.pk,
        direction=direction,
        local_port=conn.local.port,
        remote_port=conn.remote.port,
        opened=conn.opened,
        bytes_in=conn.bytes_in,
        bytes_out=conn.bytes_out,
    )
