"""A server that is cancelled leaves nothing behind, whenever it is."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack

import pytest
from anyio import current_time
from starlette.background import BackgroundTask
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from skywire.http import connection
from tests.http.apps import Endless, Held, Stubborn, count, hello
from tests.http.serving import Place, ask, get, on_network, read_until, until
from tests.net import meetings
from tests.net.cancelling import at_each_await

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left")]


async def test_while_it_waits_for_a_request(place: Place) -> None:
    async with place(hello) as served, served.connect() as stream:
        await stream.send(get())
        await read_until(stream, b"hello /")
        served.scope.cancel()
    assert not served.live()


async def test_in_the_middle_of_requests(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    app = Held(hello)
    async with place(app) as served, AsyncExitStack() as stack:
        for _ in range(10):
            stream = await stack.enter_async_context(served.connect())
            await stream.send(get())
        await until(lambda: app.holding == 10)
        served.scope.cancel()
    assert (app.holding, served.live()) == (0, 0)
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


async def test_in_the_middle_of_a_download(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    app = Endless()
    async with place(app) as served, served.connect() as stream:
        await stream.send(get())
        await until(lambda: app.sent > 0)
        served.scope.cancel()
    assert app.ended is not None
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


async def test_in_the_middle_of_work_behind_an_answer(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    work = Held(hello)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        task = BackgroundTask(work, scope, receive, send)
        await PlainTextResponse("accepted", background=task)(scope, receive, send)

    async with place(app) as served:
        await ask(served, get("/", "Connection: close"))
        assert work.holding == 1
        served.scope.cancel()
    assert (work.holding, served.live()) == (0, 0)
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


async def test_an_application_that_cannot_be_cancelled_does_not_hold_it_up(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CANCEL_SECONDS", 0.05)
    app = Stubborn()
    async with place(app) as served, served.connect() as stream:
        await stream.send(get())
        await until(lambda: app.working)
        start = current_time()
        served.scope.cancel()
    assert current_time() - start < 1
    app.released.set()
    await until(lambda: not app.working)


async def test_at_each_await() -> None:
    """A server, and a client of it, from the first step to the last."""
    memory = on_network(meetings.memory)

    async def serve_and_ask() -> None:
        async with memory(count) as served, served.client() as client:
            assert (await client.post("/", content=b"body")).text.startswith("4 ")

    async def nothing() -> None:
        """What is left is looked for at the end of the test."""

    assert await at_each_await(serve_and_ask, nothing) > 10
