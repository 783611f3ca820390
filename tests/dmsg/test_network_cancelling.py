"""Whatever a task waits for when it is cancelled, nothing of it is left: no task, session, stream, port or entry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psutil
import pytest
from anyio import create_task_group, get_running_tasks, move_on_after, wait_all_tasks_blocked

from skywire import EVERYONE, Conn, SingleHandler
from skywire.dmsg import DmsgNetwork
from skywire.dmsg.relay import Relay
from tests.dmsg.raw_client import ALICE, BOB, PATIENCE, RELAY, dmsg
from tests.dmsg.registry import Registry
from tests.dmsg.relaying import ME, SWIFT, ask, echo, served, serving_relay
from tests.net.cancelling import at_each_await
from tests.pktcp.attacker import until

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_fails")]

PROCESS = psutil.Process()
TO_BOB = dmsg(BOB)
DISPATCHER = SingleHandler(echo, peers=EVERYONE)


@dataclass
class Place:
    """A relay and its discovery, with what there is when nobody uses them."""

    registry: Registry
    relay: Relay
    tasks: int = 0
    files: int = 0

    async def count(self) -> None:
        await wait_all_tasks_blocked()
        self.tasks, self.files = len(get_running_tasks()), PROCESS.num_fds()

    async def is_as_before(self, sessions: int) -> None:
        stats = self.relay.stats
        await until(lambda: (stats.half_open, stats.sessions, stats.streams) == (0, sessions, 0))
        await until(lambda: len(get_running_tasks()) == self.tasks)
        await until(lambda: PROCESS.num_fds() == self.files)


@asynccontextmanager
async def place() -> AsyncIterator[Place]:
    registry = Registry()
    async with serving_relay(discovery=registry, limits=SWIFT) as relay:
        async with DmsgNetwork(ALICE, registry, limits=SWIFT) as first:
            await first.public_ip()  # what event loops open at the first use is no leak
        await until(lambda: relay.stats.sessions == 0)
        yield Place(registry, relay)


def ports_of(network: DmsgNetwork) -> set[int]:
    return network._require_running().dialler._ports._taken


async def test_dial() -> None:
    """On a session that there is."""
    async with (
        place() as there,
        served(DmsgNetwork(BOB, there.registry, limits=SWIFT)),
        DmsgNetwork(ALICE, there.registry, limits=SWIFT) as alice,
    ):

        async def dial_and_ask() -> None:
            async with await alice.dial(TO_BOB, owner=ME) as conn:
                await ask(conn)

        async def check() -> None:
            assert ports_of(alice) == set()
            await there.is_as_before(2)

        await dial_and_ask()
        await until(lambda: there.relay.stats.streams == 0)
        await there.count()
        assert await at_each_await(dial_and_ask, check) >= 3


async def test_dial_by_a_new_session() -> None:
    """The session is made all the same, since others may want it, and is used by the next dial."""
    async with place() as there, served(DmsgNetwork(BOB, there.registry, limits=SWIFT)):
        await there.count()

        async def dial() -> None:
            async with DmsgNetwork(ALICE, there.registry, limits=SWIFT) as alice:
                try:
                    async with await alice.dial(TO_BOB, owner=ME) as conn:
                        await ask(conn)
                finally:
                    assert ports_of(alice) == set()

        async def check() -> None:
            await there.is_as_before(1)

        assert await at_each_await(dial, check) > 5


async def test_dials_that_give_up_together() -> None:
    """Ten who want the same session, each with its own patience."""
    async with place() as there, served(DmsgNetwork(BOB, there.registry, limits=SWIFT)):
        await there.count()
        async with DmsgNetwork(ALICE, there.registry, limits=SWIFT) as alice:

            async def dial(patience: float) -> None:
                with move_on_after(patience):
                    async with await alice.dial(TO_BOB, owner=ME) as conn:
                        await ask(conn)

            async with create_task_group() as task_group:
                for number in range(10):
                    task_group.start_soon(dial, 0.0 if number < 3 else 0.0007 * number if number < 9 else PATIENCE)
            assert ports_of(alice) == set()
            assert len(alice.sessions) == 1
        await there.is_as_before(1)


async def test_public_ip() -> None:
    async with place() as there:
        async with DmsgNetwork(ALICE, there.registry, limits=SWIFT) as alice:

            async def ask_address() -> None:
                assert str(await alice.public_ip()) == "127.0.0.1"

            async def check() -> None:
                assert ports_of(alice) == set()
                await there.is_as_before(1)

            await ask_address()
            await there.count()
            assert await at_each_await(ask_address, check) >= 2
        await there.count()

        async def enter_and_ask() -> None:
            async with DmsgNetwork(ALICE, there.registry, limits=SWIFT) as alice:
                await alice.public_ip([there.relay.public])

        async def check_all() -> None:
            await there.is_as_before(0)

        assert await at_each_await(enter_and_ask, check_all) > 4


async def test_entering_and_leaving() -> None:
    async with place() as there:
        await there.count()

        async def enter() -> None:
            async with DmsgNetwork(ALICE, there.registry, limits=SWIFT):
                pass

        async def check() -> None:
            await there.is_as_before(0)

        assert await at_each_await(enter, check) >= 1


async def receive_to_the_end(conn: Conn) -> None:
    await conn.receive()


async def test_leaving_with_streams() -> None:
    """Some of them in use by other tasks."""
    async with place() as there, served(DmsgNetwork(BOB, there.registry, limits=SWIFT)):
        await there.count()

        async def leave() -> None:
            async with DmsgNetwork(ALICE, there.registry, limits=SWIFT) as alice, create_task_group() as task_group:
                conns = [await alice.dial(TO_BOB, owner=ME) for _ in range(3)]
                task_group.start_soon(receive_to_the_end, conns[0])
                await ask(conns[1])
                task_group.cancel_scope.cancel()

        async def check() -> None:
            await there.is_as_before(1)

        await at_each_await(leave, check)


async def test_serving() -> None:
    async with place() as there, DmsgNetwork(ALICE, there.registry, limits=SWIFT) as alice:
        await alice.public_ip()
        await there.count()

        async def serve() -> None:
            async with (
                served(DmsgNetwork(BOB, there.registry, limits=SWIFT)),
                await alice.dial(TO_BOB, owner=ME) as conn,
            ):
                await ask(conn)

        async def check() -> None:
            assert await there.registry.stored(BOB.public) is None
            assert ports_of(alice) == set()
            await there.is_as_before(1)

        assert await at_each_await(serve, check) > 5


async def test_a_relay() -> None:
    registry = Registry()

    async def serve() -> None:
        async with (
            serving_relay(discovery=registry, limits=SWIFT),
            served(DmsgNetwork(BOB, registry, limits=SWIFT)),
            DmsgNetwork(ALICE, registry, limits=SWIFT) as alice,
            await alice.dial(TO_BOB, owner=ME) as conn,
        ):
            await ask(conn)

    async def check() -> None:
        await until(lambda: len(get_running_tasks()) == tasks)
        await until(lambda: PROCESS.num_fds() == files)
        for key in (BOB, RELAY):
            assert await registry.stored(key.public) is None

    await serve()
    await wait_all_tasks_blocked()
    tasks, files = len(get_running_tasks()), PROCESS.num_fds()
    assert await at_each_await(serve, check) > 8


async def test_a_network_that_is_left_while_it_serves() -> None:
    """Serving ends with it."""
    async with place() as there:
        await there.count()
        async with create_task_group() as task_group, DmsgNetwork(BOB, there.registry, limits=SWIFT) as bob:
            await task_group.start(bob.serve, DISPATCHER)
            # The task group waits for serve.
        assert await there.registry.stored(BOB.public) is None
        await there.is_as_before(0)
