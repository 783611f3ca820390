"""What a relay makes of requests and responses that are not as they should be.

A stream that fails is ended for its initiator at once. Time-outs are so long here that nothing else can end it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from skywire import SecKey
from skywire.dmsg.limits import MAX_OBJECT
from skywire.wire.objects import DmsgAddr, SignedObject, StreamRequest, StreamResponse
from skywire.wire.records import frame
from skywire.wire.yamux.frame import FIN, RST
from tests.dmsg.raw_client import (
    ALICE,
    BOB,
    MALLORY,
    RELAY,
    RawPeer,
    accepted,
    fin,
    first_message,
    refused,
    request,
    rst,
)
from tests.dmsg.relaying import AT_ONCE, Attacked, attacked_relay
from tests.pktcp.attacker import flipped, until
from tests.wire.yamux_link import data_frame, syn

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_fails")]

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
ELSEWHERE = SecKey(b"\x29" * 32).public
"""Of a server that is not the one under test."""
GOOD = first_message(MALLORY, BOB.public)


def with_signature(signed: SignedObject, alter: Callable[[bytes], bytes]) -> SignedObject:
    return SignedObject(alter(signed.signature.raw) + signed.body)


def high_s(signature: bytes) -> bytes:
    """The other signature for the same message, which is as true, but refused everywhere."""
    s = CURVE_ORDER - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes([signature[64] ^ 1])


def gob_without_source() -> SignedObject:
    content = StreamRequest(1, DmsgAddr(None, 1), DmsgAddr(BOB.public, 1), noise_message=GOOD)
    return SignedObject.make(MALLORY, content.encode())


def not_on_the_curve() -> bytes:
    return b"\x02" + bytes(32) + GOOD[33:]


def beyond_the_field() -> bytes:
    return b"\x03" + b"\xff" * 32 + GOOD[33:]


SIGNED: dict[str, tuple[Callable[[], SignedObject], str]] = {
    "unknown destination": (lambda: request(MALLORY, RELAY.public), "307"),
    "bad signature": (lambda: with_signature(request(MALLORY, BOB.public), lambda raw: flipped(raw, 5)), "300"),
    "high s": (lambda: with_signature(request(MALLORY, BOB.public), high_s), "300"),
    "recovery id 4": (
        lambda: with_signature(request(MALLORY, BOB.public), lambda raw: raw[:64] + bytes([raw[64] + 4])),
        "300",
    ),
    "recovery id 255": (lambda: with_signature(request(MALLORY, BOB.public), lambda raw: raw[:64] + b"\xff"), "300"),
    "signature of zeros": (lambda: with_signature(request(MALLORY, BOB.public), lambda _: bytes(65)), "300"),
    "source port 0": (lambda: request(MALLORY, BOB.public, source_port=0), "304"),
    "destination port 0": (lambda: request(MALLORY, BOB.public, port=0), "305"),
    "no source key": (gob_without_source, "302"),
    "no destination key": (lambda: request(MALLORY, None), "303"),
    "foreign source key, signed by its owner": (lambda: request(ALICE, BOB.public), "302"),
    "foreign source key": (lambda: request(MALLORY, BOB.public, claim=ALICE.public), "300"),
    "time 0": (lambda: request(MALLORY, BOB.public, timestamp_ns=0), "301"),
    "time before 1970": (lambda: request(MALLORY, BOB.public, timestamp_ns=-1), "301"),
    "empty gob value": (lambda: SignedObject.make(MALLORY, b"\x00"), "GobError"),
    "random gob": (lambda: SignedObject.make(MALLORY, b"\x35\xff\x81\x03\x01\x01" * 40), "GobError"),
    "half a gob": (lambda: SignedObject.make(MALLORY, request(MALLORY, BOB.public).body[:-20]), "GobError"),
    "a response": (lambda: accepted(MALLORY, request(ALICE, MALLORY.public)), "302"),
    "handshake message of no point": (
        lambda: request(MALLORY, BOB.public, noise_message=not_on_the_curve()),
        "370",
    ),
    "handshake message beyond the field": (
        lambda: request(MALLORY, BOB.public, noise_message=beyond_the_field()),
        "370",
    ),
    "handshake message that is not compressed": (
        lambda: request(MALLORY, BOB.public, noise_message=b"\x04" + GOOD[1:]),
        "370",
    ),
    "handshake message of 48 bytes": (lambda: request(MALLORY, BOB.public, noise_message=GOOD[:48]), "370"),
    "no handshake message": (lambda: request(MALLORY, BOB.public, noise_message=b""), "370"),
    "look-up at another server": (
        lambda: request(MALLORY, ALICE.public, ip_info=True, noise_message=b""),
        "370",
    ),
    "look-up at another server, with a handshake": (lambda: request(MALLORY, ELSEWHERE, ip_info=True), "307"),
    "look-up with port 0": (
        lambda: request(MALLORY, RELAY.public, port=0, ip_info=True, noise_message=b""),
        "305",
    ),
    "look-up for somebody else": (
        lambda: request(MALLORY, RELAY.public, claim=ALICE.public, ip_info=True, noise_message=b""),
        "300",
    ),
}


def sealed_raw(peer: RawPeer, raw: bytes) -> bytes:
    return frame(peer.seal._sealer.seal(raw))


FRAMED: dict[str, tuple[Callable[[RawPeer], bytes], str]] = {
    "longer than any object": (lambda _: (MAX_OBJECT + 1).to_bytes(2, "big"), "ProtocolError"),
    "the greatest length": (lambda _: b"\xff\xff", "ProtocolError"),
    "HTTP": (lambda _: b"GET / HTTP/1.1\r\n\r\n", "ProtocolError"),
    "empty": (lambda _: frame(b""), "ProtocolError"),
    "7 bytes": (lambda _: frame(bytes(7)), "ProtocolError"),
    "a counter alone": (lambda _: frame(b"\x01" * 8), "AuthenticationError"),
    "random bytes": (lambda _: frame(b"\x01" * 300), "AuthenticationError"),
    "altered": (lambda peer: flipped(peer.seal.seal(request(MALLORY, BOB.public)), -1), "AuthenticationError"),
    "a signature alone": (lambda peer: sealed_raw(peer, bytes(65)), "370"),
    "sealed emptiness": (lambda peer: sealed_raw(peer, b""), "370"),
    "sealed zeros": (lambda peer: sealed_raw(peer, bytes(MAX_OBJECT - 24)), "GobError"),
} | {name: (lambda peer, make=make: peer.seal.seal(make()), error) for name, (make, error) in SIGNED.items()}


@asynccontextmanager
async def attackers() -> AsyncIterator[tuple[Attacked, RawPeer]]:
    async with attacked_relay() as attacked, await RawPeer.connect(attacked.relay, MALLORY) as mallory:
        await until(lambda: attacked.relay.stats.sessions == 3)
        yield attacked, mallory


@pytest.mark.parametrize("piece", [65536, 1], ids=["whole", "bytewise"])
async def test_bad_requests(piece: int) -> None:
    """The destination sees nothing of them: the next thing that it is offered is the good request behind them all."""
    async with attackers() as (attacked, mallory):
        for name, (make, error) in FRAMED.items():
            stream_id = mallory.new_id()
            await mallory.send(syn(stream_id))
            data = make(mallory)
            for start in range(0, len(data), piece):
                await mallory.send_data(stream_id, data[start : start + piece])
            assert await mallory.end_of(stream_id) == FIN, name
            assert attacked.new_refusals() == {error: 1}, name
            await mallory.send(fin(stream_id))
        good = request(MALLORY, BOB.public)
        await mallory.ask(good)
        _, asked = await attacked.bob.answer(BOB)
        assert asked.raw == good.raw


async def test_a_replayed_request_is_refused() -> None:
    """The very bytes of the session a second time; the same request sealed anew is the responder's to refuse."""
    async with attackers() as (attacked, mallory):
        sealed = mallory.seal.seal(request(MALLORY, BOB.public))
        first, second = mallory.new_id(), mallory.new_id()
        await mallory.send(syn(first), data_frame(first, sealed))
        answered, _ = await attacked.bob.answer(BOB)
        await mallory.signed(first)
        await mallory.send(syn(second), data_frame(second, sealed))
        assert await mallory.end_of(second) == FIN
        assert attacked.new_refusals() == {"ProtocolError": 1}
        await mallory.send_data(first, b"unharmed")
        assert await attacked.bob.data(answered, 8) == b"unharmed"
        await mallory.send(fin(first), fin(second))
        assert await attacked.bob.end_of(answered) == FIN


