"""Places where two networks of one kind meet, so that one suite of tests can hold all kinds to the same contract."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Container
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from anyio import TASK_STATUS_IGNORED, CancelScope, Event, create_task_group
from anyio.abc import TaskGroup, TaskStatus

from skywire import (
    Address,
    Conn,
    Dispatcher,
    HostPort,
    MemoryHub,
    MemoryNetwork,
    Network,
    Owner,
    PkTcpNetwork,
    SecKey,
    embedded,
)
from skywire.isolation.passed_conn import PassedConn
from skywire.isolation.pump import pump
from skywire.keys import PubKey
from skywire.net.local_socket import LocalSocket
from skywire.net.network import DialOptions
from skywire.net.serving import serve_conn

SERVER, CLIENT, STRANGER = (SecKey(bytes([n]) * 32) for n in (11, 12, 13))
ME = Owner("tester")

Handler = Callable[[Conn], Awaitable[None]]


@dataclass(frozen=True)
class Port:
    """What one port of the serving side does."""

    handler: Handler
    peers: Container[PubKey] = frozenset({CLIENT.public})
    owner: Owner = Owner("served")


@dataclass
class PortTable(Dispatcher):
    """A dispatcher by port and peer; knows what it is handling."""

    ports: dict[int, Port] = field(default_factory=dict)
    live: int = 0

    def admit(self, network: str, port: int, peer: PubKey) -> Owner | None:
        entry = self.ports.get(port)
        return entry.owner if entry and peer in entry.peers else None

    async def handle(self, conn: Conn) -> None:
        self.live += 1
        try:
            await self.ports[conn.local.port].handler(conn)
        finally:
            self.live -= 1


@dataclass
class Served:
    """A serving network and how to reach its ports."""

    addresses: list[Address]
    table: PortTable
    dialler: Callable[[SecKey], Network]
    scope: CancelScope
    stop: Callable[[], Awaitable[None]]
    """Ends serving, and returns when it has ended."""

    async def dial(self, port: int = 0, identity: SecKey = CLIENT) -> Conn:
        """A connection to the port of that index."""
        return await self.dialler(identity).dial(self.addresses[port], owner=ME)


async def _start(task_group: TaskGroup, network: Network, table: PortTable) -> Callable[[], Awaitable[None]]:
    """Serve, until what this gives is called."""
    scope, ended = CancelScope(), Event()

    async def serve(*, task_status: TaskStatus[None]) -> None:
        with scope:
            await network.serve(table, task_status=task_status)
        ended.set()

    async def stop() -> None:
        scope.cancel()
        await ended.wait()

    await task_group.start(serve)
    return stop


class Meeting(Protocol):
    """One kind of network."""

    def __call__(self, *ports: Port) -> AbstractAsyncContextManager[Served]:
        """Serve these ports while the block runs."""
        ...


@asynccontextmanager
async def memory(*ports: Port) -> AsyncIterator[Served]:
    """The network inside one process."""
    hub = MemoryHub()
    network = MemoryNetwork(SERVER, hub)
    addresses = [Address("memory", SERVER.public, number) for number in range(80, 80 + len(ports))]
    table = PortTable({address.port: port for address, port in zip(addresses, ports, strict=True)})
    async with create_task_group() as task_group:
        stop = await _start(task_group, network, table)
        yield Served(addresses, table, lambda identity: MemoryNetwork(identity, hub), task_group.cancel_scope, stop)
        task_group.cancel_scope.cancel()


@asynccontextmanager
async def pktcp(*ports: Port) -> AsyncIterator[Served]:
    """Key-encrypted TCP over loopback."""
    network = PkTcpNetwork(SERVER, listen=[HostPort("127.0.0.1", 0)] * len(ports))
    table = PortTable()
    async with create_task_group() as task_group:
        stop = await _start(task_group, network, table)
        addresses = list(network.addresses)
        table.ports.update({address.port: port for address, port in zip(addresses, ports, strict=True)})
        yield Served(addresses, table, PkTcpNetwork, task_group.cancel_scope, stop)
        task_group.cancel_scope.cancel()


@asynccontextmanager
async def dmsg(*ports: Port) -> AsyncIterator[Served]:
    """Through a relay over loopback."""
    addresses = [Address("dmsg", SERVER.public, number) for number in range(80, 80 + len(ports))]
    table = PortTable({address.port: port for address, port in zip(addresses, ports, strict=True)})
    async with AsyncExitStack() as stack:
        deployment = await stack.enter_async_context(embedded.start())
        networks = {
            identity: await stack.enter_async_context(deployment.client(identity))
            for identity in (SERVER, CLIENT, STRANGER)
        }
        task_group = await stack.enter_async_context(create_task_group())
        stop = await _start(task_group, networks[SERVER], table)
        yield Served(addresses, table, networks.__getitem__, task_group.cancel_scope, stop)
        task_group.cancel_scope.cancel()


@dataclass
class Passing(Dispatcher):
    """Hands the connections of a network over local sockets, as those of apps in other processes are."""

    network: Network
    tasks: TaskGroup
    dispatcher: Dispatcher | None = None

    @property
    def name(self) -> str:
        return self.network.name

    @property
    def public(self) -> PubKey:
        return self.network.public

    async def dial(self, address: Address, *, owner: Owner, options: DialOptions = DialOptions()) -> Conn:
        conn = await self.network.dial(address, owner=owner, options=options)
        passed, ours = _pass(conn)
        self.tasks.start_soon(pump, conn, passed)
        return ours

    async def serve(self, dispatcher: Dispatcher, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        self.dispatcher = dispatcher
        await self.network.serve(self, task_status=task_status)

    def admit(self, network: str, port: int, peer: PubKey) -> Owner | None:
        assert self.dispatcher is not None
        return self.dispatcher.admit(network, port, peer)

    async def handle(self, conn: Conn) -> None:
        assert self.dispatcher is not None
        passed, ours = _pass(conn)
        async with create_task_group() as tasks:
            tasks.start_soon(serve_conn, self.dispatcher, ours)
            await pump(conn, passed)


def _pass(conn: Conn) -> tuple[PassedConn, PassedConn]:
    near, far = (
        PassedConn(
            LocalSocket(sock), local=conn.local, remote=conn.remote, owner=conn.owner, half_close=conn.half_close
        )
        for sock in socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    )
    return near, far


@asynccontextmanager
async def passed(*ports: Port) -> AsyncIterator[Served]:
    """The network inside one process, both ends of which are handed over."""
    hub = MemoryHub()
    addresses = [Address("memory", SERVER.public, number) for number in range(80, 80 + len(ports))]
    table = PortTable({address.port: port for address, port in zip(addresses, ports, strict=True)})
    async with create_task_group() as task_group:

        def network(identity: SecKey) -> Network:
            return Passing(MemoryNetwork(identity, hub), task_group)

        stop = await _start(task_group, network(SERVER), table)
        yield Served(addresses, table, network, task_group.cancel_scope, stop)
        task_group.cancel_scope.cancel()


MEETINGS: dict[str, Meeting] = {"memory": memory, "pktcp": pktcp, "dmsg": dmsg, "passed": passed}
