"""Control from afar, by keys that the node lets do so."""

from __future__ import annotations

import pytest
from anyio import create_task_group

from skywire import Conn, MemoryHub, MemoryNetwork, PeerRefused, SecKey, SingleHandler
from skywire.app.api import AppsAPI, EventsAPI
from skywire.app.events import EventBus
from skywire.app.interface import Role
from skywire.control.apps import Events
from skywire.control.client import RemoteError
from skywire.control.messages import Code
from skywire.control.over_dmsg import CONTROL_PORT, OWNER, dial
from skywire.control.server import Endpoint

pytestmark = pytest.mark.anyio


async def test_keys_that_are_admitted_control() -> None:
    hub = MemoryHub()
    node, friend, stranger = (MemoryNetwork(SecKey.generate(), hub) for _ in range(3))
    endpoint = Endpoint()
    endpoint.offer("events", EventsAPI, Events(EventBus()))
    seen: list[Conn] = []

    async def handle(conn: Conn) -> None:
        seen.append(conn)
        await endpoint.serve(conn, Role.READ, "a friend")

    dispatcher = SingleHandler(handle, peers={friend.public}, port=CONTROL_PORT)
    async with create_task_group() as task_group:
        await task_group.start(node.serve, dispatcher)
        async with dial(friend, node.public) as client:
            with pytest.raises(RemoteError) as failed:
                await client.of(AppsAPI, "apps").list()
            assert failed.value.code == Code.NO_SUCH_METHOD
        assert [(each.remote.pk, each.local.port) for each in seen] == [(friend.public, CONTROL_PORT)]
        assert OWNER.name == "control"
        with pytest.raises(PeerRefused):
            async with dial(stranger, node.public):
                pass
        task_group.cancel_scope.cancel()