RESPONSES: dict[str, tuple[Callable[[RawPeer, SignedObject], bytes], str]] = {
    "of another request": (
        lambda bob, signed: bob.seal.seal(accepted(BOB, signed, request_hash=bytes(32))),
        "351",
    ),
    "signed by somebody else": (lambda bob, signed: bob.seal.seal(accepted_by(MALLORY, signed)), "350"),
    "not signed": (
        lambda bob, signed: bob.seal.seal(with_signature(accepted(BOB, signed), lambda _: bytes(65))),
        "350",
    ),
    "high s": (lambda bob, signed: bob.seal.seal(with_signature(accepted(BOB, signed), high_s)), "350"),
    "a request": (lambda bob, signed: bob.seal.seal(signed), "351"),
    "no gob": (lambda bob, signed: bob.seal.seal(SignedObject.make(BOB, b"\xff" * 100)), "GobError"),
    "altered": (lambda bob, signed: flipped(bob.seal.seal(accepted(BOB, signed)), -1), "AuthenticationError"),
    "too long": (lambda bob, signed: b"\xff\xff", "ProtocolError"),
    "FIN instead": (lambda bob, signed: b"", "306"),
    "RST instead": (lambda bob, signed: b"", "306"),
    "half, then FIN": (lambda bob, signed: bob.seal.seal(accepted(BOB, signed))[:50], "306"),
    "half, then RST": (lambda bob, signed: bob.seal.seal(accepted(BOB, signed))[:50], "306"),
}


