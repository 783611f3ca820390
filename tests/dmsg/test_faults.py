"""A network in which everything fails all the time: nothing hangs, nothing is left behind, every failure has its type.

The long form, with its report on standard output::

    DMSG_FAULTS_SECONDS=600 DMSG_FAULTS_CLIENTS=50 pytest -s tests/dmsg/test_faults.py -k uvloop
"""

from __future__ import annotations

import gc
import logging
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

import psutil
import pytest
from anyio import (
    BrokenResourceError,
    CancelScope,
    EndOfStream,
    Event,
    create_task_group,
    fail_after,
    get_running_tasks,
    move_on_after,
    sleep,
)
from anyio.abc import TaskGroup, TaskStatus
from anyio.lowlevel import checkpoint

from skywire import Conn, DialError, DialOptions, HostPort, NetworkError, ProtocolError, SecKey, StreamBroken
from skywire.dmsg import DmsgNetwork
from skywire.dmsg.discovery.contract import DiscoveryBroken, DiscoveryUnreachable
from skywire.dmsg.mux_stream import MuxStream
from skywire.dmsg.relay import Relay
from skywire.dmsg.relay.introduction import Introduction, _Responder
from skywire.dmsg.relay.leg import Leg
from skywire.dmsg.relay.session import RelaySession
from skywire.dmsg.session import ClientSession
from skywire.net.background import Background
from skywire.net.record_conn import RecordConn
from skywire.net.tcp import TcpStream
from tests.dmsg.raw_client import LOOPBACK, RawPeer, dmsg
from tests.dmsg.registry import Registry
from tests.dmsg.relaying import ME, SWIFT, Stop, ask, served, start_relay
from tests.dmsg.test_relay_fuzz import Attacker
from tests.pktcp.attacker import until

pytestmark = pytest.mark.anyio

SECONDS = float(os.environ.get("DMSG_FAULTS_SECONDS", "5"))
CLIENTS = int(os.environ.get("DMSG_FAULTS_CLIENTS", "20"))
RELAYS = 3
SEED = 8125
BOUND = 20.0
"""Seconds within which every operation ends, one way or the other; sums of the time limits below."""
LIMITS = replace(
    SWIFT,
    connect_seconds=1.0,
    session_handshake_seconds=2.0,
    stream_handshake_seconds=2.0,
    write_seconds=2.0,
    tick_seconds=0.1,
    look_seconds=0.5,
    idle_seconds=1.0,
    entry_seconds=1.0,
    update_seconds=2.0,
)
KINDS = (ClientSession, RelaySession, MuxStream, Leg, Introduction, _Responder, RecordConn, DmsgNetwork, TcpStream)
PROCESS = psutil.Process()
EVICTED = "another process uses the key"


@dataclass
class Campaign:
    """What goes on, and what came of it."""

    registry: Registry
    task_group: TaskGroup
    dice: random.Random
    results: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    """What must not be: hangs, and errors of other types."""
    stops: dict[SecKey, Stop] = field(default_factory=dict)
    places: dict[SecKey, HostPort] = field(default_factory=dict)
    relays: dict[SecKey, Relay] = field(default_factory=dict)
    failed: Event = field(default_factory=Event)
    enough: Event = field(default_factory=Event)
    """Set when so many have talked that it tells something, or when it has failed."""
    is_over: bool = False

    async def start_relay(self, key: SecKey) -> None:
        """At the same address each time."""
        where = self.places.get(key, LOOPBACK)
        relay = Relay(key, listen=[where], discovery=self.registry, limits=LIMITS, update_seconds=2)
        self.stops[key] = await start_relay(self.task_group, relay)
        self.places[key] = relay.addresses[0]
        self.relays[key] = relay

    async def attempt(self, name: str, operation: Callable[[], Awaitable[None]]) -> None:
        """Do something that may fail as it is documented to, and must end."""
        scope = CancelScope()
        try:
            with fail_after(BOUND) as scope:
                await operation()
        except (DialError, StreamBroken, EndOfStream) as error:
            code = getattr(error, "code", None)
            self.results[f"{name}: {type(error).__name__}{f' {code.value}' if code else ''}"] += 1
        except NetworkError as error:
            self.results[f"{name}: {type(error).__name__}"] += 1
        except TimeoutError:
            self.fail(f"{name} hangs")
        except Exception as error:
            if name == "ip" and isinstance(error, ProtocolError):
                self.results[f"{name}: {type(error).__name__}"] += 1
            else:
                self.fail(f"{name}: {error!r}")
        else:
            self.results[f"{name}: {'given up' if scope.cancel_called else 'done'}"] += 1
            if self.results["talk: done"] > CLIENTS:
                self.enough.set()

    def fail(self, text: str) -> None:
        self.failures.append(text)
        self.failed.set()
        self.enough.set()


