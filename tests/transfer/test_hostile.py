"""Peers that break the rules, lie, stall or ask for what is not theirs; files that change; disks that are full."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from anyio import Event, create_task_group, fail_after, sleep, sleep_forever
from anyio.lowlevel import checkpoint

from skywire import Conn, SecKey
from skywire.errors import ProtocolError, SkywireError
from skywire.transfer import (
    Announcement,
    FailureCode,
    FileChanged,
    FileFailed,
    Interrupted,
    NoSpace,
    Offer,
    SenderFailed,
    Stalled,
    TooLarge,
    TransferLimits,
    Wanted,
    WrongChecksum,
    WrongSize,
    announce,
    receiving,
)
from skywire.transfer.part import Part
from skywire.wire.transfer import (
    MAX_SIZE,
    End,
    Failed,
    Fetch,
    FileHead,
    Message,
    Preparing,
    Received,
    TransferReader,
    encode_message,
)
from tests.net.meetings import CLIENT, SERVER, STRANGER, Port, memory
from tests.transfer.sides import ID, ROOMY, Sides, checksum, offering, pieces, request, says, some_bytes

pytestmark = pytest.mark.anyio

CONTENT = some_bytes(2_500_000)
HEAD = FileHead(len(CONTENT), checksum(CONTENT))
HASTY = TransferLimits(stall_seconds=0.05, spare_bytes=0)
OURS = frozenset({"file.bin.part", "file.bin.part.json"})


@pytest.mark.parametrize(
    ("said", "error", "stays"),
    [
        ((HEAD, pieces(CONTENT + b"x"), End()), WrongSize, False),
        ((HEAD, pieces(CONTENT[:-1]), End()), WrongSize, False),
        ((HEAD, pieces(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])), End()), WrongChecksum, False),
        ((HEAD, pieces(CONTENT), Received()), ProtocolError, True),
        ((HEAD, pieces(CONTENT[:5]), b"\x00\x00\x00\x00"), ProtocolError, True),
        ((HEAD, pieces(CONTENT[:5]), b"\x00\x00\x00\x02[]"), ProtocolError, True),
        ((HEAD, pieces(CONTENT[:5])), Interrupted, True),
        ((HEAD, pieces(CONTENT[:5]), b"\x80\x00"), Interrupted, True),
        ((HEAD, pieces(CONTENT[:5]), Failed(FailureCode.UNREADABLE, "gone")), SenderFailed, True),
        ((HEAD, pieces(CONTENT[:5]), Failed(FailureCode.CHANGED, "another")), FileChanged, False),
        ((), Interrupted, False),
        ((b"GET / HTTP/1.1\r\n\r\n",), ProtocolError, False),
        ((pieces(CONTENT[:5]),), ProtocolError, False),
        ((End(),), ProtocolError, False),
        ((Fetch(ID),), ProtocolError, False),
        ((Preparing(), Failed(FailureCode.BUSY, "later")), SenderFailed, False),
        ((Failed(FailureCode.UNKNOWN, ""),), SenderFailed, False),
        ((b"".join([encode_message(Preparing())] * 1001),), Stalled, False),
        ((FileHead(MAX_SIZE, HEAD.sha256), pieces(CONTENT)), TooLarge, False),
        ((FileHead(0, HEAD.sha256), End()), WrongChecksum, False),
    ],
)
async def test_a_sender_that_breaks_the_rules(
    tmp_path: Path, said: tuple[Message | bytes, ...], error: type[SkywireError], stays: bool
) -> None:
    async with memory(Port(says(*said))) as served:
        sides = Sides(served, tmp_path)
        with pytest.raises(error) as caught:
            await sides.fetch()
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)
    assert sides.names() == (OURS if stays else set())


@pytest.mark.parametrize(
    ("said", "error"),
    [(Failed(FailureCode.BUSY, "later"), "the sender says: later"), (Failed(FailureCode.OTHER, ""), "says: other")],
)
async def test_what_the_sender_says_is_told(tmp_path: Path, said: Failed, error: str) -> None:
    async with memory(Port(says(said))) as served:
        with pytest.raises(SenderFailed, match=error) as caught:
            await Sides(served, tmp_path).fetch()
    assert caught.value.code is said.code


async def test_a_sender_that_says_nothing_or_stops_in_the_middle(tmp_path: Path) -> None:
    async def nothing(conn: Conn) -> None:
        await sleep_forever()

    async def stops(conn: Conn) -> None:
        await conn.send(encode_message(HEAD) + pieces(CONTENT[:5]))
        await sleep_forever()

    async with memory(Port(nothing), Port(stops)) as served:
        sides = Sides(served, tmp_path)
        with pytest.raises(Stalled, match=r"nothing came .* for 0\.05 s"):
            await sides.fetch(limits=HASTY)
        assert sides.names() == set()
        served.addresses.reverse()
        with pytest.raises(Stalled):
            await sides.fetch(limits=HASTY)
        assert sides.part.read_bytes() == CONTENT[:5]


@pytest.mark.parametrize(("size", "sha256"), [(5, ""), (None, checksum(b"wanted")), (len(CONTENT) + 1, HEAD.sha256)])
async def test_a_sender_that_has_another_file_than_was_wanted(tmp_path: Path, size: int | None, sha256: str) -> None:
    async with memory(Port(says(HEAD, pieces(CONTENT), End()))) as served:
        sides = Sides(served, tmp_path)
        with pytest.raises(FileChanged):
            await sides.fetch(size=size, sha256=sha256)
    assert sides.names() == set()


async def test_a_sender_that_goes_on_with_something_else(tmp_path: Path) -> None:
    async with memory(
        Port(says(HEAD, pieces(CONTENT[:5]))), Port(says(FileHead(HEAD.size + 1, HEAD.sha256), pieces(CONTENT[5:])))
    ) as served:
        sides = Sides(served, tmp_path)
        with pytest.raises(Interrupted):
            await sides.fetch()
        served.addresses.reverse()
        with pytest.raises(FileChanged, match="another file by now"):
            await sides.fetch()
    assert sides.names() == set()


async def test_what_is_too_large_or_does_not_fit_is_not_begun_with(tmp_path: Path) -> None:
    async with offering(memory, tmp_path, CONTENT) as sides:
        with pytest.raises(TooLarge, match=f"{len(CONTENT)} bytes, and at most 10"):
            await sides.fetch(size=len(CONTENT), limits=TransferLimits(max_size=10))
        assert not sides.folder.exists()
        with pytest.raises(TooLarge):
            await sides.fetch(limits=TransferLimits(max_size=10))
        with pytest.raises(NoSpace, match="the disk has room for 0"):
            await sides.fetch(limits=TransferLimits(spare_bytes=1 << 60))
    assert sides.names() == set()


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file can grow beyond that, as on a full disk."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("size", [0, 1_234_567])
async def test_a_full_disk_keeps_what_it_has_and_goes_on_when_there_is_room(tmp_path: Path, size: int) -> None:
    async with offering(memory, tmp_path, CONTENT) as sides:
        with files_up_to(size), pytest.raises(NoSpace, match=r"cannot write .*: File too large"):
            await sides.fetch()
        assert sides.names() == (OURS if size else set())
        fetched = await sides.fetch()
    assert fetched.path.read_bytes() == CONTENT
    assert sides.sendings[-1].received or sides.sendings[-1].done == len(CONTENT)


async def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileFailed, match="cannot write"):
        async with receiving(Wanted(SERVER.public, ID, "name"), tmp_path / "file" / "folder", limits=ROOMY):
            pass


@pytest.mark.parametrize("key", [STRANGER, CLIENT])
async def test_only_what_is_offered_to_that_key_is_sent(tmp_path: Path, key: SecKey) -> None:
    async with offering(memory, tmp_path, CONTENT) as sides:
        sides.served.table.ports[80] = Port(sides.served.table.ports[80].handler, {STRANGER.public, CLIENT.public})
        if key is CLIENT:
            sides.table.remove(CLIENT.public, ID)
        async with (
            receiving(Wanted(SERVER.public, ID, "name"), sides.folder, limits=ROOMY) as reception,
            await sides.served.dial(identity=key) as conn,
        ):
            with pytest.raises(SenderFailed) as caught:
                await reception.fetch(conn)
    assert caught.value.code is FailureCode.UNKNOWN
    assert sides.names() == set()


async def answer_to(conn: Conn, said: bytes) -> list[Message | bytes]:
    """All that a sender says to that."""
    reader, found = TransferReader(), list[Message | bytes]()
    await conn.send(said)
    async for data in conn:
        found += reader.receive(data)
    assert reader.error is None
    return found


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        encode_message(End()),
        pieces(b"abc"),
        encode_message(Fetch(ID, len(CONTENT) + 1, HEAD.sha256)),
        encode_message(Fetch(ID)).replace(b'"version":1', b'"version":2'),
    ],
)
async def test_requests_that_break_the_rules_are_told_so(tmp_path: Path, said: bytes) -> None:
    async with offering(memory, tmp_path, CONTENT) as sides, await sides.served.dial() as conn:
        found = await answer_to(conn, said)
    assert [each.code for each in found if isinstance(each, Failed)] == [FailureCode.REQUEST]
    assert len(found) == 1


async def test_who_asks_for_nothing_takes_nothing_or_leaves_is_given_up(tmp_path: Path) -> None:
    async with offering(memory, tmp_path, CONTENT, limits=HASTY) as sides, await sides.served.dial() as silent:
        async with await sides.served.dial() as slow, await sides.served.dial() as gone:
            await slow.send(encode_message(Fetch(ID)))
            await gone.send(encode_message(Fetch(ID)))
            await gone.receive(1)
            await gone.aclose()
            with fail_after(10):
                while sides.served.table.live:
                    await checkpoint()
        assert not silent.closed
    assert not any(sending.received for sending in sides.sendings)


async def test_who_sends_a_byte_now_and_then_is_given_up(tmp_path: Path) -> None:
    async def drip(conn: Conn) -> None:
        await request(conn)
        with suppress(SkywireError):
            for each in encode_message(HEAD) * 100:
                await conn.send(bytes([each]))
                await sleep(HASTY.stall_seconds / 10)

    async with memory(Port(drip)) as served:
        sides = Sides(served, tmp_path / "received")
        with fail_after(10), pytest.raises(Stalled):
            await sides.fetch(limits=HASTY)


async def test_a_peer_with_too_many_connections_is_told_so_and_others_are_served(tmp_path: Path) -> None:
    limits = TransferLimits(conns_per_peer=3, spare_bytes=0)
    async with offering(memory, tmp_path, CONTENT, limits=limits) as sides, AsyncExitStack() as stack:
        sides.served.table.ports[80] = Port(sides.served.table.ports[80].handler, {STRANGER.public, CLIENT.public})
        for _ in range(3):
            await stack.enter_async_context(await sides.served.dial(identity=STRANGER))
        async with await sides.served.dial(identity=STRANGER) as conn:
            (said,) = await answer_to(conn, b"")
            assert isinstance(said, Failed)
            assert said.code is FailureCode.BUSY
        async with await sides.served.dial(identity=STRANGER) as conn:
            with pytest.raises(Interrupted, match="is busy"):
                await announce(conn, Announcement(ID, "a", 1, HEAD.sha256), limits=limits)
        await sides.fetch()


async def test_a_disk_that_others_fill_meanwhile_is_not_filled_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = iter([len(CONTENT), len(CONTENT) // 2])
    monkeypatch.setattr(Part, "free_bytes", lambda _: next(free, 0))
    filled = Event()

    async def send(conn: Conn) -> None:
        await request(conn)
        await conn.send(encode_message(HEAD))
        for start in range(0, 1000, 10):
            await conn.send(pieces(CONTENT[start : start + 10]))
            await sleep(0.01)
        await filled.wait()

    async with memory(Port(send)) as served:
        sides = Sides(served, tmp_path / "received")
        with fail_after(10), pytest.raises(NoSpace):
            await sides.fetch()
        filled.set()
    assert sides.names() == OURS
    assert CONTENT.startswith(sides.part.read_bytes())


async def test_a_peer_that_fetches_too_many_at_a_time(tmp_path: Path) -> None:
    limits = TransferLimits(per_peer=1, spare_bytes=0)
    async with offering(memory, tmp_path, CONTENT, limits=limits) as sides:
        sides.served.table.ports[80] = Port(sides.served.table.ports[80].handler, {STRANGER.public, CLIENT.public})
        sides.table.add(STRANGER.public, ID, Offer(tmp_path / "offered"))
        async with await sides.served.dial() as first, await sides.served.dial(identity=STRANGER) as other:
            await first.send(encode_message(Fetch(ID)))
            await first.receive(1)
            with pytest.raises(SenderFailed) as caught:
                await sides.fetch()
            assert caught.value.code is FailureCode.BUSY
            await other.send(encode_message(Fetch(ID)))
            await other.receive(1)
        with fail_after(10):
            while sides.served.table.live:
                await checkpoint()
        await sides.fetch()


async def test_a_file_that_is_not_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "offered"
    async with offering(memory, tmp_path, CONTENT) as sides:
        offer = Offer(path)
        assert await offer.prepare() == HEAD
        sides.table.add(CLIENT.public, ID, offer)
        os.utime(path)  # has another time, and is the same
        path.touch()
        await sides.fetch()
        path.write_bytes(CONTENT[:-1] + b"?")
        with pytest.raises(FileChanged, match="not any more what was offered"):
            await sides.fetch()
        sides.table.add(CLIENT.public, ID, Offer(path, sha256=HEAD.sha256))
        with pytest.raises(FileChanged):
            await sides.fetch()
        path.unlink()
        with pytest.raises(SenderFailed) as caught:
            await sides.fetch()
    assert caught.value.code is FailureCode.UNREADABLE
    assert str(tmp_path) not in str(caught.value)


async def test_a_receiver_that_does_not_say_that_it_has_the_file(tmp_path: Path) -> None:
    async with offering(memory, tmp_path, b"abc") as sides, await sides.served.dial() as conn:
        found = await answer_to(conn, encode_message(Fetch(ID)) + encode_message(End()))
    assert found[:3] == [FileHead(3, checksum(b"abc")), b"abc", End()]
    assert not any(sending.received for sending in sides.sendings)


@pytest.mark.parametrize("mode", ["ab", "r+b", "wb"])
async def test_a_file_that_changes_while_it_is_sent(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "offered"

    def change(done: int, size: int) -> None:
        with path.open(mode) as file:
            file.write(b"?")

    async with offering(memory, tmp_path, CONTENT) as sides:
        with pytest.raises(FileChanged, match="not any more what was offered"):
            await sides.fetch(progress=change)
        assert sides.names() == set()


async def test_a_file_that_is_removed_while_it_is_sent_is_sent_whole(tmp_path: Path) -> None:
    async with offering(memory, tmp_path, CONTENT) as sides:
        fetched = await sides.fetch(progress=lambda done, size: (tmp_path / "offered").unlink(missing_ok=True))
    assert fetched.path.read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["folder", "fifo", "nul"])
async def test_what_is_no_file_is_not_sent(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "thing"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path = Path("a\0b")
    with fail_after(5), pytest.raises(FileFailed):
        await Offer(path).prepare()
    with pytest.raises(ValueError, match="64 lower-case"):
        Offer(path, sha256="abc")


async def test_a_sender_that_is_ended_leaves_what_can_be_continued(tmp_path: Path) -> None:
    async def half(conn: Conn) -> None:
        await request(conn)
        await conn.send(encode_message(HEAD) + pieces(CONTENT[:1_500_000]))
        await sleep_forever()

    async with memory(Port(half)) as served, create_task_group() as tasks:
        sides = Sides(served, tmp_path)

        async def fetch() -> None:
            with pytest.raises(Interrupted):
                await sides.fetch()

        tasks.start_soon(fetch)
        with fail_after(10):
            while not sides.part.exists() or sides.part.stat().st_size < 1_000_000:
                await checkpoint()
        await served.stop()
    assert sides.part.read_bytes() == CONTENT[:1_500_000]


@pytest.mark.parametrize(
    "wrong",
    [{"stall_seconds": 0.0}, {"max_size": -1}, {"spare_bytes": -1}, {"per_peer": 0}, {"at_once": 0}],
)
def test_limits_that_make_no_sense(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"seconds|negative|at least one"):
        TransferLimits(**wrong)
