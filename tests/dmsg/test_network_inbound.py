"""What a client makes of the streams that come to it: one bad stream is the end of that stream, and of nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from anyio import get_running_tasks, sleep_forever, wait_all_tasks_blocked

from skywire import Conn, LocalProtocolError, SingleHandler
from skywire.dmsg import DmsgNetwork, Limits
from skywire.dmsg.limits import MAX_OBJECT, MAX_REQUESTS, REQUEST_MEMORY
from skywire.dmsg.replays import ReplayMemory
from skywire.keys import PubKey
from skywire.net.serving import serving
from skywire.wire.objects import SignedObject, StreamResponse
from skywire.wire.records import frame
from skywire.wire.yamux.frame import FIN, RST
from tests.dmsg.raw_client import (
    ALICE,
    BOB,
    MALLORY,
    RawPeer,
    Talk,
    accepted,
    dial,
    fin,
    first_message,
    raw_relay,
    request,
    rst,
)
from tests.dmsg.registry import Registry
from tests.dmsg.relaying import BRISK, echo, served
from tests.pktcp.attacker import flipped, until
from tests.wire.yamux_link import data_frame, syn

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_fails")]

GOOD = first_message(MALLORY, BOB.public)


@asynccontextmanager
async def attacked_client(
    *,
    limits: Limits = BRISK,
    handler: Callable[[Conn], Awaitable[None]] = echo,
    peers: frozenset[PubKey] = frozenset({ALICE.public, MALLORY.public}),
) -> AsyncIterator[RawPeer]:
    """Bob, who serves behind a relay made by hand, which plays all the others."""
    registry = Registry()
    async with raw_relay() as relay:
        await relay.announce(registry)
        async with served(DmsgNetwork(BOB, registry, limits=limits), handler, peers=peers):
            yield await relay.client()


async def echoes(talk: Talk) -> None:
    await talk.say(b"question")
    assert await talk.hear(8) == b"question"


def sealed_raw(peer: RawPeer, raw: bytes) -> bytes:
    return frame(peer.seal._sealer.seal(raw))


def not_on_the_curve() -> bytes:
    return b"\x02" + bytes(32) + GOOD[33:]


def for_somebody_else() -> bytes:
    """A handshake message that is fine, but for another peer."""
    return first_message(MALLORY, ALICE.public)


REQUESTS: dict[str, Callable[[], SignedObject]] = {
    "for somebody else": lambda: request(MALLORY, ALICE.public),
    "for nobody": lambda: request(MALLORY, None),
    "bad signature": lambda: SignedObject(bytes(65) + request(MALLORY, BOB.public).body),
    "signed by another": lambda: request(ALICE, BOB.public, claim=MALLORY.public),
    "from port 0": lambda: request(MALLORY, BOB.public, source_port=0),
    "to port 0": lambda: request(MALLORY, BOB.public, port=0),
    "no time": lambda: request(MALLORY, BOB.public, timestamp_ns=0),
    "no handshake message": lambda: request(MALLORY, BOB.public, noise_message=b""),
    "a handshake message of no point": lambda: request(MALLORY, BOB.public, noise_message=not_on_the_curve()),
    "a handshake message with a bad tag": lambda: request(MALLORY, BOB.public, noise_message=flipped(GOOD, -1)),
    "a handshake message for another": lambda: request(MALLORY, BOB.public, noise_message=for_somebody_else()),
    "a short handshake message": lambda: request(MALLORY, BOB.public, noise_message=GOOD[:40]),
    "a handshake message of another": lambda: request(
        MALLORY, BOB.public, noise_message=first_message(ALICE, BOB.public)
    ),
    "a look-up": lambda: request(MALLORY, BOB.public, ip_info=True, noise_message=b""),
    "a response": lambda: accepted(MALLORY, request(BOB, MALLORY.public)),
    "no gob": lambda: SignedObject.make(MALLORY, b"\xff" * 100),
}
FRAMED: dict[str, Callable[[RawPeer], bytes]] = {
    "too long": lambda _: (MAX_OBJECT + 1).to_bytes(2, "big"),
    "empty": lambda _: frame(b""),
    "random": lambda _: frame(b"\x01" * 200),
    "altered": lambda peer: flipped(peer.seal.seal(request(MALLORY, BOB.public)), -1),
    "a signature alone": lambda peer: sealed_raw(peer, bytes(65)),
    "HTTP": lambda _: b"GET / HTTP/1.1\r\n\r\n",
}


async def test_bad_requests() -> None:
    async with attacked_client() as peer:
        witness = await dial(peer, ALICE, BOB.public)
        await echoes(witness)
        tasks = len(get_running_tasks())
        openings = [make(peer) for make in FRAMED.values()] + [peer.seal.seal(make()) for make in REQUESTS.values()]
        ids = [peer.new_id() for _ in openings]
        # All at once, so that each has every chance to harm the others.
        await peer.send(
            *(syn(stream_id) + data_frame(stream_id, data) for stream_id, data in zip(ids, openings, strict=True))
        )
        for name, stream_id in zip([*FRAMED, *REQUESTS], ids, strict=True):
            assert await peer.end_of(stream_id) == FIN, name
            await peer.send(fin(stream_id))
            assert not peer.has_data(stream_id), name
        await echoes(witness)
        await until(lambda: len(get_running_tasks()) == tasks)
        await echoes(await dial(peer, MALLORY, BOB.public))


async def test_a_repeated_request() -> None:
    """Sealed anew by a relay, it is the same request nevertheless: with the same keys of the same handshake."""
    async with attacked_client() as peer:
        signed = request(MALLORY, BOB.public)
        first = await peer.ask(signed)
        assert StreamResponse.decode((await peer.signed(first)).body).accepted
        second = await peer.ask(signed)
        assert await peer.end_of(second) == FIN
        assert not peer.has_data(second)
        await peer.send(fin(second), fin(first))
        third = await peer.ask(signed)
        assert await peer.end_of(third) == FIN
        await echoes(await dial(peer, MALLORY, BOB.public))


async def test_slow_requests() -> None:
    """Streams without one, and with half of one, beside a good one."""
    async with attacked_client(limits=replace(BRISK, stream_handshake_seconds=0.1)) as peer:
        ids = [peer.new_id() for _ in range(300)]
        for index, stream_id in enumerate(ids):
            data = peer.seal.seal(request(MALLORY, BOB.public))[:100] if index % 2 else b""
            await peer.send(syn(stream_id), data_frame(stream_id, data))
        witness = await dial(peer, ALICE, BOB.public)
        await echoes(witness)
        for stream_id in ids:
            assert await peer.end_of(stream_id) == FIN
            await peer.send(fin(stream_id))
        await echoes(witness)


@pytest.mark.parametrize("leave", [fin, rst], ids=["FIN", "RST"])
async def test_initiators_that_leave(leave: Callable[[int], bytes]) -> None:
    async with attacked_client() as peer:
        tasks = len(get_running_tasks())
        for data in (b"", b"\x01", peer.seal.seal(request(MALLORY, BOB.public))):
            stream_id = peer.new_id()
            await peer.send(syn(stream_id), data_frame(stream_id, data), leave(stream_id))
            if leave is fin:
                assert await peer.end_of(stream_id) == FIN
        await until(lambda: len(get_running_tasks()) == tasks)
        await echoes(await dial(peer, ALICE, BOB.public))


async def test_who_is_not_admitted_is_told_so() -> None:
    async with attacked_client(peers=frozenset({ALICE.public})) as peer:
        stream_id = await peer.ask(signed := request(MALLORY, BOB.public))
        response = StreamResponse.verify(await peer.signed(stream_id), signed.hash, BOB.public)
        assert (response.accepted, response.error_code, response.noise_message) == (False, 306, b"")
        assert await peer.end_of(stream_id) == FIN
        await peer.send(fin(stream_id))
        await echoes(await dial(peer, ALICE, BOB.public))


async def test_data_behind_the_request_is_kept() -> None:
    """From whoever knows the keys before the response, that is, from nobody; it is found out at the first record."""
    async with attacked_client() as peer:
        stream_id = await peer.ask(request(MALLORY, BOB.public), then=frame(bytes(30)))
        assert StreamResponse.decode((await peer.signed(stream_id)).body).accepted
        assert await peer.end_of(stream_id) == FIN
        await peer.send(fin(stream_id))
        await echoes(await dial(peer, ALICE, BOB.public))


async def test_2000_streams_without_a_request() -> None:
    async with attacked_client() as peer:
        witness = await dial(peer, ALICE, BOB.public)
        tasks = len(get_running_tasks())
        ids = [peer.new_id() for _ in range(2000)]
        for start in range(0, len(ids), 500):
            await peer.send(*map(syn, ids[start : start + 500]))
            await peer.acknowledged(ids[start + 499])
        await echoes(witness)
        await peer.send(*map(rst, ids))
        await until(lambda: len(get_running_tasks()) == tasks)
        await echoes(witness)


async def test_a_broken_rule_ends_the_session_and_another_is_made() -> None:
    registry = Registry()
    async with raw_relay() as relay:
        await relay.announce(registry)
        async with served(DmsgNetwork(BOB, registry, limits=BRISK)) as bob:
            first = await relay.client()
            await dial(first, ALICE, BOB.public)
            await first.send(b"\xff" * 12)
            await first.drain()
            second = await relay.client()
            await echoes(await dial(second, ALICE, BOB.public))
            assert len(bob.sessions) == 1


async def test_the_end_of_serving_leaves_the_network_usable() -> None:
    """Streams that come then are reset; serving may begin again."""
    registry = Registry()
    async with raw_relay() as relay:
        await relay.announce(registry)
        async with DmsgNetwork(BOB, registry, limits=BRISK) as bob:
            peer: RawPeer | None = None
            for _ in range(2):
                async with serving(bob, SingleHandler(hold, peers={ALICE.public})):
                    peer = peer or await relay.client()
                    with pytest.raises(LocalProtocolError, match="served already"):
                        await bob.serve(SingleHandler(hold))
                    talk = await dial(peer, ALICE, BOB.public)
                assert await peer.end_of(talk.stream_id) == FIN
                await peer.send(fin(talk.stream_id))
                assert await registry.stored(BOB.public) is None
                stream_id = peer.new_id()
                await peer.send(syn(stream_id))
                assert await peer.end_of(stream_id) == RST


async def test_serving_that_ends_during_handshakes() -> None:
    registry = Registry()
    async with raw_relay() as relay, DmsgNetwork(BOB, registry, limits=BRISK) as bob:
        await relay.announce(registry)
        tasks = 0
        async with serving(bob, SingleHandler(hold, peers={ALICE.public})):
            peer = await relay.client()
            ids = [peer.new_id() for _ in range(5)]
            await peer.send(*map(syn, ids))
            await peer.acknowledged(ids[-1])
            await wait_all_tasks_blocked()
            tasks = len(get_running_tasks())
        for stream_id in ids:
            assert await peer.end_of(stream_id) == FIN
        assert len(get_running_tasks()) < tasks
        assert bob.sessions[0].stream_count == 0


async def hold(conn: Conn) -> None:
    await sleep_forever()


def test_requests_are_remembered_for_a_while() -> None:
    memory = ReplayMemory()
    assert memory.first_time(b"a", 0.0)
    assert not memory.first_time(b"a", 1.0)
    assert not memory.first_time(b"a", REQUEST_MEMORY)
    assert memory.first_time(b"b", REQUEST_MEMORY)
    assert memory.first_time(b"a", REQUEST_MEMORY + 0.1)
    assert not memory.first_time(b"b", REQUEST_MEMORY + 0.2)


def test_no_more_requests_are_remembered_than_the_limit() -> None:
    memory = ReplayMemory()
    count = MAX_REQUESTS + 100
    for number in range(count):
        assert memory.first_time(b"%d" % number, 0.0)
    assert not memory.first_time(b"%d" % (count - 1), 0.0)
    assert not memory.first_time(b"%d" % (count - MAX_REQUESTS), 0.0)
    assert memory.first_time(b"0", 0.0)
    assert len(memory._seen) <= MAX_REQUESTS + 1
