"""What key-encrypted TCP does that other networks do not."""

from __future__ import annotations

import gc
import logging
import os
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

import anyio
import psutil
import pytest
from anyio import (
    ClosedResourceError,
    EndOfStream,
    create_task_group,
    create_tcp_listener,
    fail_after,
    sleep_forever,
    wait_readable,
)
from anyio.abc import SocketAttribute, SocketStream
from anyio.lowlevel import checkpoint
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

from skywire import (
    EVERYONE,
    Address,
    AuthenticationError,
    Conn,
    DialOptions,
    DialTimeout,
    HostPort,
    ListenError,
    Owner,
    PeerRefused,
    PkTcpNetwork,
    ProtocolError,
    SecKey,
    SingleHandler,
    StreamBroken,
    Unreachable,
)
from skywire.keys import PubKey
from skywire.net import handshake as handshakes
from skywire.net.record_conn import RecordConn
from skywire.net.tcp import TcpStream
from skywire.pktcp import Limits
from skywire.wire.noise import Handshake, Pattern, Role, TransportKeys
from skywire.wire.pqhybrid import CIPHERTEXT_SIZE, ENCAPSULATION_KEY_SIZE, mix_shared_secret
from skywire.wire.records import StrictOpener, frame
from tests.net.cancelling import at_each_await
from tests.pktcp.attacker import (
    HONEST,
    ME,
    PATIENCE,
    ROGUE,
    SERVER,
    STRANGER,
    Attack,
    initiator,
    record,
    reset_now,
    target,
    until,
)

pytestmark = pytest.mark.anyio

LOOPBACK = HostPort("127.0.0.1", 0)
PROCESS = psutil.Process()


async def echo(conn: Conn) -> None:
    while True:
        await conn.send_record(await conn.receive_record())


async def ask(conn: Conn, question: bytes = b"question") -> None:
    with fail_after(PATIENCE):
        await conn.send_record(question)
        assert await conn.receive_record() == question


async def dial_and_ask(address: Address) -> None:
    async with await PkTcpNetwork(HONEST).dial(address, owner=ME) as conn:
        await ask(conn)


@asynccontextmanager
async def serving(
    network: PkTcpNetwork, handler: Callable[[Conn], Awaitable[None]] = echo, peer: PubKey = HONEST.public
) -> AsyncIterator[PkTcpNetwork]:
    async with create_task_group() as task_group:
        await task_group.start(network.serve, SingleHandler(handler, peers={peer}))
        yield network
        task_group.cancel_scope.cancel()


@asynccontextmanager
async def answering(serve: Callable[[Attack], Awaitable[None]]) -> AsyncIterator[Address]:
    """A raw listener in place of a peer."""

    async def handle(stream: SocketStream) -> None:
        async with stream:
            await serve(Attack(stream))

    async with await create_tcp_listener(local_host="127.0.0.1") as listener, create_task_group() as task_group:
        task_group.start_soon(listener.serve, handle)
        yield Address("tcp", SERVER.public, listener.extra(SocketAttribute.local_port), "127.0.0.1")
        task_group.cancel_scope.cancel()


@dataclass
class Responder:
    """A peer made by hand from the pure handshake; without the post-quantum extension unless it is given an answer."""

    answer: Callable[[bytes], bytes] = lambda offer: b""
    offers: list[bytes] = field(default_factory=list)

    async def shake_hands(self, attack: Attack) -> TransportKeys:
        handshake = Handshake(Pattern.XK, Role.RESPONDER, static=SERVER, ephemeral=SecKey.generate)
        self.offers.append(handshake.read_message(await attack.receive_frame()))
        await attack.send(frame(handshake.write_message(self.answer(self.offers[-1]))))
        handshake.read_message(await attack.receive_frame())
        return handshake.transport_keys()


# Where it listens


