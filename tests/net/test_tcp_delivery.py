"""TCP streams that are handed to a sink, instead of a task for each direction."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest
from anyio import (
    BrokenResourceError,
    CancelScope,
    ClosedResourceError,
    EndOfStream,
    Event,
    aclose_forcefully,
    connect_tcp,
    create_task_group,
    fail_after,
    sleep_forever,
    wait_all_tasks_blocked,
)
from anyio.abc import SocketAttribute, SocketStream

from skywire.net.background import Background
from skywire.net.tcp import Sink, TcpStream, listen
from tests.pktcp.attacker import PATIENCE, until

pytestmark = pytest.mark.anyio

MUCH = 32 << 20
"""More bytes than the system takes for a peer that does not read."""


@dataclass
class Recorder(Sink):
    """Keeps what it is told; the hooks are called then."""

    received: bytearray = field(default_factory=bytearray)
    writables: int = 0
    on_data: Callable[[bytes], None] = lambda data: None
    on_writable: Callable[[], None] = lambda: None

    def data_received(self, data: bytes) -> None:
        assert data
        self.received += data
        self.on_data(data)

    def writable(self) -> None:
        self.writables += 1
        self.on_writable()


@asynccontextmanager
async def meeting() -> AsyncIterator[tuple[TcpStream, SocketStream]]:
    """A stream, and its other end as anyio has it."""
    taken: list[TcpStream] = []
    arrived = Event()

    async def take(stream: TcpStream) -> None:
        taken.append(stream)
        arrived.set()
        try:
            await sleep_forever()
        finally:
            await aclose_forcefully(stream)

    async with await listen("127.0.0.1", 0) as listener, Background() as task_group:
        task_group.start_soon(listener.serve, take, task_group, lambda: None)
        async with await connect_tcp(*listener.addresses[0]) as peer:
            await arrived.wait()
            yield taken[0], peer


async def receive_all(peer: SocketStream) -> bytes:
    """Everything to the end, clean or not."""
    received = bytearray()
    with fail_after(PATIENCE), suppress(EndOfStream, BrokenResourceError):
        while True:
            received += await peer.receive(1 << 18)
    return bytes(received)


async def receive(peer: SocketStream, size: int) -> bytes:
    received = bytearray()
    with fail_after(PATIENCE):
        while len(received) < size:
            received += await peer.receive(min(1 << 18, size - len(received)))
    return bytes(received)


async def say_hello(stream: TcpStream, peer: SocketStream) -> None:
    """Some event loops read on their own account until the first time that somebody has received something."""
    assert stream.write([b"hello"]) is True
    assert await receive(peer, 5) == b"hello"


async def reset(peer: SocketStream) -> None:
    raw: socket.socket = peer.extra(SocketAttribute.raw_socket)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await peer.aclose()


async def test_all_that_comes_is_told_in_order() -> None:
    """What came before, more than is read ahead, what comes meanwhile, to the end."""
    async with meeting() as (stream, peer), create_task_group() as task_group:
        data = bytes(range(256)) * 8192

        async def send() -> None:
            await peer.send(data)
            await peer.send(data)
            await peer.send_eof()

        task_group.start_soon(send)
        await wait_all_tasks_blocked()
        first = await stream.receive(100)
        sink = Recorder()
        with fail_after(PATIENCE):
            await stream.deliver(sink)
        assert first + sink.received == data * 2


async def test_an_end_that_came_before() -> None:
    async with meeting() as (stream, peer):
        await peer.send(b"last words")
        await peer.send_eof()
        await wait_all_tasks_blocked()
        sink = Recorder()
        with fail_after(PATIENCE):
            await stream.deliver(sink)
        assert sink.received == b"last words"


@pytest.mark.parametrize("before", [True, False], ids=["before", "meanwhile"])
async def test_a_reset(before: bool) -> None:
    async with meeting() as (stream, peer), create_task_group() as task_group:

        async def deliver() -> None:
            with pytest.raises(BrokenResourceError):
                await stream.deliver(Recorder())

        if before:
            await reset(peer)
            await wait_all_tasks_blocked()
        with fail_after(PATIENCE):
            task_group.start_soon(deliver)
            await wait_all_tasks_blocked()
            if not before:
                await reset(peer)


@pytest.mark.parametrize("how", ["abort", "aclose"])
@pytest.mark.parametrize("when", ["before", "meanwhile", "told"])
async def test_closed_by_us(how: str, when: str) -> None:
    """Before, from another task, and from the sink itself; the other end sees an end in each case."""
    async with meeting() as (stream, peer), create_task_group() as task_group:

        async def close() -> None:
            if how == "abort":
                stream.abort()
                stream.abort()
            else:
                await stream.aclose()

        async def deliver() -> None:
            sink = Recorder(on_data=lambda _: stream.abort())
            with pytest.raises(ClosedResourceError):
                await stream.deliver(sink)
            assert bytes(sink.received) == (b"x" if when == "told" else b"")
            assert stream.write([b"too late"]) is False

        if when == "before":
            await close()
        task_group.start_soon(deliver)
        await wait_all_tasks_blocked()
        if when == "told":
            await peer.send(b"x")
        elif when == "meanwhile":
            await close()
        assert await receive_all(peer) == b""


async def test_what_is_told_behind_an_abort_is_nothing() -> None:
    """Even if it has been read already."""
    async with meeting() as (stream, peer):
        for _ in range(3):
            await peer.send(bytes(100_000))
        await wait_all_tasks_blocked()
        sink = Recorder(on_data=lambda _: stream.abort())
        told = 0

        def abort(_: bytes) -> None:
            nonlocal told
            told += 1
            stream.abort()

        sink.on_data = abort
        with fail_after(PATIENCE), pytest.raises(ClosedResourceError):
            await stream.deliver(sink)
        assert told == 1


PARTS: dict[str, list[bytes | memoryview]] = {
    "one": [b"hello"],
    "a view": [memoryview(b"a view of this")[2:6]],
    "some": [b"one ", memoryview(b"two "), b"", b"three"],
    "many": [b"%d " % number for number in range(1000)],
    "large": [b"head", memoryview(bytes(20_000)), b"tail", bytes(20_000)],
    "one large": [bytes(100_000)],
}


@pytest.mark.parametrize("name", PARTS)
async def test_parts_are_written_in_order(name: str) -> None:
    parts = PARTS[name]
    async with meeting() as (stream, peer), Background() as task_group:
        task_group.start_soon(stream.deliver, Recorder())
        await wait_all_tasks_blocked()
        assert stream.write(parts) is True
        assert await receive(peer, sum(map(len, parts))) == b"".join(parts)


async def test_an_echo() -> None:
    """Written from within what is told; the system takes each piece at once, or all of it in the end."""
    data = bytes(range(256)) * 4096
    async with meeting() as (stream, peer), create_task_group() as task_group:
        waiting: list[bytes] = []
        free = True

        def echo(piece: bytes) -> None:
            waiting.append(piece)
            flush()

        def flush() -> None:
            nonlocal free
            if free and waiting:
                parts: list[bytes | memoryview] = list(waiting)
                waiting.clear()
                free = stream.write(parts)

        def go_on() -> None:
            nonlocal free
            free = True
            flush()

        async def deliver() -> None:
            await stream.deliver(Recorder(on_data=echo, on_writable=go_on))

        task_group.start_soon(deliver)
        task_group.start_soon(peer.send, data)
        assert await receive(peer, len(data)) == data
        await peer.send_eof()


async def test_a_peer_that_does_not_read() -> None:
    """The system says when it has taken all, once for each time that it did not at once."""
    async with meeting() as (stream, peer), Background() as task_group:
        sink = Recorder()
        task_group.start_soon(stream.deliver, sink)
        await wait_all_tasks_blocked()
        for _ in range(2):
            sink.writables = 0
            await say_hello(stream, peer)
            assert stream.write([b"head", memoryview(bytes(MUCH)), b"tail"]) is False
            await wait_all_tasks_blocked()
            assert sink.writables == 0
            assert await receive(peer, MUCH + 8) == b"head" + bytes(MUCH) + b"tail"
            await until(lambda: sink.writables > 0)
            assert sink.writables == 1


async def test_what_was_written_before_an_abort_arrives() -> None:
    """As far as the system has taken it at once; so a last word can be said."""
    async with meeting() as (stream, peer), create_task_group() as task_group:

        async def deliver() -> None:
            with pytest.raises(ClosedResourceError):
                await stream.deliver(Recorder())

        task_group.start_soon(deliver)
        await wait_all_tasks_blocked()
        assert stream.write([b"last ", b"word"])
        stream.abort()
        assert await receive_all(peer) == b"last word"


async def test_writing_to_who_is_gone() -> None:
    """Nothing happens but that the delivery ends."""
    async with meeting() as (stream, peer):
        await peer.aclose()
        sink = Recorder()

        async def deliver() -> None:
            with fail_after(PATIENCE), suppress(BrokenResourceError):
                await stream.deliver(sink)

        async with create_task_group() as task_group:
            task_group.start_soon(deliver)
            stream.write([bytes(1000)])
        for _ in range(3):
            stream.write([bytes(1000)])
        await stream.aclose()
        assert stream.write([b"x"]) is False
        assert sink.received == b""


class AsPlannedError(Exception):
    pass


def fail(*_: object) -> None:
    raise AsPlannedError


@pytest.mark.parametrize("before", [True, False], ids=["before", "meanwhile"])
async def test_a_sink_that_fails_on_data(before: bool) -> None:
    async with meeting() as (stream, peer), create_task_group() as task_group:

        async def deliver() -> None:
            with pytest.raises(AsPlannedError):
                await stream.deliver(Recorder(on_data=fail))
            await stream.aclose()

        if before:
            await peer.send(b"x")
        await wait_all_tasks_blocked()
        task_group.start_soon(deliver)
        await wait_all_tasks_blocked()
        if not before:
            await peer.send(b"x")
        assert await receive_all(peer) == b""


async def test_an_abort_when_it_may_write() -> None:
    async with meeting() as (stream, peer), create_task_group() as task_group:
        sink = Recorder()

        async def deliver() -> None:
            with pytest.raises(ClosedResourceError):
                await stream.deliver(sink)

        task_group.start_soon(deliver)
        await wait_all_tasks_blocked()
        await say_hello(stream, peer)
        sink.on_writable = stream.abort
        assert stream.write([bytes(MUCH)]) is False
        await wait_all_tasks_blocked()
        assert await receive_all(peer) == bytes(MUCH)


async def test_a_sink_that_fails_when_it_may_write() -> None:
    async with meeting() as (stream, peer), create_task_group() as task_group:
        sink = Recorder()

        async def deliver() -> None:
            with pytest.raises(AsPlannedError):
                await stream.deliver(sink)
            await stream.aclose()

        task_group.start_soon(deliver)
        await wait_all_tasks_blocked()
        await say_hello(stream, peer)
        sink.on_writable = fail
        assert stream.write([bytes(MUCH)]) is False
        await wait_all_tasks_blocked()
        assert await receive_all(peer) == bytes(MUCH)


async def test_a_delivery_that_is_cancelled() -> None:
    """Nothing is told any more, and the stream can still be closed."""
    async with meeting() as (stream, peer):
        sink = Recorder()
        scope = CancelScope()

        async def deliver() -> None:
            with scope:
                await stream.deliver(sink)

        async with create_task_group() as task_group:
            task_group.start_soon(deliver)
            await peer.send(b"before")
            await until(lambda: sink.received == b"before")
            scope.cancel()
        await peer.send(b"behind")
        await wait_all_tasks_blocked()
        assert sink.received == b"before"
        await stream.aclose()
        assert await receive_all(peer) == b""
