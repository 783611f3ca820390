"""One definition, three isolations: each test runs unchanged in all of them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from anyio import EndOfStream, create_task_group, fail_after

from skywire import EVERYONE, Address, Conn, ListenError, MemoryNetwork, Owner, SecKey, SkywireError
from skywire.app import PortTaken
from skywire.app.command import NoSuchCommand
from skywire.app.connections import Direction
from skywire.app.definition import Isolation
from skywire.app.status import State
from skywire.app.typed_json import MisfitError
from skywire.net.conn import CORE
from skywire.net.errors import PeerRefused
from skywire.net.network import SingleHandler
from skywire.net.serving import serving
from skywire.wire.records import MAX_RECORD
from tests.isolation import apps
from tests.isolation.places import PATIENCE, Place, become, hello_options, place

pytestmark = pytest.mark.anyio

ME = Owner("tester")
PEER = SecKey(bytes([7]) * 32)


@pytest.fixture(params=list(Isolation), ids=str)
def isolation(request: pytest.FixtureRequest) -> Isolation:
    chosen: Isolation = request.param
    return chosen


@asynccontextmanager
async def everything(folder: Path, isolation: Isolation, options: apps.Options | None = None) -> AsyncIterator[Place]:
    async with place(folder) as here:
        info = await here.run(here.config("everything", isolation, options))
        assert (info.state, info.reason) == (State.RUNNING, "")
        yield here


async def dial(here: Place, port: int | None, identity: SecKey = PEER) -> Conn:
    assert port is not None
    network = MemoryNetwork(identity, here.hub)
    return await network.dial(Address("memory", here.surroundings.public, port), owner=ME)


async def test_hello_greets(tmp_path: Path, isolation: Isolation) -> None:
    async with place(tmp_path) as here:
        info = await here.run(here.config("hello", isolation, hello_options("Good morning")))
        assert (info.state, info.reason, info.isolation) == (State.RUNNING, "", isolation)
        async with here.registry.self_dial(4000, owner=ME) as conn:
            assert await conn.receive() == f"Good morning, {here.surroundings.public}!\n".encode()
        async with await dial(here, 4000) as conn:
            assert await conn.receive() == f"Good morning, {PEER.public}!\n".encode()
            with pytest.raises(EndOfStream):
                await conn.receive()
        info = await here.launcher.stop("hello")
        assert (info.state, info.reason) == (State.STOPPED, "")
        assert here.registry.list() == ()


async def test_records_keep_their_borders(tmp_path: Path, isolation: Isolation) -> None:
    records = [bytes([number]) * size for number, size in enumerate([1, 2, MAX_RECORD, 100, MAX_RECORD - 1])] * 20
    async with everything(tmp_path, isolation) as here, await dial(here, apps.RECORDS.overlay) as conn:
        for record in records:
            await conn.send_record(record)
        assert [await conn.receive_record() for _ in records] == records


async def test_much_goes_each_way(tmp_path: Path, isolation: Isolation) -> None:
    size = (64 if isolation is Isolation.CHILD else 16) << 20
    block = bytes(range(256)) * 1024
    async with everything(tmp_path, isolation) as here:
        async with await dial(here, apps.DIGEST.overlay) as conn:
            await conn.send_record(str(size).encode())
            for _ in range(size // len(block)):
                await conn.send(block)
            assert await conn.receive_record() == hashlib.sha256(block * (size // len(block))).digest()
        async with await dial(here, apps.FLOOD.overlay) as conn:
            await conn.send_record(str(size).encode())
            sha256 = hashlib.sha256()
            async for data in conn:
                sha256.update(data)
            assert sha256.digest() == hashlib.sha256(block * (size // len(block))).digest()


async def test_an_end_is_no_break(tmp_path: Path, isolation: Isolation) -> None:
    async with everything(tmp_path, isolation) as here:
        async with await dial(here, apps.FAREWELL.overlay) as conn:
            assert await conn.receive() == b"bye"
            with pytest.raises(EndOfStream):
                await conn.receive()
        async with here.registry.self_dial(apps.SUM.overlay or 0, owner=ME) as conn:
            await conn.send(bytes(100_000))
            await conn.send_eof()
            assert await conn.receive() == b"100000"


async def test_connections_are_listed_with_what_went_over_them(tmp_path: Path, isolation: Isolation) -> None:
    async with everything(tmp_path, isolation) as here, await dial(here, apps.ECHO.overlay) as conn:
        await conn.send(bytes(1000))
        received = 0
        while received < 1000:
            received += len(await conn.receive())
        (info,) = here.surroundings.connections.of("everything")
        assert (info.direction, info.peer, info.local_port) == (Direction.IN, PEER.public, apps.ECHO.overlay)
        assert (info.bytes_in, info.bytes_out) == (1000, 1000)


async def test_ports_are_served_as_asked_for(tmp_path: Path, isolation: Isolation) -> None:
    async with everything(tmp_path, isolation, apps.Options(chosen=PEER.public)) as here:
        served = {each.port: each for each in here.registry.list()}
        assert {each.owner.name for each in served.values()} == {"everything"}
        assert served[4100].label == "an echo"
        assert (served[4100].hidden, served[4101].hidden) == (False, True)
        with pytest.raises(PeerRefused):
            await dial(here, apps.SUM.overlay)
        async with await dial(here, apps.CHOSEN.overlay) as conn:
            await conn.send(b"me")
            assert await conn.receive() == b"me"
        try:
            async with await dial(here, apps.CHOSEN.overlay, SecKey(bytes([8]) * 32)) as conn:
                with pytest.raises(EndOfStream):
                    await conn.receive()
        except PeerRefused:
            pass  # said at once where the list is at hand


async def test_a_port_is_taken_and_given_up(tmp_path: Path, isolation: Isolation) -> None:
    async with everything(tmp_path, isolation) as here:
        taken = here.registry.register(4200, never, label="mine", owner=CORE, peers=EVERYONE)
        with pytest.raises(PortTaken, match=r"port 4200 of dmsg is served by core \(mine\)"):
            await here.call("everything", "take", number=4200)
        await here.registry.unregister(taken)
        await here.call("everything", "take", number=4200)
        async with here.registry.self_dial(4200, owner=ME) as conn:
            await conn.send(b"mine now")
            assert await conn.receive() == b"mine now"
        await here.call("everything", "give", number=4200)
        await become(lambda: here.registry.get("dmsg", 4200) is None)
        await here.call("everything", "take", number=4200)


async def never(conn: Conn) -> None:
    raise AssertionError("nobody was to come")


async def test_it_dials_as_itself(tmp_path: Path, isolation: Isolation) -> None:
    seen: list[Address] = []

    async def answer(conn: Conn) -> None:
        seen.append(conn.remote)
        text = b"".join([data async for data in conn])
        await conn.send(b"you said " + text)

    peer = SingleHandler(answer, peers=EVERYONE, port=80)
    async with everything(tmp_path, isolation) as here, serving(MemoryNetwork(PEER, here.hub), peer):
        there = Address("memory", PEER.public, 80)
        assert await here.call("everything", "dial", text=f"{there} hello") == {"text": "you said hello"}
        assert [each.pk for each in seen] == [here.surroundings.public]
        nowhere = Address("memory", PEER.public, 81)
        refused = f"PeerRefused: cannot reach {nowhere}: this key is not admitted to that port"
        assert await here.call("everything", "dial", text=f"{nowhere} hello") == {"text": refused}
        other = SecKey(bytes([9]) * 32).public
        away = f"Unreachable: cannot reach memory://{other}:80: that key serves nothing here"
        assert await here.call("everything", "dial", text=f"memory://{other}:80 hello") == {"text": away}
        with pytest.raises(SkywireError, match="runs as visor-app, which has no skynet network"):
            await here.call("everything", "dial", text=f"skynet://{other}:80 hello")


async def test_commands_are_answered(tmp_path: Path, isolation: Isolation) -> None:
    async with everything(tmp_path, isolation) as here:
        answers = here.launcher.answers("everything")
        assert await answers.call("double", {"number": 21}) == {"number": 42}
        assert [item async for item in answers.stream("count", {"number": 1000})] == [
            {"number": number} for number in range(1000)
        ]
        with pytest.raises(MisfitError, match=r"double\.number: a whole number is expected"):
            await answers.call("double", {"number": "x"})
        with pytest.raises(SkywireError, match=r"^as planned$"):
            await answers.call("fail", {"text": "ours"})
        with pytest.raises((SkywireError, ZeroDivisionError)):
            await answers.call("fail", {"text": "other"})
        for name in ("unheard-of", "show"):
            with pytest.raises(NoSuchCommand):
                await answers.call(name, {})


async def test_many_commands_at_a_time(tmp_path: Path, isolation: Isolation) -> None:
    async with everything(tmp_path, isolation) as here:

        async def ask(number: int) -> None:
            assert await here.call("everything", "double", number=number) == {"number": 2 * number}

        async with create_task_group() as tasks:
            for number in range(40):
                tasks.start_soon(ask, number)


async def test_it_says_how_it_is(tmp_path: Path, isolation: Isolation) -> None:
    async with everything(tmp_path, isolation) as here:
        await here.call("everything", "report", text="the exit does not answer")
        info = await here.until("everything", lambda info: info.state is State.DEGRADED)
        assert (info.reason, info.status.facts) == ("the exit does not answer", {"peers": 2})
        await here.call("everything", "report", text="")
        await here.until("everything", lambda info: info.state is State.RUNNING)


async def test_its_lines_are_in_its_log(tmp_path: Path, isolation: Isolation) -> None:
    async with everything(tmp_path, isolation) as here:
        await here.call("everything", "say", text="so it is")
        wanted = {(logging.WARNING, "skywire.app.everything: so it is")}
        if isolation is not Isolation.ATTACHED:  # which shares this process here, so that its lines come by two ways
            wanted.add((logging.ERROR, "some.library: so it is of a library"))
        found: set[tuple[int, str]] = set()
        with fail_after(PATIENCE):
            while not wanted <= found:  # they come by several ways, in any order
                found = {(line.level, line.text) for line in await here.logs.read("everything")}


async def test_local_ports_are_listed(tmp_path: Path, isolation: Isolation) -> None:
    async with everything(tmp_path, isolation) as here:
        answer = await here.call("everything", "listen", number=0)
        (port,) = here.surroundings.local_ports.list()
        assert (port.address, port.owner, port.label) == (("127.0.0.1", answer["number"]), "everything", "a page")
        with pytest.raises(ListenError, match=f"cannot listen on 127.0.0.1:{answer['number']}"):
            await here.call("everything", "listen", number=answer["number"])
        await here.launcher.stop("everything")
        assert here.surroundings.local_ports.list() == ()


async def test_secrets_and_folders_are_its_own(tmp_path: Path, isolation: Isolation) -> None:
    async with everything(tmp_path, isolation, apps.Options(secret="not for others")) as here:
        facts = await here.call("everything", "facts")
        assert (facts["secret"], facts["data"]) == ("not for others", str(tmp_path / "data" / "everything"))
        assert "not for others" not in str(facts["environment"])


async def test_it_ends_with_its_connections(tmp_path: Path, isolation: Isolation) -> None:
    async with everything(tmp_path, isolation) as here:
        conn = await dial(here, apps.ECHO.overlay)
        await conn.send(b"x")
        assert await conn.receive() == b"x"
        assert (await here.launcher.stop("everything")).state is State.STOPPED
        with fail_after(PATIENCE), pytest.raises(EndOfStream):
            await conn.receive()
        await conn.aclose()
        assert here.surroundings.connections.of("everything") == ()
