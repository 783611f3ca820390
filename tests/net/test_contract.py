"""What every network promises, held against each of them."""

from __future__ import annotations

import hashlib
import time

import pytest
from anyio import (
    BusyResourceError,
    ClosedResourceError,
    EndOfStream,
    Event,
    create_task_group,
    fail_after,
    sleep_forever,
    wait_all_tasks_blocked,
)
from anyio.lowlevel import checkpoint

from skywire import (
    EVERYONE,
    Address,
    Conn,
    DialError,
    DialOptions,
    HalfCloseUnsupported,
    Owner,
    StreamBroken,
    Unreachable,
)
from skywire.wire.records import MAX_RECORD
from tests.net.cancelling import at_each_await
from tests.net.meetings import CLIENT, ME, MEETINGS, SERVER, STRANGER, Meeting, Port, Served

pytestmark = pytest.mark.anyio


@pytest.fixture(params=MEETINGS, autouse=True)
def meeting(request: pytest.FixtureRequest) -> Meeting:
    return MEETINGS[request.param]


async def echo(conn: Conn) -> None:
    async for data in conn:
        await conn.send(data)


async def echo_records(conn: Conn) -> None:
    while True:
        await conn.send_record(await conn.receive_record())


async def hold(conn: Conn) -> None:
    await sleep_forever()


