"""What can go wrong on a network.

The tree, below :class:`skywire.errors.NetworkError`::

    NetworkError
    ├ DialError                a connection could not be made; carries the address
    │ ├ DialTimeout            not in time (also a TimeoutError)
    │ ├ Unreachable            nobody answers at that address
    │ └ PeerRefused            the other end answered, but it is not that peer or does not want us
    ├ AcceptError              a connection that came in was turned away
    │ ├ HandshakeTimeout       the peer did not finish its handshake in time (also a TimeoutError)
    │ ├ HandshakeAborted       the peer left during its handshake
    │ ├ HandshakeRefused       the peer finished it, but not on our terms
    │ ├ NotAdmitted            the peer is not on the allow-list
    │ └ TooManyConnections     a limit on what peers may open was reached
    ├ ListenError              a local address cannot be listened on
    ├ StreamBroken             an established connection failed (also anyio's BrokenResourceError)
    └ HalfCloseUnsupported     this network has no way to end one direction only

A peer that breaks the wire format is a :class:`skywire.errors.ProtocolError`, as itself or as the cause of these. Use
of a connection that the caller closed is anyio's ClosedResourceError, a clean end anyio's EndOfStream.
"""

from __future__ import annotations

from anyio import BrokenResourceError

from skywire.errors import NetworkError
from skywire.net.address import Address


class DialError(NetworkError):
    """A connection could not be made.

    Args:
        address: where to.
        reason: the rest of the sentence 'cannot reach <address>: ...'.
    """

    def __init__(self, address: Address, reason: str) -> None:
        super().__init__(f"cannot reach {address}: {reason}")
        self.address = address
        self.reason = reason


class DialTimeout(DialError, TimeoutError):
    """The connection was not made in time."""


class Unreachable(DialError):
    """Nobody answers at that address."""


class PeerRefused(DialError):
    """The other end answered, but it does not hold the wanted key, or it ended the handshake."""


class AcceptError(NetworkError):
    """A connection that came in was turned away."""


class HandshakeTimeout(AcceptError, TimeoutError):
    """The peer did not finish its handshake in time."""


class HandshakeAborted(AcceptError):
    """The peer closed or broke the connection during its handshake."""


class HandshakeRefused(AcceptError):
    """The peer finished its handshake without something that we require."""


class NotAdmitted(AcceptError):
    """The peer proved its key, and that key is not admitted to the port."""


class TooManyConnections(AcceptError):
    """A limit on what peers may open at a time was reached."""


class ListenError(NetworkError):
    """A local address cannot be listened on."""


class StreamBroken(NetworkError, BrokenResourceError):
    """An established connection failed: reset, truncated, tampered with, or left in doubt by a cancelled send."""


class HalfCloseUnsupported(NetworkError):
    """This network cannot end one direction of a connection only; close the whole connection instead."""
