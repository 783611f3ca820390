"""The contract of a discovery, whatever form it has: where the entries of keys are kept.

Errors, of all calls: DiscoveryUnreachable when it does not answer in time or at all, DiscoveryRefused when it answers
that it will not, DiscoveryBroken when its answer makes no sense. Every call ends within the limit of the client.
"""

from __future__ import annotations

from typing import Protocol

from skywire.errors import NetworkError, ProtocolError
from skywire.keys import PubKey
from skywire.wire.entry import Entry


class DiscoveryUnreachable(NetworkError):
    """The discovery does not answer, or not in time."""


class DiscoveryBroken(ProtocolError):
    """The answer of the discovery makes no sense."""


class Discovery(Protocol):
    """Where clients and servers find each other."""

    async def entry(self, key: PubKey) -> Entry | None:
        """The entry of a key, or None when there is none.

        An entry of a client whose signature is wrong counts as none (see protocol-dmsg.md section 6.9).
        """
        ...

    async def available_servers(self) -> list[Entry]:
        """The entries of servers that want sessions, perhaps none."""
        ...

    async def all_servers(self) -> list[Entry]:
        """The entries of all servers, perhaps none."""
        ...

    async def post(self, entry: Entry) -> None:
        """Register or update a signed entry.

        Raises:
            DiscoveryRefused: among others with Reason.WRONG_SEQUENCE, when a newer entry is stored.
        """
        ...

    async def delete(self, entry: Entry) -> None:
        """Remove the entry of a key; ``entry`` is signed by it."""
        ...
