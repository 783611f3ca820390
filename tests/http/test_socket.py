"""Websockets of the server, on every kind of connection."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from anyio import fail_after, move_on_after
from anyio.abc import ByteStream
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from skywire.http.limits import HttpLimits, SocketLimits
from tests.http.serving import PATIENCE, Place, Served, get, read_all

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left")]
MOST_TAKEN = 64 << 20
"""Bytes that buffers of the kernel and of networks may take together."""
WITH_SOCKETS = HttpLimits(sockets=SocketLimits(message_bytes=1000))

OWN_LOG = logging.getLogger("tests.http.client")


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Give back what comes; tell of requests that they are none."""
    if scope["type"] == "http":
        await PlainTextResponse("no socket")(scope, receive, send)
        return
    socket = WebSocket(scope, receive, send)
    await socket.accept()
    async for data in socket.iter_bytes():
        await socket.send_bytes(data)


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("no", 418)(scope, receive, send)


@dataclass
class Client:
    """The other end of a websocket, byte by byte."""

    stream: ByteStream
    protocol: ClientProtocol = field(default_factory=lambda: ClientProtocol(parse_uri("ws://here/"), logger=OWN_LOG))
    events: list[object] = field(default_factory=list)

    async def flush(self) -> None:
        for data in self.protocol.data_to_send():
            if data:
                await self.stream.send(data)

    async def next(self) -> object:
        """A frame, or the response of the begin."""
        with fail_after(PATIENCE):
            while not self.events:
                self.protocol.receive_data(await self.stream.receive())
                self.events += self.protocol.events_received()
        return self.events.pop(0)

    async def begin(self) -> int:
        """Ask for it; gives the status."""
        self.protocol.send_request(self.protocol.connect())
        await self.flush()
        response = await self.next()
        assert isinstance(response, Response)
        return response.status_code

    async def echo(self, data: bytes) -> bytes:
        self.protocol.send_binary(data)
        await self.flush()
        frame = await self.next()
        assert isinstance(frame, Frame)
        assert frame.opcode is Opcode.BINARY
        return bytes(frame.data)


@asynccontextmanager
async def client(served: Served) -> AsyncIterator[Client]:
    async with served.connect() as stream:
        yield Client(stream)


async def test_messages_go_both_ways_and_are_in_no_log(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with place(echo, WITH_SOCKETS) as served:
        async with client(served) as one, client(served) as other:
            assert (await one.begin(), await other.begin()) == (101, 101)
            for data in (b"", b"a secret", b"x" * 1000):
                assert await one.echo(data) == data
            assert await other.echo(b"too") == b"too"
            one.protocol.send_close(1000)
            await one.flush()
            assert await read_all(one.stream), "the close of the other end"
        await served.nothing_is_live()
    theirs = [each for each in caplog.records if each.name != OWN_LOG.name]
    assert not [each for each in theirs if "secret" in each.getMessage()]
    assert not [each for each in theirs if each.levelno > logging.DEBUG and "http" in each.name]


async def test_without_limits_of_sockets_there_are_none(place: Place) -> None:
    async with place(echo) as served, client(served) as one:
        assert await one.begin() == 200


async def test_an_application_may_refuse(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    async with place(refuse, WITH_SOCKETS) as served:
        async with client(served) as one:
            assert await one.begin() == 418
        await served.nothing_is_live()
    assert not caplog.records


async def test_a_message_that_is_too_large_ends_it(place: Place) -> None:
    async with place(echo, WITH_SOCKETS) as served:
        for sizes in ((1001,), (600, 600)):
            async with client(served) as one:
                assert await one.begin() == 101
                for number, size in enumerate(sizes):
                    send = one.protocol.send_continuation if number else one.protocol.send_binary
                    send(bytes(size), number == len(sizes) - 1)
                await one.flush()
                frame = await one.next()
                assert isinstance(frame, Frame)
                assert (frame.opcode, frame.data[:2]) == (Opcode.CLOSE, (1009).to_bytes(2, "big"))
        await served.nothing_is_live()


async def test_who_does_not_answer_is_left(place: Place) -> None:
    limits = HttpLimits(sockets=SocketLimits(ping_seconds=0.05, pong_seconds=0.05))
    async with place(echo, limits) as served, client(served) as one:
        assert await one.begin() == 101
        with fail_after(PATIENCE):
            await read_all(one.stream)
        await served.nothing_is_live()


async def test_who_reads_no_answers_is_not_read(place: Place) -> None:
    async with place(echo, WITH_SOCKETS) as served:
        async with client(served) as one:
            assert await one.begin() == 101
            one.protocol.send_ping(b"x" * 100)
            many = b"".join(one.protocol.data_to_send()) * 500
            sent = 0
            stuck = False
            while not stuck:
                with move_on_after(0.3) as waiting:
                    await one.stream.send(many)
                stuck = waiting.cancelled_caught
                sent += len(many)
                assert sent < MOST_TAKEN, "what it answers is kept somewhere"
        await served.nothing_is_live()


async def test_a_socket_ends_with_its_server(place: Place) -> None:
    async with place(echo, WITH_SOCKETS) as served, client(served) as one:
        assert await one.begin() == 101
        served.scope.cancel()


async def test_requests_before_it_are_served(place: Place) -> None:
    async with place(echo, WITH_SOCKETS) as served, client(served) as one:
        await one.stream.send(get())
        assert b"no socket" in await one.stream.receive()
        assert await one.begin() == 101


@pytest.mark.parametrize("name", ["message_bytes", "ping_seconds", "pong_seconds"])
async def test_limits_are_above_zero(name: str) -> None:
    with pytest.raises(ValueError, match="above 0"):
        SocketLimits(**{name: 0})
