"""Sessions over a link that takes its time, and over one that takes nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from anyio import BrokenResourceError, ClosedResourceError, Event

from skywire.dmsg.mux import LEAST_RATE, Mux, clock
from skywire.dmsg.mux_stream import MuxStream
from skywire.dmsg.session import ClientSession
from skywire.net.background import Background
from skywire.net.handshake import Secured
from skywire.net.tcp import Sink, SocketAddress, TcpStream
from skywire.wire.noise import TransportKeys
from skywire.wire.yamux import Config, Role, SessionFailed
from skywire.wire.yamux import Event as MuxEvent
from tests.dmsg.raw_client import RELAY
from tests.dmsg.relaying import BRISK

pytestmark = pytest.mark.anyio

WRITE_SECONDS = 10.0
PATIENT = Config(keepalive_interval=math.inf, open_probe=math.inf)
SMALL = 100
SECURED = Secured(TransportKeys(bytes(32), bytes(32), bytes(32)), RELAY.public, b"", post_quantum=True)


class Link(TcpStream):
    """Takes small writes at once, and of others ``rate`` bytes between two looks."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.waiting = 0
        self.aborted = Event()

    @property
    def local(self) -> SocketAddress:
        return "127.0.0.1", 1

    @property
    def remote(self) -> SocketAddress:
        return "127.0.0.1", 2

    async def receive(self, max_bytes: int = 65536) -> bytes:
        raise BrokenResourceError

    async def send(self, item: bytes) -> None:
        raise BrokenResourceError

    async def send_eof(self) -> None:
        raise BrokenResourceError

    async def deliver(self, sink: Sink) -> None:
        await self.aborted.wait()
        raise ClosedResourceError

    def write(self, parts: Sequence[bytes | memoryview]) -> bool:
        size = sum(map(len, parts))
        if size <= SMALL and not self.waiting:
            return True
        self.waiting += size
        return False

    @property
    def unsent(self) -> int:
        self.waiting = max(self.waiting - self.rate, 0)
        return self.waiting

    def abort(self) -> None:
        self.aborted.set()

    async def aclose(self) -> None:
        self.abort()


class Events:
    def __init__(self) -> None:
        self.all: list[MuxEvent] = []

    def event_received(self, event: MuxEvent) -> None:
        self.all.append(event)

    def caught_up(self) -> None:
        pass

    def output_taken(self) -> None:
        pass


@pytest.mark.parametrize(
    ("each_time", "alive"),
    [(int(LEAST_RATE * WRITE_SECONDS), True), (int(LEAST_RATE * WRITE_SECONDS) - 1, False), (0, False)],
)
async def test_a_slow_peer_is_one_that_reads(each_time: int, alive: bool) -> None:
    events = Events()
    mux = Mux(Link(each_time), Role.CLIENT, events, config=PATIENT, write_seconds=WRITE_SECONDS)
    mux.session.send(mux.session.open(clock()), bytes(200_000))
    mux.flush()
    assert mux.stuck
    started = clock()
    for seconds in range(1, 55):
        mux.check_time(started + seconds)
    assert mux.session.over is not alive
    assert [type(event) for event in events.all] == ([] if alive else [SessionFailed])


def take_none(session: ClientSession, stream: MuxStream) -> None:
    raise AssertionError("nobody opens a stream")


@pytest.mark.parametrize(("rate", "left"), [(20_000, 0), (0, 200_000)])
async def test_what_was_sent_leaves_before_the_session_does(rate: int, left: int) -> None:
    """Unless the server takes none of it."""
    link = Link(rate)
    limits = replace(BRISK, linger_seconds=0.001)
    session = ClientSession(link, SECURED, quiet=0, take=take_none, limits=limits)
    async with Background() as task_group:
        task_group.start_soon(session.run)
        stream = await session.open_stream()
        await stream.send(bytes(200_000))
        await session.aclose()
        assert left <= link.waiting <= left + SMALL
        assert session.over is not None
        assert link.aborted.is_set()