def key_of(number: int) -> SecKey:
    return SecKey(number.to_bytes(32, "big"))


async def echo(conn: Conn) -> None:
    async for data in conn:
        await conn.send(data)


async def live_as_client(campaign: Campaign, number: int) -> None:
    """Join, talk and leave, again and again."""
    dice = random.Random(f"{SEED} {number}")
    while not campaign.is_over:
        network = DmsgNetwork(key_of(number), campaign.registry, min_sessions=dice.choice([0, 1, 1, 2]), limits=LIMITS)
        life = dice.choice([0.01, 0.3, 1.0, 3.0])
        scope = CancelScope()

        async def live(network: DmsgNetwork = network, life: float = life, scope: CancelScope = scope) -> None:
            with move_on_after(life) if dice.random() < 0.5 else scope:
                async with served(network, echo):
                    until_then = time.monotonic() + life
                    while time.monotonic() < until_then and not campaign.is_over:
                        await one_step(campaign, network, dice)

        await campaign.attempt("life", live)
        await sleep(dice.random() * 0.2)


async def one_step(campaign: Campaign, network: DmsgNetwork, dice: random.Random) -> None:
    """Dial somebody, or many, or do something else."""
    peer = dmsg(key_of(dice.randrange(1, CLIENTS + 1)))
    options = DialOptions(timeout=dice.choice([0.005, 1.0, 5.0]))

    async def talk() -> None:
        async with await network.dial(peer, owner=ME, options=options) as conn:
            for _ in range(dice.randrange(4)):
                await ask(conn, bytes([dice.randrange(256)]) * dice.choice([1, 100, 5000, 300_000]))

    async def give_up() -> None:
        with move_on_after(dice.random() * 0.02):
            await talk()

    async def many() -> None:
        async with create_task_group() as task_group:
            for _ in range(dice.randrange(2, 8)):
                task_group.start_soon(campaign.attempt, "talk of many", talk)

    async def leave_open() -> None:
        """Whoever leaves the network ends what is open."""
        await network.dial(peer, owner=ME, options=options)

    async def ask_address() -> None:
        await network.public_ip()

    name, step = dice.choice(
        [("talk", talk)] * 6
        + [("give up", give_up)] * 2
        + [("many", many), ("left open", leave_open), ("ip", ask_address)]
    )
    await campaign.attempt(name, step)


async def restart_relays(campaign: Campaign) -> None:
    """One or two are down at a time, now and then all."""
    dice = random.Random(f"{SEED} relays")
    while not campaign.is_over:
        await sleep(dice.random() * 1.0)
        keys = dice.sample(list(campaign.stops), dice.choice([1, 1, 1, 2, RELAYS]))
        for key in keys:
            await campaign.stops[key]()
        await sleep(dice.random() * 0.5)
        for key in keys:
            await campaign.start_relay(key)
        campaign.results["relay: restarted"] += len(keys)


async def trouble_discovery(campaign: Campaign) -> None:
    """It fails, lags, or forgets everything."""
    dice = random.Random(f"{SEED} discovery")
    registry = campaign.registry
    while not campaign.is_over:
        await sleep(dice.random() * 2.0)
        match dice.randrange(4):
            case 0:
                call = dice.choice(["entry", "post", "available_servers", "delete"])
                registry.failures[call] = dice.choice([DiscoveryUnreachable("planned"), DiscoveryBroken("planned")])
            case 1:
                registry.held = Event()
            case 2:
                registry.loses_answers = True
            case _:
                registry.forget()
        await sleep(dice.random() * 0.5)
        registry.failures.clear()
        registry.loses_answers = False
        if registry.held is not None:
            held, registry.held = registry.held, None
            held.set()
        campaign.results["discovery: troubled"] += 1


