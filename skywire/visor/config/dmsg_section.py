"""The section ``dmsg`` of a configuration; upstream's keys, each with its type.

See :mod:`skywire.visor.config.schema` for what holds for all sections.

Source: upstream-2026.md section 6.2, protocol-skywire.md section 1.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from skywire.keys import PubKey
from skywire.visor.config.kinds import Count, key


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAddress:
    """Where a dmsg server is."""

    address: str = key("")
    available_sessions: Count = key(0, "availableSessions")
    server_type: str = key("", "serverType")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class StaticServer:
    """An entry of a dmsg server that is known beforehand."""

    static: PubKey | None = key(None)
    server: ServerAddress = key(ServerAddress())
    version: str = key("")
    sequence: Count = key(0)
    timestamp: Count = key(0)
    signature: str = key("")
    client: object = key(None)
    client_type: str = key("")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class OwnDmsgServer:
    """``dmsg.server``: a dmsg server in the same process."""

    enabled: bool = key(False)
    local_address: str = key("")
    public_address: str = key("")
    config_path: str = key("")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRelay:
    """``dmsg.local_relay``: lets processes of this machine use the sessions of the node."""

    enabled: bool = key(False)
    socket: str = key("")
    socket_mode: str = key("")
    tcp_address: str = key("")
    allowed_keys: tuple[PubKey, ...] = key(())


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Dmsg:
    """``dmsg``: how relays are found and used.

    ``sessions_count`` is how many servers to keep sessions with, 0 for all.
    """

    discovery: str = key("")
    discovery_dmsg: str = key("")
    sessions_count: Count | None = key(None)
    servers: tuple[StaticServer, ...] = key(())
    servers_type: str = key("")
    protocol: str = key("")
    carriers: tuple[str, ...] = key(())
    lan_servers: tuple[StaticServer, ...] = key(())
    hypervisor_discovery: str = key("")
    direct_only: bool = key(False)
    lookup_cxo: bool = key(False)
    server: OwnDmsgServer = key(OwnDmsgServer())
    relay_max_streams: Count = key(0)
    local_relay: LocalRelay = key(LocalRelay())
