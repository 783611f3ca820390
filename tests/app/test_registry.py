"""Which handler serves which port, and for whom."""

from __future__ import annotations

import pytest
from anyio import EndOfStream, Event, create_task_group, fail_after, sleep_forever

from skywire.app.connections import Connections, Direction
from skywire.app.registry import MAX_CONNS, PortTaken, ServiceRegistry
from skywire.keys import PubKey, SecKey
from skywire.net.address import Address
from skywire.net.conn import CORE, Conn, Owner
from skywire.net.errors import PeerRefused
from skywire.net.memory import MEMORY, MemoryHub, MemoryNetwork, conn_pair
from skywire.net.network import EVERYONE
from skywire.net.serving import serving

pytestmark = pytest.mark.anyio

NODE = SecKey.generate()
ALICE = SecKey.generate()
WEB = Owner("web")


def new_registry() -> ServiceRegistry:
    return ServiceRegistry(NODE.public, Connections())


async def echo(conn: Conn) -> None:
    async for data in conn:
        await conn.send(data)


async def ask(conn: Conn, text: bytes = b"hello") -> bytes:
    await conn.send(text)
    return await conn.receive()


async def test_what_is_not_registered_cannot_be_reached() -> None:
    registry = new_registry()
    assert registry.admit("dmsg", 80, ALICE.public) is None
    registration = registry.register(80, echo, label="web", owner=WEB, peers={ALICE.public})
    assert registry.admit("dmsg", 80, ALICE.public) is WEB
    assert registry.admit("skynet", 80, ALICE.public) is WEB
    assert registry.admit("tcp", 80, ALICE.public) is None
    assert registry.admit("dmsg", 81, ALICE.public) is None
    assert registry.admit("dmsg", 80, SecKey.generate().public) is None
    await registry.unregister(registration)
    assert registry.admit("dmsg", 80, ALICE.public) is None


async def test_a_port_has_one_owner_who_is_named() -> None:
    registry = new_registry()
    registry.register(80, echo, label="web", owner=WEB, peers=EVERYONE)
    with pytest.raises(PortTaken, match="port 80 of dmsg is served by web"):
        registry.register(80, echo, label="other", owner=Owner("other"), peers=EVERYONE)


async def test_unregistering_leaves_a_newer_registration_alone() -> None:
    registry = new_registry()
    older = registry.register(80, echo, label="older", owner=WEB, peers=EVERYONE)
    await registry.unregister(older)
    newer = registry.register(80, echo, label="newer", owner=WEB, peers=EVERYONE)
    await registry.unregister(older)
    assert registry.get("dmsg", 80) is newer


async def test_hidden_ones_are_not_in_the_public_list() -> None:
    registry = new_registry()
    public = registry.register(80, echo, label="web", owner=WEB, peers=EVERYONE)
    hidden = registry.register(7, echo, label="dmsgctrl", owner=CORE, peers=EVERYONE, hidden=True)
    assert registry.list() == (hidden, public)
    assert registry.list_public() == (public,)


async def test_a_network_calls_it_with_the_proven_key() -> None:
    registry = new_registry()
    hub = MemoryHub()
    node, alice, mallory = (MemoryNetwork(key, hub) for key in (NODE, ALICE, SecKey.generate()))
    seen: list[tuple[PubKey, str]] = []

    async def handler(conn: Conn) -> None:
        seen.append((conn.remote.pk, conn.owner.name))
        await echo(conn)

    registry.register(80, handler, label="web", owner=WEB, peers={ALICE.public})
    async with serving(node, registry):
        address = Address(MEMORY, NODE.public, 80)
        async with await alice.dial(address, owner=CORE) as conn:
            assert await ask(conn) == b"hello"
        with pytest.raises(PeerRefused):
            await mallory.dial(address, owner=CORE)
    assert seen == [(ALICE.public, "web")]


async def test_this_node_reaches_its_own_ports_without_a_network() -> None:
    registry = new_registry()
    registry.register(7, echo, label="dmsgctrl", owner=CORE, peers=frozenset(), hidden=True)
    async with registry.self_dial(7, owner=Owner("doctor")) as conn:
        assert conn.remote.pk == NODE.public
        assert await ask(conn) == b"hello"
    with pytest.raises(PeerRefused, match="nothing of this node serves that port"):
        async with registry.self_dial(8, owner=CORE):
            pass


async def test_giving_up_a_port_ends_its_connections() -> None:
    registry = new_registry()
    registration = registry.register(80, echo, label="web", owner=WEB, peers=EVERYONE)
    async with registry.self_dial(80, owner=CORE) as conn:
        assert await ask(conn) == b"hello"
        await registry.unregister(registration)
        with pytest.raises(EndOfStream), fail_after(5):
            await conn.receive()
    assert registration.conn_count == 0


async def test_connections_may_be_given_time_to_end() -> None:
    registry = new_registry()
    registration = registry.register(80, echo, label="web", owner=WEB, peers=EVERYONE)
    async with registry.self_dial(80, owner=CORE) as conn, create_task_group() as task_group:
        assert await ask(conn) == b"hello"

        async def give_up() -> None:
            await registry.unregister(registration, drain=30)

        task_group.start_soon(give_up)
        assert await ask(conn, b"still there") == b"still there"
        with fail_after(5):
            await conn.aclose()


async def test_a_registration_serves_so_many_at_a_time() -> None:
    registry = new_registry()
    near, far = Address(MEMORY, ALICE.public, 1), Address(MEMORY, NODE.public, 80)
    served = Event()

    async def wait(conn: Conn) -> None:
        if registration.conn_count == MAX_CONNS:
            served.set()
        await sleep_forever()

    registration = registry.register(80, wait, label="web", owner=WEB, peers=EVERYONE)
    async with create_task_group() as task_group:
        for _ in range(MAX_CONNS):
            owner = registry.admit(MEMORY, 80, ALICE.public)
            assert owner is not None
            _, conn = conn_pair(near, CORE, far, owner)
            task_group.start_soon(registry.handle, conn)
        await served.wait()
        assert registry.admit(MEMORY, 80, ALICE.public) is None
        task_group.cancel_scope.cancel()
    assert registry.admit(MEMORY, 80, ALICE.public) is WEB


async def test_connections_are_listed_by_owner_until_they_are_closed() -> None:
    connections = Connections()
    registry = ServiceRegistry(NODE.public, connections)
    registry.register(80, echo, label="web", owner=WEB, peers=EVERYONE)
    async with registry.self_dial(80, owner=Owner("browser")) as conn:
        assert await ask(conn) == b"hello"
        served, dialled = connections.of("web"), connections.of("browser")
        assert [(each.direction, each.local_port, each.bytes_in, each.bytes_out) for each in served] == [
            (Direction.IN, 80, 5, 5)
        ]
        assert [(each.direction, each.remote_port, each.peer) for each in dialled] == [(Direction.OUT, 80, NODE.public)]
        assert len(connections.of()) == 2
    assert connections.of() == ()
