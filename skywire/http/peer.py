"""Who is at the ends of an HTTP connection, as an application sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self, final

from starlette.types import Scope

from skywire.net.address import Address
from skywire.net.conn import Conn
from skywire.net.tcp import SocketAddress, TcpStream

_PEER: Final = "skywire.peer"


@final
@dataclass(frozen=True, slots=True)
class Ends:
    """The ends of one connection.

    Args:
        client: host, or key in hexadecimal, and port.
        server: the same of this end.
        peer: the client's address where its key is proven.
    """

    client: SocketAddress
    server: SocketAddress
    peer: Address | None

    @classmethod
    def of(cls, stream: Conn | TcpStream) -> Self:
        """The ends of ``stream``.

        Raises:
            BrokenResourceError: it is over already, and nobody knows who was there.
        """
        if isinstance(stream, Conn):
            local, remote = stream.local, stream.remote
            return cls((str(remote.pk), remote.port), (str(local.pk), local.port), remote)
        return cls(stream.remote, stream.local, None)

    def extend(self, scope: Scope) -> Scope:
        """The scope of a request, with what is known of the connection."""
        extended = {**scope, "asgi": {"version": "3.0", "spec_version": "2.4"}}
        if self.peer is not None:
            extensions = {**scope.get("extensions", {}), _PEER: {"address": self.peer}}
            extended |= {"scheme": self.peer.network, "extensions": extensions}
        return extended


def peer_of(scope: Scope) -> Address | None:
    """Whose request it is, where that is proven.

    It is taken from the connection alone and never from what the request says. The ``client`` of the scope has the key
    too, in hexadecimal, and is what logs and other libraries look at; but only this says that it is a key.

    Args:
        scope: of the request.

    Returns:
        The peer's address with its proven key; None for a request over plain TCP.
    """
    extensions: dict[str, dict[str, object]] = scope.get("extensions", {})
    address = extensions.get(_PEER, {}).get("address")
    return address if isinstance(address, Address) else None
