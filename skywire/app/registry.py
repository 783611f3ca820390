"""Which handler serves which port. Registration is the access control: what is not registered cannot be reached."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Container
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Protocol, TypeAlias, final

from anyio import CancelScope, Event, move_on_after

from skywire.app.connections import Connections, Direction
from skywire.app.ownership import on_behalf_of
from skywire.errors import SkywireError
from skywire.keys import PubKey
from skywire.net.address import Address
from skywire.net.background import Background
from skywire.net.conn import Conn, Owner
from skywire.net.errors import PeerRefused
from skywire.net.memory import MEMORY, conn_pair
from skywire.net.network import Dispatcher
from skywire.net.serving import serve_conn

Handler: TypeAlias = Callable[[Conn], Awaitable[None]]
"""Serves one connection to its end."""

OVERLAYS: Final = frozenset({"dmsg", "skynet"})
"""Where a port is served unless said otherwise: on each of them that this process has, now or later."""
MAX_CONNS: Final = 1024
"""Connections that one registration serves at a time."""
END_SECONDS: Final = 5.0
"""How long an ended connection may take to clean up."""
_SELF_DIAL_PORT: Final = 65535
"""The far port that a handler sees of a connection from its own node."""


class PortTaken(SkywireError):
    """A port is registered already; the text names who has it."""


@final
class Registration:
    """One port with its handler; made by :meth:`ServiceRegistry.register`."""

    def __init__(
        self,
        port: int,
        handler: Handler,
        *,
        label: str,
        owner: Owner,
        peers: Container[PubKey],
        networks: frozenset[str],
        hidden: bool,
    ) -> None:
        self.port: Final = port
        self.label: Final = label
        """What it is, for people."""
        self.owner: Final = owner
        self.networks: Final = networks
        self.hidden: Final = hidden
        """Whether it is left out of public lists, and never forwarded to."""
        self._handler = handler
        self._peers = peers
        self._live: set[CancelScope] = set()
        self._idle: Event | None = None  # while somebody waits for the last connection to end

    @property
    def conn_count(self) -> int:
        """Connections that are being served."""
        return len(self._live)

    def admits(self, peer: PubKey) -> bool:
        """Whether that key may connect now."""
        return peer in self._peers and len(self._live) < MAX_CONNS

    async def run(self, conn: Conn) -> None:
        """Serve a connection to its end, or to that of the registration."""
        with on_behalf_of(self.owner.name), CancelScope() as scope:
            self._live.add(scope)
            try:
                await self._handler(conn)
            finally:
                self._live.discard(scope)
                if not self._live and self._idle is not None:
                    self._idle.set()

    async def drain(self, seconds: float) -> None:
        """Give the connections that are being served so long to end, then end them.

        Not to be cancelled; a handler that resists its end is left behind.
        """
        if not self._live:
            return
        self._idle = Event()
        with move_on_after(seconds, shield=True):
            await self._idle.wait()
        for scope in self._live:
            scope.cancel()
        with move_on_after(END_SECONDS, shield=True):
            await self._idle.wait()

    def __repr__(self) -> str:
        return f"<Registration {self.label!r} on port {self.port} for {self.owner}>"


class Ports(Protocol):
    """Where an app serves its ports."""

    def serving(
        self,
        port: int,
        handler: Handler,
        *,
        label: str,
        owner: Owner,
        peers: Container[PubKey],
        networks: frozenset[str],
        hidden: bool,
        drain: Callable[[], float],
    ) -> AbstractAsyncContextManager[None]:
        """Serve a port while the block runs; see :meth:`ServiceRegistry.register`.

        Args:
            drain: gives the seconds that connections have to end by themselves; asked at that moment.

        Raises:
            PortTaken: somebody serves it on one of the networks.
        """
        ...


@final
class ServiceRegistry(Dispatcher, Ports):
    """The handlers of a process, by network and port. Networks call it for each inbound connection.

    Args:
        identity: the key of this node.
        connections: what is served is listed there.
    """

    def __init__(self, identity: PubKey, connections: Connections) -> None:
        self._identity = identity
        self._connections = connections
        self._by_port: dict[tuple[str, int], Registration] = {}

    def register(
        self,
        port: int,
        handler: Handler,
        *,
        label: str,
        owner: Owner,
        peers: Container[PubKey],
        networks: frozenset[str] = OVERLAYS,
        hidden: bool = False,
    ) -> Registration:
        """Serve a port from now on.

        Args:
            port: 1 to 65535.
            handler: serves each connection.
            label: what it is, for people.
            owner: on whose behalf.
            peers: the keys that are admitted, asked again for each connection; this node's own calls always are.
            networks: where; a network may come up later.
            hidden: leave it out of public lists, and never forward to it.

        Raises:
            PortTaken: somebody serves it on one of the networks.
        """
        places = [(network, port) for network in sorted(networks | {MEMORY})]
        for place in places:
            if (taken := self._by_port.get(place)) is not None:
                raise PortTaken(f"port {port} of {place[0]} is served by {taken.owner} ({taken.label})")
        registration = Registration(
            port, handler, label=label, owner=owner, peers=peers, networks=networks, hidden=hidden
        )
        for place in places:
            self._by_port[place] = registration
        return registration

    @asynccontextmanager
    async def serving(
        self,
        port: int,
        handler: Handler,
        *,
        label: str,
        owner: Owner,
        peers: Container[PubKey],
        networks: frozenset[str] = OVERLAYS,
        hidden: bool = False,
        drain: Callable[[], float] = lambda: 0.0,
    ) -> AsyncIterator[None]:
        """See :meth:`Ports.serving`."""
        registration = self.register(
            port, handler, label=label, owner=owner, peers=peers, networks=networks, hidden=hidden
        )
        try:
            yield
        finally:
            await self.unregister(registration, drain=drain())

    async def unregister(self, registration: Registration, *, drain: float = 0.0) -> None:
        """Stop serving a port. A newer registration of the same port is left alone.

        Args:
            registration: what :meth:`register` gave.
            drain: seconds that connections have to end by themselves.
        """
        for network in registration.networks | {MEMORY}:
            place = (network, registration.port)
            if self._by_port.get(place) is registration:
                del self._by_port[place]
        await registration.drain(drain)

    def get(self, network: str, port: int) -> Registration | None:
        """Who serves a port."""
        return self._by_port.get((network, port))

    def list(self) -> tuple[Registration, ...]:
        """All registrations, by port."""
        return tuple(sorted(set(self._by_port.values()), key=lambda each: each.port))

    def list_public(self) -> tuple[Registration, ...]:
        """Those that are not hidden, by port."""
        return tuple(each for each in self.list() if not each.hidden)

    def admit(self, network: str, port: int, peer: PubKey) -> Owner | None:
        """See :meth:`skywire.net.network.Dispatcher.admit`."""
        registration = self._by_port.get((network, port))
        return registration.owner if registration is not None and registration.admits(peer) else None

    async def handle(self, conn: Conn) -> None:
        """See :meth:`skywire.net.network.Dispatcher.handle`."""
        registration = self._by_port.get((conn.network, conn.local.port))
        # Between admit and now another app may have taken the port; it has not admitted this peer.
        if registration is not None and registration.owner is conn.owner:
            self._connections.add(conn, Direction.IN)
            await registration.run(conn)

    @asynccontextmanager
    async def self_dial(self, port: int, *, owner: Owner) -> AsyncIterator[Conn]:
        """Connect to a port of this node while the block runs, without any network; the peer is this node's own key.

        Args:
            port: what to reach, hidden ports included.
            owner: on whose behalf.

        Raises:
            PeerRefused: nobody serves it.
        """
        address = Address(MEMORY, self._identity, port)
        registration = self._by_port.get((MEMORY, port))
        if registration is None:
            raise PeerRefused(address, "nothing of this node serves that port")
        near, far = conn_pair(Address(MEMORY, self._identity, _SELF_DIAL_PORT), owner, address, registration.owner)
        self._connections.add(near, Direction.OUT)
        async with Background() as task_group:
            task_group.start_soon(serve_conn, self, far)
            async with near:
                yield near
