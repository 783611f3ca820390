"""Handshakes against the recorded ones of the Go programs, and against each other."""

from __future__ import annotations

import hashlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skywire.errors import AuthenticationError, LocalProtocolError, ProtocolError
from skywire.keys import PubKey, SecKey
from skywire.wire.noise import Handshake, Pattern, Role, TransportKeys
from skywire.wire.pqhybrid import CIPHERTEXT_SIZE, ENCAPSULATION_KEY_SIZE, mix_shared_secret
from tests.vectors_io import Vector, load

NOISE = load("noise.json")
TRANSCRIPT = load("session_transcript.json")
RECORDED = [*NOISE.many("handshakes"), NOISE.one("read_writer"), NOISE.one("transport_verdicts")]
ALICE, BOB, EPHEMERAL_A, EPHEMERAL_B = (SecKey(bytes([n]) * 32) for n in (1, 2, 3, 4))


def sides(
    pattern: Pattern, initiator: SecKey, responder: SecKey, ephemeral_i: SecKey, ephemeral_r: SecKey
) -> tuple[Handshake, Handshake]:
    return (
        Handshake(
            pattern, Role.INITIATOR, static=initiator, ephemeral=lambda: ephemeral_i, remote_static=responder.public
        ),
        Handshake(
            pattern,
            Role.RESPONDER,
            static=responder,
            ephemeral=lambda: ephemeral_r,
            remote_static=initiator.public if pattern is Pattern.KK else None,
        ),
    )


def recorded_sides(case: Vector) -> tuple[Handshake, Handshake]:
    keys = (
        SecKey(case.data(f"{name}_sk")) for name in ("init_static", "resp_static", "init_ephemeral", "resp_ephemeral")
    )
    return sides(Pattern(case.text("pattern")), *keys)


def run(initiator: Handshake, responder: Handshake, payloads: tuple[bytes, ...] = ()) -> list[bytes]:
    """Exchange all messages, in turn; what each side read as payload."""
    read: list[bytes] = []
    turns = itertools.cycle([(initiator, responder), (responder, initiator)])
    for payload, (writer, reader) in zip(itertools.chain(payloads, itertools.repeat(b"")), turns, strict=False):
        if initiator.finished:
            return read
        assert writer.my_turn
        assert not reader.my_turn
        read.append(reader.read_message(writer.write_message(payload)))
    raise AssertionError("unreachable")


@pytest.mark.parametrize("case", RECORDED)
def test_recorded_handshakes(case: Vector) -> None:
    initiator, responder = recorded_sides(case)
    if "initial_state_init" in case:
        for side, name in ((initiator, "initial_state_init"), (responder, "initial_state_resp")):
            state = case.one(name)
            assert (side._state.chaining_key, side._state.hash) == (state.data("ck"), state.data("h"))
    for message in case.many("messages"):
        from_initiator = message.text("from") == "initiator"
        writer, reader = (initiator, responder) if from_initiator else (responder, initiator)
        assert writer.write_message() == message.data("message")
        assert reader.read_message(message.data("message")) == b""
        if "sender_state_after" in message:
            for side, name in ((writer, "sender_state_after"), (reader, "receiver_state_after")):
                state = message.one(name)
                assert (side._state.chaining_key, side._state.hash) == (state.data("ck"), state.data("h"))
                assert (side._state.key, side._state.counter) == (state.data("k"), state.number("n"))
    assert initiator.finished
    assert responder.finished
    assert responder.remote_static == PubKey(case.data("init_static_pk"))
    mine, theirs = initiator.transport_keys(), responder.transport_keys()
    assert mine.handshake_hash == theirs.handshake_hash == case.data("handshake_hash")
    assert mine.send == theirs.receive == case.data("init_to_resp_key")
    assert mine.receive == theirs.send == case.data("resp_to_init_key")


@pytest.mark.parametrize("case", TRANSCRIPT.many("handshakes"))
def test_handshakes_of_the_recorded_session(case: Vector) -> None:
    secrets = {
        TRANSCRIPT.text(f"{name}_pk"): SecKey(TRANSCRIPT.data(f"{name}_sk"))
        for name in ("client_a", "client_b", "server")
    }
    initiator, responder = sides(
        Pattern(case.text("pattern")),
        secrets[case.text("init_pk")],
        secrets[case.text("resp_pk")],
        SecKey(case.data("init_ephemeral_sk")),
        SecKey(case.data("resp_ephemeral_sk")),
    )
    run(initiator, responder)
    keys = initiator.transport_keys()
    assert (keys.send, keys.receive) == (case.data("init_to_resp_key"), case.data("resp_to_init_key"))
    assert keys.handshake_hash == case.data("handshake_hash")


@pytest.mark.parametrize("case", NOISE.many("handshake_verdicts"))
def test_altered_messages(case: Vector) -> None:
    pattern, index = Pattern(case.text("pattern")), case.number("message_index")
    initiator, responder = sides(pattern, *(fixed_key(name) for name in ("i-static", "r-static", "i-eph", "r-eph")))
    for writer, reader in [(initiator, responder), (responder, initiator)][:index]:
        reader.read_message(writer.write_message())
    writer, reader = (initiator, responder) if index % 2 == 0 else (responder, initiator)
    written = writer.write_message()
    if case.flag("ok"):
        assert written == case.data("message")
        assert reader.read_message(case.data("message")) == b""
        return
    with pytest.raises(ProtocolError) as caught:
        reader.read_message(case.data("message"))
    failed_tag = "authentication failed" in case.text("error")
    assert (type(caught.value) is AuthenticationError) is failed_tag
    assert not reader.finished
    with pytest.raises(LocalProtocolError, match="failed"):
        reader.read_message(case.data("message"))
    with pytest.raises(LocalProtocolError):
        reader.transport_keys()


