"""Chats on the networks that they have in earnest."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from skywire import Address, HostPort, PkTcpNetwork, PubKey, SecKey, serving
from skywire.app.connections import Connections
from skywire.app.registry import ServiceRegistry
from skywire.app.run_mode import RunMode
from skywire.apps.skychat import SkychatOptions
from skywire.apps.skychat.limits import LinkLimits
from skywire.apps.skychat.messenger import Messenger, messenger
from skywire.dmsg import DmsgNetwork
from skywire.embedded import Deployment
from tests.apps.skychat.town import LINKS, PATIENCE, chat_port, host_of

SURE = replace(LINKS, write_seconds=PATIENCE, ack_seconds=PATIENCE)
"""Soon back, and never given up because the machine is busy."""


@asynccontextmanager
async def tcp_chat(
    folder: Path,
    identity: SecKey,
    *,
    listen: int = 0,
    peers: Iterable[Address] = (),
    allow: Iterable[PubKey] = (),
    limits: LinkLimits = SURE,
) -> AsyncIterator[tuple[Messenger, Address]]:
    """A chat on key-encrypted TCP, and where it listens."""
    registry = ServiceRegistry(identity.public, Connections())
    network = PkTcpNetwork(identity, listen=[HostPort("127.0.0.1", listen)])
    async with serving(network, registry):
        (address,) = network.addresses
        host = host_of(
            folder,
            identity.public,
            registry,
            networks={"tcp": network},
            mode=RunMode.TCP_STANDALONE,
            chat=address.port,
        )
        options = SkychatOptions(allow=tuple(allow), peers=tuple(peers))
        async with messenger(host, options, limits) as chat, chat_port(chat, registry):
            yield chat, address


@asynccontextmanager
async def dmsg_chat(
    network: Deployment, folder: Path, identity: SecKey, mode: RunMode, *, allow: Iterable[PubKey] = ()
) -> AsyncIterator[Messenger]:
    """A chat on dmsg."""
    registry = ServiceRegistry(identity.public, Connections())
    async with network.client(identity) as client, serving(client, registry):
        host = host_of(folder, identity.public, registry, networks=_only(client), mode=mode)
        async with messenger(host, SkychatOptions(allow=tuple(allow)), SURE) as chat, chat_port(chat, registry):
            yield chat


def _only(client: DmsgNetwork) -> dict[str, DmsgNetwork]:
    return {client.name: client}
