"""What the server promises to applications and clients, on each kind of connection."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator

import pytest
from anyio import Event, create_task_group, fail_after
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import Receive, Scope, Send

from skywire import SecKey
from skywire.http.limits import HttpLimits
from skywire.http.peer import peer_of
from tests.http.apps import PIECE, Endless, Held, big, broken, by_path, count, echo, hello
from tests.http.serving import PATIENCE, Place, ask, get, read_all, read_until, settled, tcp
from tests.net.meetings import CLIENT, SERVER

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left")]

MUCH = 16 * 2**20
"""More bytes than all buffers between client and application hold."""


async def test_get(place: Place) -> None:
    async with place(hello) as served, served.client() as client:
        response = await client.get("/a%20path?query")
    assert (response.status_code, response.text) == (200, "hello /a path")


async def test_head_has_no_body(place: Place) -> None:
    async with place(hello) as served:
        answer = await ask(served, get("/x", "Connection: close", method="HEAD"))
    assert b"content-length: 8\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_what_the_server_says_of_itself(place: Place) -> None:
    async with place(hello) as served, served.client() as client:
        fields = (await client.get("/")).headers
    assert fields["date"].endswith(" GMT")
    assert "server" not in fields


@pytest.mark.parametrize("body", [b"", b"short", PIECE * 20], ids=["empty", "short", "1 MiB"])
async def test_post(place: Place, body: bytes) -> None:
    async with place(echo) as served, served.client() as client:
        assert (await client.post("/", content=body)).content == body


async def test_body_in_chunks(place: Place) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield PIECE

    async with place(echo) as served, served.client() as client:
        assert (await client.post("/", content=body())).content == PIECE * 20


async def test_client_that_waits_for_leave_to_send(place: Place) -> None:
    async with place(echo) as served, served.connect() as stream:
        await stream.send(get("/", "Content-Length: 4", "Expect: 100-continue", method="POST"))
        await read_until(stream, b"HTTP/1.1 100 Continue\r\n\r\n")
        await stream.send(b"body")
        assert (await read_until(stream, b"body")).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_several_requests_on_a_connection(place: Place) -> None:
    async with place(hello) as served, served.connect() as stream:
        for number in range(10):
            await stream.send(get(f"/{number}"))
            assert (await read_until(stream, f"hello /{number}".encode())).startswith(b"HTTP/1.1 200 OK\r\n")
        assert served.live() == 1


async def test_requests_that_do_not_wait_for_the_answer(place: Place) -> None:
    async with place(by_path({"echo": echo})) as served:
        answer = await ask(
            served,
            get("/1")
            + get("/2", method="HEAD")
            + get("/echo", "Content-Length: 5", method="POST")
            + b"three"
            + get("/4", "Connection: close"),
        )
    bodies = [each.partition(b"\r\n\r\n")[2] for each in answer.split(b"HTTP/1.1 200 OK\r\n")]
    assert bodies == [b"", b"hello /1", b"", b"three", b"hello /4"]


async def test_old_client(place: Place) -> None:
    async with place(hello) as served:
        assert (await ask(served, b"GET /old HTTP/1.0\r\n\r\n")).endswith(b"\r\n\r\nhello /old")


async def test_big_download(place: Place) -> None:
    number = 1024
    async with place(big) as served, served.client() as client, client.stream("GET", f"/{number}") as response:
        digest, size = hashlib.sha256(), 0
        async for piece in response.aiter_raw():
            digest.update(piece)
            size += len(piece)
    assert size == number * len(PIECE)
    assert digest.digest() == hashlib.sha256(PIECE * number).digest()


async def test_big_upload(place: Place) -> None:
    number = 1024

    async def body() -> AsyncIterator[bytes]:
        for _ in range(number):
            yield PIECE

    async with place(count) as served, served.client() as client:
        said = (await client.post("/", content=body())).text
    assert said == f"{number * len(PIECE)} {hashlib.sha256(PIECE * number).hexdigest()}"


async def test_a_client_that_does_not_read_holds_the_application_back(place: Place) -> None:
    app = Endless()
    async with place(app) as served, served.connect() as stream:
        await stream.send(get())
        held_at = await settled(lambda: app.sent)
        assert 0 < held_at < MUCH
        received = 0
        with fail_after(PATIENCE):
            while received < held_at + MUCH:
                received += len(await stream.receive())
        assert app.sent > held_at


async def test_an_application_that_does_not_read_holds_the_client_back(place: Place) -> None:
    app = Held(count)
    sent = 0

    async def send_on() -> None:
        nonlocal sent
        for _ in range(2 * MUCH // len(PIECE)):
            await stream.send(PIECE)
            sent += len(PIECE)

    async with place(app) as served, served.connect() as stream, create_task_group() as task_group:
        await stream.send(get("/", f"Content-Length: {2 * MUCH}", "Connection: close", method="POST"))
        task_group.start_soon(send_on)
        assert 0 < await settled(lambda: sent) < MUCH
        app.released.set()
        assert f"{2 * MUCH} ".encode() in await read_all(stream)


async def test_the_client_is_a_proven_key(place: Place) -> None:
    async def who(scope: Scope, receive: Receive, send: Send) -> None:
        peer = peer_of(scope)
        said = {
            "client": scope["client"],
            "server": scope["server"],
            "scheme": scope["scheme"],
            "peer": None if peer is None else [str(peer.pk), peer.port],
        }
        await JSONResponse(said)(scope, receive, send)

    claims = {"X-Forwarded-For": str(SecKey.generate().public), "Forwarded": "for=1.2.3.4", "X-Forwarded-Proto": "wss"}
    async with place(who) as served, served.client() as client:
        said = (await client.get("/", headers=claims)).json()
    host, port = said["client"]
    assert 0 < port <= 65535
    if place is tcp:
        assert (host, said["scheme"], said["peer"]) == ("127.0.0.1", "http", None)
        assert said["server"][0] == "127.0.0.1"
    else:
        assert host == str(CLIENT.public)
        assert said["peer"] == [host, port]
        assert said["server"][0] == str(SERVER.public)
        assert said["scheme"] == served.base_url.partition(":")[0]


async def test_an_application_that_fails(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    async with place(by_path({"broken": broken})) as served:
        async with served.client() as client:
            assert (await client.get("/broken")).status_code == 500
            assert (await client.get("/")).status_code == 200
        await served.nothing_is_live()
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LookupError)


async def test_an_application_that_fails_halfway(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    async def halfway(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise LookupError

    async with place(halfway) as served:
        answer = await ask(served, get())
        await served.nothing_is_live()
    assert answer.endswith(b"\r\n\r\nhalf")
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_an_application_that_says_nothing(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        pass

    async with place(silent) as served, served.client() as client:
        assert (await client.get("/")).status_code == 500
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_an_application_that_cancels_itself_has_failed(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    async def cancelled(scope: Scope, receive: Receive, send: Send) -> None:
        raise asyncio.CancelledError

    async with place(cancelled) as served, served.client() as client:
        assert (await client.get("/")).status_code == 500
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_work_behind_the_answer_goes_on_when_the_client_has_left(place: Place) -> None:
    left, done = Event(), Event()

    async def work() -> None:
        await left.wait()
        done.set()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("accepted", background=BackgroundTask(work))(scope, receive, send)

    async with place(app) as served:
        assert (await ask(served, get("/", "Connection: close"))).endswith(b"accepted")
        left.set()
        with fail_after(PATIENCE):
            await done.wait()


async def test_an_upgrade_nobody_offers_is_an_ordinary_request(place: Place) -> None:
    async with place(hello) as served:
        answer = await ask(served, get("/", "Connection: upgrade, close", "Upgrade: websocket"))
    assert answer.endswith(b"hello /")


async def test_idle_connections_end() -> None:
    async with tcp(hello, HttpLimits(idle_seconds=1)) as served:
        assert (await ask(served, get())).endswith(b"hello /")


async def test_limits_are_above_zero() -> None:
    with pytest.raises(ValueError, match="stall_seconds is above 0"):
        HttpLimits(stall_seconds=0)