def fixed_key(name: str) -> SecKey:
    """The key that the recorder used for a NAME (tests/vectors/README.md)."""
    return SecKey(hashlib.sha256(f"skyvec:noise-bad-{name}".encode()).digest())


@pytest.mark.parametrize("pattern", Pattern)
def test_payloads_arrive_and_change_the_hash(pattern: Pattern) -> None:
    plain, extended = (sides(pattern, ALICE, BOB, EPHEMERAL_A, EPHEMERAL_B) for _ in range(2))
    run(*plain)
    payloads = (b"k" * ENCAPSULATION_KEY_SIZE, b"c" * CIPHERTEXT_SIZE)
    assert run(*extended, payloads=payloads)[:2] == list(payloads)
    assert plain[0].transport_keys().handshake_hash != extended[0].transport_keys().handshake_hash


@pytest.mark.parametrize("pattern", Pattern)
def test_the_hybrid_gives_both_sides_new_equal_keys(pattern: Pattern) -> None:
    initiator, responder = sides(pattern, ALICE, BOB, EPHEMERAL_A, EPHEMERAL_B)
    run(initiator, responder)
    classical = initiator.transport_keys()
    mine, theirs = (mix_shared_secret(side.transport_keys(), b"s" * 32) for side in (initiator, responder))
    assert (mine.send, mine.receive) == (theirs.receive, theirs.send)
    assert len({classical.send, classical.receive, mine.send, mine.receive}) == 4
    assert len(mine.send) == 32
    assert mix_shared_secret(classical, b"t" * 32) != mine


def test_hybrid_keys_by_an_independent_derivation() -> None:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    keys = TransportKeys(b"a" * 32, b"b" * 32, b"h" * 32)
    mixed = mix_shared_secret(keys, b"s" * 32)
    for classical, hybrid in ((keys.send, mixed.send), (keys.receive, mixed.receive)):
        derivation = HKDF(SHA256(), 32, salt=keys.handshake_hash, info=b"skywire-pq-hybrid-v1")
        assert hybrid == derivation.derive(classical + b"s" * 32)


def test_keys_do_not_show_themselves() -> None:
    keys = TransportKeys(b"\xaa" * 32, b"\xbb" * 32, b"\xcc" * 32)
    assert "\\xaa" not in repr(keys)
    assert "\\xbb" not in repr(keys)


def test_wrong_peer_key_is_refused_by_the_responder() -> None:
    initiator, _ = sides(Pattern.XK, ALICE, SecKey(b"\x09" * 32), EPHEMERAL_A, EPHEMERAL_B)
    responder = Handshake(Pattern.XK, Role.RESPONDER, static=BOB, ephemeral=lambda: EPHEMERAL_B)
    with pytest.raises(AuthenticationError):
        responder.read_message(initiator.write_message())


def test_turns_are_kept() -> None:
    initiator, responder = sides(Pattern.XK, ALICE, BOB, EPHEMERAL_A, EPHEMERAL_B)
    with pytest.raises(LocalProtocolError, match="turn"):
        initiator.read_message(b"")
    with pytest.raises(LocalProtocolError, match="turn"):
        responder.write_message()
    with pytest.raises(LocalProtocolError, match="finished"):
        initiator.transport_keys()
    assert responder.remote_static is None
    run(initiator, responder)
    with pytest.raises(LocalProtocolError, match="finished"):
        initiator.write_message()
    assert not initiator.my_turn


def test_the_peer_key_is_given_exactly_where_the_pattern_needs_it() -> None:
    for pattern, role, key in (
        (Pattern.XK, Role.INITIATOR, None),
        (Pattern.KK, Role.INITIATOR, None),
        (Pattern.KK, Role.RESPONDER, None),
        (Pattern.XK, Role.RESPONDER, BOB.public),
    ):
        with pytest.raises(LocalProtocolError, match=r"learns|needs"):
            Handshake(pattern, role, static=ALICE, ephemeral=lambda: EPHEMERAL_A, remote_static=key)


@given(st.binary(max_size=200), st.sampled_from(Pattern))
def test_arbitrary_bytes_raise_only_the_protocol_error(data: bytes, pattern: Pattern) -> None:
    _, responder = sides(pattern, ALICE, BOB, EPHEMERAL_A, EPHEMERAL_B)
    with pytest.raises(ProtocolError):
        responder.read_message(data)


@given(st.data(), st.sampled_from(Pattern))
def test_any_flipped_bit_is_noticed(data: st.DataObject, pattern: Pattern) -> None:
    initiator, responder = sides(pattern, ALICE, BOB, EPHEMERAL_A, EPHEMERAL_B)
    message = bytearray(initiator.write_message())
    bit = data.draw(st.integers(0, 8 * len(message) - 1))
    message[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ProtocolError):
        responder.read_message(bytes(message))


def test_a_key_is_made_only_for_who_is_authenticated() -> None:
    made: list[SecKey] = []

    def make() -> SecKey:
        made.append(SecKey.generate())
        return made[-1]

    forged = b"\x02" + b"\x11" * 48
    responder = Handshake(Pattern.XK, Role.RESPONDER, static=BOB, ephemeral=make)
    with pytest.raises(ProtocolError):
        responder.read_message(forged)
    assert made == []
    initiator, _ = sides(Pattern.XK, ALICE, BOB, EPHEMERAL_A, EPHEMERAL_B)
    responder = Handshake(Pattern.XK, Role.RESPONDER, static=BOB, ephemeral=make)
    run(initiator, responder)
    assert len(made) == 1
