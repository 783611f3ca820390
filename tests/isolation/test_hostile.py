"""What a process that is broken or wicked can do: nothing to others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from anyio import BrokenResourceError, EndOfStream, create_task_group, fail_after

from skywire import EVERYONE, Address, Conn, MemoryNetwork, Owner, SecKey, StreamBroken
from skywire.app.definition import Isolation
from skywire.app.status import State
from skywire.isolation import interfaces
from skywire.net.conn import CORE
from skywire.net.network import SingleHandler
from skywire.net.serving import serving
from tests.isolation.places import IMPATIENT, PATIENCE, Place, become, place
from tests.isolation.raw import Raw, attached

pytestmark = pytest.mark.anyio

ME = Owner("tester")


@asynccontextmanager
async def wicked(folder: Path) -> AsyncIterator[tuple[Place, Raw]]:
    async with place(folder, IMPATIENT) as here:
        await here.launcher.add(here.config("hello", Isolation.ATTACHED))
        await left(here)
        async with attached(here, "hello") as raw:
            await raw.started()
            await here.until("hello", lambda info: info.state is State.RUNNING)
            yield here, raw


async def left(here: Place) -> str:
    return (await here.until("hello", lambda info: info.state is State.DEGRADED)).reason


async def read_to_the_end(raw: Raw) -> None:
    while True:
        await raw.host.receive()


def error_of(answer: dict[str, object]) -> str:
    error = answer["error"]
    assert isinstance(error, dict)
    return str(error["message"])


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(4),
        b"\0\0\0\2[]",
        b"\0\0\0\2{}",
        b"\xff" * 8,
        (1 << 20).to_bytes(4, "big") + b"{",
    ],
    ids=["http", "empty", "list", "no call", "too long", "torn"],
)
async def test_garbage_where_the_host_is_called(tmp_path: Path, garbage: bytes) -> None:
    async with wicked(tmp_path) as (here, raw):
        await raw.host.send(garbage)
        await raw.host.send_eof()
        with fail_after(PATIENCE), pytest.raises((EndOfStream, BrokenResourceError)):
            await read_to_the_end(raw)
        assert here.launcher.get("hello").state is State.RUNNING  # it still can be asked to stop
        await raw.link.aclose()
        assert "has left" in await left(here)


async def test_garbage_where_the_host_calls(tmp_path: Path) -> None:
    async with wicked(tmp_path) as (here, raw):
        await raw.instance.send(b"\0\0\0\3{}}")
        assert (await here.launcher.stop("hello")).state is State.STOPPED


@pytest.mark.parametrize("answer", [{"result": 5}, {"error": 5}, {"error": {"message": "no"}}], ids=str)
async def test_a_wrong_answer_to_the_first_call(tmp_path: Path, answer: dict[str, object]) -> None:
    async with place(tmp_path, IMPATIENT) as here:
        await here.launcher.add(here.config("hello", Isolation.ATTACHED))
        async with attached(here, "hello") as raw:
            await raw.called.send({"jsonrpc": "2.0", "id": 1, **answer})
            info = await here.until("hello", lambda info: "has left (" in info.reason)
            assert info.state is State.DEGRADED


async def test_a_word_on_the_link_is_its_end(tmp_path: Path) -> None:
    async with wicked(tmp_path) as (here, raw):
        await raw.link.send(b"x")
        assert "has left" in await left(here)


async def test_descriptors_on_the_link_are_not_taken(tmp_path: Path) -> None:
    async with wicked(tmp_path) as (here, raw):
        await raw.link.send_with_descriptor(b"x", 0)
        assert "has left" in await left(here)


async def test_others_ports_are_not_given_and_limits_hold(tmp_path: Path) -> None:
    async def never(conn: Conn) -> None:
        raise AssertionError

    async with wicked(tmp_path) as (here, raw):
        here.registry.register(4500, never, label="mine", owner=CORE, peers=frozenset())
        served = {"label": "x" * 5000, "peers": None, "hidden": False}
        assert "is served by core" in error_of(await raw.call("host.serve", number=16, port=4500, **served))
        assert "a port is 1 to 65535" in error_of(await raw.call("host.serve", number=16, port=0, **served))
        assert "a number is new" in error_of(await raw.call("host.serve", number=3, port=4600, **served))
        assert "there is no such argument" in error_of(await raw.call("host.serve", number=16, owner="core"))
        for number in range(interfaces.MAX_SERVED):
            assert "result" in await raw.call("host.serve", number=16 + number, port=4600 + number, **served)
        assert "64 ports at most" in error_of(await raw.call("host.serve", number=1000, port=4999, **served))
        assert "a number is new" in error_of(await raw.call("host.serve", number=16, port=4999, **served))
        registration = here.registry.get("dmsg", 4600)
        assert registration is not None
        assert (registration.owner.name, len(registration.label)) == ("hello", interfaces.MAX_TEXT)
        await raw.link.aclose()
        await left(here)
        assert [each.port for each in here.registry.list()] == [4500]


async def test_what_it_says_is_cut(tmp_path: Path) -> None:
    async with wicked(tmp_path) as (here, raw):
        facts = {str(number): "x" * 5000 for number in range(100)}
        assert "result" in await raw.call("host.report", status={"trouble": "y" * 100_000, "facts": facts})
        info = await here.until("hello", lambda info: info.reason.startswith("y"))
        assert len(info.reason) == interfaces.MAX_TEXT
        assert len(info.status.facts) == interfaces.MAX_FACTS
        lines = [{"level": 99999, "logger": "z" * 5000, "text": "w" * 100_000}]
        assert "result" in await raw.call("host.log", lines=lines, dropped=0)
        many = [{"level": 30, "logger": "a", "text": "b"}] * 257
        assert "at most 256 lines" in error_of(await raw.call("host.log", lines=many, dropped=0))
        (line,) = [line for line in await here.logs.read("hello") if "www" in line.text]
        assert len(line.text) == interfaces.MAX_TEXT + len(": ") + interfaces.MAX_LINE
        places = ["127.0.0.1:1"] * 17
        assert "16 addresses each" in error_of(await raw.call("host.listening", number=16, addresses=places, label=""))


async def test_it_cannot_dial_without_end(tmp_path: Path) -> None:
    async with wicked(tmp_path) as (here, raw):
        assert "above 0 seconds" in error_of(
            await raw.call("host.dial", number=16, address=f"memory://{here.surroundings.public}:1", timeout=0)
        )


@pytest.mark.parametrize("said", [b"\xff\xfe", b"\x10\x00", b"\x00\x05abc"], ids=["far too long", "too long", "torn"])
async def test_garbage_on_a_connection_costs_that_one(tmp_path: Path, said: bytes) -> None:
    async with wicked(tmp_path) as (here, raw):
        assert "result" in await raw.call("host.serve", number=16, port=4000, label="", peers=None, hidden=False)
        network = MemoryNetwork(SecKey(bytes([5]) * 32), here.hub)
        address = Address("memory", here.surroundings.public, 4000)
        async with await network.dial(address, owner=ME) as first, await network.dial(address, owner=ME) as second:
            sockets = [(await raw.take())[1] for _ in range(2)]
            async with sockets[0], sockets[1]:
                await sockets[0].send(said)
                await sockets[0].send_eof()
                with fail_after(PATIENCE), pytest.raises((EndOfStream, StreamBroken)):
                    await first.receive()
                await sockets[1].send(b"\0\2hi")
                assert await second.receive() == b"hi"


async def test_one_that_takes_no_connections_keeps_nobody_waiting(tmp_path: Path) -> None:
    async with wicked(tmp_path) as (here, raw):
        assert "result" in await raw.call("host.serve", number=16, port=4000, label="", peers=None, hidden=False)
        network = MemoryNetwork(SecKey(bytes([5]) * 32), here.hub)
        address = Address("memory", here.surroundings.public, 4000)
        async with AsyncExitStack() as stack:
            conns = [await stack.enter_async_context(await network.dial(address, owner=ME)) for _ in range(300)]

            async def send(conn: Conn) -> None:
                try:
                    while True:
                        await conn.send(bytes(65536))
                except StreamBroken:
                    pass

            async with create_task_group() as tasks:
                for conn in conns:
                    tasks.start_soon(send, conn)
                with fail_after(PATIENCE):
                    assert (await here.launcher.stop("hello")).state is State.STOPPED
        assert here.surroundings.connections.of("hello") == ()


async def test_one_that_answers_nothing_is_stopped_in_time(tmp_path: Path) -> None:
    async with place(tmp_path, IMPATIENT) as here:
        await here.launcher.add(here.config("hello", Isolation.ATTACHED))
        async with attached(here, "hello"):
            with fail_after(5):
                assert (await here.launcher.stop("hello")).state is State.STOPPED


async def test_a_process_speaks_for_its_own_instance_only(tmp_path: Path) -> None:
    seen: list[str] = []

    async def look(conn: Conn) -> None:
        seen.append(str(conn.remote.pk))

    peer = SecKey(bytes([6]) * 32)
    async with (
        wicked(tmp_path) as (here, raw),
        serving(MemoryNetwork(peer, here.hub), SingleHandler(look, peers=EVERYONE)),
    ):
        there = Address("memory", peer.public, 80)
        assert "result" in await raw.call("host.dial", number=16, address=str(there), timeout=5)
        number, sock = await raw.take()
        async with sock:
            assert number == 16
            (info,) = here.surroundings.connections.of()
            assert info.owner == "hello"
        await become(lambda: here.surroundings.connections.of() == ())
        assert seen == [str(here.surroundings.public)]
