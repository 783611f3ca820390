"""What a relay makes of sessions: whom it takes, what ends one, and that the others do not notice."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace

import pytest
from anyio import CancelScope, EndOfStream, Event, create_task_group, fail_after
from anyio.abc import SocketAttribute, SocketStream, TaskStatus

from skywire import ListenError
from skywire.dmsg import Limits
from skywire.dmsg.relay import Relay
from skywire.net.handshake import Secured
from skywire.net.postquantum import Offer, final_keys
from skywire.wire.objects import StreamResponse
from skywire.wire.records import frame
from skywire.wire.yamux import Config
from skywire.wire.yamux.frame import ACK, DATA, FIN, GO_AWAY, PING, RST, SYN, WINDOW_UPDATE, encode_header
from tests.dmsg.raw_client import (
    ALICE,
    BOB,
    LOOPBACK,
    MALLORY,
    PATIENCE,
    RELAY,
    TRUDY,
    WINDOW,
    RawPeer,
    connect_to,
    credit,
    fin,
    go_away,
    ping,
    request,
    rst,
)
from tests.dmsg.relaying import AT_ONCE, attacked_relay, joined, serving_relay
from tests.pktcp.attacker import Attack, initiator, reset_now, until
from tests.wire.yamux_link import data_frame, syn

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_fails")]


async def coalesced(relay: Relay, first_frames: Callable[[RawPeer], bytes]) -> RawPeer:
    """A session whose first frames come in one segment with message 3 of its handshake."""
    attack = Attack(await connect_to(relay))
    handshake = initiator(MALLORY, relay.public)
    offer = Offer()
    await attack.send(frame(handshake.write_message(offer.payload)))
    secret = offer.secret(handshake.read_message(await attack.receive_frame()))
    third = frame(handshake.write_message())
    secured = Secured(final_keys(handshake, secret), relay.public, b"", post_quantum=True)
    peer = RawPeer(attack.stream, secured)
    await attack.send(third, first_frames(peer))
    return peer


async def test_frames_behind_the_handshake_are_kept() -> None:
    def ask(peer: RawPeer) -> bytes:
        return ping(7) + syn(1) + data_frame(1, peer.seal.seal(request(MALLORY, BOB.public)))

    async with attacked_relay() as attacked, await coalesced(attacked.relay, ask) as mallory:
        await attacked.bob.answer(BOB)
        response = StreamResponse.decode((await mallory.signed(1)).body)
        assert response.accepted


async def test_the_newest_session_of_a_client_counts() -> None:
    async with attacked_relay() as attacked:
        older = await RawPeer.connect(attacked.relay, MALLORY)
        stream_id, _ = await joined(attacked.alice, older, ALICE, MALLORY)
        async with await RawPeer.connect(attacked.relay, MALLORY) as newer:
            await older.drain()
            assert await attacked.alice.end_of(stream_id) == RST
            await until(lambda: attacked.relay.stats.sessions == 3)
            assert attacked.relay.stats.sessions_made == 4
            stream_id, _ = await joined(attacked.alice, newer, ALICE, MALLORY)
        assert await attacked.alice.end_of(stream_id) == RST


async def test_sessions_are_counted() -> None:
    """At the limit, a client may still replace its own session."""
    async with attacked_relay(max_sessions=3) as attacked:
        stats = attacked.relay.stats
        async with await RawPeer.connect(attacked.relay, MALLORY) as mallory:
            await until(lambda: stats.sessions == 3)
            async with await RawPeer.connect(attacked.relay, RELAY) as surplus:
                assert await surplus.drain() == []
            assert stats.sessions_refused == {"TooManyConnections": 1}
            async with await RawPeer.connect(attacked.relay, MALLORY) as newer:
                await mallory.drain()
                await newer.pong(1)
        await until(lambda: stats.sessions == 2)
        async with await RawPeer.connect(attacked.relay, RELAY) as another:
            await another.pong(1)


async def test_half_open_sessions_make_room() -> None:
    async with attacked_relay() as attacked:
        stats = attacked.relay.stats
        held = [await connect_to(attacked.relay) for _ in range(300)]
        await until(lambda: stats.sessions_refused["TooManyConnections"] == 300 - 256)
        for stream in held[: 300 - 256]:
            with pytest.raises(EndOfStream):
                await stream.receive()
        assert stats.half_open == 256
        async with await RawPeer.connect(attacked.relay, MALLORY) as mallory:
            await mallory.pong(1)
        for stream in held:
            await stream.aclose()


async def test_a_handshake_has_a_time_limit() -> None:
    limits = replace(AT_ONCE, session_handshake_seconds=0.1)
    async with serving_relay(limits) as relay:
        for opening in (b"", b"\x00\x31", frame(initiator(MALLORY, RELAY.public).write_message())):
            attack = Attack(await connect_to(relay))
            await attack.send(opening)
            await attack.drain()
        assert relay.stats.sessions_refused == {"HandshakeTimeout": 3}


OPENINGS: dict[str, tuple[bytes, str]] = {
    "HTTP": (b"GET / HTTP/1.1\r\n\r\n", "ProtocolError"),
    "a key that is no point": (frame(b"\x02" + bytes(48)), "ProtocolError"),
    "a key beyond the field": (frame(b"\x02" + b"\xff" * 32 + bytes(16)), "ProtocolError"),
    "for another server": (frame(initiator(MALLORY, ALICE.public).write_message()), "AuthenticationError"),
    "yamux": (syn(1), "ProtocolError"),
    "empty": (frame(b""), "ProtocolError"),
    "message 1, then yamux": (frame(initiator(MALLORY, RELAY.public).write_message()) + syn(1), "ProtocolError"),
}


async def test_bad_handshakes() -> None:
    async with attacked_relay() as attacked:
        for name, (opening, error) in OPENINGS.items():
            before = attacked.relay.stats.sessions_refused.copy()
            attack = Attack(await connect_to(attacked.relay))
            await attack.send(opening)
            await attack.drain()
            assert attacked.relay.stats.sessions_refused - before == {error: 1}, name


async def test_who_leaves_during_the_handshake() -> None:
    where = LOOPBACK.host
    async with attacked_relay() as attacked:
        for _ in range(20):
            reset_now(socket.create_connection((where, attacked.relay.addresses[0].port)))
            left = Attack(await connect_to(attacked.relay))
            await left.send(frame(initiator(MALLORY, RELAY.public).write_message()))
            await left.reset()
        await until(lambda: attacked.relay.stats.sessions_refused["HandshakeAborted"] >= 20)
        assert set(attacked.relay.stats.sessions_refused) == {"HandshakeAborted"}


def second_fin(stream_id: int) -> bytes:
    """Behind bytes that the receiver has no room for, so that the stream is still there when the second FIN comes."""
    return data_frame(stream_id, bytes(100_000)) + fin(stream_id) + fin(stream_id)


VIOLATIONS: dict[str, Callable[[int], bytes]] = {
    "a body beyond the window": lambda stream_id: encode_header(DATA, stream_id, WINDOW + 1),
    "an endless body": lambda stream_id: encode_header(DATA, stream_id, 0xFFFFFFFF),
    "bodies beyond the window": lambda stream_id: data_frame(stream_id, bytes(131_073)) * 2,
    "a stream a second time": syn,
    "a data frame that opens it a second time": lambda stream_id: data_frame(stream_id, b"", SYN),
    "a second FIN": second_fin,
    "an id of the other side": lambda _: syn(2),
    "the id of the session": lambda _: syn(0),
    "version 1": lambda _: b"\x01" + bytes(11),
    "version 255": lambda _: b"\xff" * 12,
    "type 4": lambda _: b"\x00\x04" + bytes(10),
    "HTTP": lambda _: b"GET / HTTP/1.1\r\n\r\n",
    "a window beyond all numbers": lambda stream_id: credit(stream_id, 0xFFFFFFFF) * 2,
}


@pytest.mark.parametrize("name", VIOLATIONS)
async def test_a_broken_rule_ends_its_session(name: str) -> None:
    """With a go-away, and with its streams; all others go on."""
    async with attacked_relay() as attacked, await RawPeer.connect(attacked.relay, MALLORY) as mallory:
        stream_id, answered = await joined(mallory, attacked.alice, MALLORY, ALICE)
        if VIOLATIONS[name] is second_fin:
            # The receiver gives no credit, so its window is full, and what comes now waits at the relay.
            await mallory.pour(stream_id, WINDOW)
        await mallory.send(VIOLATIONS[name](stream_id))
        last = (await mallory.drain())[-1]
        assert (last.word, last.stream_id, last.length) == (GO_AWAY, 0, 1)
        if VIOLATIONS[name] is second_fin:
            # The stream had ended before that: what is left of it is kept until the receiver has room.
            assert len(await attacked.alice.data(answered, WINDOW + 100_000)) == WINDOW + 100_000
            assert await attacked.alice.end_of(answered) == FIN
            await attacked.alice.send(fin(answered))
        else:
            assert await attacked.alice.end_of(answered) == RST


@pytest.mark.parametrize("reason", [1, 2, 77])
async def test_a_go_away_with_a_reason_ends_the_session(reason: int) -> None:
    async with attacked_relay() as attacked, await RawPeer.connect(attacked.relay, MALLORY) as mallory:
        _, answered = await joined(mallory, attacked.alice, MALLORY, ALICE)
        await mallory.send(go_away(reason))
        assert all(each.word != GO_AWAY for each in await mallory.drain())
        assert await attacked.alice.end_of(answered) == RST


async def test_who_goes_away_gets_no_new_streams() -> None:
    """Those that there are go on, and it may still open some itself."""
    async with attacked_relay() as attacked, await RawPeer.connect(attacked.relay, MALLORY) as mallory:
        stream_id, answered = await joined(mallory, attacked.alice, MALLORY, ALICE)
        await mallory.send(go_away(0))
        await mallory.pong(1)
        refused = await attacked.alice.ask(request(ALICE, MALLORY.public))
        assert await attacked.alice.end_of(refused) == FIN
        await attacked.alice.send(fin(refused))
        assert attacked.new_refusals() == {"307": 1}
        await mallory.send_data(stream_id, b"still here")
        assert await attacked.alice.data(answered, 10) == b"still here"
        await joined(mallory, attacked.alice, MALLORY, ALICE)


HARMLESS: dict[str, Callable[[int], bytes]] = {
    "frames of a stream that is over": lambda stream_id: (
        rst(stream_id) * 3 + fin(stream_id) + data_frame(stream_id, b"x") + credit(stream_id, 0xFFFFFFFF) * 2
    ),
    "frames of streams that never were": lambda _: fin(77) + rst(4) + data_frame(2**32 - 1, bytes(WINDOW * 2)),
    "answers to pings that nobody sent": lambda _: encode_header(PING | ACK, 0, 5) * 100,
    "flags without a meaning": lambda _: encode_header(PING | SYN | 0xFFF0, 0, 6),
    "an acknowledged stream once more": lambda stream_id: encode_header(WINDOW_UPDATE | ACK, stream_id, 0) * 2,
    "empty bodies": lambda stream_id: data_frame(stream_id, b"") * 1000,
}


@pytest.mark.parametrize("name", HARMLESS)
async def test_what_harms_nobody(name: str) -> None:
    async with attacked_relay() as attacked, await RawPeer.connect(attacked.relay, MALLORY) as mallory:
        stream_id, _ = await joined(mallory, attacked.alice, MALLORY, ALICE)
        await mallory.send(HARMLESS[name](stream_id))
        await mallory.pong(1)
        await joined(mallory, attacked.alice, MALLORY, ALICE)


async def test_a_silent_client_is_gone() -> None:
    """One that answers pings is not."""
    limits = Limits(tick_seconds=0.01, mux=Config(keepalive_interval=0.05, ping_timeout=0.1))
    async with (
        serving_relay(limits) as relay,
        await RawPeer.connect(relay, ALICE) as alice,
        await RawPeer.connect(relay, MALLORY) as mallory,
    ):
        await until(lambda: relay.stats.sessions == 2)
        gone = Event()

        async def wait() -> None:
            frames = await mallory.drain()
            assert [each.word for each in frames] == [PING | SYN]
            gone.set()

        async with create_task_group() as task_group:
            task_group.start_soon(wait)
            while not gone.is_set():
                asked = await alice.frame()
                await alice.send(encode_header(PING | ACK, 0, asked.length))
        assert relay.stats.sessions == 1


async def test_a_client_that_reads_nothing_is_gone() -> None:
    """What is kept for it meanwhile is bounded, and so is what others may send to it."""
    limits = replace(AT_ONCE, tick_seconds=0.01, write_seconds=0.3)
    async with (
        attacked_relay(limits) as attacked,
        await unread(attacked.relay) as mallory,
        await RawPeer.connect(attacked.relay, TRUDY) as trudy,
    ):
        stream_id, answered = await joined(trudy, mallory, TRUDY, MALLORY)
        await mallory.send(credit(answered, 1 << 30))
        session = attacked.relay._switch.session_of(MALLORY.public)
        assert session is not None
        most = 0

        async def watch() -> None:
            nonlocal most
            while not session.mux.session.over:
                most = max(most, session.mux.session.queued)
                await attacked.talks()

        async with create_task_group() as task_group:
            task_group.start_soon(watch)
            assert (1 << 20) < await trudy.pour(stream_id, 1 << 30) < (1 << 24)
        assert await trudy.end_of(stream_id) == RST
        assert (1 << 20) <= most <= (1 << 20) + WINDOW
        assert attacked.relay.stats.sessions == 3


async def unread(relay: Relay) -> RawPeer:
    """A client with little room for what it does not read."""
    mallory = await RawPeer.connect(relay, MALLORY)
    assert isinstance(mallory.stream, SocketStream)
    mallory.stream.extra(SocketAttribute.raw_socket).setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return mallory


async def test_a_client_that_asks_and_reads_nothing_is_gone() -> None:
    async with attacked_relay() as attacked, await unread(attacked.relay) as mallory:

        async def ask_on() -> None:
            while attacked.relay.stats.sessions == 3:
                await mallory.send(ping(1) * 5000)

        with fail_after(PATIENCE):
            await ask_on()


async def test_single_bytes() -> None:
    count = 50_000
    async with attacked_relay() as attacked, await RawPeer.connect(attacked.relay, MALLORY) as mallory:
        stream_id, answered = await joined(mallory, attacked.alice, MALLORY, ALICE)
        await mallory.send(data_frame(stream_id, b"x") * count)
        await attacked.talks()
        assert await attacked.alice.data(answered, count) == b"x" * count


async def test_no_address_to_listen_at() -> None:
    async with serving_relay() as relay:
        with pytest.raises(ListenError):
            await Relay(MALLORY, listen=[LOOPBACK, relay.addresses[0]]).serve()


async def test_a_relay_may_serve_again() -> None:
    relay = Relay(RELAY, listen=[LOOPBACK])
    for turn in range(1, 3):
        async with create_task_group() as task_group:
            await task_group.start(relay.serve)
            async with await RawPeer.connect(relay, ALICE) as alice:
                await alice.pong(1)
                assert (relay.stats.sessions, relay.stats.sessions_made) == (1, turn)
                task_group.cancel_scope.cancel()
        assert (relay.stats.sessions, relay.addresses) == (0, ())


async def test_the_end_of_a_relay_is_the_end_of_its_sessions() -> None:
    relay = Relay(RELAY, listen=[LOOPBACK], limits=AT_ONCE)
    scope = CancelScope()

    async def serve(*, task_status: TaskStatus[None]) -> None:
        with scope:
            await relay.serve(task_status=task_status)

    async with create_task_group() as task_group:
        await task_group.start(serve)
        alice, bob = await RawPeer.connect(relay, ALICE), await RawPeer.connect(relay, BOB)
        await until(lambda: relay.stats.sessions == 2)
        await joined(alice, bob)
        half_open = await connect_to(relay)
        await until(lambda: relay.stats.half_open == 1)
        scope.cancel()
        await alice.drain()
        await bob.drain()
        await Attack(half_open).drain()
    assert (relay.stats.sessions, relay.stats.streams, relay.stats.half_open) == (0, 0, 0)


def test_a_relay_for_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 session"):
        Relay(RELAY, listen=[LOOPBACK], max_sessions=0)


@pytest.mark.parametrize("name", [name for name in Limits.__dataclass_fields__ if name != "mux"])
def test_limits_that_let_nothing_through_are_refused(name: str) -> None:
    make: Callable[..., Limits] = Limits
    for wrong in (0, -1, float("nan")):
        with pytest.raises(ValueError, match=name):
            make(**{name: wrong})
