"""A discovery that is served under a key, by the servers it knows."""

from __future__ import annotations

import httpx
import pytest
from anyio import create_task_group, fail_after

from skywire import SecKey, embedded
from skywire.dmsg import DmsgNetwork
from skywire.dmsg.discovery.direct import DirectDiscovery
from skywire.dmsg.discovery.http_client import HttpDiscovery
from skywire.dmsg.discovery.over_dmsg import serve_over_dmsg
from skywire.dmsg.discovery.service import DiscoveryApp
from skywire.http.client import NetworkTransport
from skywire.net.conn import CORE

pytestmark = pytest.mark.anyio
DISCOVERY, CLIENT = (SecKey(bytes([n]) * 32) for n in (41, 42))
PATIENCE = 20.0


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """HTTP is served on asyncio."""
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


async def test_who_knows_one_server_finds_all() -> None:
    with fail_after(PATIENCE):
        async with embedded.start(relays=2) as deployment, create_task_group() as task_group:
            app = DiscoveryApp(deployment.directory)
            await task_group.start(serve_over_dmsg, deployment.directory, app, DISCOVERY, 80)
            known = await deployment.discovery.entry(deployment.relays[0].public)
            assert known is not None
            async with (
                DmsgNetwork(CLIENT, DirectDiscovery([known])) as network,
                HttpDiscovery(f"dmsg://{DISCOVERY.public}:80", transport=NetworkTransport(network, CORE)) as discovery,
            ):
                found = {entry.static for entry in await discovery.all_servers()}
                assert found == {relay.public for relay in deployment.relays}
                own = await discovery.entry(DISCOVERY.public)
                assert own is not None
                assert own.client is not None
                async with httpx.AsyncClient(transport=NetworkTransport(network, CORE)) as http:
                    health = (await http.get(f"dmsg://{DISCOVERY.public}/health")).json()
                assert health["dmsg_address"] == f"{DISCOVERY.public}:80"
                assert set(health["dmsg_servers"]) <= {str(relay.public) for relay in deployment.relays}
                assert health["dmsg_servers"]
            task_group.cancel_scope.cancel()