async def test_addresses_are_known_while_it_serves() -> None:
    network = PkTcpNetwork(SERVER, listen=[LOOPBACK, LOOPBACK])
    assert list(network.addresses) == []
    async with serving(network):
        assert len({address.port for address in network.addresses}) == 2
        for address in network.addresses:
            assert Address.parse(str(address)) == address
            assert (address.pk, address.host) == (network.public, "127.0.0.1")
            async with await PkTcpNetwork(HONEST).dial(address, owner=ME) as conn:
                await ask(conn)
    assert list(network.addresses) == []


async def test_a_network_that_listens_nowhere_serves_nobody() -> None:
    network = PkTcpNetwork(SERVER)
    async with serving(network):
        assert list(network.addresses) == []


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
async def test_ipv6() -> None:
    async with serving(PkTcpNetwork(SERVER, listen=[HostPort("::1", 0), LOOPBACK])) as network:
        assert [address.host for address in network.addresses] == ["::1", "127.0.0.1"]
        async with await PkTcpNetwork(HONEST).dial(Address.parse(str(network.addresses[0])), owner=ME) as conn:
            assert conn.local.host == "::1"
            await ask(conn)


async def test_a_name_with_two_addresses_is_listened_on_and_left_at_both(
    monkeypatch: pytest.MonkeyPatch, anyio_backend_options: dict[str, bool]
) -> None:
    if anyio_backend_options.get("use_uvloop"):
        pytest.skip("uvloop asks the system without Python")
    real = socket.getaddrinfo

    def both(host: str | bytes | None, *arguments: int, **options: int) -> list[object]:
        names = ("127.0.0.1", "127.0.0.2") if host in ("both.example", b"both.example") else (host,)
        return [entry for name in names for entry in real(name, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    network = PkTcpNetwork(SERVER, listen=[HostPort("both.example", 0)])
    open_files: list[int] = []
    for _ in range(2):
        async with serving(network):
            addresses = network.addresses
            assert [address.host for address in addresses] == ["127.0.0.1", "127.0.0.2"]
            for address in addresses:
                await dial_and_ask(address)
        for address in addresses:
            with pytest.raises(Unreachable):
                await PkTcpNetwork(HONEST).dial(address, owner=ME, options=DialOptions(timeout=1))
        open_files.append(PROCESS.num_fds())
    assert open_files[0] == open_files[1]


async def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as used, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        first = HostPort("127.0.0.1", free.getsockname()[1])
        free.close()
        second = HostPort("127.0.0.1", used.getsockname()[1])
        network = PkTcpNetwork(SERVER, listen=[first, second])
        with pytest.raises(ListenError, match=f"cannot listen on {second}: .*in use"):
            await network.serve(SingleHandler(echo))
        assert list(network.addresses) == []
        # The first one is free again.
        async with serving(PkTcpNetwork(SERVER, listen=[first])):
            pass


# How a dial fails


async def wait_for_the_end(attack: Attack) -> None:
    await attack.drain()


@pytest.mark.parametrize(
    ("limits", "options"),
    [(Limits(), DialOptions(timeout=0.1)), (Limits(handshake_seconds=0.1), DialOptions())],
    ids=["options", "limits"],
)
async def test_a_listener_that_stays_silent(limits: Limits, options: DialOptions) -> None:
    async with answering(wait_for_the_end) as address:
        with fail_after(PATIENCE), pytest.raises(DialTimeout, match="in time") as caught:
            await PkTcpNetwork(HONEST, limits=limits).dial(address, owner=ME, options=options)
        assert caught.value.address == address


async def test_a_closed_port() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = Address("tcp", SERVER.public, unused.getsockname()[1], "127.0.0.1")
        with fail_after(PATIENCE), pytest.raises(Unreachable) as caught:
            await PkTcpNetwork(HONEST).dial(address, owner=ME)
        assert caught.value.address == address


async def test_another_key_than_the_peer_has() -> None:
    async with serving(PkTcpNetwork(SERVER, listen=[LOOPBACK])) as network:
        address = Address("tcp", STRANGER.public, network.addresses[0].port, "127.0.0.1")
        with pytest.raises(PeerRefused, match="is its public key right"):
            await PkTcpNetwork(HONEST).dial(address, owner=ME)
        assert network.stats.refused == {"AuthenticationError": 1}


async def hang_up(attack: Attack) -> None:
    await attack.receive_frame()


async def hang_up_by_reset(attack: Attack) -> None:
    await attack.receive_frame()
    await attack.reset()


@pytest.mark.parametrize("serve", [hang_up, hang_up_by_reset])
async def test_a_peer_that_hangs_up(serve: Callable[[Attack], Awaitable[None]]) -> None:
    async with answering(serve) as address:
        with pytest.raises(PeerRefused):
            await PkTcpNetwork(HONEST).dial(address, owner=ME)


async def test_a_peer_that_resets_after_message_2() -> None:
    """The dial is over before it can be noticed, or says what happened."""

    async def serve(attack: Attack) -> None:
        handshake = Handshake(Pattern.XK, Role.RESPONDER, static=SERVER, ephemeral=SecKey.generate)
        handshake.read_message(await attack.receive_frame())
        await attack.send(frame(handshake.write_message()))
        await attack.reset()

    async with answering(serve) as address:
        for _ in range(10):
            try:
                conn = await PkTcpNetwork(HONEST).dial(address, owner=ME)
            except PeerRefused:
                continue
            async with conn:
                with pytest.raises(StreamBroken):
                    await conn.receive()


# The post-quantum extension


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
        assert StrictOpener(keys.receive).open(await attack.receive_frame()) == b"hello"


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
            assert StrictOpener(keys.receive).open(await attack.receive_frame()) == b"hello"


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
        monkeypatch.setattr(handshakes, "MLKEM768PublicKey", Missing)
        async with await PkTcpNetwork(HONEST).dial(network.addresses[0], owner=ME) as conn:
            await ask(conn)
            assert not conn.post_quantum
        monkeypatch.setattr(handshakes, "MLKEM768PrivateKey", Missing)
        async with await PkTcpNetwork(HONEST).dial(address, owner=ME) as conn:
            assert not conn.post_quantum
    assert responder.offers == [b""]


# What comes behind the handshake


@pytest.mark.parametrize("split", [0, 1, 30, 60, 1000])
async def test_bytes_behind_message_3_are_kept(split: int) -> None:
    async with target() as attacked, (attack := await attacked.connect()).stream:
        handshake = await attack.until_message_3(ROGUE)
        data = frame(handshake.write_message())
        keys = handshake.transport_keys()
        data += record(keys.send, 1, b"first") + record(keys.send, 2, b"second")
        await attack.send(data[: 67 + split])
        await attack.send(data[67 + split :])
        opener = StrictOpener(keys.receive)
        assert opener.open(await attack.receive_frame()) == b"first"
        assert opener.open(await attack.receive_frame()) == b"second"


@dataclass(frozen=True)
class Ending:
    """What a peer sends last, behind a good record."""

    data: Callable[[TransportKeys], bytes]
    cause: type[Exception] | None
    reset: bool = False


ENDINGS = {
    "half a record": Ending(lambda keys: record(keys.send, 2, b"cut off")[:-1], None),
    "half a length": Ending(lambda _: b"\x00", None),
    "forged": Ending(lambda keys: record(keys.receive, 2, b"forged"), AuthenticationError),
    "replayed": Ending(lambda keys: record(keys.send, 1, b"good"), ProtocolError),
    "too long": Ending(lambda _: b"\x0f\xff", ProtocolError),
    "too short": Ending(lambda _: b"\x00\x17", ProtocolError),
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
@pytest.mark.parametrize("by_record", [False, True], ids=["bytes", "records"])
async def test_a_broken_stream_gives_what_was_good_and_then_says_why(ending: Ending, by_record: bool) -> None:
    async def serve(attack: Attack) -> None:
        keys = await Responder().shake_hands(attack)
        await attack.send(record(keys.send, 1, b"good"), ending.data(keys))

    async with answering(serve) as address, await PkTcpNetwork(HONEST).dial(address, owner=ME) as conn:
        assert await (conn.receive_record() if by_record else conn.receive()) == b"good"
        for _ in range(2):
            with pytest.raises(StreamBroken, match=str(SERVER.public)) as caught:
                await (conn.receive_record() if by_record else conn.receive())
            assert type(caught.value.__cause__) is (ending.cause or type(None))


async def test_a_closed_connection_gives_nothing_that_it_still_holds() -> None:
    async def two(conn: Conn) -> None:
        await conn.send(b"a" * 5000)
        await sleep_forever()

    async with serving(PkTcpNetwork(SERVER, listen=[LOOPBACK]), two) as network:
        conn = await PkTcpNetwork(HONEST).dial(network.addresses[0], owner=ME)
        assert await conn.receive(1) == b"a"
        await conn.aclose()
        for receive in (conn.receive, conn.receive_record):
            with pytest.raises(ClosedResourceError):
                await receive()


@pytest.mark.parametrize("closed", [False, True], ids=["reset", "closed"])
async def test_ending_a_direction_of_what_is_no_more(closed: bool) -> None:
    async def serve(attack: Attack) -> None:
        await Responder().shake_hands(attack)
        await attack.reset()

    async with answering(serve) as address, await PkTcpNetwork(HONEST).dial(address, owner=ME) as conn:
        with pytest.raises(StreamBroken):
            await conn.receive()
        if closed:
            await conn.aclose()
        with suppress(StreamBroken, ClosedResourceError):
            await conn.send_eof()


async def hold(conn: Conn) -> None:
    await sleep_forever()


# Limits


async def test_connections_per_peer() -> None:
    limits = Limits(connections_per_peer=2)
    network = PkTcpNetwork(SERVER, listen=[LOOPBACK], limits=limits)
    async with create_task_group() as task_group:
        await task_group.start(network.serve, SingleHandler(echo, peers=EVERYONE))
        address = network.addresses[0]
        first = await PkTcpNetwork(HONEST).dial(address, owner=ME)
        second = await PkTcpNetwork(HONEST).dial(address, owner=ME)
        await ask(first)
        await ask(second)
        async with await PkTcpNetwork(HONEST).dial(address, owner=ME) as third:
            with pytest.raises((EndOfStream, StreamBroken)):
                await third.receive()
        assert network.stats.refused == {"TooManyConnections": 1}
        async with await PkTcpNetwork(ROGUE).dial(address, owner=ME) as other:
            await ask(other)
        await first.aclose()
        await until(lambda: network.stats.live == 1)
        async with await PkTcpNetwork(HONEST).dial(address, owner=ME) as third:
            await ask(third)
        await ask(second)
        await second.aclose()
        task_group.cancel_scope.cancel()


async def test_connections_in_all() -> None:
    network = PkTcpNetwork(SERVER, listen=[LOOPBACK], limits=Limits(connections=2))
    async with create_task_group() as task_group:
        await task_group.start(network.serve, SingleHandler(echo, peers=EVERYONE))
        address = network.addresses[0]
        async with (
            await PkTcpNetwork(HONEST).dial(address, owner=ME) as first,
            await PkTcpNetwork(ROGUE).dial(address, owner=ME) as second,
        ):
            await ask(first)
            await ask(second)
            async with await PkTcpNetwork(STRANGER).dial(address, owner=ME) as third:
                with pytest.raises((EndOfStream, StreamBroken)):
                    await third.receive()
        assert network.stats.refused == {"TooManyConnections": 1}
        task_group.cancel_scope.cancel()


@pytest.mark.parametrize(
    "wrong",
    [
        {"connect_seconds": 0},
        {"handshake_seconds": 0},
        {"handshake_seconds": float("nan")},
        {"half_open": 0},
        {"connections": 0},
        {"connections_per_peer": 0},
    ],
    ids=str,
)
def test_limits_that_let_nobody_in_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Limits(**wrong)


async def test_stats() -> None:
    async with serving(PkTcpNetwork(SERVER, listen=[LOOPBACK])) as network:
        stats = network.stats
        assert (stats.half_open, stats.live, stats.admitted, stats.refused) == (0, 0, 0, {})
        address = network.addresses[0]
        async with await anyio.connect_tcp("127.0.0.1", address.port):
            await until(lambda: stats.half_open == 1)
            async with await PkTcpNetwork(HONEST).dial(address, owner=ME) as conn:
                await ask(conn)
                assert (stats.half_open, stats.live, stats.admitted) == (1, 1, 1)
            await until(lambda: stats.live == 0)
        await until(lambda: stats.half_open == 0)
        async with await PkTcpNetwork(STRANGER).dial(address, owner=ME) as conn:
            with pytest.raises((EndOfStream, StreamBroken)):
                await conn.receive()
        assert (stats.half_open, stats.live, stats.admitted) == (0, 0, 1)
        assert stats.refused == {"HandshakeAborted": 1, "NotAdmitted": 1}


async def test_a_peer_that_is_gone_without_a_word_is_noticed() -> None:
    """Or dead connections would fill the limit of their key, as nothing else ends them."""
    network = PkTcpNetwork(SERVER, listen=[LOOPBACK])
    async with serving(network), await PkTcpNetwork(HONEST).dial(network.addresses[0], owner=ME) as conn:
        await ask(conn)
        keeps_alive = []
        for found in PROCESS.net_connections("tcp4"):
            if len(found.raddr) and {found.laddr.port, found.raddr.port} == {conn.local.port, conn.remote.port}:
                with socket.socket(fileno=os.dup(found.fd)) as one:
                    keeps_alive.append(one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        assert keeps_alive == [1, 1]


# What must not end the serving


async def test_a_shortage_of_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with target(limits=Limits()) as attacked:
        with ExitStack() as clients, ExitStack() as shortage:
            waiting = [clients.enter_context(socket.socket()) for _ in range(10)]
            shortage.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
            resource.setrlimit(resource.RLIMIT_NOFILE, (PROCESS.num_fds() + 20, hard))
            with suppress(OSError):  # too many open files
                while True:
                    shortage.callback(os.close, os.dup(waiting[0].fileno()))
            for client in waiting:
                client.connect(("127.0.0.1", attacked.address.port))
                await attacked.echoes()
            shortage.close()
            with fail_after(PATIENCE):
                await dial_and_ask(attacked.address)
        await attacked.is_unharmed()


class FailingDispatcher:
    """A dispatcher with a mistake in it, for one peer."""

    def admit(self, network: str, port: int, peer: PubKey) -> Owner | None:
        if peer == ROGUE.public:
            raise RuntimeError("a mistake")
        return ME

    async def handle(self, conn: Conn) -> None:
        await echo(conn)


async def test_a_dispatcher_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    network = PkTcpNetwork(SERVER, listen=[LOOPBACK])
    async with create_task_group() as task_group:
        await task_group.start(network.serve, FailingDispatcher())
        async with await PkTcpNetwork(HONEST).dial(network.addresses[0], owner=ME) as honest:
            await ask(honest)
            async with await PkTcpNetwork(ROGUE).dial(network.addresses[0], owner=ME) as conn:
                with fail_after(PATIENCE), pytest.raises((EndOfStream, StreamBroken)):
                    await conn.receive()
            await ask(honest)
        task_group.cancel_scope.cancel()
    assert "a mistake" in caplog.text


async def test_a_reset_is_no_failure_of_a_handler_that_runs_tasks(caplog: pytest.LogCaptureFixture) -> None:
    """Or any peer could fill the log with tracebacks."""

    async def run_tasks(conn: Conn) -> None:
        async with create_task_group() as task_group:
            task_group.start_soon(echo, conn)
            task_group.start_soon(hold, conn)

    network = PkTcpNetwork(SERVER, listen=[LOOPBACK])
    async with serving(network, run_tasks, ROGUE.public):
        for by_reset in (False, True):
            attack = Attack(await anyio.connect_tcp("127.0.0.1", network.addresses[0].port))
            keys = await attack.shake_hands(ROGUE)
            await attack.send(record(keys.send, 1, b"x"))
            await attack.receive_frame()
            await (attack.reset() if by_reset else attack.stream.aclose())
            await until(lambda: network.stats.live == 0)
    assert [entry.message for entry in caplog.records if entry.levelno >= logging.WARNING] == []


def streams() -> int:
    """How many TCP streams there are in memory."""
    gc.collect()
    return sum(issubclass(type(each), TcpStream) for each in gc.get_objects())


async def test_the_end_of_serving_leaves_nothing_open() -> None:
    """At whichever step a connection is just being taken in."""
    before = streams()
    open_files: list[int] = []
    for steps in [*range(20), *range(20)]:
        network = PkTcpNetwork(SERVER, listen=[LOOPBACK])
        async with serving(network):
            with socket.create_connection(("127.0.0.1", network.addresses[0].port)) as connection:
                connection.send(frame(initiator(ROGUE).write_message()))
                for _ in range(steps):
                    await checkpoint()
                connection.shutdown(socket.SHUT_WR)
        assert (network.stats.half_open, network.stats.live) == (0, 0)
        for _ in range(5):  # in which event loops close what they were told to
            await checkpoint()
        open_files.append(PROCESS.num_fds())
    assert open_files[20:] == [open_files[19]] * 20
    assert streams() == before


async def test_a_dial_by_name_that_is_cancelled_leaves_nothing_open() -> None:
    """At each of its awaits."""
    async with serving(PkTcpNetwork(SERVER, listen=[LOOPBACK])) as network:
        address = Address("tcp", SERVER.public, network.addresses[0].port, "localhost")

        async def dial() -> None:
            await dial_and_ask(address)

        async def nothing_is_left() -> None:
            await until(lambda: network.stats.live == network.stats.half_open == 0)
            for _ in range(5):
                await checkpoint()

        await dial()
        await nothing_is_left()
        before = streams()
        assert await at_each_await(dial, nothing_is_left) > 3
        assert streams() == before


async def test_a_peer_that_resets_before_the_dial_has_begun_to_speak() -> None:
    """At each step of the event loop."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        address = Address("tcp", SERVER.public, listener.getsockname()[1], "127.0.0.1")
        for steps in range(20):
            async with create_task_group() as task_group:

                async def accept_and_reset(steps: int = steps) -> None:
                    await wait_readable(listener)
                    connection, _ = listener.accept()
                    for _ in range(steps):
                        await checkpoint()
                    reset_now(connection)

                task_group.start_soon(accept_and_reset)
                with pytest.raises((PeerRefused, Unreachable)) as caught:
                    await PkTcpNetwork(HONEST).dial(address, owner=ME)
                assert "descriptor" not in str(caught.value)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
async def test_a_host_is_dialled_by_name_or_address(name: str) -> None:
    async with serving(PkTcpNetwork(SERVER, listen=[HostPort("localhost", 0)])) as network:
        await dial_and_ask(Address("tcp", SERVER.public, network.addresses[-1].port, name))


async def test_a_name_that_nobody_knows() -> None:
    with pytest.raises(Unreachable, match="no-such-host"):
        await PkTcpNetwork(HONEST).dial(Address("tcp", SERVER.public, 80, "no-such-host.invalid"), owner=ME)
    with pytest.raises(ListenError, match="no-such-host"):
        await PkTcpNetwork(SERVER, listen=[HostPort("no-such-host.invalid", 0)]).serve(SingleHandler(echo))
