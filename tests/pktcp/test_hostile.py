"""Bad input on a live listener, on a live dialler, and on the handshake alone.

Each attack ends with a typed error in time, and harms nobody: the honest connection that lives all along still echoes,
and nothing of the attack is left.
"""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest
from anyio import (
    BrokenResourceError,
    EndOfStream,
    create_task_group,
    create_tcp_listener,
    current_time,
    fail_after,
    move_on_after,
    to_thread,
)
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from skywire import Address, AuthenticationError, PeerRefused, PkTcpNetwork, ProtocolError, SecKey, StreamBroken
from skywire.net.errors import AcceptError, HandshakeAborted
from skywire.net.handshake import initiate, respond
from skywire.pktcp import Limits
from skywire.wire.noise import Handshake, Pattern, Role, TransportKeys
from skywire.wire.records import frame, split_frame
from tests.pktcp.attacker import (
    HONEST,
    ME,
    PATIENCE,
    ROGUE,
    SERVER,
    STRANGER,
    Attack,
    flipped,
    initiator,
    record,
    reset_now,
    target,
    until,
)
from tests.vectors_io import Vector, load

pytestmark = pytest.mark.anyio

VERDICTS = load("noise.json").many("handshake_verdicts")
PUBLIC_KEYS = load("cipher.json").many("public_keys")

ALTERATIONS: dict[str, Callable[[bytes], bytes]] = {
    "last byte altered": lambda message: flipped(message, -1),
    "first byte altered (parity of the ephemeral, or ciphertext)": lambda message: flipped(message, 0),
    "first byte 00": lambda message: b"\x00" + message[1:],
    "x of the ephemeral all ff (not canonical)": lambda message: message[:1] + b"\xff" * 32 + message[33:],
    "x of the ephemeral zero (not on the curve)": lambda message: message[:1] + b"\x00" * 32 + message[33:],
    "one byte short": lambda message: message[:-1],
    "one byte more": lambda message: message + b"\x00",
    "empty": lambda _: b"",
    "32 bytes": lambda message: message[:32],
    "33 bytes": lambda message: message[:33],
}
"""What the recorder did to good messages, so that it can be done to the messages of a live handshake."""


def recorded(pattern: str, index: int, note: str) -> Vector:
    (case,) = (
        case
        for case in VERDICTS
        if (case.text("pattern"), case.number("message_index"), case.text("note")) == (pattern, index, note)
    )
    return case


def expected_error(case: Vector) -> type[ProtocolError]:
    return AuthenticationError if "authentication failed" in case.text("error") else ProtocolError


@pytest.mark.parametrize("case", [case for case in VERDICTS if not case.flag("ok")])
def test_the_alterations_are_those_of_the_recorder(case: Vector) -> None:
    good = recorded(case.text("pattern"), case.number("message_index"), "unchanged")
    assert ALTERATIONS[case.text("note")](good.data("message")) == case.data("message")


@dataclass(frozen=True)
class Opening:
    """What a stranger sends as his first bytes."""

    name: str
    data: bytes
    error: type[Exception]
    end: bool = False
    """Whether he then ends his direction, because the listener may rightly wait for more."""