def accepted_by(identity: SecKey, signed: SignedObject) -> SignedObject:
    """A response by somebody who is not asked, and so cannot read the request's handshake message."""
    content = StreamResponse(signed.hash, accepted=True, noise_message=GOOD)
    return SignedObject.make(identity, content.encode())


async def test_bad_responses() -> None:
    async with attackers() as (attacked, mallory):
        bob = attacked.bob
        for name, (make, error) in RESPONSES.items():
            stream_id = await mallory.ask(request(MALLORY, BOB.public))
            answered = await bob.offered()
            signed = await bob.signed(answered)
            await bob.send_data(answered, make(bob, signed))
            if name.endswith("RST") or "RST" in name:
                await bob.send(rst(answered))
            elif "FIN" in name:
                await bob.send(fin(answered))
            assert await mallory.end_of(stream_id) == FIN, name
            await mallory.send(fin(stream_id))
            if "RST" not in name:
                assert await bob.end_of(answered) == FIN, name
                if "FIN" not in name:
                    await bob.send(fin(answered))
            assert attacked.new_refusals() == {error: 1}, name


@pytest.mark.parametrize("code", [306, 401, 0, 999])
async def test_a_refusal_is_passed_on(code: int) -> None:
    """As it is: it has the responder's signature."""
    async with attackers() as (attacked, mallory):
        bob = attacked.bob
        stream_id = await mallory.ask(request(MALLORY, BOB.public))
        answered = await bob.offered()
        refusal = refused(BOB, await bob.signed(answered), code)
        await bob.send_data(answered, bob.seal.seal(refusal))
        assert (await mallory.signed(stream_id)).raw == refusal.raw
        assert await mallory.end_of(stream_id) == FIN
        assert await bob.end_of(answered) == FIN
        assert attacked.new_refusals() == {"352": 1}
        await mallory.send(fin(stream_id))
        await bob.send(fin(answered))


@pytest.mark.parametrize("leave", [fin, rst, None], ids=["FIN", "RST", "connection"])
@pytest.mark.parametrize("asked", [b"", b"\x01", None], ids=["before the request", "inside it", "behind it"])
async def test_an_initiator_that_leaves(leave: Callable[[int], bytes] | None, asked: bytes | None) -> None:
    async with attackers() as (attacked, mallory):
        stream_id = mallory.new_id()
        data = mallory.seal.seal(request(MALLORY, BOB.public)) if asked is None else asked
        await mallory.send(syn(stream_id), data_frame(stream_id, data))
        answered = await attacked.bob.offered() if asked is None else None
        if leave is None:
            await mallory.stream.aclose()
        else:
            await mallory.send(leave(stream_id))
        if answered is not None:
            assert await attacked.bob.end_of(answered) == FIN
            await attacked.bob.send(fin(answered))
        await until(lambda: attacked.new_refusals() == {"NetworkError": 1})


