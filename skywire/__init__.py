"""Skywire: an encrypted overlay network addressed by public key.

The public names of the library. Where to go from here: ``docs/tutorial.md`` and ``examples/``.
"""

from skywire.errors import (
    AuthenticationError,
    InvalidAddress,
    InvalidKey,
    KeyFileError,
    LocalProtocolError,
    NetworkError,
    ProtocolError,
    SkywireError,
)
from skywire.keys import PubKey, SecKey, Signature
from skywire.net.address import Address, HostPort
from skywire.net.conn import CORE, Conn, Owner
from skywire.net.errors import (
    DialError,
    DialTimeout,
    HalfCloseUnsupported,
    ListenError,
    PeerRefused,
    StreamBroken,
    Unreachable,
)
from skywire.net.memory import MemoryHub, MemoryNetwork
from skywire.net.network import EVERYONE, DialOptions, Dispatcher, Network, SingleHandler
from skywire.net.serving import serving
from skywire.pktcp import PkTcpNetwork
from skywire.runtime import run
from skywire.version import __version__

__all__ = [
    "CORE",
    "EVERYONE",
    "Address",
    "AuthenticationError",
    "Conn",
    "DialError",
    "DialOptions",
    "DialTimeout",
    "Dispatcher",
    "HalfCloseUnsupported",
    "HostPort",
    "InvalidAddress",
    "InvalidKey",
    "KeyFileError",
    "ListenError",
    "LocalProtocolError",
    "MemoryHub",
    "MemoryNetwork",
    "Network",
    "NetworkError",
    "Owner",
    "PeerRefused",
    "PkTcpNetwork",
    "ProtocolError",
    "PubKey",
    "SecKey",
    "Signature",
    "SingleHandler",
    "SkywireError",
    "StreamBroken",
    "Unreachable",
    "__version__",
    "run",
    "serving",
]
