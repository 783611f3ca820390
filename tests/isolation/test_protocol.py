"""The formats between processes, and the page that describes them."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from anyio import ClosedResourceError, EndOfStream, create_task_group, wait_all_tasks_blocked
from hypothesis import given
from hypothesis import strategies as st

from skywire.app.interface import methods_of
from skywire.control.frames import MessageStream
from skywire.control.messages import request
from skywire.isolation.frames import BROKEN, END, FrameReader, RecordFramer
from skywire.isolation.interfaces import Assignment, HostAPI, InstanceAPI
from skywire.isolation.link import DescriptorReceiver, DescriptorSender
from skywire.net.local_socket import LocalSocket
from skywire.wire.records import MAX_RECORD

PAGE = (Path(__file__).parents[2] / "docs" / "protocol" / "app-process.md").read_text("utf-8")


def bytes_of_the_page() -> list[bytes]:
    found = re.findall(r"(?:^(?:[0-9a-f]{2} )+[0-9a-f]{2}\n)+", PAGE, re.MULTILINE)
    return [bytes.fromhex(each) for each in found]


def pair() -> tuple[LocalSocket, LocalSocket]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return LocalSocket(near), LocalSocket(far)


@pytest.mark.anyio
async def test_the_bytes_of_the_page() -> None:
    call, conn = bytes_of_the_page()
    near, far = pair()
    async with near, far:
        await MessageStream(near).send(request(1, "host.unserve", {"number": 16}))
        assert await far.receive() == call
    assert RecordFramer().seal_records(b"hi") + END == conn
    assert f"`{END.hex(' ')}`" in PAGE
    assert f"`{BROKEN.hex(' ')}`" in PAGE


def test_the_page_has_every_method_and_parameter() -> None:
    for interface, prefix in ((HostAPI, "host"), (InstanceAPI, "instance")):
        for method in methods_of(interface, prefix):
            row = re.search(rf"^\| `{re.escape(method.name)}` \| (.*?) \|", PAGE, re.MULTILINE)
            assert row is not None, method.name
            assert re.findall(r"`(\w+)`", row[1]) == list(method.parameters)
    for field in Assignment.__dataclass_fields__:
        assert f"`{field}`" in PAGE


@given(st.lists(st.binary(min_size=1, max_size=MAX_RECORD)), st.integers(1, 5000))
def test_records_come_out_as_they_went_in(records: list[bytes], step: int) -> None:
    framer, reader = RecordFramer(), FrameReader()
    data = b"".join(map(framer.seal_records, records)) + END
    found = []
    for start in range(0, len(data), step):
        reader.feed(data[start : start + step])
        while record := reader.take_record():
            found.append(record)
    assert found == records
    assert (reader.ended, reader.partial, reader.error) == (True, False, None)


@given(st.binary(max_size=20_000), st.integers(1, 5000))
def test_anything_in_pieces_is_the_same_as_at_once(data: bytes, step: int) -> None:
    whole, pieces = FrameReader(), FrameReader()
    whole.feed(data)
    for start in range(0, len(data), step):
        pieces.feed(data[start : start + step])
    assert (whole.ended, whole.partial, str(whole.error)) == (pieces.ended, pieces.partial, str(pieces.error))
    assert whole.take(1 << 20) == pieces.take(1 << 20)


@pytest.mark.anyio
async def test_sockets_go_over_the_link_to_who_waits_for_them() -> None:
    near, far = pair()
    taken: list[socket.socket] = []
    receiver = DescriptorReceiver()
    receiver.expect(16, taken.append)
    async with near, far, create_task_group() as tasks:
        tasks.start_soon(receiver.read, far)
        sender = DescriptorSender(near)
        async with await sender.open(16) as ours, await sender.open(17) as nobodys:
            with pytest.raises(EndOfStream):
                await nobodys.receive()
            assert not taken[0].get_inheritable()
            async with LocalSocket(taken[0]) as theirs:
                await ours.send(b"hello")
                assert await theirs.receive() == b"hello"
        receiver.forget(16)
        async with await sender.open(16) as late:
            with pytest.raises(EndOfStream):
                await late.receive()
        await near.aclose()


@pytest.mark.anyio
async def test_closing_a_local_socket_wakes_who_waits() -> None:
    near, far = pair()
    async with far, create_task_group() as tasks:

        async def wait() -> None:
            with pytest.raises(ClosedResourceError):
                await near.receive()

        tasks.start_soon(wait)
        await wait_all_tasks_blocked()
        await near.aclose()
