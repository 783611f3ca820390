"""A discovery that is reached over the network it is the directory of.

Source: protocol-dmsg.md section 6.8, ``--sk``.
"""

from __future__ import annotations

from dataclasses import replace

from anyio import TASK_STATUS_IGNORED, create_task_group
from anyio.abc import TaskStatus
from starlette.types import ASGIApp

from skywire.dmsg.discovery.directory import Directory
from skywire.dmsg.discovery.local import LocalDiscovery
from skywire.dmsg.discovery.service import HTTP_LIMITS
from skywire.dmsg.network import DmsgNetwork
from skywire.http.server import http_handler
from skywire.keys import SecKey
from skywire.net.network import EVERYONE, SingleHandler


async def serve_over_dmsg(
    directory: Directory,
    app: ASGIApp,
    identity: SecKey,
    port: int,
    *,
    task_status: TaskStatus[None] = TASK_STATUS_IGNORED,
) -> None:
    """Serve ``app`` under a key to everyone, by all servers that the directory knows; until cancelled.

    The key has an entry in the directory like any other client, and its address is told by the page of its health.

    Args:
        directory: knows the servers.
        app: the discovery's.
        identity: the key.
        port: where, 1 to 65535.
        task_status: started once the first server is there.
    """
    discovery = LocalDiscovery(directory)
    handler = http_handler(app, limits=HTTP_LIMITS)
    async with DmsgNetwork(identity, discovery, min_sessions=0) as network, create_task_group() as task_group:
        await task_group.start(network.serve, SingleHandler(handler, peers=EVERYONE, port=port))
        directory.health = replace(directory.health, dmsg_address=f"{identity.public}:{port}")
        task_status.started()
        async for servers in network.servers():
            directory.health = replace(directory.health, dmsg_servers=servers)