async def attack(campaign: Campaign) -> None:
    """Send anything to a relay, under a key of its own or that of a client."""
    dice = random.Random(f"{SEED} attacker")
    others = [key_of(number) for number in range(1, CLIENTS + 1)]
    while not campaign.is_over:
        relay = campaign.relays[dice.choice(list(campaign.relays))]
        key = dice.choice([key_of(1000), dice.choice(others)])
        with suppress(EndOfStream, BrokenResourceError, OSError, NetworkError, IndexError, TimeoutError):
            async with await RawPeer.connect(relay, key) as peer:
                await Attacker(peer, key, others, dice).run()
            campaign.results["attack: done"] += 1
        await sleep(dice.random() * 0.3)


def live_objects() -> Counter[str]:
    """How many there are of each kind."""
    counts: Counter[str] = Counter()
    for each in gc.get_objects():
        for kind in KINDS:
            if issubclass(type(each), kind):
                counts[kind.__name__] += 1
    counts["tasks"] = len(get_running_tasks())
    counts["files"] = PROCESS.num_fds()
    return counts


async def rest(campaign: Campaign) -> Counter[str]:
    """What there is when nobody uses the network; relays alone."""
    relays = campaign.relays.values()
    await until(
        lambda: all((each.stats.half_open, each.stats.sessions, each.stats.streams) == (0, 0, 0) for each in relays)
    )
    for _ in range(3):
        for _ in range(20):
            await checkpoint()
        gc.collect()
    return live_objects()


async def everyone_talks(campaign: Campaign) -> None:
    """Without faults, everyone reaches everyone."""
    networks = [DmsgNetwork(key_of(number), campaign.registry, limits=LIMITS) for number in range(1, CLIENTS + 1)]
    done = Event()

    async def serve(network: DmsgNetwork, *, task_status: TaskStatus[None]) -> None:
        async with served(network, echo):
            task_status.started()
            await done.wait()

    with fail_after(BOUND):
        async with create_task_group() as task_group:
            for network in networks:
                await task_group.start(serve, network)
            for index, network in enumerate(networks):
                async with await network.dial(dmsg(networks[index - 1].public), owner=ME) as conn:
                    await ask(conn, bytes(10_000))
            done.set()


@pytest.mark.timeout(SECONDS + 120)
async def test_everything_fails_all_the_time(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "skywire")
    async with Background() as background:
        campaign = Campaign(Registry(), background, random.Random(SEED))
        for number in range(RELAYS):
            await campaign.start_relay(key_of(2000 + number))
        await everyone_talks(campaign)
        before = await rest(campaign)
        began = time.monotonic()
        async with create_task_group() as task_group:
            for number in range(1, CLIENTS + 1):
                task_group.start_soon(live_as_client, campaign, number)
            # Each of these has a twin under the same key, so that one of the two is evicted.
            for number in range(1, CLIENTS // 10 + 1):
                task_group.start_soon(live_as_client, campaign, number)
            for trouble in (restart_relays, trouble_discovery, attack):
                task_group.start_soon(trouble, campaign)
            with move_on_after(SECONDS):
                await campaign.failed.wait()
            # On a slow machine everybody gives up often, so that it takes longer until so many have talked.
            await campaign.enough.wait()
            campaign.is_over = True
        errors = [
            record.getMessage()
            for record in caplog.records
            if record.levelno >= logging.ERROR and EVICTED not in record.getMessage()
        ]
        caplog.clear()  # the records hold errors, and these what they came through
        assert campaign.failures == []
        assert errors == []
        await everyone_talks(campaign)
        caplog.clear()
        after = await rest(campaign)
        report = [f"{count:8} {name}" for name, count in sorted(campaign.results.items())]
        sys.stdout.write("\n".join([f"{time.monotonic() - began:8.0f} s", *report, f"{dict(after)}", ""]))
        assert after == before
