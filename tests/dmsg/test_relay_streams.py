"""How a relay carries streams: in order, to the end, within its memory, each independent of the others."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from anyio import BrokenResourceError, EndOfStream, create_task_group

from skywire import SecKey
from skywire.dmsg.limits import CREDIT_STEP
from skywire.dmsg.relay.leg import Leg
from skywire.dmsg.relay.session import RelaySession
from skywire.wire.objects import StreamResponse
from skywire.wire.yamux import Config
from skywire.wire.yamux.frame import FIN, RST
from tests.dmsg.raw_client import ALICE, BOB, MALLORY, TRUDY, WINDOW, RawPeer, accepted, fin, go_away, request, rst
from tests.dmsg.relaying import AT_ONCE, Attacked, attacked_relay, joined
from tests.pktcp.attacker import until
from tests.wire.yamux_link import data_frame, syn

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_fails")]


def session_of(attacked: Attacked, client: SecKey) -> RelaySession:
    session = attacked.relay._switch.session_of(client.public)
    assert session is not None
    return session


def legs_of(attacked: Attacked, client: RawPeer) -> dict[int, Leg]:
    """The ends of a client's relayed streams by their ids."""
    users = session_of(attacked, ALICE if client is attacked.alice else BOB).users
    return {stream_id: user for stream_id, user in users.items() if isinstance(user, Leg)}


async def test_early_data_follows_the_response() -> None:
    """The initiator's first bytes come with its request, some more before the response, the responder's with it."""
    async with attacked_relay() as attacked:
        alice, bob = attacked.alice, attacked.bob
        asked = await alice.ask(request(ALICE, BOB.public), then=b"one ")
        answered = await bob.offered()
        signed = await bob.signed(answered)
        for word in (b"two ", b"three "):
            await alice.send_data(asked, word)
        await alice.pong(1)
        await bob.respond(answered, BOB, signed, then=b"four ")
        assert await bob.data(answered, 14) == b"one two three "
        response = StreamResponse.decode((await alice.signed(asked)).body)
        assert response.accepted
        assert await alice.data(asked, 5) == b"four "
        await alice.send(fin(asked))
        assert await bob.end_of(answered) == FIN
        await bob.send(fin(answered))


async def test_a_window_of_early_data_waits_for_the_response() -> None:
    async with attacked_relay() as attacked:
        alice, bob = attacked.alice, attacked.bob
        asked = await alice.ask(request(ALICE, BOB.public))
        answered = await bob.offered()
        signed = await bob.signed(answered)
        size = await alice.fill(asked)
        assert WINDOW - 1000 < size < WINDOW
        await bob.respond(answered, BOB, signed)
        assert await bob.data(answered, size) == bytes(size)
        await alice.signed(asked)
        async with create_task_group() as task_group:
            task_group.start_soon(alice.pour, asked, 3 * WINDOW)
            assert await bob.data(answered, 3 * WINDOW) == bytes(3 * WINDOW)
        await bob.send(rst(answered))
        assert await alice.end_of(asked) == RST


async def test_a_client_dials_itself() -> None:
    async with attacked_relay() as attacked, await RawPeer.connect(attacked.relay, MALLORY) as mallory:
        asked, answered = await joined(mallory, mallory, MALLORY, MALLORY)
        await mallory.send_data(asked, b"to myself")
        assert await mallory.data(answered, 9) == b"to myself"
        await mallory.send_data(answered, b"and back")
        assert await mallory.data(asked, 8) == b"and back"
        await mallory.send(fin(asked))
        assert await mallory.end_of(answered) == FIN
        assert await mallory.end_of(asked) == FIN
        await mallory.send(fin(answered))
        await joined(mallory, mallory, MALLORY, MALLORY)
        await mallory.ask(request(MALLORY, MALLORY.public))
        await mallory.offered()


