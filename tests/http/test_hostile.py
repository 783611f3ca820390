"""Clients that are slow, broken, rude, or gone."""

from __future__ import annotations

import logging
from asyncio import CancelledError
from contextlib import AsyncExitStack

import pytest
from anyio import BrokenResourceError, EndOfStream, create_task_group, current_time, fail_after, wait_all_tasks_blocked
from anyio.abc import ByteStream
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from skywire.http import connection
from skywire.http.limits import HttpLimits
from skywire.net.memory import WINDOW
from tests.http.apps import PIECE, Endless, Held, Stubborn, by_path, count, echo, hello
from tests.http.serving import PATIENCE, Place, Served, ask, get, on_network, read_all, read_until, settled, until
from tests.net import meetings

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left")]

MANY = 10_000


async def still_serves(served: Served) -> None:
    assert (await ask(served, get("/", "Connection: close"))).endswith(b"hello /")


@pytest.mark.parametrize(
    "garbage",
    [
        b"\0",
        b"\r\n\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
)
async def test_what_is_no_http(place: Place, garbage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with place(hello) as served:
        assert (await ask(served, garbage)).startswith(b"HTTP/1.1 400 ")
        await still_serves(served)
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([get(), b"GET ", b"\r\n", b": ", b"HTTP/1.1"]))))
async def test_any_bytes(parts: list[bytes]) -> None:
    limits = HttpLimits(head_seconds=1, stall_seconds=1, idle_seconds=1)
    async with on_network(meetings.memory)(echo, limits) as served, served.connect() as stream:
        for part in parts:
            if part:
                try:
                    await stream.send(part)
                except BrokenResourceError:
                    break
        await stream.send_eof()
        await read_all(stream)
        await still_serves_echo(served)


async def still_serves_echo(served: Served) -> None:
    request = get("/", "Connection: close", "Content-Length: 2", method="POST")
    assert (await ask(served, request + b"ok")).endswith(b"ok")


async def test_a_body_that_turns_to_garbage_before_the_answer(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    async with place(by_path({"count": count})) as served:
        answer = await ask(served, get("/count", "Transfer-Encoding: chunked", method="POST") + b"5\r\nhello\r\nno\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")
        await still_serves(served)
        await served.nothing_is_live()
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


async def test_a_body_that_turns_to_garbage_behind_the_answer(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    app = Endless()
    async with place(app) as served, served.connect() as stream:
        await stream.send(get("/", "Transfer-Encoding: chunked", method="POST"))
        await stream.receive()
        await stream.send(b"garbage\r\n")
        with pytest.raises((EndOfStream, BrokenResourceError)):
            await read_for_ever(stream)
        await served.nothing_is_live()
    assert isinstance(app.ended, OSError)
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


async def read_for_ever(stream: ByteStream) -> None:
    with fail_after(PATIENCE):
        while True:
            await stream.receive()


@pytest.mark.parametrize(
    "head",
    [
        get("/" + "x" * 200_000),
        get("/", "X: " + "x" * 200_000),
        get("/", *["X: x"] * 30_000),
        b"x" * 200_000,
        get("/", "Transfer-Encoding: chunked", method="POST") + b"5;" + b"x" * 200_000,
        get("/", "Transfer-Encoding: chunked", method="POST") + b"0\r\n" + b"X: x\r\n" * 30_000,
    ],
    ids=["target", "field", "fields", "nothing", "chunk", "trailers"],
)
async def test_oversized_heads(place: Place, head: bytes) -> None:
    async with place(by_path({"": count})) as served:
        assert (await ask(served, head)).startswith(b"HTTP/1.1 400 ")
        await still_serves_nothing(served)


async def still_serves_nothing(served: Served) -> None:
    assert b"\r\n\r\n0 " in await ask(served, get("/", "Connection: close"))


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"GET / HT",
        get() + b"GET /slow",
        get("/echo", "Content-Length: 2", method="POST") + b"x",
        get("/echo", "Transfer-Encoding: chunked", method="POST") + b"3\r\nx",
    ],
    ids=["nothing", "head", "second head", "body", "chunk"],
)
async def test_clients_that_stop_sending(place: Place, start: bytes) -> None:
    limits = HttpLimits(head_seconds=0.05, stall_seconds=0.05, idle_seconds=1)
    async with place(by_path({"echo": echo}), limits) as served, served.connect() as stream:
        if start:
            await stream.send(start)
        answer = await read_all(stream)
        await served.nothing_is_live()
    assert answer.count(b"HTTP/1.1 200") == start.count(b"GET / HTTP")


async def test_a_head_that_drips_has_no_more_time_than_one_that_does_not_come(place: Place) -> None:
    async with place(hello, HttpLimits(head_seconds=0.2)) as served, served.connect() as stream:
        with fail_after(PATIENCE), pytest.raises(BrokenResourceError):
            await drip(stream)
        await served.nothing_is_live()


async def drip(stream: ByteStream) -> None:
    for byte in get("/" + "x" * 10_000_000):
        await stream.send(bytes([byte]))
        await wait_all_tasks_blocked()


async def test_a_client_that_does_not_take_its_answer(place: Place) -> None:
    app = Endless()
    async with place(app, HttpLimits(stall_seconds=0.05)) as served, served.connect() as stream:
        await stream.send(get())
        await until(lambda: app.sent > 0)
        await served.nothing_is_live()
    assert isinstance(app.ended, OSError)


