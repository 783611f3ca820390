"""Skywire: an encrypted overlay network addressed by public key.

The public names of the library. Where to go from here: ``docs/tutorial.md`` and ``examples/``.

Each is imported when it is first used: a program that only asks a node something is not to wait for networks and
ciphers.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from skywire.version import __version__

if TYPE_CHECKING:
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

if not TYPE_CHECKING:  # what type checkers read stands above; to them this would make every name exist
    _HOMES = {
        "skywire.errors": (
            "AuthenticationError",
            "InvalidAddress",
            "InvalidKey",
            "KeyFileError",
            "LocalProtocolError",
            "NetworkError",
            "ProtocolError",
            "SkywireError",
        ),
        "skywire.keys": ("PubKey", "SecKey", "Signature"),
        "skywire.net.address": ("Address", "HostPort"),
        "skywire.net.conn": ("CORE", "Conn", "Owner"),
        "skywire.net.errors": (
            "DialError",
            "DialTimeout",
            "HalfCloseUnsupported",
            "ListenError",
            "PeerRefused",
            "StreamBroken",
            "Unreachable",
        ),
        "skywire.net.memory": ("MemoryHub", "MemoryNetwork"),
        "skywire.net.network": ("EVERYONE", "DialOptions", "Dispatcher", "Network", "SingleHandler"),
        "skywire.net.serving": ("serving",),
        "skywire.pktcp": ("PkTcpNetwork",),
        "skywire.runtime": ("run",),
    }
    _HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

    def __getattr__(name):
        if (home := _HOME_OF.get(name)) is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(home), name)
        return found

    def __dir__():
        return sorted({*globals(), *__all__})