async def test_the_end_of_one_direction_is_the_end_of_both() -> None:
    """As upstream's relays have it: what was sent before still arrives, what the other end says later is dropped."""
    async with attacked_relay() as attacked:
        alice, bob = attacked.alice, attacked.bob
        asked, answered = await joined(alice, bob)
        await alice.send_data(asked, b"last words")
        await alice.send(fin(asked))
        assert await alice.end_of(asked) == FIN
        assert await bob.data(answered, 10) == b"last words"
        assert await bob.end_of(answered) == FIN
        await bob.send_data(answered, bytes(WINDOW // 2))
        await bob.send(fin(answered))
        await bob.pong(1)
        await alice.pong(1)


async def test_a_reset_is_passed_on() -> None:
    async with attacked_relay() as attacked:
        for ender, other in ((attacked.alice, attacked.bob), (attacked.bob, attacked.alice)):
            streams = dict(zip((attacked.alice, attacked.bob), await joined(attacked.alice, attacked.bob), strict=True))
            await ender.send(rst(streams[ender]))
            assert await other.end_of(streams[other]) == RST


async def test_both_ends_end_at_once() -> None:
    """While bytes wait in both directions, which therefore have no use any more."""
    async with attacked_relay() as attacked:
        alice, bob = attacked.alice, attacked.bob
        asked, answered = await joined(alice, bob)
        await alice.fill(asked)
        await bob.fill(answered)
        leg = legs_of(attacked, alice)[asked]
        assert leg.other is not None
        assert leg.backlog.size > 0 < leg.other.backlog.size
        await alice.send(fin(asked))
        await bob.send(fin(answered))
        assert await alice.end_of(asked) == FIN
        assert await bob.end_of(answered) == FIN
        await until(lambda: attacked.relay.stats.streams == 1)


async def test_a_receiver_that_does_not_read_stops_its_sender() -> None:
    """At a window in the receiver and one in the relay; all other streams of the two sessions go on."""
    async with attacked_relay() as attacked:
        alice, bob = attacked.alice, attacked.bob
        asked, answered = await joined(alice, bob)
        sent = await alice.fill(asked)
        assert 2 * WINDOW - WINDOW // 2 <= sent <= 2 * WINDOW
        leg = legs_of(attacked, alice)[asked]
        assert leg.backlog.size == sent - WINDOW
        await attacked.talks()
        back = b"the other direction is free"
        await bob.send_data(answered, back)
        assert await alice.data(asked, len(back)) == back
        async with create_task_group() as task_group:
            task_group.start_soon(alice.pour, asked, WINDOW)
            assert await bob.data(answered, sent + WINDOW) == bytes(sent + WINDOW)
        assert leg.backlog.size == 0
        await alice.send(rst(asked))
        assert await bob.end_of(answered) == RST


async def test_memory_for_stopped_streams_is_bounded() -> None:
    """Of one session, by its limit: what goes beyond is reset, and the session goes on."""
    limits = replace(AT_ONCE, mux=Config(max_held=20 * WINDOW))
    async with (
        attacked_relay(limits) as attacked,
        await RawPeer.connect(attacked.relay, MALLORY) as mallory,
        await RawPeer.connect(attacked.relay, TRUDY) as trudy,
    ):
        session = session_of(attacked, MALLORY)
        held: list[int] = []
        streams = [await joined(mallory, trudy, MALLORY, TRUDY) for _ in range(40)]
        for asked, _ in streams:
            await mallory.fill(asked)
            held.append(sum(user.backlog.size for user in session.users.values() if isinstance(user, Leg)))
        assert 20 * WINDOW - len(streams) * CREDIT_STEP - WINDOW < max(held) <= 20 * WINDOW
        assert attacked.relay.stats.streams < 40
        await attacked.talks()


async def test_what_waits_for_who_left_counts_no_more() -> None:
    """Streams that a client has ended while bytes for it waited do not use up what their sender may have under way."""
    async with attacked_relay() as attacked, await RawPeer.connect(attacked.relay, MALLORY) as mallory:
        for _ in range(5):
            answered, asked = await joined(mallory, attacked.bob, MALLORY, BOB)
            await attacked.bob.fill(asked)
            await mallory.send(fin(answered))
            assert await attacked.bob.end_of(asked) == FIN  # which bob does not answer
        assert session_of(attacked, BOB).mux.session._table.room > (64 << 20) - WINDOW


@pytest.fixture
def count(anyio_backend_options: dict[str, bool]) -> int:
    """How many streams: as many as a session has on the event loop of the programs."""
    return Config().max_streams if anyio_backend_options.get("use_uvloop") else 300


async def test_all_streams_of_a_session(count: int) -> None:
    """Every one of them with its own bytes."""
    async with (
        attacked_relay(replace(AT_ONCE, mux=Config(max_streams=count))) as attacked,
        await RawPeer.connect(attacked.relay, MALLORY) as mallory,
        await RawPeer.connect(attacked.relay, TRUDY) as trudy,
    ):
        streams = [await joined(mallory, trudy, MALLORY, TRUDY) for _ in range(count)]
        assert attacked.relay.stats.streams == count + 1
        assert await mallory.end_of(await mallory.ask(request(MALLORY, TRUDY.public))) == RST
        for asked, answered in streams:
            await mallory.send_data(asked, b"%04d" % asked)
            await trudy.send_data(answered, b"%04d" % answered)
        for asked, answered in streams:
            assert await trudy.data(answered, 4) == b"%04d" % asked
            assert await mallory.data(asked, 4) == b"%04d" % answered
        await attacked.talks()
        await mallory.stream.aclose()
        for _, answered in streams:
            assert await trudy.end_of(answered) == RST
        assert attacked.relay.stats.streams == 1


@pytest.mark.parametrize("end", [rst, lambda _: go_away(1), lambda _: b"\xff" * 12], ids=["RST", "go-away", "nonsense"])
async def test_a_response_and_the_end_at_once(end: Callable[[int], bytes]) -> None:
    """What the initiator has sent meanwhile cannot go on any more."""
    async with attacked_relay() as attacked, await RawPeer.connect(attacked.relay, MALLORY) as mallory:
        asked = await attacked.alice.ask(request(ALICE, MALLORY.public), then=b"early")
        answered = await mallory.offered()
        response = mallory.seal.seal(accepted(MALLORY, await mallory.signed(answered)))
        await attacked.alice.send_data(asked, b"more")
        await attacked.alice.pong(1)
        await mallory.send(data_frame(answered, response + b"x"), end(answered))
        assert StreamResponse.decode((await attacked.alice.signed(asked)).body).accepted
        assert await attacked.alice.end_of(asked) == RST


@pytest.mark.parametrize("end", [rst, lambda _: b"\xff" * 12], ids=["RST", "nonsense"])
async def test_a_request_to_oneself_and_its_end_at_once(end: Callable[[int], bytes]) -> None:
    async with attacked_relay() as attacked, await RawPeer.connect(attacked.relay, MALLORY) as mallory:
        sealed = mallory.seal.seal(request(MALLORY, MALLORY.public))
        first = mallory.new_id()
        await mallory.send(syn(first), data_frame(first, sealed), end(first))
        asked = await mallory.ask(request(MALLORY, MALLORY.public))
        with suppress(EndOfStream, BrokenResourceError):
            await mallory.offered()
            answered = await mallory.offered()
            response = mallory.seal.seal(accepted(MALLORY, await mallory.signed(answered)))
            await mallory.send(data_frame(answered, response + b"x"), end(asked))
            assert await mallory.end_of(answered) == RST
        await mallory.stream.aclose()
