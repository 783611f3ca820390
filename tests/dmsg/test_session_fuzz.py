"""A relay that sends anything: whatever comes of it, its clients go on with their other relays."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest
from anyio import EndOfStream, Event, create_task_group, move_on_after

from skywire import DialError, DialOptions, StreamBroken
from skywire.dmsg import DmsgNetwork
from tests.dmsg.raw_client import ALICE, BOB, MALLORY, TRUDY, RawPeer, dmsg, raw_relay
from tests.dmsg.registry import Registry
from tests.dmsg.relaying import ME, SWIFT, ask, served, serving_relay
from tests.dmsg.test_relay_fuzz import ROUNDS, Attacker
from tests.pktcp.attacker import until

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_fails")]


async def test_anything() -> None:
    """It opens streams to its client, answers those that the client opens, and breaks every rule."""
    registry = Registry()
    done = Event()
    rounds = 0

    async def attack(peer: RawPeer) -> None:
        nonlocal rounds
        rounds += 1
        await Attacker(peer, MALLORY, [BOB], random.Random(f"relay {rounds}")).run()
        if rounds >= ROUNDS:
            done.set()

    async with (
        serving_relay(discovery=registry) as honest,
        raw_relay(attack, identity=TRUDY) as rogue,
        DmsgNetwork(ALICE, registry, limits=SWIFT) as alice,
        create_task_group() as task_group,
    ):
        await rogue.announce(registry)
        await registry.register(MALLORY, [rogue.public])
        async with served(DmsgNetwork(BOB, registry, min_sessions=0, limits=SWIFT)) as bob:

            async def dial_the_attacker() -> None:
                """Wherever that ends."""
                while not done.is_set():
                    with suppress(DialError, StreamBroken, EndOfStream):
                        async with await bob.dial(dmsg(MALLORY), owner=ME, options=DialOptions(timeout=0.05)) as conn:
                            with move_on_after(0.05):
                                await ask(conn)

            task_group.start_soon(dial_the_attacker)
            await alice.public_ip([honest.public])
            async with await alice.dial(dmsg(BOB), owner=ME) as witness:
                while not done.is_set():
                    await ask(witness)
            done.set()
            async with await alice.dial(dmsg(BOB), owner=ME) as conn:
                await ask(conn)
            assert {session.server for session in bob.sessions} >= {honest.public}
            await until(lambda: bob._require_running().dialler._ports._taken == set())
