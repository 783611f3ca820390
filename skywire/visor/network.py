"""The node among others, for whoever controls it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

from skywire.app.api import FacilityInfo, Finding, ListeningPort, NodeInfo, ServedPort
from skywire.app.facility import DMSG, FACILITIES, Facilities
from skywire.app.local_ports import LocalPorts
from skywire.app.registry import ServiceRegistry
from skywire.dmsg.control import CONTROL_PORT, ping
from skywire.dmsg.network import DmsgNetwork
from skywire.errors import NetworkError
from skywire.keys import PubKey
from skywire.net.address import Address
from skywire.net.conn import CORE
from skywire.net.memory import MEMORY
from skywire.version import __version__
from skywire.visor.memory import resident_bytes


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class NodeParts:
    """What the facts of a node are taken from.

    Args:
        public: its key.
        registry: what it serves.
        facilities: what it offers its apps.
        local_ports: the local ports of its apps.
        dmsg: its client; None where there is no way into the network.
        config_file: where it is configured; None where it is not.
        local_path: the folder of its data.
    """

    public: PubKey
    registry: ServiceRegistry
    facilities: Facilities
    local_ports: LocalPorts
    dmsg: DmsgNetwork | None
    config_file: Path | None
    local_path: Path


@final
class NodeNetwork:
    """See :class:`skywire.app.api.NetworkAPI`.

    Args:
        parts: what the facts are taken from.
        examine: looks for what is wrong.
    """

    def __init__(self, parts: NodeParts, examine: Callable[[], Awaitable[tuple[Finding, ...]]]) -> None:
        self._parts = parts
        self._examine = examine
        self._started = time.time()

    async def info(self) -> NodeInfo:
        """See the protocol."""
        parts = self._parts
        presence = parts.facilities.presence()
        return NodeInfo(
            public=parts.public,
            version=__version__,
            started=self._started,
            config_file="" if parts.config_file is None else str(parts.config_file),
            local_path=str(parts.local_path),
            facilities=tuple(
                FacilityInfo(each.name, each.summary, presence[each.name].absent, presence[each.name].offline)
                for each in FACILITIES
            ),
            servers=() if parts.dmsg is None else tuple(session.server for session in parts.dmsg.sessions),
            memory=resident_bytes(),
        )

    async def ports(self) -> tuple[ServedPort, ...]:
        """See the protocol."""
        return tuple(
            ServedPort(
                networks=tuple(sorted(each.networks - {MEMORY})),
                port=each.port,
                label=each.label,
                owner=each.owner.name,
                hidden=each.hidden,
                connections=each.conn_count,
            )
            for each in self._parts.registry.list()
        )

    async def listeners(self) -> tuple[ListeningPort, ...]:
        """See the protocol."""
        return tuple(
            ListeningPort(host=each.address[0], port=each.address[1], label=each.label, owner=each.owner)
            for each in self._parts.local_ports.list()
        )

    async def doctor(self) -> tuple[Finding, ...]:
        """See the protocol."""
        return await self._examine()

    async def ping(self, key: PubKey) -> float:
        """See the protocol."""
        async with await self._dmsg.dial(Address(DMSG.name, key, CONTROL_PORT), owner=CORE) as conn:
            try:
                return await ping(conn)
            except TimeoutError:
                raise NetworkError(f"{key} does not answer") from None

    async def public_ip(self) -> str:
        """See the protocol."""
        return str(await self._dmsg.public_ip())

    @property
    def _dmsg(self) -> DmsgNetwork:
        if self._parts.dmsg is None:
            raise NetworkError("there is no way into the network: no discovery and no servers are configured")
        return self._parts.dmsg