async def receive_exactly(conn: Conn, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        data += await conn.receive(size - len(data))
    return bytes(data)


async def nothing_is_live(served: Served) -> None:
    """Wait until the serving side has noticed that its connections are over."""
    with fail_after(5):
        while served.table.live:
            await checkpoint()


async def test_bytes_arrive_in_order(meeting: Meeting) -> None:
    pieces = [bytes([n]) * size for n, size in enumerate([1, 4070, 4071, 64, 100_000, 2, 300_000])]
    async with meeting(Port(echo)) as served, await served.dial() as conn:
        async with create_task_group() as task_group:

            async def send_all() -> None:
                for piece in pieces:
                    await conn.send(piece)

            task_group.start_soon(send_all)
            assert await receive_exactly(conn, sum(map(len, pieces))) == b"".join(pieces)
        assert conn.bytes_out == conn.bytes_in == sum(map(len, pieces))


async def test_64_mib(meeting: Meeting) -> None:
    size = 64 << 20
    block = bytes(range(256)) * 4096

    async def digest(conn: Conn) -> None:
        sha256 = hashlib.sha256()
        left = size
        while left:
            data = await conn.receive(262144)
            sha256.update(data)
            left -= len(data)
        await conn.send(sha256.digest())

    async with meeting(Port(digest)) as served, await served.dial() as conn:
        for _ in range(size // len(block)):
            await conn.send(block)
        assert await receive_exactly(conn, 32) == hashlib.sha256(block * (size // len(block))).digest()


async def test_an_empty_send_sends_nothing(meeting: Meeting) -> None:
    async with meeting(Port(echo)) as served, await served.dial() as conn:
        await conn.send(b"")
        await conn.send(b"x")
        assert await conn.receive() == b"x"


async def test_records_keep_their_borders(meeting: Meeting) -> None:
    records = [bytes([n]) * size for n, size in enumerate([1, 2, MAX_RECORD, 100, MAX_RECORD - 1])] * 20
    async with meeting(Port(echo_records)) as served, await served.dial() as conn:
        for record in records:
            await conn.send_record(record)
        assert [await conn.receive_record() for _ in records] == records


async def test_records_read_as_bytes_and_the_rest_as_a_record(meeting: Meeting) -> None:
    async with meeting(Port(echo_records)) as served, await served.dial() as conn:
        await conn.send_record(b"abcdef")
        assert await conn.receive(2) == b"ab"
        assert await conn.receive_record() == b"cdef"
        await conn.send_record(b"gh")
        await conn.send_record(b"ij")
        data = await conn.receive(1)
        while len(data) < 4:
            data += await conn.receive(100)
        assert data == b"ghij"


@pytest.mark.parametrize("size", [0, MAX_RECORD + 1])
async def test_what_is_no_record_is_refused_and_harms_nothing(meeting: Meeting, size: int) -> None:
    async with meeting(Port(echo)) as served, await served.dial() as conn:
        with pytest.raises(ValueError, match="4070"):
            await conn.send_record(bytes(size))
        with pytest.raises(ValueError, match="at least 1"):
            await conn.receive(0)
        await conn.send_record(b"fine")
        assert await conn.receive_record() == b"fine"


async def test_a_large_read_takes_what_is_there(meeting: Meeting) -> None:
    async def three(conn: Conn) -> None:
        await conn.send(b"a" * 5000)

    async with meeting(Port(three)) as served, await served.dial() as conn:
        assert await receive_exactly(conn, 5000) == b"a" * 5000
        with pytest.raises(EndOfStream):
            await conn.receive()


async def test_the_end_stays_the_end(meeting: Meeting) -> None:
    async def farewell(conn: Conn) -> None:
        await conn.send(b"bye")

    async with meeting(Port(farewell)) as served, await served.dial() as conn:
        assert await conn.receive() == b"bye"
        for _ in range(2):
            with pytest.raises(EndOfStream):
                await conn.receive()
            with pytest.raises(EndOfStream):
                await conn.receive_record()


async def test_sending_to_who_is_gone_breaks(meeting: Meeting) -> None:
    async def leave(conn: Conn) -> None:
        await conn.receive()

    async with meeting(Port(leave)) as served, await served.dial() as conn:
        await conn.send(b"x")

        async def send_on() -> None:
            while True:
                await conn.send(bytes(10_000))

        with fail_after(10), pytest.raises(StreamBroken):
            await send_on()
        with pytest.raises(StreamBroken):
            await conn.send(b"once more")


async def test_a_closed_connection_says_so(meeting: Meeting) -> None:
    async with meeting(Port(echo)) as served:
        conn = await served.dial()
        await conn.aclose()
        await conn.aclose()
        with pytest.raises(ClosedResourceError):
            await conn.receive()
        with pytest.raises(ClosedResourceError):
            await conn.send(b"x")
        await nothing_is_live(served)


async def test_closing_wakes_who_waits(meeting: Meeting) -> None:
    async with meeting(Port(hold)) as served:
        conn = await served.dial()
        async with create_task_group() as task_group:

            async def wait_for_data() -> None:
                with pytest.raises(ClosedResourceError):
                    await conn.receive()

            task_group.start_soon(wait_for_data)
            await wait_all_tasks_blocked()
            await conn.aclose()


async def test_one_direction_can_end(meeting: Meeting) -> None:
    async def sum_up(conn: Conn) -> None:
        total = 0
        async for data in conn:
            total += len(data)
        await conn.send(str(total).encode())

    async with meeting(Port(sum_up)) as served, await served.dial() as conn:
        if not conn.half_close:
            with pytest.raises(HalfCloseUnsupported, match="cannot end one direction"):
                await conn.send_eof()
            return
        await conn.send(bytes(100_000))
        await conn.send_eof()
        assert await conn.receive() == b"100000"
        with pytest.raises(EndOfStream):
            await conn.receive()
        await conn.send_eof()
        with pytest.raises(ClosedResourceError):
            await conn.send(b"after the end")


async def test_a_direction_is_of_one_task_at_a_time(meeting: Meeting) -> None:
    async with meeting(Port(hold)) as served, await served.dial() as conn, create_task_group() as task_group:
        task_group.start_soon(conn.receive)
        await wait_all_tasks_blocked()
        with pytest.raises(BusyResourceError):
            await conn.receive_record()

        async def send_until_full() -> None:
            while True:
                await conn.send(bytes(262144))

        task_group.start_soon(send_until_full)
        await wait_all_tasks_blocked()
        with pytest.raises(BusyResourceError):
            await conn.send(b"x")
        task_group.cancel_scope.cancel()


async def test_a_sender_waits_for_a_slow_reader(meeting: Meeting) -> None:
    go_on = Event()
    size = 64 << 20
    sent = 0

    async def slow(conn: Conn) -> None:
        await go_on.wait()
        async for _ in conn:
            pass

    async with meeting(Port(slow)) as served, await served.dial() as conn, create_task_group() as task_group:

        async def send_all() -> None:
            nonlocal sent
            while sent < size:
                await conn.send(bytes(65536))
                sent += 65536

        task_group.start_soon(send_all)
        await wait_all_tasks_blocked()
        assert 0 < sent < size
        go_on.set()


async def test_ports_and_peers_are_told_apart(meeting: Meeting) -> None:
    async def first(conn: Conn) -> None:
        await conn.send(f"first for {conn.owner}".encode())

    async def second(conn: Conn) -> None:
        await conn.send(f"second for {conn.owner}, from {conn.remote.pk}".encode())

    ports = Port(first, owner=Owner("one")), Port(second, EVERYONE, Owner("two"))
    async with meeting(*ports) as served:
        async with await served.dial(0) as conn:
            assert await conn.receive() == b"first for one"
        async with await served.dial(1) as conn:
            assert await conn.receive() == f"second for two, from {CLIENT.public}".encode()
        async with await served.dial(1, STRANGER) as conn:
            assert await conn.receive() == f"second for two, from {STRANGER.public}".encode()


async def test_who_is_not_admitted_gets_nothing(meeting: Meeting) -> None:
    handled = False

    async def never(conn: Conn) -> None:
        nonlocal handled
        handled = True

    async with meeting(Port(never), Port(echo, peers=frozenset())) as served:
        for port, identity in ((0, STRANGER), (1, CLIENT)):
            try:
                async with await served.dial(port, identity) as conn:
                    with pytest.raises((EndOfStream, StreamBroken)):
                        await conn.receive()
            except DialError as error:
                assert error.address == served.addresses[port]  # noqa: PT017
        assert not handled


async def test_the_facts_of_a_connection(meeting: Meeting) -> None:
    seen: list[Conn] = []

    async def look(conn: Conn) -> None:
        seen.append(conn)
        await conn.send(await conn.receive())

    before = time.time()
    async with meeting(Port(look)) as served, await served.dial() as conn:
        await conn.send(b"four")
        await conn.receive()
        with pytest.raises(EndOfStream):
            await conn.receive()
        other = seen[0]
        assert conn.remote == served.addresses[0]
        assert (conn.local.pk, other.local.pk) == (CLIENT.public, SERVER.public)
        assert other.remote == conn.local
        assert (other.local.port, conn.network) == (conn.remote.port, conn.remote.network)
        assert (conn.owner, other.owner) == (ME, Owner("served"))
        assert (conn.bytes_in, conn.bytes_out, other.bytes_in, other.bytes_out) == (4, 4, 4, 4)
        assert before <= conn.opened <= time.time()
        assert str(conn.remote) in repr(conn)


async def test_a_failing_handler_harms_only_its_connection(meeting: Meeting, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(conn: Conn) -> None:
        raise RuntimeError("as planned")

    async with meeting(Port(fail), Port(echo)) as served, await served.dial(1) as witness:
        async with await served.dial(0) as conn:
            with pytest.raises((EndOfStream, StreamBroken)):
                await conn.receive()
        await witness.send(b"still here")
        assert await witness.receive() == b"still here"
    assert "as planned" in caplog.text


async def test_nobody_there(meeting: Meeting) -> None:
    async with meeting(Port(echo)) as served:
        address, dialler = served.addresses[0], served.dialler(CLIENT)
        await served.stop()
        with pytest.raises(Unreachable, match="cannot reach") as caught:
            await dialler.dial(address, owner=ME)
        assert caught.value.address == address
        with pytest.raises(ValueError, match="cannot dial"):
            await dialler.dial(Address("skynet", SERVER.public, 1), owner=ME)


async def test_another_key_is_not_there(meeting: Meeting) -> None:
    async with meeting(Port(echo)) as served:
        address = served.addresses[0]
        with pytest.raises(DialError):
            await served.dialler(CLIENT).dial(
                Address(address.network, STRANGER.public, address.port, address.host), owner=ME
            )


async def test_the_end_of_serving_is_the_end_of_its_connections(meeting: Meeting) -> None:
    handling = Event()

    async def hold_on(conn: Conn) -> None:
        handling.set()
        await sleep_forever()

    async with meeting(Port(hold_on)) as served:
        conn = await served.dial()
        await handling.wait()
        assert served.table.live == 1
        served.scope.cancel()
    assert served.table.live == 0
    with pytest.raises((EndOfStream, StreamBroken)):
        await conn.receive()
    await conn.aclose()


async def test_dial_cancelled_at_each_await(meeting: Meeting) -> None:
    async with meeting(Port(echo)) as served:

        async def dial_and_use() -> None:
            async with await served.dial() as conn:
                await conn.send(b"x")
                assert await conn.receive() == b"x"

        async def check() -> None:
            await nothing_is_live(served)

        assert await at_each_await(dial_and_use, check) >= 3
        await dial_and_use()


@pytest.mark.parametrize("by_record", [False, True], ids=["bytes", "records"])
async def test_a_cancelled_receive_loses_nothing(meeting: Meeting, by_record: bool) -> None:
    async with meeting(Port(echo)) as served, await served.dial() as conn:
        received = b""
        sent = 0

        async def one() -> None:
            nonlocal received
            received += await (conn.receive_record() if by_record else conn.receive())

        async def send_one_more() -> None:
            nonlocal sent
            await conn.send(bytes([sent]))
            sent += 1

        await send_one_more()
        await at_each_await(one, send_one_more)
        while len(received) < sent:
            received += await conn.receive()
        assert received == bytes(range(sent))


@pytest.mark.parametrize("size", [1, 1_000_000])
async def test_a_cancelled_send_is_whole_or_the_last(meeting: Meeting, size: int) -> None:
    async def drain(conn: Conn) -> None:
        async for _ in conn:
            pass

    async with meeting(Port(drain)) as served:
        conn = await served.dial()
        usable = 0

        async def send() -> None:
            await conn.send(bytes(size))

        async def check() -> None:
            nonlocal conn, usable
            try:
                await conn.send(b"x")
                usable += 1
            except StreamBroken:
                await conn.aclose()
                conn = await served.dial()

        await at_each_await(send, check)
        assert usable >= 1
        await conn.aclose()
        await nothing_is_live(served)


async def test_a_cancelled_close_is_a_close(meeting: Meeting) -> None:
    async with meeting(Port(echo)) as served:

        async def open_and_close() -> None:
            conn = await served.dial()
            await conn.aclose()

        async def check() -> None:
            await nothing_is_live(served)

        await at_each_await(open_and_close, check)


async def test_serving_cancelled_at_each_await(meeting: Meeting) -> None:
    async def serve_and_use() -> None:
        async with meeting(Port(echo)) as served, await served.dial() as conn:
            await conn.send(b"x")
            assert await conn.receive() == b"x"

    await at_each_await(serve_and_use, checkpoint)
    await serve_and_use()


def test_options_and_owners_are_checked() -> None:
    for timeout in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="time-out"):
            DialOptions(timeout=timeout)
    with pytest.raises(ValueError, match="name"):
        Owner("")
    assert str(Owner("chat")) == "chat"
    assert repr(EVERYONE) == "EVERYONE"
