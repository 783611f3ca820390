"""The transport between a protocol and a byte stream, by itself."""

from __future__ import annotations

import asyncio

import pytest
from anyio import move_on_after

from skywire.http.transport import HIGH_WATER, LOW_WATER, SEND_SIZE, StreamTransport

pytestmark = pytest.mark.anyio


class Writer(asyncio.Protocol):
    """Knows whether it may write."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")


def transport_of(protocol: asyncio.Protocol) -> StreamTransport:
    return StreamTransport(protocol, client=("client", 1), server=("server", 2))


async def test_the_ends() -> None:
    transport = transport_of(Writer())
    assert transport.get_extra_info("peername") == ("client", 1)
    assert transport.get_extra_info("sockname") == ("server", 2)


async def test_what_is_written_comes_in_pieces() -> None:
    writer = Writer()
    transport = transport_of(writer)
    data = bytes(range(256)) * (HIGH_WATER // 128)
    transport.write(data)
    transport.write(b"end")
    assert writer.calls == ["pause"]
    taken = b""
    while len(taken) < len(data) + 3:
        assert (writer.calls == ["pause"]) == (transport.get_write_buffer_size() > LOW_WATER)
        piece = await transport.next_to_send()
        assert 0 < len(piece) <= SEND_SIZE
        taken += piece
    assert taken == data + b"end"
    assert writer.calls == ["pause", "resume"]


async def test_what_is_written_after_the_end_is_dropped() -> None:
    transport = transport_of(Writer())
    transport.write(b"before")
    transport.close()
    transport.write(b"after")
    assert [await transport.next_to_send(), await transport.next_to_send()] == [b"before", b""]


async def test_reading_is_not_held_up_after_the_end() -> None:
    transport = transport_of(Writer())
    transport.pause_reading()
    with move_on_after(0) as waiting:
        await transport.wanted()
    assert waiting.cancelled_caught
    transport.close()
    transport.pause_reading()
    await transport.wanted()
