"""How a client finds the way to a peer, and what it says when there is none."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

import pytest
from anyio import EndOfStream, Event, create_task_group, fail_after
from anyio.abc import ByteStream

from skywire import (
    Address,
    DialError,
    DialOptions,
    DialTimeout,
    HostPort,
    LocalProtocolError,
    NetworkError,
    ProtocolError,
    SecKey,
)
from skywire.dmsg import DmsgNetwork, DmsgRefused, DmsgUnreachable
from skywire.dmsg.discovery.contract import DiscoveryBroken, DiscoveryUnreachable
from skywire.dmsg.ports import FIRST_EPHEMERAL
from skywire.net.handshake import Secured, respond
from skywire.wire.dmsg_errors import ErrorCode
from skywire.wire.entry import ServerPart, server_update
from skywire.wire.objects import MAX_PORT, SignedObject, StreamResponse
from skywire.wire.records import frame
from skywire.wire.yamux import Config
from tests.dmsg.raw_client import (
    ALICE,
    BOB,
    MALLORY,
    PATIENCE,
    RELAY,
    TRUDY,
    RawPeer,
    accepted,
    dmsg,
    fin,
    raw_relay,
    refused,
    take,
)
from tests.dmsg.registry import Registry
from tests.dmsg.relaying import BRISK, ME, ask, served, serving_relay
from tests.pktcp.attacker import flipped, until

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_fails")]

TO_BOB = dmsg(BOB)
SHORT = replace(BRISK, connect_seconds=0.2, session_handshake_seconds=0.2, stream_handshake_seconds=0.2)


async def echo_as_bob(peer: RawPeer) -> None:
    """Take streams as Bob behind a relay would, and send one piece of five bytes back on each."""
    while True:
        talk = await take(peer, BOB)
        await talk.say(await talk.hear(5))


async def take_as_bob(peer: RawPeer) -> None:
    """Take streams as Bob would, and leave it at that."""
    while True:
        await take(peer, BOB)


async def answer_with(peer: RawPeer, make: Callable[[RawPeer, SignedObject], bytes]) -> None:
    """Answer each request with something."""
    while True:
        stream_id = await peer.offered()
        signed = await peer.signed(stream_id)
        await peer.send_data(stream_id, make(peer, signed))
        await peer.send(fin(stream_id))


async def end_each_stream(peer: RawPeer) -> None:
    while True:
        await peer.send(fin(await peer.offered()))


async def end_at_the_first_stream(peer: RawPeer) -> None:
    await peer.offered()


async def say_nothing(peer: RawPeer) -> None:
    await peer.drain()


async def closed_place() -> HostPort:
    """Where nobody listens."""
    async with raw_relay() as relay:
        return relay.where


def is_code(error: DialError, code: int) -> bool:
    assert isinstance(error, DmsgUnreachable | DmsgRefused)
    return error.code == code and f"dmsg error {code} " in str(error) and error.address == TO_BOB


async def fails_with(registry: Registry, kind: type[DmsgUnreachable | DmsgRefused], code: int) -> str:
    """Dial Bob, who cannot be reached; gives the text of the error."""
    async with DmsgNetwork(ALICE, registry, limits=BRISK) as alice:
        with fail_after(PATIENCE), pytest.raises(kind) as caught:
            await alice.dial(TO_BOB, owner=ME)
        assert is_code(caught.value, code), caught.value
        assert alice._require_running().dialler._ports._taken == set()
    return str(caught.value)


async def test_who_is_not_in_the_discovery() -> None:
    await fails_with(Registry(), DmsgUnreachable, 100)


@pytest.mark.parametrize("failure", [DiscoveryUnreachable("as planned"), DiscoveryBroken("as planned")], ids=repr)
async def test_a_discovery_that_fails(failure: Exception) -> None:
    registry = Registry()
    await registry.register(BOB, [RELAY.public])
    registry.failures["entry"] = failure
    assert "as planned" in await fails_with(registry, DmsgUnreachable, 100)


async def test_who_is_no_client() -> None:
    registry = Registry()
    part = ServerPart("127.0.0.1:80", 10)
    entry = server_update(None, static=BOB.public, server=part, now_ns=time.time_ns())
    await registry.post(entry.sign(BOB))
    await fails_with(registry, DmsgUnreachable, 102)


async def test_who_has_no_servers() -> None:
    registry = Registry()
    await registry.register(BOB, [])
    await fails_with(registry, DmsgUnreachable, 103)


async def test_a_server_that_is_not_in_the_discovery() -> None:
    registry = Registry()
    await registry.register(BOB, [RELAY.public])
    assert "dmsg error 100 " in await fails_with(registry, DmsgUnreachable, 202)


async def test_a_server_that_is_a_client() -> None:
    registry = Registry()
    await registry.register(BOB, [RELAY.public])
    await registry.register(RELAY, [])
    assert "dmsg error 101 " in await fails_with(registry, DmsgUnreachable, 202)


async def test_a_server_whose_entry_cannot_be_had() -> None:
    """Only the entry of the peer is known, from before."""
    registry = Registry()
    await registry.register(BOB, [RELAY.public])
    async with DmsgNetwork(ALICE, registry, limits=BRISK) as alice:
        for _ in range(2):
            with pytest.raises(DmsgUnreachable) as caught:
                await alice.dial(TO_BOB, owner=ME)
            assert is_code(caught.value, 202)
        entries = alice._require_running().dialler._entries
        entries.remember(await registry.register(BOB, [RELAY.public]))
        registry.failures["entry"] = DiscoveryUnreachable("as planned")
        with pytest.raises(DmsgUnreachable, match="as planned"):
            await alice.dial(TO_BOB, owner=ME)


async def test_a_server_that_is_not_there() -> None:
    registry = Registry()
    await registry.register(BOB, [RELAY.public])
    async with raw_relay() as relay:
        await relay.announce(registry)
    await fails_with(registry, DmsgUnreachable, 202)


async def test_a_server_with_another_key() -> None:
    registry = Registry()
    await registry.register(BOB, [TRUDY.public])
    async with raw_relay() as relay, raw_relay(identity=TRUDY) as claimed:
        await claimed.announce(registry, relay.where)
        await fails_with(registry, DmsgUnreachable, 202)
        assert (relay.taken, claimed.taken) == (1, 0)


async def test_a_session_that_ends_with_every_stream() -> None:
    """It is made a second time, since it may have been dead before."""
    registry = Registry()
    await registry.register(BOB, [RELAY.public])
    async with raw_relay(end_at_the_first_stream) as relay:
        await relay.announce(registry)
        await fails_with(registry, DmsgUnreachable, 201)
        assert relay.taken == 2


ANSWERS: dict[str, tuple[Callable[[RawPeer, SignedObject], bytes], int]] = {
    "306": (lambda peer, signed: peer.seal.seal(refused(BOB, signed, 306)), 306),
    "401": (lambda peer, signed: peer.seal.seal(refused(BOB, signed, 401)), 401),
    "307": (lambda peer, signed: peer.seal.seal(refused(BOB, signed, 307)), 307),
    "no code": (lambda peer, signed: peer.seal.seal(refused(BOB, signed, 0)), 352),
    "a code that nobody knows": (lambda peer, signed: peer.seal.seal(refused(BOB, signed, 999)), 352),
    "a refusal by somebody else": (lambda peer, signed: peer.seal.seal(refused(MALLORY, signed, 306)), 350),
    "another request": (lambda peer, signed: peer.seal.seal(accepted(BOB, signed, request_hash=bytes(32))), 351),
    "the request itself": (lambda peer, signed: peer.seal.seal(signed), 351),
    "no gob": (lambda peer, signed: peer.seal.seal(SignedObject.make(BOB, b"\xff" * 80)), 350),
    "a signature alone": (lambda peer, signed: frame(peer.seal._sealer.seal(bytes(65))), 370),
    "altered on the way": (lambda peer, signed: flipped(peer.seal.seal(accepted(BOB, signed)), -1), 350),
    "a handshake message for another request": (lambda peer, signed: peer.seal.seal(with_other_message(signed)), 350),
    "too long": (lambda peer, signed: b"\xff\xff", 350),
    "nothing": (lambda peer, signed: b"", 352),
    "half an answer": (lambda peer, signed: peer.seal.seal(accepted(BOB, signed))[:90], 352),
}


def with_other_message(signed: SignedObject) -> SignedObject:
    """An acceptance that is signed by Bob, but whose handshake message does not go with the request."""
    message = StreamResponse.decode(accepted(BOB, signed).body).noise_message
    content = StreamResponse(signed.hash, accepted=True, noise_message=message[:33] + bytes(16))
    return SignedObject.make(BOB, content.encode())


@pytest.mark.parametrize("name", ANSWERS)
async def test_what_a_peer_answers(name: str) -> None:
    make, code = ANSWERS[name]
    registry = Registry()
    await registry.register(BOB, [RELAY.public])
    async with raw_relay(lambda peer: answer_with(peer, make)) as relay:
        await relay.announce(registry)
        await fails_with(registry, DmsgRefused, code)
        assert relay.taken == 1


async def test_a_stranger_is_told_the_same_as_of_a_closed_port() -> None:
    registry = Registry()
    async with (
        serving_relay(discovery=registry) as relay,
        served(DmsgNetwork(BOB, registry), peers={MALLORY.public}),
        DmsgNetwork(ALICE, registry, limits=BRISK) as alice,
    ):
        with pytest.raises(DmsgRefused) as caught:
            await alice.dial(TO_BOB, owner=ME)
        assert is_code(caught.value, 306)
        await registry.register(TRUDY, [relay.public])
        with pytest.raises(DmsgRefused, match="is not there any more"):
            await alice.dial(dmsg(TRUDY), owner=ME)
        assert relay.stats.streams_refused == {"352": 1, "307": 1}


async def mute(stream: ByteStream, identity: SecKey) -> Secured:
    """A relay that answers no handshake."""
    while True:
        await stream.receive()


async def rude(stream: ByteStream, identity: SecKey) -> Secured:
    """A relay that ends each handshake."""
    raise EndOfStream


@pytest.mark.parametrize(
    "way", ["dead", "mute", "rude", "ends streams", "ends sessions", "silent", "unknown", "no server"]
)
async def test_the_next_server_is_tried(way: str) -> None:
    registry = Registry()
    await registry.register(BOB, [TRUDY.public, RELAY.public])
    async with AsyncExitStack() as stack:
        good = await stack.enter_async_context(raw_relay(echo_as_bob))
        await good.announce(registry)
        scripts = {"ends streams": end_each_stream, "ends sessions": end_at_the_first_stream, "silent": say_nothing}
        handshakes = {"mute": mute, "rude": rude}
        bad = await stack.enter_async_context(
            raw_relay(scripts.get(way, say_nothing), identity=TRUDY, shake_hands=handshakes.get(way, respond))
        )
        if way == "no server":
            await registry.register(TRUDY, [])
        elif way != "unknown":
            await bad.announce(registry, await closed_place() if way == "dead" else None)
        alice = await stack.enter_async_context(DmsgNetwork(ALICE, registry, limits=SHORT))
        async with await alice.dial(TO_BOB, owner=ME) as conn:
            await ask(conn, b"five!")
            assert good.taken == 1
            assert (bad.taken > 0) == (way not in {"dead", "unknown", "no server"})
        # Where there is a session already is the first choice, so that this one takes no detour.
        bad_sessions = bad.taken
        async with await alice.dial(TO_BOB, owner=ME) as conn:
            await ask(conn, b"again")
        assert (good.taken, bad.taken) == (1, bad_sessions)
        assert alice._require_running().dialler._ports._taken == set()


async def test_of_many_failures_the_one_that_tells_most_is_told() -> None:
    """What a server says of the peer, before one that it does not answer, before one that is not there."""
    registry = Registry()
    async with (
        raw_relay(say_nothing, identity=TRUDY) as silent,
        raw_relay(end_each_stream, identity=MALLORY) as refusing,
        raw_relay(identity=RELAY) as dead,
        DmsgNetwork(ALICE, registry, limits=SHORT) as alice,
    ):
        await dead.announce(registry, await closed_place())
        await silent.announce(registry)
        await refusing.announce(registry)
        await registry.register(BOB, [RELAY.public, TRUDY.public])
        with pytest.raises(DialTimeout):
            await alice.dial(TO_BOB, owner=ME)
        await registry.register(BOB, [RELAY.public, TRUDY.public, MALLORY.public])
        with pytest.raises(DmsgRefused):
            await alice.dial(TO_BOB, owner=ME)


async def test_a_server_that_has_moved_is_found() -> None:
    """What is remembered of it is asked for anew; what has not changed is not tried again."""
    registry = Registry()
    await registry.register(BOB, [RELAY.public])
    async with DmsgNetwork(ALICE, registry, limits=BRISK) as alice:
        async with raw_relay(echo_as_bob) as relay:
            await relay.announce(registry)
            async with await alice.dial(TO_BOB, owner=ME) as conn:
                await ask(conn, b"first")
        await until(lambda: alice.sessions == ())
        async with raw_relay(echo_as_bob) as relay:
            await relay.announce(registry)
            async with await alice.dial(TO_BOB, owner=ME) as conn:
                await ask(conn, b"moved")
        await until(lambda: alice.sessions == ())
        with pytest.raises(DmsgUnreachable) as caught:
            await alice.dial(TO_BOB, owner=ME)
        assert is_code(caught.value, ErrorCode.NO_SERVER_REACHABLE.value)


async def test_a_session_that_has_died_without_a_word() -> None:
    """A request that waits has the server asked whether it is there; a dial goes on by a new session."""
    registry = Registry()
    await registry.register(BOB, [RELAY.public])
    scripts = [say_nothing, echo_as_bob]

    async def one_after_the_other(peer: RawPeer) -> None:
        await scripts.pop(0)(peer)

    limits = replace(BRISK, tick_seconds=0.01, mux=Config(open_probe=0.05, ping_timeout=0.05))
    async with raw_relay(one_after_the_other) as relay, DmsgNetwork(ALICE, registry, limits=limits) as alice:
        await relay.announce(registry)
        async with await alice.dial(TO_BOB, owner=ME) as conn:
            await ask(conn, b"alive")
        assert relay.taken == 2


async def test_the_whole_of_a_dial_has_a_time_limit() -> None:
    registry = Registry()
    await registry.register(BOB, [RELAY.public])
    options = DialOptions(timeout=0.05)
    async with raw_relay(say_nothing) as relay, DmsgNetwork(ALICE, registry, limits=BRISK) as alice:
        await relay.announce(registry)
        for _ in range(2):
            with pytest.raises(DialTimeout) as caught:
                await alice.dial(TO_BOB, owner=ME, options=options)
            assert caught.value.address == TO_BOB
        registry.held = Event()
        with pytest.raises(DialTimeout):
            await alice.dial(dmsg(TRUDY), owner=ME, options=options)
        registry.held.set()


async def test_a_peer_that_has_moved_is_found() -> None:
    """What is remembered of it is asked for anew as soon as it does not lead there."""
    registry = Registry()
    async with (
        raw_relay(echo_as_bob) as first,
        raw_relay(echo_as_bob, identity=TRUDY) as second,
        DmsgNetwork(ALICE, registry, limits=BRISK) as alice,
    ):
        await first.announce(registry)
        await second.announce(registry)
        await registry.register(BOB, [RELAY.public])
        async with await alice.dial(TO_BOB, owner=ME) as conn:
            await ask(conn, b"first")
        calls = registry.calls["entry"]
        async with await alice.dial(TO_BOB, owner=ME) as conn:
            await ask(conn, b"known")
        assert registry.calls["entry"] == calls
        await registry.register(BOB, [TRUDY.public])
        async with await alice.dial(TO_BOB, owner=ME) as conn:
            await ask(conn, b"still")
        assert (first.taken, second.taken) == (1, 0)
    async with (
        raw_relay(end_each_stream) as first,
        raw_relay(echo_as_bob, identity=TRUDY) as second,
        DmsgNetwork(ALICE, registry, limits=BRISK) as alice,
    ):
        await first.announce(registry)
        await second.announce(registry)
        await registry.register(BOB, [RELAY.public])
        for _ in range(2):
            calls = registry.calls["entry"]
            with pytest.raises(DmsgRefused):
                await alice.dial(TO_BOB, owner=ME)
            assert registry.calls["entry"] > calls
        alice._require_running().dialler._entries.remember(await registry.register(BOB, [RELAY.public]))
        await registry.register(BOB, [TRUDY.public])
        async with await alice.dial(TO_BOB, owner=ME) as conn:
            await ask(conn, b"moved")


async def test_entries_are_remembered_for_a_while() -> None:
    registry = Registry()
    await registry.register(BOB, [RELAY.public])
    async with (
        raw_relay(take_as_bob) as relay,
        DmsgNetwork(ALICE, registry, limits=replace(BRISK, entry_seconds=1e-9)) as alice,
    ):
        await relay.announce(registry)
        registry.calls.clear()
        for turn in range(1, 4):
            async with await alice.dial(TO_BOB, owner=ME):
                assert registry.calls["entry"] == 1 + turn  # the relay's once


async def test_many_dial_one_peer_by_one_session() -> None:
    registry = Registry()
    await registry.register(BOB, [RELAY.public])
    async with (
        raw_relay(echo_as_bob) as relay,
        DmsgNetwork(ALICE, registry, limits=BRISK) as alice,
        create_task_group() as task_group,
    ):
        await relay.announce(registry)
        registry.calls.clear()

        async def dial_and_ask() -> None:
            async with await alice.dial(TO_BOB, owner=ME) as conn:
                await ask(conn, b"hello")

        for _ in range(20):
            task_group.start_soon(dial_and_ask)
    assert relay.taken == 1
    assert registry.calls["entry"] == 2


async def test_ports_are_given_out_in_turn() -> None:
    registry = Registry()
    await registry.register(BOB, [RELAY.public])
    async with raw_relay(take_as_bob) as relay, DmsgNetwork(ALICE, registry, limits=BRISK) as alice:
        await relay.announce(registry)
        ports = alice._require_running().dialler._ports
        async with await alice.dial(TO_BOB, owner=ME) as first, await alice.dial(TO_BOB, owner=ME) as second:
            assert (first.local.port, second.local.port) == (49153, 49154)
            ports._last = MAX_PORT
            async with await alice.dial(TO_BOB, owner=ME) as third:
                assert third.local.port == 49152
            async with await alice.dial(TO_BOB, owner=ME) as fourth:
                assert fourth.local.port == 49155
            ports._taken.update(range(FIRST_EPHEMERAL, MAX_PORT + 1))
            with pytest.raises(DmsgUnreachable) as caught:
                await alice.dial(TO_BOB, owner=ME)
            assert is_code(caught.value, 400)
            with pytest.raises(NetworkError, match="no port"):
                await alice.public_ip()
            ports._taken.intersection_update({49153, 49154})
        assert ports._taken == set()


async def test_a_network_has_to_be_entered() -> None:
    network = DmsgNetwork(ALICE, Registry())
    with pytest.raises(LocalProtocolError, match="enter the network first"):
        await network.dial(TO_BOB, owner=ME)
    async with network:
        with pytest.raises(LocalProtocolError, match="entered already"):
            async with network:
                raise AssertionError
        with pytest.raises(ValueError, match="cannot dial"):
            await network.dial(Address("tcp", BOB.public, 1, "127.0.0.1"), owner=ME)
    with pytest.raises(LocalProtocolError, match="enter the network first"):
        network.sessions  # noqa: B018
    with pytest.raises(ValueError, match="min_sessions"):
        DmsgNetwork(ALICE, Registry(), min_sessions=-1)


async def dial_in_vain(network: DmsgNetwork) -> None:
    with pytest.raises(DmsgUnreachable):
        await network.dial(TO_BOB, owner=ME)


@pytest.mark.parametrize("shake_hands", [mute, respond], ids=["in the handshake", "behind it"])
async def test_a_network_that_is_left_during_a_dial(
    shake_hands: Callable[[ByteStream, SecKey], Awaitable[Secured]],
) -> None:
    registry = Registry()
    await registry.register(BOB, [RELAY.public])
    async with raw_relay(say_nothing, shake_hands=shake_hands) as relay, create_task_group() as task_group:
        await relay.announce(registry)
        async with DmsgNetwork(ALICE, registry, limits=BRISK) as alice:
            ports = alice._require_running().dialler._ports
            task_group.start_soon(dial_in_vain, alice)
            await until(lambda: relay.taken == 1 and (shake_hands is mute or bool(ports._taken)))
    assert relay.taken == 1


async def test_a_network_that_is_left_while_the_discovery_is_asked() -> None:
    registry = Registry()
    registry.held = Event()
    async with create_task_group() as task_group, DmsgNetwork(ALICE, registry) as alice:
        task_group.start_soon(dial_in_vain, alice)
        await until(lambda: registry.calls["entry"] > 0)


async def test_the_own_address() -> None:
    registry = Registry()
    async with serving_relay(discovery=registry) as relay, DmsgNetwork(ALICE, registry, limits=BRISK) as alice:
        for servers in ([], [relay.public], [TRUDY.public, relay.public]):
            assert str(await alice.public_ip(servers)) == "127.0.0.1"
        assert relay.stats.sessions == 1
        with pytest.raises(NetworkError, match="dmsg error 100 "):
            await alice.public_ip([TRUDY.public])
        assert relay.stats.streams_refused == {}
        assert alice._require_running().dialler._ports._taken == set()


async def test_no_server_tells_the_own_address() -> None:
    registry = Registry()
    async with DmsgNetwork(ALICE, registry, limits=SHORT) as alice:
        with pytest.raises(NetworkError, match="there is none"):
            await alice.public_ip()
        registry.failures["available_servers"] = DiscoveryBroken("as planned")
        with pytest.raises(ProtocolError, match="as planned"):
            await alice.public_ip()
        registry.failures.clear()
        answers: list[Callable[[RawPeer, SignedObject], bytes]] = [
            lambda peer, signed: peer.seal.seal(told(signed, b"")),
            lambda peer, signed: peer.seal.seal(told(signed, bytes(5))),
            lambda peer, signed: peer.seal.seal(told(signed, bytes(4), MALLORY)),
            lambda peer, signed: b"",
        ]
        for make in answers:
            async with raw_relay(partial(answer_with, make=make)) as relay:
                await relay.announce(registry)
                with pytest.raises(NetworkError, match="no server told"):
                    await alice.public_ip([RELAY.public])
            await until(lambda: not alice.sessions)
        async with raw_relay(say_nothing) as relay:
            await relay.announce(registry)
            with pytest.raises(NetworkError, match="no answer in time"):
                await alice.public_ip()
        assert alice._require_running().dialler._ports._taken == set()


def told(signed: SignedObject, address: bytes, by: SecKey = RELAY) -> SignedObject:
    """The answer to a look-up."""
    return SignedObject.make(by, StreamResponse(signed.hash, accepted=True, ip=address).encode())


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("7f000001", "127.0.0.1"),
        ("00000000000000000000ffffc0000201", "192.0.2.1"),
        ("20010db8000000000000000000000001", "2001:db8::1"),
    ],
)
async def test_forms_of_the_own_address(address: str, text: str) -> None:
    registry = Registry()
    async with (
        raw_relay(
            lambda peer: answer_with(peer, lambda peer, signed: peer.seal.seal(told(signed, bytes.fromhex(address))))
        ) as relay,
        DmsgNetwork(ALICE, registry, limits=BRISK) as alice,
    ):
        await relay.announce(registry)
        assert str(await alice.public_ip()) == text
