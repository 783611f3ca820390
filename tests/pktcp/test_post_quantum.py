"""The post-quantum extension, with peers that know it and peers that do not."""

from __future__ import annotations

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

from skywire import (
    AuthenticationError,
    Conn,
    PeerRefused,
    PkTcpNetwork,
    StreamBroken,
)
from skywire.net import postquantum
from skywire.net.record_conn import RecordConn
from skywire.wire.pqhybrid import CIPHERTEXT_SIZE, ENCAPSULATION_KEY_SIZE, mix_shared_secret
from skywire.wire.records import frame
from tests.pktcp.attacker import (
    HONEST,
    ME,
    ROGUE,
    SERVER,
    Attack,
    initiator,
    opened,
    record,
    target,
)
from tests.pktcp.peers import LOOPBACK, Responder, answering, ask, echo, serving

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("required", [False, True])
async def test_two_that_know_the_extension_use_it(required: bool) -> None:
    served: list[Conn] = []

    async def note(conn: Conn) -> None:
        served.append(conn)
        await echo(conn)

    network = PkTcpNetwork(SERVER, listen=[LOOPBACK], require_post_quantum=required)
    async with serving(network, note):
        dialler = PkTcpNetwork(HONEST, require_post_quantum=required)
        async with await dialler.dial(network.addresses[0], owner=ME) as conn:
            await ask(conn)
            assert conn.post_quantum
            (other,) = served
            assert isinstance(other, RecordConn)
            assert other.post_quantum


async def test_the_extension_by_hand() -> None:
    """Sizes and keys against an initiator that shares no code but the classical handshake."""
    async with target() as attacked, (attack := await attacked.connect()).stream:
        offer = MLKEM768PrivateKey.generate()
        handshake = initiator(ROGUE)
        first = handshake.write_message(offer.public_key().public_bytes_raw())
        await attack.send(frame(first))
        second = await attack.receive_frame()
        secret = offer.decapsulate(handshake.read_message(second))
        third = handshake.write_message()
        assert (len(first), len(second), len(third)) == (1233, 1137, 65)
        keys = mix_shared_secret(handshake.transport_keys(), secret)
        await attack.send(frame(third), record(keys.send, 1, b"hello"))
        assert opened(keys.receive, await attack.receive_frame()) == b"hello"


OFFERS = [b"", b"x", bytes(ENCAPSULATION_KEY_SIZE - 1), b"\xff" * ENCAPSULATION_KEY_SIZE, bytes(CIPHERTEXT_SIZE)]


@pytest.mark.parametrize("offer", OFFERS, ids=["none", "a byte", "one short", "no key", "a ciphertext"])
@pytest.mark.parametrize("required", [False, True])
async def test_an_initiator_without_the_extension(offer: bytes, required: bool) -> None:
    async with target(require_post_quantum=required) as attacked, (attack := await attacked.connect()).stream:
        handshake = initiator(ROGUE)
        await attack.send(frame(handshake.write_message(offer)))
        assert handshake.read_message(await attack.receive_frame()) == b""
        third = handshake.write_message()
        keys = handshake.transport_keys()
        await attack.send(frame(third), record(keys.send, 1, b"hello"))
        if required:
            assert await attack.drain() == b""
            assert attacked.refused == {"HandshakeRefused": 1}
        else:
            assert opened(keys.receive, await attack.receive_frame()) == b"hello"


@pytest.mark.parametrize("answer", [b"", b"x", bytes(CIPHERTEXT_SIZE - 1)], ids=["none", "a byte", "one short"])
@pytest.mark.parametrize("required", [False, True])
async def test_a_responder_without_the_extension(answer: bytes, required: bool) -> None:
    responder = Responder(lambda _: answer)

    async def serve(attack: Attack) -> None:
        keys = await responder.shake_hands(attack)
        if not required:
            await attack.send(record(keys.send, 1, b"hello"))

    async with answering(serve) as address:
        dialler = PkTcpNetwork(HONEST, require_post_quantum=required)
        if required:
            with pytest.raises(PeerRefused, match="post-quantum"):
                await dialler.dial(address, owner=ME)
        else:
            async with await dialler.dial(address, owner=ME) as conn:
                assert await conn.receive() == b"hello"
                assert not conn.post_quantum
    assert [len(offer) for offer in responder.offers] == [ENCAPSULATION_KEY_SIZE]


async def test_a_made_up_ciphertext_gives_no_common_keys() -> None:
    responder = Responder(lambda _: bytes(CIPHERTEXT_SIZE))

    async def serve(attack: Attack) -> None:
        keys = await responder.shake_hands(attack)
        await attack.send(record(keys.send, 1, b"hello"))

    async with answering(serve) as address, await PkTcpNetwork(HONEST).dial(address, owner=ME) as conn:
        with pytest.raises(StreamBroken) as caught:
            await conn.receive()
        assert type(caught.value.__cause__) is AuthenticationError


async def test_where_the_system_has_no_such_cipher(monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing:
        @staticmethod
        def generate() -> None:
            raise UnsupportedAlgorithm("not in this OpenSSL")

        @staticmethod
        def from_public_bytes(_: bytes) -> None:
            raise UnsupportedAlgorithm("not in this OpenSSL")

    responder = Responder()

    async def serve(attack: Attack) -> None:
        await responder.shake_hands(attack)

    async with serving(PkTcpNetwork(SERVER, listen=[LOOPBACK])) as network, answering(serve) as address:
        monkeypatch.setattr(postquantum, "MLKEM768PublicKey", Missing)
        async with await PkTcpNetwork(HONEST).dial(network.addresses[0], owner=ME) as conn:
            await ask(conn)
            assert not conn.post_quantum
        monkeypatch.setattr(postquantum, "MLKEM768PrivateKey", Missing)
        async with await PkTcpNetwork(HONEST).dial(address, owner=ME) as conn:
            assert not conn.post_quantum
    assert responder.offers == [b""]
