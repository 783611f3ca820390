"""Where key-encrypted TCP listens, and what must not end its serving."""

from __future__ import annotations

import logging
import os
import resource
import socket
from contextlib import ExitStack, suppress

import anyio
import pytest
from anyio import (
    EndOfStream,
    create_task_group,
    fail_after,
)
from anyio.lowlevel import checkpoint

from skywire import (
    Address,
    Conn,
    DialOptions,
    HostPort,
    ListenError,
    Owner,
    PkTcpNetwork,
    SingleHandler,
    StreamBroken,
    Unreachable,
)
from skywire.keys import PubKey
from skywire.pktcp import Limits
from skywire.wire.records import frame
from tests.pktcp.attacker import (
    HONEST,
    ME,
    PATIENCE,
    ROGUE,
    SERVER,
    Attack,
    initiator,
    record,
    target,
    until,
)
from tests.pktcp.peers import LOOPBACK, PROCESS, ask, dial_and_ask, echo, hold, serving, streams

pytestmark = pytest.mark.anyio


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
