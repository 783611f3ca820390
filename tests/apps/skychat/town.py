"""Chats and peers made by hand, in one process, on a network whose connections can be cut."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from anyio import TASK_STATUS_IGNORED, fail_after, sleep_forever
from anyio.abc import TaskGroup, TaskStatus
from anyio.lowlevel import checkpoint

from skywire import EVERYONE, Address, Conn, Dispatcher, Network, Owner, PubKey, SecKey, SingleHandler, Unreachable
from skywire.app.connections import Connections
from skywire.app.dependency import Dependencies
from skywire.app.facility import Facilities
from skywire.app.host import AppHost, Surroundings
from skywire.app.registry import ServiceRegistry
from skywire.app.run_mode import RunMode
from skywire.apps.skychat import CHAT, SkychatOptions
from skywire.apps.skychat.contract import ChatMessage
from skywire.apps.skychat.limits import LinkLimits
from skywire.apps.skychat.messenger import Messenger, messenger
from skywire.net.background import Background
from skywire.net.errors import PeerRefused
from skywire.net.memory import conn_pair
from skywire.net.network import DialOptions
from skywire.net.serving import serve_conn
from skywire.wire.skychat import Event, Reader, encode

PATIENCE: Final = 20.0
"""Seconds for what takes milliseconds."""
LINKS: Final = LinkLimits(
    write_seconds=0.5,
    ack_seconds=0.5,
    receipt_seconds=0.1,
    first_seconds=0.2,
    retry_seconds=0.01,
    longest_retry_seconds=0.05,
    eager_seconds=0.01,
)
"""For tests in which peers fail, and come back soon."""
PATIENT: Final = LinkLimits(retry_seconds=1000, longest_retry_seconds=1000)
"""For tests in which nothing comes by a second attempt."""
OPEN: Final = SkychatOptions(everyone=True, per_minute=10**6)
ALICE, BOB, CAROL = sorted((SecKey(bytes([n]) * 32) for n in (21, 22, 23)), key=lambda each: each.public)
"""In the order of their public keys."""
Handler = Callable[[Conn], Awaitable[None]]


@dataclass
class Town:
    """Where everybody finds everybody by key.

    Args:
        tasks: in which connections are served.
        places: who is there.
        conns: ends of all connections, the dialling one first.
        dials: who was dialled.
    """

    tasks: TaskGroup
    places: dict[PubKey, Dispatcher] = field(default_factory=dict)
    conns: list[tuple[Conn, Conn]] = field(default_factory=list)
    dials: list[PubKey] = field(default_factory=list)

    async def connect(self, who: PubKey, whom: PubKey, owner: Owner = Owner("peer")) -> Conn:
        """A connection with the chat of somebody."""
        address = Address("dmsg", whom, 1)
        self.dials.append(whom)
        await checkpoint()
        if (place := self.places.get(whom)) is None:
            raise Unreachable(address, "nobody is there")
        theirs = place.admit("dmsg", 1, who)
        if theirs is None:
            raise PeerRefused(address, "this key is not admitted")
        near, far = conn_pair(Address("dmsg", who, 49153), owner, address, theirs)
        self.conns.append((near, far))
        self.tasks.start_soon(serve_conn, place, far)
        return near

    async def cut(self) -> None:
        """Break all connections."""
        conns, self.conns = self.conns, []
        for near, far in conns:
            await near.aclose()
            await far.aclose()

    @asynccontextmanager
    async def chat(
        self,
        folder: Path,
        identity: SecKey,
        options: SkychatOptions = OPEN,
        limits: LinkLimits = LINKS,
    ) -> AsyncIterator[Messenger]:
        """A chat that is there while the block runs."""
        public = identity.public
        registry = ServiceRegistry(public, Connections())
        async with (
            messenger(
                host_of(folder, public, registry, networks={"dmsg": _Way(self, public)}), options, limits
            ) as chat,
            chat_port(chat, registry),
        ):
            self.places[public] = registry
            try:
                yield chat
            finally:
                del self.places[public]

    def peer(self, identity: SecKey, handler: Handler) -> None:
        """Somebody who does what the test says with each connection."""
        self.places[identity.public] = SingleHandler(handler, peers=EVERYONE)


@dataclass
class _Way(Network):
    """How one of the town dials."""

    town: Town
    own: PubKey

    @property
    def name(self) -> str:
        return "dmsg"

    @property
    def public(self) -> PubKey:
        return self.own

    async def dial(self, address: Address, *, owner: Owner, options: DialOptions = DialOptions()) -> Conn:
        assert (address.network, address.port) == ("dmsg", 1)
        return await self.town.connect(self.own, address.pk, owner)

    async def serve(self, dispatcher: Dispatcher, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        await sleep_forever()


def host_of(
    folder: Path,
    public: PubKey,
    registry: ServiceRegistry,
    *,
    networks: Mapping[str, Network],
    mode: RunMode = RunMode.DMSG_STANDALONE,
    **ports: int,
) -> AppHost:
    """What a chat gets."""
    surroundings = Surroundings(
        mode=mode,
        public=public,
        networks=networks,
        ports=registry,
        facilities=Facilities(),
        data=folder,
        connections=Connections(),
    )
    return AppHost(f"skychat-{str(public)[:8]}", surroundings, Dependencies(), ports)


@asynccontextmanager
async def chat_port(chat: Messenger, registry: ServiceRegistry) -> AsyncIterator[None]:
    """Its port is served while the block runs."""
    host = chat._host
    async with host.serve(CHAT, chat.exchange.serve, peers=chat.access):
        yield


@asynccontextmanager
async def town() -> AsyncIterator[Town]:
    async with Background() as tasks:
        yield Town(tasks)


@dataclass
class Talk:
    """The hand-made end of a connection with a chat."""

    conn: Conn
    reader: Reader = field(default_factory=Reader)
    said: list[Event] = field(default_factory=list)

    async def say(self, *events: Event) -> None:
        await self.conn.send(b"".join(encode(event) for event in events))

    async def hear(self, count: int = 1) -> list[Event]:
        """The next things that the chat says."""
        with fail_after(PATIENCE):
            while len(self.said) < count:
                self.said += self.reader.feed(await self.conn.receive_record())
        heard, self.said = self.said[:count], self.said[count:]
        return heard


async def seen(chat: Messenger, count: int, since: int = 0) -> list[ChatMessage]:
    """So many changes, once they are there."""
    found: list[ChatMessage] = []
    changes = chat.changes(since)
    assert isinstance(changes, AsyncGenerator)
    async with aclosing(changes):
        with fail_after(PATIENCE):
            while len(found) < count:
                found.append(await anext(changes))
    return found


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it is so."""
    with fail_after(PATIENCE):
        while not await condition():
            await checkpoint()


async def delivered(chat: Messenger) -> None:
    """Wait until nothing waits for anybody."""

    async def is_so() -> bool:
        return not await chat.store.waited_for()

    await until(is_so)


def allowing(*keys: SecKey, everyone: bool = False, per_minute: int = 20) -> SkychatOptions:
    return SkychatOptions(allow=tuple(each.public for each in keys), everyone=everyone, per_minute=per_minute)