async def test_a_client_that_takes_its_answer_too_slowly(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """It never stalls, but there is a limit to the whole."""
    app = Endless()
    async with place(app, HttpLimits(response_seconds=0.2)) as served, served.connect() as stream:
        await stream.send(get())
        with pytest.raises((EndOfStream, BrokenResourceError)):
            await read_for_ever(stream)
        await served.nothing_is_live()
    assert isinstance(app.ended, CancelledError)
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


async def test_work_behind_an_answer_has_all_the_time(place: Place) -> None:
    work = Held(hello)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        task = BackgroundTask(work, scope, receive, send)
        await PlainTextResponse("accepted", background=task)(scope, receive, send)

    async with place(app, HttpLimits(response_seconds=0.05)) as served, served.connect() as stream:
        await stream.send(get())
        await read_until(stream, b"accepted")
        end = current_time() + 0.1
        await until(lambda: current_time() > end)
        assert work.holding == 1
        work.released.set()
        await until(lambda: work.holding == 0)


async def test_where_a_peer_fills_a_port_with_unfinished_requests_it_makes_room() -> None:
    """It hurts nobody else, since each key counts by itself."""
    limits = HttpLimits(connections=4)
    async with on_network(meetings.memory)(hello, limits) as served, AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(served.connect()) for _ in range(10)]
        for stream in streams[-4:]:
            await stream.send(get("/", "Connection: close"))
        for stream in streams[-4:]:
            assert (await read_all(stream)).endswith(b"hello /")
        for stream in streams[:-4]:
            assert await read_all(stream) == b""


@pytest.mark.parametrize("size", [WINDOW, 40 * WINDOW], ids=["on its way", "waiting"])
async def test_an_answer_that_is_not_taken_yet_is_not_cut_off_for_others(size: int) -> None:
    body = b"x" * size

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(body)(scope, receive, send)

    async with on_network(meetings.memory)(app, HttpLimits(connections=1)) as served, served.connect() as stream:
        await stream.send(get())
        await wait_all_tasks_blocked()
        async with served.connect() as new:
            assert await read_all(new) == b""
        await read_until(stream, b"\r\n\r\n" + body)


async def test_bodies_that_move_have_all_the_time(place: Place) -> None:
    """Longer than all limits, but never still."""
    limits = HttpLimits(head_seconds=1.0, stall_seconds=1.0)
    async with place(echo_on, limits) as served, served.connect() as stream:
        await stream.send(get("/", "Transfer-Encoding: chunked", method="POST"))
        await read_until(stream, b"\r\n\r\n")
        end = current_time() + 1.5
        with fail_after(PATIENCE):
            while current_time() < end:
                await stream.send(b"1\r\nx\r\n")
                await read_until(stream, b"x")
        await stream.send(b"0\r\n\r\n")
        await served.nothing_is_live()


async def echo_on(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends each piece back as it comes."""
    headers = {"Connection": "close", "Content-Length": "1000000"}
    await StreamingResponse(Request(scope, receive).stream(), headers=headers)(scope, receive, send)


async def test_very_many_requests_that_do_not_wait(place: Place) -> None:
    """They are answered one by one, and taken from the client no faster than that."""
    app = Held(hello)
    sent = 0

    async def flood() -> None:
        nonlocal sent
        for number in range(MANY):
            await stream.send(get(f"/{number}", "X: " + "x" * 4000))
            sent += 1

    async with place(app) as served, served.connect() as stream, create_task_group() as task_group:
        task_group.start_soon(flood)
        await until(lambda: app.holding == 1)
        assert await settled(lambda: sent) < MANY
        assert app.holding == 1
        task_group.cancel_scope.cancel()


async def test_a_client_that_leaves_while_it_downloads(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    app = Endless()
    async with place(app) as served:
        async with served.connect() as stream:
            await stream.send(get())
            await stream.receive()
        await served.nothing_is_live()
        assert isinstance(app.ended, OSError)
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


async def test_a_client_that_leaves_while_it_uploads(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    async with place(by_path({"count": count})) as served:
        async with served.connect() as stream:
            await stream.send(get("/count", "Content-Length: 1000000", method="POST") + PIECE)
        await served.nothing_is_live()
        await still_serves(served)
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


async def test_an_application_is_told_that_its_client_has_left(place: Place) -> None:
    told: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while not told:
            message = await receive()
            if message["type"] == "http.disconnect":
                told.append(message["type"])

    async with place(app) as served:
        async with served.connect() as stream:
            await stream.send(get())
        await until(lambda: bool(told))
        await served.nothing_is_live()


async def test_an_application_that_does_not_listen_is_cancelled(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    app = Held(hello)
    async with place(app, HttpLimits(finish_seconds=0.05)) as served:
        async with served.connect() as stream:
            await stream.send(get())
            await until(lambda: app.holding == 1)
        await served.nothing_is_live()
        assert app.holding == 0
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


async def test_an_application_that_cannot_be_cancelled_is_named(
    place: Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CANCEL_SECONDS", 0.05)
    app = Stubborn()
    async with place(app, HttpLimits(finish_seconds=0.05)) as served:
        async with served.connect() as stream:
            await stream.send(get())
            await until(lambda: app.working)
        await served.nothing_is_live()
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "ignores that it was cancelled" in record.getMessage()
    app.released.set()
    await until(lambda: not app.working)


async def test_a_client_that_is_refused_halfway_can_read_why(place: Place) -> None:
    """What it still sends must not destroy the answer."""

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("too large", 413, headers={"Connection": "close"})(scope, receive, send)

    async with place(refuse) as served, served.connect() as stream:
        await stream.send(get("/", "Content-Length: 100000000", method="POST"))
        for _ in range(20):
            await stream.send(PIECE)
        assert (await read_all(stream)).endswith(b"too large")
