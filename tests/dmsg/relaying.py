"""A relay, and the clients around it, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Container
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from anyio import CancelScope, Event, create_task_group, fail_after, get_running_tasks
from anyio.abc import TaskGroup, TaskStatus

from skywire import EVERYONE, Conn, HostPort, Owner, PubKey, SecKey, SingleHandler
from skywire.dmsg import DmsgNetwork, Limits
from skywire.dmsg.discovery.contract import Discovery
from skywire.dmsg.relay import Relay
from skywire.net.serving import serving
from tests.dmsg.raw_client import ALICE, BOB, LOOPBACK, PATIENCE, RELAY, RawPeer, request
from tests.pktcp.attacker import until

ME = Owner("tester")
AT_ONCE = Limits(stream_handshake_seconds=1000)
"""What ends within a test under these limits was not ended by a time-out."""
BRISK = Limits(linger_seconds=0.05)
"""For clients of relays that confirm the end of no stream."""
SWIFT = replace(BRISK, tick_seconds=0.01, retry_seconds=0.02, steady_seconds=0.3, look_seconds=0.1, settle_seconds=0.05)
"""For clients that find out soon what has changed around them."""


Stop = Callable[[], Awaitable[None]]
"""Ends something, and returns when it has ended."""


async def start(task_group: TaskGroup, serve: Callable[..., Awaitable[None]], *arguments: object) -> Stop:
    """Serve something in a task group, until what this gives is called."""
    scope, ended = CancelScope(), Event()

    async def run(*, task_status: TaskStatus[None]) -> None:
        with scope:
            await serve(*arguments, task_status=task_status)
        ended.set()

    async def stop() -> None:
        scope.cancel()
        with fail_after(PATIENCE):
            await ended.wait()

    with fail_after(PATIENCE):
        await task_group.start(run)
    return stop


async def start_relay(task_group: TaskGroup, relay: Relay) -> Stop:
    """Serve a relay until what this gives is called; clients can find it then."""
    stop = await start(task_group, relay.serve)
    with fail_after(PATIENCE):
        await relay.announced()
    return stop


@dataclass
class Attacked:
    """A relay with an honest pair of clients, whose stream lives through all attacks."""

    relay: Relay
    alice: RawPeer
    bob: RawPeer
    alice_stream: int
    bob_stream: int
    tasks: int = 0
    asked: int = 0
    refused: dict[str, int] = field(default_factory=dict)

    async def is_unharmed(self) -> None:
        """The honest pair still talks both ways, and there is nothing left of anybody else."""
        stats = self.relay.stats
        await until(lambda: (stats.half_open, stats.sessions, stats.streams) == (0, 2, 1))
        await until(lambda: len(get_running_tasks()) == self.tasks)
        await self.talks()

    async def talks(self) -> None:
        """The honest pair talks both ways."""
        self.asked += 1
        for source, source_stream, target, target_stream in (
            (self.alice, self.alice_stream, self.bob, self.bob_stream),
            (self.bob, self.bob_stream, self.alice, self.alice_stream),
        ):
            line = f"line {self.asked}\n".encode()
            await source.send_data(source_stream, line)
            assert await target.data(target_stream, len(line)) == line

    def new_refusals(self) -> dict[str, int]:
        """Streams refused since the last call, by the name of the error."""
        now = dict(self.relay.stats.streams_refused)
        new = {name: count - self.refused.get(name, 0) for name, count in now.items()}
        self.refused = now
        return {name: count for name, count in new.items() if count}


@asynccontextmanager
async def serving_relay(
    limits: Limits = AT_ONCE,
    *,
    max_sessions: int = 100,
    discovery: Discovery | None = None,
    identity: SecKey = RELAY,
    where: HostPort = LOOPBACK,
) -> AsyncIterator[Relay]:
    """A relay; without a discovery it announces itself nowhere."""
    relay = Relay(identity, listen=[where], limits=limits, max_sessions=max_sessions, discovery=discovery)
    async with create_task_group() as task_group:
        await start_relay(task_group, relay)
        yield relay
        task_group.cancel_scope.cancel()
    assert (relay.stats.half_open, relay.stats.sessions, relay.stats.streams) == (0, 0, 0)
    assert relay.addresses == ()


@asynccontextmanager
async def attacked_relay(limits: Limits = AT_ONCE, *, max_sessions: int = 100) -> AsyncIterator[Attacked]:
    """A relay with its honest pair."""
    async with (
        serving_relay(limits, max_sessions=max_sessions) as relay,
        await RawPeer.connect(relay, ALICE) as alice,
        await RawPeer.connect(relay, BOB) as bob,
    ):
        await until(lambda: relay.stats.sessions == 2)
        alice_stream, bob_stream = await joined(alice, bob)
        attacked = Attacked(relay, alice, bob, alice_stream, bob_stream, len(get_running_tasks()))
        await attacked.is_unharmed()
        yield attacked
        await attacked.is_unharmed()


async def joined(
    initiator: RawPeer, responder: RawPeer, source: SecKey = ALICE, destination: SecKey = BOB
) -> tuple[int, int]:
    """A relayed stream; gives its id at either end."""
    asked = await initiator.ask(request(source, destination.public))
    answered, _ = await responder.answer(destination)
    await initiator.signed(asked)
    return asked, answered


async def echo(conn: Conn) -> None:
    """Send everything back."""
    async for data in conn:
        await conn.send(data)


async def ask(conn: Conn, question: bytes = b"question") -> None:
    """Have a question echoed."""
    with fail_after(PATIENCE):
        await conn.send(question)
        answer = b""
        while len(answer) < len(question):
            answer += await conn.receive()
        assert answer == question


@asynccontextmanager
async def served(
    network: DmsgNetwork,
    handler: Callable[[Conn], Awaitable[None]] = echo,
    *,
    peers: Container[PubKey] = EVERYONE,
) -> AsyncIterator[DmsgNetwork]:
    """A network that is entered and served while the block runs."""
    async with network, serving(network, SingleHandler(handler, peers=peers)):
        yield network