def openings() -> Iterator[Opening]:
    for length in (4095, 4096, 0x7FFF, 0xFFFF):
        yield Opening(f"length {length} alone", length.to_bytes(2, "big"), ProtocolError)
        yield Opening(f"{length} zeros", frame(bytes(length)), ProtocolError)
    for length in (0, 1, 16, 32):
        yield Opening(f"{length} bytes", frame(b"\x02" * length), ProtocolError)
    for case in VERDICTS:
        pattern, index = case.text("pattern"), case.number("message_index")
        # Message 3 of XK does not begin with a key.
        if index < 2 and not (case.flag("ok") and (pattern, index) == ("XK", 0)):
            error = AuthenticationError if case.flag("ok") else expected_error(case)
            yield Opening(f"{pattern} message {index + 1}, {case.text('note')}", frame(case.data("message")), error)
    for case in PUBLIC_KEYS:
        if len(case.data("pk")) == 33:
            error = AuthenticationError if case.flag("valid") else ProtocolError
            yield Opening(f"ephemeral key {case.text('note')}", frame(case.data("pk") + bytes(16)), error)
    yield Opening(
        "message 1 for another key", frame(initiator(ROGUE, STRANGER.public).write_message()), AuthenticationError
    )
    good = frame(initiator(ROGUE).write_message())
    yield Opening("message 1 twice", good * 2, AuthenticationError)
    yield Opening("message 1 and 65 zeros", good + frame(bytes(65)), AuthenticationError)
    yield Opening("message 1 and an empty frame", good + frame(b""), ProtocolError)
    yield Opening("message 1 and an oversized length", good + b"\xff\xff", ProtocolError)
    largest = frame(initiator(ROGUE).write_message(bytes(4094 - 49)))
    yield Opening("the largest message 1", largest, HandshakeAborted, end=True)
    yield Opening("nothing", b"", HandshakeAborted, end=True)
    yield Opening("half a length", b"\x00", HandshakeAborted, end=True)
    yield Opening("half a message 1", good[:30], HandshakeAborted, end=True)
    yield Opening("message 1 alone", good, HandshakeAborted, end=True)
    yield Opening("half a message 3", good + frame(bytes(65))[:40], HandshakeAborted, end=True)
    yield Opening("HTTP", b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", ProtocolError)
    yield Opening("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ProtocolError)
    yield Opening("TLS", bytes.fromhex("16030100f8010000f40303") + bytes(200), ProtocolError)
    yield Opening("SSH", b"SSH-2.0-OpenSSH_9.7\r\n", ProtocolError)
    yield Opening("SOCKS5", b"\x05\x01\x00", HandshakeAborted, end=True)
    yield Opening("a line end", b"\r\n", HandshakeAborted, end=True)


OPENINGS = list(openings())


@pytest.mark.parametrize("piece", [65536, 1], ids=["whole", "bytewise"])
async def test_openings(piece: int) -> None:
    async with target(limits=Limits()) as attacked:
        for opening in OPENINGS:
            if len(opening.data) > 4096 * piece:
                continue
            before = attacked.network.stats.refused.copy()
            attack = await attacked.connect()
            for start in range(0, len(opening.data), piece):
                await attack.send(opening.data[start : start + piece])
            if opening.end:
                await attack.end()
            await attack.drain()
            assert attacked.network.stats.refused - before == {opening.error.__name__: 1}, opening.name
        await attacked.is_unharmed()


async def test_random_bytes() -> None:
    dice = random.Random(2775)
    async with target() as attacked:
        for _ in range(150):
            attack = await attacked.connect()
            await attack.send(dice.randbytes(dice.choice([1, 2, 49, 67, 1235, 4096, 20_000])))
            await attack.end()
            await attack.drain()
        assert set(attacked.refused) <= {"ProtocolError", "AuthenticationError", "HandshakeAborted"}
        assert sum(attacked.refused.values()) == 150
        await attacked.is_unharmed()


async def test_altered_messages_3() -> None:
    async with target() as attacked:
        for note, alter in ALTERATIONS.items():
            before = attacked.network.stats.refused.copy()
            attack = await attacked.connect()
            handshake = await attack.until_message_3(ROGUE)
            await attack.send(frame(alter(handshake.write_message())))
            assert await attack.drain() == b""
            error = expected_error(recorded("XK", 2, note))
            assert attacked.network.stats.refused - before == {error.__name__: 1}, note
        await attacked.is_unharmed()


async def test_static_keys_that_are_none() -> None:
    """Sealed as they should be, so that only the check of the key itself stands in their way."""
    async with target() as attacked:
        for case in PUBLIC_KEYS:
            if case.flag("valid"):
                continue
            before = attacked.network.stats.refused.copy()
            attack = await attacked.connect()
            handshake = await attack.until_message_3(ROGUE)
            await attack.send(frame(handshake._state.encrypt_and_hash(case.data("pk")) + bytes(16)))
            assert await attack.drain() == b""
            # With another length the seal is not where it should be.
            error = ProtocolError if len(case.data("pk")) == 33 else AuthenticationError
            assert attacked.network.stats.refused - before == {error.__name__: 1}, case.text("note")
        await attacked.is_unharmed()


async def test_the_key_of_somebody_else() -> None:
    """The public key of an admitted peer, without its secret key."""
    async with target() as attacked:
        attack = await attacked.connect()
        handshake = await attack.until_message_3(STRANGER)
        sealed = handshake._state.encrypt_and_hash(HONEST.public.raw)
        handshake._mix_dh(handshake._messages[2][1])
        await attack.send(frame(sealed + handshake._state.encrypt_and_hash(b"")))
        assert await attack.drain() == b""
        assert attacked.refused == {"AuthenticationError": 1}
        await attacked.is_unharmed()


async def test_who_is_not_admitted() -> None:
    async with target() as attacked:
        attack = await attacked.connect()
        keys = await attack.shake_hands(STRANGER)
        await attack.send(record(keys.send, 1, b"hello"))
        assert await attack.drain() == b""
        assert attacked.refused == {"NotAdmitted": 1}
        assert attacked.endings == []
        await attacked.is_unharmed()


async def test_a_recorded_connection_is_worth_nothing() -> None:
    async with target() as attacked:
        overheard = await attacked.connect()
        handshake = initiator(ROGUE)
        first = frame(handshake.write_message())
        await overheard.send(first)
        handshake.read_message(await overheard.receive_frame())
        third = frame(handshake.write_message())
        spoken = record(handshake.transport_keys().send, 1, b"open the door")
        await overheard.send(third, spoken)
        await overheard.receive_frame()
        await overheard.stream.aclose()

        replayed = await attacked.connect()
        await replayed.send(first)
        await replayed.receive_frame()
        await replayed.send(third, spoken)
        assert await replayed.drain() == b""
        assert attacked.refused == {"AuthenticationError": 1}
        await attacked.is_unharmed()


async def test_its_own_words_sent_back() -> None:
    async with target() as attacked:
        attack = await attacked.connect()
        await attack.send(frame(initiator(ROGUE).write_message()))
        await attack.send(frame(await attack.receive_frame()))
        assert await attack.drain() == b""
        assert attacked.refused == {"AuthenticationError": 1}
        await attacked.is_unharmed()


GOOD = b"good"


def always(data: bytes) -> Callable[[object], bytes]:
    return lambda _: data


@dataclass(frozen=True)
class Tail:
    """What a rogue peer sends behind one good record, by the keys of the connection."""

    name: str
    data: Callable[[TransportKeys], bytes]
    cause: type[Exception] | None
    """None for a record that does not end before the connection does."""
    echoes: int = 1


TAILS = [
    *(
        Tail(f"length {length}", always(length.to_bytes(2, "big")), ProtocolError)
        for length in (0, 1, 8, 23, 4095, 4096, 0x7FFF, 0xFFFF)
    ),
    Tail("forged tag", lambda keys: flipped(record(keys.send, 2, b"evil"), -1), AuthenticationError),
    Tail("forged text", lambda keys: flipped(record(keys.send, 2, b"evil"), 10), AuthenticationError),
    Tail("forged counter", lambda keys: flipped(record(keys.send, 2, b"evil"), 8), AuthenticationError),
    Tail("zeros for a tag", always(frame((2).to_bytes(8, "big") + bytes(16))), AuthenticationError),
    Tail("replay", lambda keys: record(keys.send, 1, GOOD), ProtocolError),
    Tail("counter 0", lambda keys: record(keys.send, 0, b"evil"), ProtocolError),
    Tail(
        "a step back behind a gap",
        lambda keys: record(keys.send, 9, b"later") + record(keys.send, 5, b"evil"),
        ProtocolError,
        echoes=2,
    ),
    Tail(
        "more behind the last counter",
        lambda keys: record(keys.send, 2**64 - 1, b"last") + record(keys.send, 2, b"evil"),
        ProtocolError,
        echoes=2,
    ),
    Tail("another key", always(record(b"k" * 32, 2, b"evil")), AuthenticationError),
    Tail("the key of the other direction", lambda keys: record(keys.receive, 2, b"evil"), AuthenticationError),
    Tail("HTTP", always(b"GET / HTTP/1.1\r\n\r\n"), ProtocolError),
    Tail("message 1", always(frame(initiator(ROGUE).write_message())), AuthenticationError),
    Tail(
        "empty records before a bad one",
        lambda keys: b"".join(record(keys.send, n, b"") for n in range(2, 1000)) + bytes(2),
        ProtocolError,
    ),
    Tail("half a length", always(b"\x00"), None),
    Tail("half a record", lambda keys: record(keys.send, 2, b"evil")[:20], None),
]


async def test_records() -> None:
    async with target() as attacked:
        for tail in TAILS:
            attack = await attacked.connect()
            keys = await attack.shake_hands(ROGUE)
            await attack.send(record(keys.send, 1, GOOD), tail.data(keys))
            if tail.cause is None:
                await attack.end()
            echoed = await attack.drain()
            (ending,) = attacked.endings
            assert type(ending) is StreamBroken, tail.name
            assert type(ending.__cause__) is (tail.cause or type(None)), tail.name
            for _ in range(tail.echoes):
                cut = split_frame(echoed)
                assert cut is not None, tail.name
                echoed = cut[1]
            assert echoed == b"", tail.name
            attacked.endings.clear()
        assert attacked.refused == {}
        await attacked.is_unharmed()


async def test_records_until_a_reset() -> None:
    async with target() as attacked:
        for _ in range(20):
            attack = await attacked.connect()
            keys = await attack.shake_hands(ROGUE)
            await attack.send(record(keys.send, 1, GOOD))
            await attack.receive_frame()
            await attack.reset()
        await attacked.is_unharmed()
        assert {type(ending) for ending in attacked.endings} == {StreamBroken}
        assert len(attacked.endings) == 20


@pytest.mark.parametrize("stage", ["message 1", "message 3"])
async def test_slow_loris(stage: str) -> None:
    """A byte at a time, each early enough for somebody who waits for any byte to wait on."""
    async with target() as attacked:
        attack = await attacked.connect()
        started = current_time()
        if stage == "message 1":
            drip = frame(initiator(ROGUE).write_message())
        else:
            drip = frame((await attack.until_message_3(ROGUE)).write_message())
        async with attack.stream as stream:
            for byte in drip:
                await attack.send(bytes([byte]))
                with move_on_after(0.03) as interval, pytest.raises((EndOfStream, BrokenResourceError)):
                    await stream.receive()
                if not interval.cancelled_caught:
                    break
        assert 0.25 < current_time() - started < 3
        assert attacked.refused == {"HandshakeTimeout": 1}
        await attacked.is_unharmed()


async def silence(_: Attack) -> None:
    pass


async def half_of_message_1(attack: Attack) -> None:
    await attack.send(frame(initiator(ROGUE).write_message())[:20])


async def message_1(attack: Attack) -> None:
    await attack.send(frame(initiator(ROGUE).write_message()))


async def message_1_and_an_offer(attack: Attack) -> None:
    await attack.send(frame(initiator(ROGUE).write_message(b"\xff" * 1184)))


async def half_of_message_3(attack: Attack) -> None:
    handshake = await attack.until_message_3(ROGUE)
    await attack.send(frame(handshake.write_message())[:30])


STAGES: list[Callable[[Attack], Awaitable[None]]] = [
    silence,
    half_of_message_1,
    message_1,
    message_1_and_an_offer,
    half_of_message_3,
]


async def test_peers_that_go_silent() -> None:
    async with target() as attacked:
        attacks = [await attacked.connect() for _ in range(20)]
        for number, attack in enumerate(attacks):
            await STAGES[number % len(STAGES)](attack)
        for attack in attacks:
            await attack.drain()
        assert attacked.refused == {"HandshakeTimeout": 20}
        await attacked.is_unharmed()


@pytest.mark.parametrize("by_reset", [False, True], ids=["close", "reset"])
async def test_peers_that_vanish(by_reset: bool) -> None:
    async with target(limits=Limits()) as attacked:
        for number in range(20):
            attack = await attacked.connect()
            await until(lambda: attacked.network.stats.half_open == 1)
            await STAGES[number % len(STAGES)](attack)
            await (attack.reset() if by_reset else attack.stream.aclose())
            await until(lambda: attacked.network.stats.half_open == 0)
        assert attacked.refused == {"HandshakeAborted": 20}
        await attacked.is_unharmed()


async def test_peers_that_reset_while_they_are_taken_in() -> None:
    """At each step of the event loop between their connection and their handshake."""
    async with target() as attacked:
        for first in (b"", b"\x00", frame(initiator(ROGUE).write_message())):
            for steps in range(16):
                connection = attacked.connect_now()
                connection.send(first)
                for _ in range(steps):
                    await checkpoint()
                reset_now(connection)
        await attacked.is_unharmed()
        assert set(attacked.refused) <= {"HandshakeAborted"}


async def test_what_nobody_reads_is_not_buffered_without_limit() -> None:
    """A peer that sends on and on, to a handler that has no time, halts when the system's buffers are full."""
    async with target(limits=Limits()) as attacked:

        def rush() -> socket.socket:
            """A handshake as fast as it goes, and then more bytes than one read takes."""
            connection = attacked.connect_now()
            handshake = initiator(ROGUE)
            connection.sendall(frame(handshake.write_message()))
            answer = b""
            while (cut := split_frame(answer)) is None:
                answer += connection.recv(4096)
            handshake.read_message(cut[0])
            third = frame(handshake.write_message())
            key = handshake.transport_keys().send
            records = (record(key, n, bytes(4070)) for n in range(2, 50))
            connection.sendall(third + record(key, 1, b"hold") + b"".join(records))
            return connection

        for _ in range(25):
            connection = await to_thread.run_sync(rush)
            connection.setblocking(False)
            sent = 0
            more = bytes(1 << 20)
            # Each time that there is no room, the listener gets many steps to make some.
            for _ in range(100):
                with suppress(BlockingIOError):
                    while sent < 64 << 20:
                        sent += connection.send(more)
                await checkpoint()
            reset_now(connection)
            assert sent < 32 << 20
        attacked.release.set()
        await attacked.is_unharmed()


@asynccontextmanager
async def liar(answer: Callable[[bytes], bytes]) -> AsyncIterator[Address]:
    """A listener that answers message 1 by what it likes, and then waits for the end."""
    async with await create_tcp_listener(local_host="127.0.0.1") as listener, create_task_group() as task_group:

        async def serve(stream: SocketStream) -> None:
            attack = Attack(stream)
            await attack.send(answer(await attack.receive_frame()))
            await attack.drain()

        task_group.start_soon(listener.serve, serve)
        yield Address("tcp", SERVER.public, listener.extra(SocketAttribute.local_port), "127.0.0.1")
        task_group.cancel_scope.cancel()


def message_2(message: bytes) -> bytes:
    responder = Handshake(Pattern.XK, Role.RESPONDER, static=SERVER, ephemeral=SecKey.generate)
    responder.read_message(message)
    return responder.write_message()


def altered(alter: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda message: frame(alter(message_2(message)))


def answers() -> Iterator[tuple[str, Callable[[bytes], bytes], type[Exception]]]:
    for note, alter in ALTERATIONS.items():
        error = expected_error(recorded("XK", 1, note))
        yield note, altered(alter), error
    for case in PUBLIC_KEYS:
        if len(case.data("pk")) == 33:
            error = AuthenticationError if case.flag("valid") else ProtocolError
            yield f"ephemeral key {case.text('note')}", always(frame(case.data("pk") + bytes(16))), error
    yield "message 1 sent back", frame, AuthenticationError
    yield "an oversized length", always(b"\xff\xff"), ProtocolError
    yield "HTTP", always(b"HTTP/1.1 400 Bad Request\r\n\r\n"), ProtocolError


async def test_answers_to_a_dial() -> None:
    for name, answer, error in answers():
        async with liar(answer) as address:
            with fail_after(PATIENCE), pytest.raises(PeerRefused) as caught:
                await PkTcpNetwork(HONEST).dial(address, owner=ME)
        assert type(caught.value.__cause__) is error, name
        assert caught.value.address == address


class Script(ByteStream):
    """A peer that says what is in these pieces, whatever it hears, and then ends."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces[::-1]

    async def receive(self, max_bytes: int = 65536) -> bytes:
        await checkpoint()
        while self._pieces:
            piece = self._pieces.pop()
            if piece[max_bytes:]:
                self._pieces.append(piece[max_bytes:])
            if piece:
                return piece[:max_bytes]
        raise EndOfStream

    async def send(self, item: bytes) -> None:
        await checkpoint()

    async def send_eof(self) -> None:
        await checkpoint()

    async def aclose(self) -> None:
        await checkpoint()


pieces = st.lists(
    st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=80).map(frame),
        st.builds(lambda n: frame(bytes(n)), st.integers(0, 5000)),
        st.sampled_from([frame(initiator(ROGUE).write_message(bytes(n))) for n in (0, 1, 1184, 4045)]),
        st.sampled_from([frame(case.data("message")) for case in VERDICTS]),
    ),
    max_size=6,
)


@given(pieces)
@settings(max_examples=60, deadline=None)
async def test_any_bytes_end_a_responder_with_a_documented_error(script: list[bytes]) -> None:
    with pytest.raises((AcceptError, ProtocolError)):
        await respond(Script(script), SERVER)


@given(pieces)
@settings(max_examples=60, deadline=None)
async def test_any_bytes_end_an_initiator_with_a_documented_error(script: list[bytes]) -> None:
    with pytest.raises((HandshakeAborted, ProtocolError)):
        await initiate(Script(script), HONEST, SERVER.public)