@pytest.mark.parametrize("leave", [fin, rst, None], ids=["FIN", "RST", "connection"])
async def test_a_responder_that_leaves(leave: Callable[[int], bytes] | None) -> None:
    async with attackers() as (attacked, mallory):
        stream_id = await attacked.alice.ask(request(ALICE, MALLORY.public))
        asked = await mallory.offered()
        if leave is None:
            await mallory.stream.aclose()
        else:
            await mallory.send(leave(asked))
        assert await attacked.alice.end_of(stream_id) == FIN
        await attacked.alice.send(fin(stream_id))
        assert attacked.new_refusals() == {"306": 1}


async def test_both_steps_have_a_time_limit() -> None:
    limits = replace(AT_ONCE, stream_handshake_seconds=0.05, tick_seconds=0.01)
    async with attacked_relay(limits) as attacked, await RawPeer.connect(attacked.relay, MALLORY) as mallory:
        silent = mallory.new_id()
        await mallory.send(syn(silent))
        assert await mallory.end_of(silent) == FIN
        slow = mallory.new_id()
        await mallory.send(syn(slow), data_frame(slow, mallory.seal.seal(request(MALLORY, BOB.public))[:-1]))
        assert await mallory.end_of(slow) == FIN
        asking = await mallory.ask(request(MALLORY, BOB.public))
        answered = await attacked.bob.offered()
        assert await mallory.end_of(asking) == FIN
        assert await attacked.bob.end_of(answered) == FIN
        assert attacked.new_refusals() == {"NetworkError": 3}
        # An answer that comes too late is dropped, like whatever else comes behind the end.
        response = accepted(BOB, await attacked.bob.signed(answered))
        await attacked.bob.send(data_frame(answered, attacked.bob.seal.seal(response)), fin(answered))
        await mallory.send(fin(silent), fin(slow), data_frame(asking, b"too late"), fin(asking))


async def test_a_look_up_of_the_own_address() -> None:
    async with attackers() as (attacked, mallory):
        asked = request(MALLORY, RELAY.public, port=1, ip_info=True, noise_message=b"")
        stream_id = await mallory.ask(asked, then=b"surplus")
        response = StreamResponse.open(await mallory.signed(stream_id), asked.hash, RELAY.public)
        assert response.ip == bytes([127, 0, 0, 1])
        assert await mallory.end_of(stream_id) == FIN
        assert (attacked.relay.stats.streams, attacked.relay.stats.streams_made) == (1, 2)
        await mallory.send(fin(stream_id))


async def test_who_has_too_many_streams_is_not_there() -> None:
    """The responder acknowledges none of its streams; that is its own affair, and the next one is not lost to it."""
    async with attackers() as (attacked, mallory):
        waiting = [await attacked.alice.ask(request(ALICE, MALLORY.public)) for _ in range(257)]
        assert await attacked.alice.end_of(waiting[-1]) == FIN
        assert attacked.new_refusals() == {"307": 1}
        offered = [await mallory.offered() for _ in range(256)]
        await mallory.send(*map(rst, offered))
        for stream_id in waiting[:-1]:
            assert await attacked.alice.end_of(stream_id) == FIN
        await attacked.alice.send(*map(fin, waiting))
        assert attacked.new_refusals() == {"306": 256}
        await attacked.alice.ask(request(ALICE, MALLORY.public))
        await mallory.offered()


async def test_a_flood_of_streams_without_requests() -> None:
    """The surplus is refused, and the others end with the session."""
    async with attackers() as (attacked, mallory):
        for _ in range(4):
            ids = [mallory.new_id() for _ in range(512)]
            await mallory.send(*map(syn, ids))
            await mallory.acknowledged(ids[-1])
        surplus = [mallory.new_id() for _ in range(10)]
        await mallory.send(*map(syn, surplus))
        for stream_id in surplus:
            assert await mallory.end_of(stream_id) == RST
        await attacked.talks()
        await mallory.stream.aclose()
        await until(lambda: attacked.relay.stats.sessions == 2)
        assert attacked.new_refusals() == {"NetworkError": 2048}
