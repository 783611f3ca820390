"""Responses that go on, and how they end."""

from __future__ import annotations

import math

import pytest
from anyio import Event, fail_after, sleep_forever
from starlette.types import ASGIApp, Receive, Scope, Send

from skywire.http.live import Give, LiveResponse, server_sent
from tests.http.serving import PATIENCE, Place, get, read_all, read_until

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left")]


class Ticking:
    """Gives two pieces, waits for ever, and knows when it has ended."""

    def __init__(self, seconds: float = math.inf) -> None:
        self.seconds = seconds
        self.over = Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = LiveResponse(self.produce, seconds=self.seconds, media_type="text/plain", headers={"x-own": "1"})
        await response(scope, receive, send)

    async def produce(self, give: Give) -> None:
        try:
            await give(b"tick ")
            await give(b"tock ")
            await sleep_forever()
        finally:
            self.over.set()


async def test_pieces_come_as_they_are_given_and_who_leaves_ends_it(place: Place) -> None:
    app = Ticking()
    async with place(app) as served:
        async with served.connect() as stream:
            await stream.send(get())
            head = await read_until(stream, b"tock \r\n")
            assert b"content-type: text/plain\r\n" in head
            assert b"x-own: 1\r\n" in head
        with fail_after(PATIENCE):
            await app.over.wait()
        await served.nothing_is_live()


async def test_it_ends_when_the_time_is_up_and_so_does_its_connection(place: Place) -> None:
    async with place(Ticking(0.01)) as served, served.connect() as stream:
        await stream.send(get())
        assert (await read_all(stream)).endswith(b"tock \r\n0\r\n\r\n")


async def test_who_asks_for_the_head_alone_gets_it_and_its_end(place: Place) -> None:
    app = Ticking()
    async with place(app) as served, served.connect() as stream:
        await stream.send(get(method="HEAD"))
        assert (await read_all(stream)).startswith(b"HTTP/1.1 200 OK\r\n")
        assert not app.over.is_set()


async def test_it_ends_when_there_is_no_more(place: Place) -> None:
    async def once(give: Give) -> None:
        await give(b"all")

    app: ASGIApp = LiveResponse(once, seconds=math.inf, media_type="text/plain")
    async with place(app) as served, served.connect() as stream:
        await stream.send(get())
        assert (await read_all(stream)).endswith(b"all\r\n0\r\n\r\n")


async def test_what_an_event_says_stays_in_its_line() -> None:
    text = "one\ntwo\r\rdata: three\u2028event: x"
    sent = server_sent("line", {"text": text}, number="1.5")
    first, second, third, end, nothing = sent.split(b"\n")
    assert (first, second, end, nothing) == (b"id: 1.5", b"event: line", b"", b"")
    assert third.startswith(b"data: ")
    assert b"\r" not in sent
    assert sent.isascii()
