"""A client's session with a relay: when it speaks, how long it lasts, and what its streams wait for."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from anyio import ClosedResourceError, EndOfStream, Event, create_task_group, fail_after, wait_all_tasks_blocked

from skywire import Conn, SecKey, StreamBroken
from skywire.dmsg import DmsgNetwork, DmsgRefused, DmsgUnreachable, Limits, SessionOver
from skywire.dmsg.mux import clock
from skywire.dmsg.mux_stream import MuxStream
from skywire.dmsg.session import MIN_QUIET, ClientSession, open_session
from skywire.net.background import Background
from skywire.net.handshake import respond
from skywire.wire.yamux import Config
from skywire.wire.yamux.frame import ACK, FIN, PING, RST, SYN, encode_header
from tests.dmsg.raw_client import (
    ALICE,
    BOB,
    PATIENCE,
    RELAY,
    RawPeer,
    ack,
    credit,
    dmsg,
    fin,
    go_away,
    raw_relay,
    respond_as_before,
    take,
)
from tests.dmsg.registry import Registry
from tests.dmsg.relaying import BRISK, ME
from tests.pktcp.attacker import until
from tests.wire.yamux_link import syn

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_fails")]

TO_BOB = dmsg(BOB)
WATCHFUL = replace(BRISK, tick_seconds=0.01, mux=Config(keepalive_interval=0.05, ping_timeout=0.1))


def reset(session: ClientSession, stream: MuxStream) -> None:
    """For a client that takes no streams."""
    stream.reset()


async def bob_behind(relay_key: SecKey = RELAY) -> Registry:
    registry = Registry()
    await registry.register(BOB, [relay_key.public])
    return registry


@pytest.mark.parametrize("new", [True, False], ids=["post-quantum", "before 2026"])
async def test_the_silence_that_old_servers_need(new: bool) -> None:
    """A server of before 2026 drops a session whose first bytes come with the last ones of its handshake."""
    shake_hands = respond if new else respond_as_before
    async with raw_relay(shake_hands=shake_hands) as relay, Background() as task_group:
        session = await open_session(RELAY.public, relay.where, ALICE, take=reset, limits=Limits())
        peer = await relay.client()
        task_group.start_soon(session.run)
        assert session.post_quantum == new
        await session.open_stream()
        assert clock() - session.opened >= session.quiet
        assert session.quiet == 0 if new else session.quiet >= MIN_QUIET
        await peer.offered()


async def test_a_session_that_ends_early_is_quiet_for_longer_the_next_time() -> None:
    """For twice as long, then four times."""
    silences: list[float] = []

    async def impatient(peer: RawPeer) -> None:
        """Like an old relay on a bad day: what comes first is twice taken for a part of the handshake."""
        stream_id = await peer.offered()
        (session,) = alice.sessions
        assert clock() - session.opened >= session.quiet
        silences.append(session.quiet)
        if len(silences) < 3:
            return
        await peer.signed(stream_id)
        await peer.send(fin(stream_id))
        await peer.drain()

    registry = await bob_behind()
    async with (
        raw_relay(impatient, shake_hands=respond_as_before) as relay,
        DmsgNetwork(ALICE, registry, limits=BRISK) as alice,
    ):
        await relay.announce(registry)
        with pytest.raises(DmsgUnreachable):
            await alice.dial(TO_BOB, owner=ME)
        assert relay.taken == 2
        with pytest.raises(DmsgRefused):
            await alice.dial(TO_BOB, owner=ME)
        assert relay.taken == 3
        assert [silence // MIN_QUIET >= factor for silence, factor in zip(silences, (1, 2, 4), strict=True)] == [
            True
        ] * 3


async def send_forever(conn: Conn) -> None:
    while True:
        await conn.send(bytes(1 << 20))


async def hold_one_stream(alice: DmsgNetwork) -> None:
    async with await alice.dial(TO_BOB, owner=ME) as conn:
        with fail_after(PATIENCE), pytest.raises(StreamBroken):
            await conn.receive()


async def test_a_silent_server_is_given_up() -> None:
    """One that answers pings is not."""
    registry = await bob_behind()
    async with raw_relay() as relay, DmsgNetwork(ALICE, registry, limits=WATCHFUL) as alice:
        await relay.announce(registry)
        async with create_task_group() as task_group:
            task_group.start_soon(hold_one_stream, alice)
            peer = await relay.client()
            await take(peer, BOB)
            for _ in range(5):
                asked = await peer.frame()
                assert asked.word == PING | SYN
                assert len(alice.sessions) == 1
                await peer.send(encode_header(PING | ACK, 0, asked.length))
        assert alice.sessions == ()


async def test_a_server_that_reads_nothing_is_given_up() -> None:
    registry = await bob_behind()
    limits = replace(BRISK, tick_seconds=0.01, write_seconds=0.2)
    async with raw_relay() as relay, DmsgNetwork(ALICE, registry, limits=limits) as alice:
        await relay.announce(registry)

        async def send_on() -> None:
            async with await alice.dial(TO_BOB, owner=ME) as conn:
                with fail_after(PATIENCE), pytest.raises(StreamBroken):
                    await send_forever(conn)

        async with create_task_group() as task_group:
            task_group.start_soon(send_on)
            peer = await relay.client()
            talk = await take(peer, BOB)
            await peer.send(credit(talk.stream_id, 1 << 31))
        assert alice.sessions == ()


async def test_a_server_that_goes_away_gets_no_more_streams() -> None:
    """Those that there are go on, and the next one is opened on a new session. Both are watched."""
    registry = await bob_behind()
    async with raw_relay() as relay, DmsgNetwork(ALICE, registry, limits=WATCHFUL) as alice:
        await relay.announce(registry)
        async with create_task_group() as task_group:
            task_group.start_soon(hold_one_stream, alice)
            first = await relay.client()
            await take(first, BOB)
            (left,) = alice.sessions
            await first.send(go_away(0))
            await until(lambda: alice.sessions == ())
            task_group.start_soon(hold_one_stream, alice)
            second = await relay.client()
            await take(second, BOB)
            assert relay.taken == 2
            assert left.over is None
            # Nobody answers pings on either of them.
        assert alice.sessions == ()
        assert left.over is not None


async def test_idle_sessions_of_a_client_that_only_dials_end() -> None:
    registry = await bob_behind()
    limits = replace(BRISK, tick_seconds=0.01, idle_seconds=0.1)
    async with raw_relay() as relay, DmsgNetwork(ALICE, registry, limits=limits) as alice:
        await relay.announce(registry)
        held = Event()

        async def hold() -> None:
            async with await alice.dial(TO_BOB, owner=ME):
                held.set()
                await free.wait()

        free = Event()
        async with create_task_group() as task_group:
            task_group.start_soon(hold)
            peer = await relay.client()
            await take(peer, BOB)
            await held.wait()
            used = alice.sessions[0].used
            await until(lambda: time.monotonic() > used + 0.2)
            assert len(alice.sessions) == 1
            free.set()
        await until(lambda: alice.sessions == ())


async def test_opens_wait_for_room() -> None:
    """As many as want to: here the relay lets one stream in at a time."""
    registry = await bob_behind()
    limits = replace(BRISK, mux=Config(open_backlog=1))
    async with raw_relay() as relay, DmsgNetwork(ALICE, registry, limits=limits) as alice:
        await relay.announce(registry)

        async def dial() -> None:
            async with await alice.dial(TO_BOB, owner=ME):
                pass

        async with create_task_group() as task_group:
            for _ in range(5):
                task_group.start_soon(dial)
            peer = await relay.client()
            await wait_all_tasks_blocked()
            for _ in range(5):
                await peer.pong(1)
                assert sum(bool(each.word & SYN) for each in peer._frames) <= 1
                await take(peer, BOB)


async def test_an_open_that_is_given_up_while_it_waits_for_room() -> None:
    registry = await bob_behind()
    limits = replace(BRISK, mux=Config(open_backlog=1))
    async with raw_relay() as relay, DmsgNetwork(ALICE, registry, limits=limits) as alice:
        await relay.announce(registry)
        async with create_task_group() as task_group:
            for _ in range(3):
                task_group.start_soon(hold_one_stream, alice)
            peer = await relay.client()
            await wait_all_tasks_blocked()
            ports = alice._require_running().dialler._ports
            assert len(ports._taken) == 3
            task_group.cancel_scope.cancel()
        assert ports._taken == set()
        async with create_task_group() as task_group:
            await peer.send(ack(await peer.offered()))
            task_group.start_soon(hold_one_stream, alice)
            await take(peer, BOB)
            await peer.stream.aclose()


@pytest.mark.parametrize("first", ["relay", "client"])
async def test_streams_that_are_over_make_room(first: str) -> None:
    registry = await bob_behind()
    limits = replace(BRISK, mux=Config(max_streams=2))
    async with raw_relay() as relay, DmsgNetwork(ALICE, registry, limits=limits) as alice:
        await relay.announce(registry)
        conns: list[Conn] = []

        async def dial() -> None:
            conns.append(await alice.dial(TO_BOB, owner=ME))

        async with create_task_group() as task_group:
            for _ in range(4):
                task_group.start_soon(dial)
            peer = await relay.client()
            talks = [await take(peer, BOB) for _ in range(2)]
            await until(lambda: len(conns) == 2)
            await wait_all_tasks_blocked()
            for index, talk in enumerate(talks):
                if first == "relay":
                    await peer.send(fin(talk.stream_id))
                    with pytest.raises(EndOfStream):
                        await conns[index].receive()
                    await conns[index].aclose()
                else:
                    await conns[index].aclose()
                    assert await peer.end_of(talk.stream_id) == FIN
                    await peer.send(fin(talk.stream_id))
                await take(peer, BOB)
        for conn in conns:
            await conn.aclose()


async def test_ping() -> None:
    async with raw_relay() as relay, Background() as task_group:
        session = await open_session(RELAY.public, relay.where, ALICE, take=reset, limits=WATCHFUL)
        peer = await relay.client()
        task_group.start_soon(session.run)

        async def pong() -> None:
            asked = await peer.frame()
            await peer.send(encode_header(PING | ACK, 0, asked.length))

        async with create_task_group() as pinging:
            pinging.start_soon(pong)
            took = await session.ping()
        assert 0 < took < PATIENCE
        assert session.round_trip == took
        session.mux.check_time(time.monotonic())
        async with create_task_group() as pinging:
            pinging.start_soon(expect_no_answer, session)
            await wait_all_tasks_blocked()
            session.mux.check_time(time.monotonic() + 0.15)
        async with create_task_group() as pinging:
            for _ in range(3):
                pinging.start_soon(expect_no_answer, session)
            await wait_all_tasks_blocked()
            await peer.stream.aclose()
        await expect_no_answer(session)
        with pytest.raises(SessionOver):
            await session.open_stream()


async def expect_no_answer(session: ClientSession) -> None:
    with pytest.raises(SessionOver):
        await session.ping()


async def test_a_peer_that_is_not_taken_is_reset() -> None:
    """Streams that come to a network that does not serve."""
    registry = await bob_behind()
    async with raw_relay() as relay, DmsgNetwork(ALICE, registry, limits=BRISK) as alice:
        await relay.announce(registry)
        async with create_task_group() as task_group:
            task_group.start_soon(hold_one_stream, alice)
            peer = await relay.client()
            await take(peer, BOB)
            stream_id = peer.new_id()
            await peer.send(syn(stream_id))
            assert await peer.end_of(stream_id) == RST
            await peer.stream.aclose()


async def test_a_client_that_leaves_says_so_for_each_stream() -> None:
    """And waits until the relay has confirmed that, or not for long."""
    registry = await bob_behind()
    limits = replace(BRISK, linger_seconds=PATIENCE)
    async with raw_relay() as relay, DmsgNetwork(ALICE, registry, limits=BRISK) as hasty:
        await relay.announce(registry)
        conns: list[Conn] = []
        left = Event()
        alice = DmsgNetwork(BOB, registry, limits=limits)

        async def dial_and_leave() -> None:
            async with alice:
                conns.extend([await alice.dial(TO_BOB, owner=ME) for _ in range(3)])
            left.set()

        async with create_task_group() as task_group:
            task_group.start_soon(dial_and_leave)
            peer = await relay.client()
            talks = [await take(peer, BOB) for _ in range(3)]
            for talk in talks:
                assert await peer.end_of(talk.stream_id) == FIN
                assert not left.is_set()
            await peer.send(*(fin(talk.stream_id) for talk in talks))
            with fail_after(PATIENCE / 2):
                await left.wait()
        for conn in conns:
            with pytest.raises(StreamBroken):
                await conn.receive()
            with pytest.raises(StreamBroken):
                await conn.send(b"x")
            await conn.aclose()
            with pytest.raises(ClosedResourceError):
                await conn.receive()
        assert hasty.sessions == ()
