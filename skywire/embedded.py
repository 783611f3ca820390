"""A whole dmsg network in this process: discovery, relays and clients, for a first try, a laptop or a test.

::

    async with embedded.start() as network, network.client() as alice, network.client() as bob:
        ...
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, final

from skywire.dmsg.discovery.contract import Discovery
from skywire.dmsg.discovery.directory import Directory
from skywire.dmsg.discovery.local import LocalDiscovery
from skywire.dmsg.discovery.memory import MemoryStore
from skywire.dmsg.limits import Limits
from skywire.dmsg.network import DmsgNetwork
from skywire.dmsg.relay import Relay
from skywire.keys import SecKey
from skywire.net.address import HostPort
from skywire.net.background import Background
from skywire.wire.discovery import Rules

LOOPBACK: Final = HostPort("127.0.0.1", 0)
"""Where a relay listens unless told otherwise: for this machine only, on a port that the system chooses."""


@final
@dataclass(frozen=True, slots=True)
class Deployment:
    """What runs here.

    Args:
        directory: the discovery, to be served by HTTP if others are to see it.
        relays: the dmsg servers.
    """

    directory: Directory
    relays: tuple[Relay, ...]

    @property
    def discovery(self) -> Discovery:
        """The discovery as clients of this process see it."""
        return LocalDiscovery(self.directory)

    def client(
        self, identity: SecKey | None = None, *, min_sessions: int = 1, limits: Limits = Limits()
    ) -> DmsgNetwork:
        """A client, to be entered; see :class:`skywire.dmsg.network.DmsgNetwork`.

        Args:
            identity: its key; a new one when None.
            min_sessions: relays to be reachable through; 0 for all.
            limits: times and counts.
        """
        return DmsgNetwork(
            SecKey.generate() if identity is None else identity,
            self.discovery,
            min_sessions=min_sessions,
            limits=limits,
        )


@asynccontextmanager
async def start(
    *, relays: int = 1, listen: HostPort = LOOPBACK, limits: Limits = Limits()
) -> AsyncIterator[Deployment]:
    """Run a discovery and relays while the block runs.

    Args:
        relays: how many, at least 1.
        listen: where each of them listens; of several, port 0.
        limits: of the relays.

    Raises:
        ListenError: that address cannot be used.
    """
    directory = Directory(MemoryStore(), Rules(allow_loopback=True))
    deployment = Deployment(
        directory,
        tuple(
            Relay(SecKey.generate(), listen=[listen], discovery=LocalDiscovery(directory), limits=limits)
            for _ in range(relays)
        ),
    )
    async with Background() as task_group:
        task_group.start_soon(directory.maintain)
        for relay in deployment.relays:
            await task_group.start(relay.serve)
            await relay.announced()
        yield deployment
