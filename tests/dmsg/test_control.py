"""The control protocol, over memory and over a relay."""

from __future__ import annotations

import pytest
from anyio import EndOfStream, fail_after, sleep_forever

from skywire import Conn, ProtocolError, StreamBroken
from skywire.dmsg.control import ping, serve_control
from tests.net.meetings import MEETINGS, Meeting, Port

pytestmark = pytest.mark.anyio


async def send_for_ever(conn: Conn) -> None:
    while True:
        await conn.send(b"\x09" * 4070)


@pytest.fixture(params=["memory", "dmsg"])
def meeting(request: pytest.FixtureRequest) -> Meeting:
    return MEETINGS[request.param]


async def receive_exactly(conn: Conn, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += await conn.receive(size - len(data))
    return data


async def test_pings_are_answered(meeting: Meeting) -> None:
    async with meeting(Port(serve_control)) as served, await served.dial() as conn:
        for _ in range(3):
            assert 0 < await ping(conn) < 5
        await conn.send(b"\x09" * 1000)
        assert await receive_exactly(conn, 1000) == b"\x0a" * 1000


async def test_a_pong_nobody_waits_for_is_ignored(meeting: Meeting) -> None:
    async with meeting(Port(serve_control)) as served, await served.dial() as conn:
        await conn.send(b"\x0a\x0a\x09\x0a")
        assert await receive_exactly(conn, 1) == b"\x0a"
        assert await ping(conn) > 0


@pytest.mark.parametrize("message", [b"\x00", b"\x09\x0bx", b"GET / HTTP/1.1\r\n\r\n"])
async def test_any_other_byte_is_the_end(meeting: Meeting, message: bytes) -> None:
    async with meeting(Port(serve_control)) as served, await served.dial() as conn:
        await conn.send(message)
        with pytest.raises(EndOfStream), fail_after(5):
            await conn.receive()


async def test_a_silent_peer_is_left(meeting: Meeting) -> None:
    async def serve(conn: Conn) -> None:
        await serve_control(conn, silence_seconds=0.01)

    async with meeting(Port(serve)) as served, await served.dial() as conn:
        with pytest.raises(EndOfStream), fail_after(5):
            await conn.receive()


async def test_a_peer_that_leaves_is_no_error(meeting: Meeting) -> None:
    async def serve(conn: Conn) -> None:
        await serve_control(conn)
        ended.append(conn)

    ended: list[Conn] = []
    async with meeting(Port(serve), Port(serve_control)) as served:
        async with await served.dial() as conn:
            await ping(conn)
        async with await served.dial(1) as conn:
            while not ended:
                await ping(conn)


async def test_both_ends_may_ping(meeting: Meeting) -> None:
    async def ping_back(conn: Conn) -> None:
        measured.append(await ping(conn))
        await serve_control(conn)

    measured: list[float] = []
    async with meeting(Port(ping_back)) as served, await served.dial() as conn:
        assert await ping(conn) > 0
        # Their ping may have come behind the pong.
        while not measured:
            await ping(conn)


async def test_a_ping_to_who_speaks_something_else(meeting: Meeting) -> None:
    async def greet(conn: Conn) -> None:
        await conn.send(b"SSH-2.0")
        await sleep_forever()

    async with meeting(Port(greet)) as served, await served.dial() as conn:
        with pytest.raises(ProtocolError, match="does not speak the control protocol"):
            await ping(conn)


async def test_a_ping_that_is_not_answered(meeting: Meeting) -> None:
    async def hold(conn: Conn) -> None:
        await sleep_forever()

    async def leave(conn: Conn) -> None:
        await conn.receive()

    async with meeting(Port(hold), Port(leave)) as served:
        async with await served.dial() as conn:
            with pytest.raises(TimeoutError):
                await ping(conn, timeout=0.01)
        async with await served.dial(1) as conn:
            with pytest.raises(EndOfStream):
                await ping(conn)


async def test_a_peer_that_takes_no_pongs_is_left() -> None:
    """Memory only: there it is known how much fits."""

    async def serve(conn: Conn) -> None:
        await serve_control(conn, answer_seconds=0.01)
        ended.append(conn)

    ended: list[Conn] = []
    async with MEETINGS["memory"](Port(serve)) as served, await served.dial() as conn:
        with fail_after(20), pytest.raises(StreamBroken):
            await send_for_ever(conn)
    assert ended
