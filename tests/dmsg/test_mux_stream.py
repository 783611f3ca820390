"""One stream of a session, as a byte stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from anyio import (
    BrokenResourceError,
    BusyResourceError,
    ClosedResourceError,
    EndOfStream,
    Event,
    create_task_group,
    wait_all_tasks_blocked,
)

from skywire.dmsg.mux_stream import MuxStream
from skywire.dmsg.session import ClientSession, open_session
from skywire.net.background import Background
from skywire.net.errors import HalfCloseUnsupported
from skywire.wire.yamux import Config
from skywire.wire.yamux.frame import FIN, RST
from tests.dmsg.raw_client import ALICE, RELAY, WINDOW, RawPeer, credit, fin, raw_relay, rst
from tests.dmsg.relaying import AT_ONCE
from tests.pktcp.attacker import until

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_fails")]


def reset(session: ClientSession, stream: MuxStream) -> None:
    stream.reset()


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[MuxStream, RawPeer, int]]:
    """A stream, and the other end of its session with the stream's id."""
    async with raw_relay() as relay, Background() as task_group:
        session = await open_session(RELAY.public, relay.where, ALICE, take=reset, limits=AT_ONCE)
        task_group.start_soon(session.run)
        peer = await relay.client()
        stream = await session.open_stream()
        yield stream, peer, await peer.offered()
        await stream.aclose()
        await stream.aclose()
        stream.reset()
        assert session.stream_count == 0


async def test_pieces_of_any_size() -> None:
    async with opened() as (stream, peer, stream_id):
        await peer.send_data(stream_id, b"abcdef")
        assert [await stream.receive(size) for size in (1, 2, 100)] == [b"a", b"bc", b"def"]
        await peer.send_data(stream_id, bytes(5000))
        await peer.send_data(stream_id, b"end")
        assert await stream.receive(1) == b"\x00"
        received = b""
        while len(received) < 5002:
            received += await stream.receive()
        assert received == bytes(4999) + b"end"


async def test_an_end_behind_data() -> None:
    async with opened() as (stream, peer, stream_id):
        await peer.send_data(stream_id, b"last words")
        await peer.send(fin(stream_id))
        assert await stream.receive() == b"last words"
        for _ in range(2):
            with pytest.raises(EndOfStream):
                await stream.receive()
        with pytest.raises(BrokenResourceError, match="the peer has ended the stream"):
            await stream.send(b"x")


async def test_a_reset_behind_data() -> None:
    """What came before can still be read."""
    async with opened() as (stream, peer, stream_id):
        await peer.send_data(stream_id, b"last words")
        await peer.send(rst(stream_id))
        await peer.pong(1)
        assert await stream.receive() == b"last words"
        with pytest.raises(BrokenResourceError, match="the peer reset it"):
            await stream.receive()
        with pytest.raises(BrokenResourceError, match="the peer reset it"):
            await stream.send(b"x")


async def test_a_direction_is_of_one_task_at_a_time() -> None:
    async with opened() as (stream, _, _), create_task_group() as task_group:
        task_group.start_soon(stream.receive)
        task_group.start_soon(stream.send, bytes(WINDOW + 1))
        await wait_all_tasks_blocked()
        with pytest.raises(BusyResourceError):
            await stream.receive()
        with pytest.raises(BusyResourceError):
            await stream.send(b"x")
        task_group.cancel_scope.cancel()


@pytest.mark.parametrize("how", ["close", "FIN", "RST", "session"])
async def test_who_waits_is_woken(how: str) -> None:
    """The reader, and the sender whose window has run dry."""
    async with opened() as (stream, peer, stream_id), create_task_group() as task_group:

        async def read() -> None:
            with pytest.raises({"close": ClosedResourceError, "FIN": EndOfStream}.get(how, BrokenResourceError)):
                await stream.receive()

        async def write() -> None:
            with pytest.raises(ClosedResourceError if how == "close" else BrokenResourceError):
                await stream.send(bytes(WINDOW + 1))

        task_group.start_soon(read)
        task_group.start_soon(write)
        await wait_all_tasks_blocked()
        if how == "close":
            await stream.aclose()
        elif how == "session":
            await peer.stream.aclose()
        else:
            await peer.send(fin(stream_id) if how == "FIN" else rst(stream_id))


async def test_a_sender_waits_for_its_window() -> None:
    async with opened() as (stream, peer, stream_id), create_task_group() as task_group:
        done = Event()

        async def send() -> None:
            await stream.send(bytes(2 * WINDOW) + b"end")
            done.set()

        task_group.start_soon(send)
        await wait_all_tasks_blocked()
        assert not done.is_set()
        assert await peer.data(stream_id, 2 * WINDOW + 3) == bytes(2 * WINDOW) + b"end"
        await done.wait()


async def test_a_send_that_is_cancelled_leaves_the_stream_usable() -> None:
    """Part of it is on its way, as with any byte stream."""
    async with opened() as (stream, peer, stream_id):
        async with create_task_group() as task_group:
            task_group.start_soon(stream.send, bytes(WINDOW + 5))
            await wait_all_tasks_blocked()
            task_group.cancel_scope.cancel()
        assert await peer.data(stream_id, WINDOW) == bytes(WINDOW)
        await stream.send(b"more")
        assert await peer.data(stream_id, 4) == b"more"


async def test_one_direction_cannot_end_alone() -> None:
    async with opened() as (stream, _, _):
        with pytest.raises(HalfCloseUnsupported):
            await stream.send_eof()


async def test_what_is_not_read_is_given_back_at_the_end() -> None:
    """Or streams that are closed unread would use up what the peer may send on all of them together."""
    async with opened() as (stream, peer, stream_id):
        await peer.send_data(stream_id, bytes(WINDOW))
        await peer.pong(1)
        session = stream._mux.session
        assert session._table.room == Config().max_held - WINDOW
        await stream.aclose()
        assert await peer.end_of(stream_id) == FIN
        await peer.send(fin(stream_id))
        await until(lambda: session._table.room == Config().max_held)


async def test_bytes_for_a_stream_that_was_closed() -> None:
    """They are dropped and credited, so that the sender may finish what it has to say."""
    async with opened() as (stream, peer, stream_id):
        await stream.aclose()
        for _ in range(4):
            await peer.pour(stream_id, WINDOW)
        await peer.send(fin(stream_id), credit(stream_id, 1))
        await peer.pong(1)


async def test_a_reset_by_us() -> None:
    async with opened() as (stream, peer, stream_id):
        stream.reset()
        assert await peer.end_of(stream_id) == RST
        with pytest.raises(ClosedResourceError):
            await stream.receive()
