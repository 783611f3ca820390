"""Files go from peer to peer over each network, whole or not at all, and go on where they ended."""

from __future__ import annotations

import json
import random
import stat
from pathlib import Path

import pytest
from anyio import CancelScope, create_task_group, fail_after
from anyio.lowlevel import checkpoint

from skywire import Conn
from skywire.transfer import (
    AlreadyReceiving,
    FileChanged,
    FileFailed,
    Interrupted,
    Offer,
    Origin,
    Sending,
    TransferLimits,
    Wanted,
    receiving,
    remove_parts,
)
from skywire.transfer.notes import Notes, write_notes
from skywire.wire.transfer import Fetch, FileHead, Preparing, TransferReader, encode_message
from tests.net.cancelling import at_each_await
from tests.net.meetings import CLIENT, MEETINGS, SERVER, Meeting, Port, memory
from tests.transfer.sides import ID, ROOMY, Sides, checksum, offering, pieces, request, says, some_bytes

pytestmark = pytest.mark.anyio

CONTENT = some_bytes(3_300_000)
HEAD = FileHead(len(CONTENT), checksum(CONTENT))


@pytest.fixture(params=MEETINGS)
def meeting(request: pytest.FixtureRequest) -> Meeting:
    return MEETINGS[request.param]


async def received(sides: Sides) -> None:
    """Wait until the sender knows that its file has arrived."""
    with fail_after(10):
        while not (sides.sendings and sides.sendings[-1].received):
            await checkpoint()


async def test_a_file_arrives_whole(meeting: Meeting, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    async with offering(meeting, tmp_path, CONTENT) as sides:
        fetched = await sides.fetch(progress=lambda done, size: seen.append((done, size)))
        await received(sides)
    assert fetched.path == tmp_path / "received" / "file.bin"
    assert fetched.path.read_bytes() == CONTENT
    assert (fetched.size, fetched.sha256) == (len(CONTENT), checksum(CONTENT))
    assert stat.S_IMODE(fetched.path.stat().st_mode) == 0o600
    assert sides.names() == {"file.bin"}
    assert (seen[0], seen[-1]) == ((0, len(CONTENT)), (len(CONTENT), len(CONTENT)))
    assert sides.sendings[0] == Sending(CLIENT.public, ID, 0, len(CONTENT))
    assert sides.sendings[-1] == Sending(CLIENT.public, ID, len(CONTENT), len(CONTENT), received=True)


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1])
async def test_sizes_at_the_borders(meeting: Meeting, tmp_path: Path, size: int) -> None:
    content = some_bytes(size)
    async with offering(meeting, tmp_path, content) as sides:
        fetched = await sides.fetch(size=size, sha256=checksum(content))
    assert fetched.path.read_bytes() == content
    assert sides.names() == {"file.bin"}


async def test_a_file_goes_on_where_the_connection_ended(meeting: Meeting, tmp_path: Path) -> None:
    """A cut anywhere costs what was on its way, and no more than what had arrived is asked for again."""
    cuts = iter([0, 1, 70_000, 1_048_576, 900_000, 3_000_000])
    offsets: list[int] = []

    async def serve(conn: Conn) -> None:
        asked = await request(conn)
        offsets.append(asked.offset)
        end = next(cuts, len(CONTENT))
        await conn.send(encode_message(HEAD) + pieces(CONTENT[asked.offset : max(end, asked.offset)]))
        if end < len(CONTENT):
            return
        await conn.send(b'\x00\x00\x00\x0e{"type":"end"}')
        await conn.receive()

    async with meeting(Port(serve)) as served:
        sides = Sides(served, tmp_path / "received")
        for _ in range(6):
            with pytest.raises(Interrupted):
                await sides.fetch()
        fetched = await sides.fetch()
    assert fetched.path.read_bytes() == CONTENT
    assert offsets == [0, 0, 1, 70_000, 1_048_576, 1_048_576, 3_000_000]
    assert sides.names() == {"file.bin"}


async def test_one_reception_takes_several_connections(meeting: Meeting, tmp_path: Path) -> None:
    begin = encode_message(HEAD) + pieces(CONTENT[:500_000])
    async with meeting(Port(says(begin))) as served, offering(memory, tmp_path, CONTENT) as sides:
        wanted = Wanted(SERVER.public, ID, "file.bin")
        async with receiving(wanted, sides.folder, limits=ROOMY) as reception, await served.dial() as conn:
            with pytest.raises(Interrupted):
                await reception.fetch(conn)
            assert reception.done == 500_000
            async with await sides.served.dial() as second:
                fetched = await reception.fetch(second)
    assert fetched.path.read_bytes() == CONTENT
    assert sides.sendings[0].done == 500_000


@pytest.mark.parametrize("seed", range(4))
async def test_what_is_on_disk_is_continued(tmp_path: Path, seed: int) -> None:
    """As it is after a kill or a power cut, which may leave any beginning of it."""
    generator = random.Random(seed)
    size = generator.choice([0, 1, len(CONTENT), generator.randrange(len(CONTENT))])
    async with offering(memory, tmp_path, CONTENT) as sides:
        leave_part(sides, CONTENT[:size])
        fetched = await sides.fetch()
    assert fetched.path.read_bytes() == CONTENT
    assert sides.sendings[0].done == size
    assert sides.names() == {"file.bin"}


def leave_part(sides: Sides, content: bytes, *, head: FileHead = HEAD) -> None:
    """Leave a part as a former attempt does."""
    sides.folder.mkdir(exist_ok=True)
    sides.part.write_bytes(content)
    sides.part.chmod(0o600)
    notes = {"peer": str(SERVER.public), "id": ID, "size": head.size, "sha256": head.sha256}
    sides.part.with_name("file.bin.part.json").write_text(json.dumps(notes))


async def test_a_cancellation_at_any_await_leaves_what_can_be_continued(tmp_path: Path) -> None:
    content = some_bytes(1_200_000)
    async with offering(memory, tmp_path, content) as sides:

        async def fetch() -> None:
            await sides.fetch()

        async def check() -> None:
            begun = sides.part.read_bytes() if sides.part.exists() else b""
            assert content.startswith(begun)
            path = sides.folder / "file.bin"
            if not path.exists():
                await sides.fetch()
                assert sides.sendings[-1].size == len(content)
            assert path.read_bytes() == content
            assert sides.names() == {"file.bin"}
            path.unlink()

        assert await at_each_await(fetch, check, limit=1000) > 10


async def test_two_receive_the_same_file_at_a_time(tmp_path: Path) -> None:
    wanted = Wanted(SERVER.public, ID, "file.bin")
    async with offering(memory, tmp_path, CONTENT) as sides:
        leave_part(sides, b"")
        async with receiving(wanted, sides.folder, limits=ROOMY):
            with pytest.raises(AlreadyReceiving, match=r"file\.bin is being received already"):
                await sides.fetch()
        await sides.fetch()


async def test_files_of_one_name_get_numbers_and_replace_nothing(tmp_path: Path) -> None:
    async with offering(memory, tmp_path, CONTENT) as sides:
        other = some_bytes(100, 2)
        (tmp_path / "other").write_bytes(other)
        sides.table.add(CLIENT.public, "other", Offer(tmp_path / "other"))
        sides.folder.mkdir()
        (sides.folder / "file.bin").write_text("mine")
        (sides.folder / "file (1).bin.part").write_text("mine, too")
        fetched = await sides.fetch()
        second = await sides.fetch(offer_id="other")
    assert (fetched.path.name, second.path.name) == ("file (1).bin", "file (2).bin")
    assert (fetched.path.read_bytes(), second.path.read_bytes()) == (CONTENT, other)
    assert (sides.folder / "file.bin").read_text() == "mine"
    assert (sides.folder / "file (1).bin.part").read_text() == "mine, too"


async def test_a_name_that_is_taken_during_the_transfer(tmp_path: Path) -> None:
    async with offering(memory, tmp_path, CONTENT) as sides:
        fetched = await sides.fetch(progress=lambda done, size: (sides.folder / "file.bin").touch())
    assert fetched.path.name == "file (1).bin"
    assert fetched.path.read_bytes() == CONTENT


async def test_a_part_of_another_file_is_not_continued(tmp_path: Path) -> None:
    """The sender has changed the file that the part is of, or the one who asks knows that it did."""
    async with offering(memory, tmp_path, CONTENT) as sides:
        former = FileHead(len(CONTENT), checksum(b"former"))
        leave_part(sides, b"former", head=former)
        with pytest.raises(FileChanged, match="another one than that which was begun with"):
            await sides.fetch()
        assert sides.names() == set()
        leave_part(sides, b"former", head=former)
        fetched = await sides.fetch(sha256=HEAD.sha256)
    assert fetched.path.read_bytes() == CONTENT
    assert sides.names() == {"file.bin"}


async def test_what_got_its_name_just_before_the_end_is_not_touched(tmp_path: Path) -> None:
    async with offering(memory, tmp_path, CONTENT) as sides:
        leave_part(sides, CONTENT)
        (sides.folder / "file.bin").hardlink_to(sides.part)
        fetched = await sides.fetch()
    assert fetched.path.name == "file (1).bin"
    assert (sides.folder / "file.bin").read_bytes() == CONTENT
    assert sides.names() == {"file.bin", "file (1).bin"}


@pytest.mark.parametrize("notes", [b"", b"[]", b"{", b"\xff", b'{"peer": "x", "id": "a", "size": 1, "sha256": ""}'])
async def test_a_part_with_notes_that_make_no_sense_is_left_alone(tmp_path: Path, notes: bytes) -> None:
    async with offering(memory, tmp_path, CONTENT) as sides:
        sides.folder.mkdir()
        sides.part.write_bytes(b"mine")
        (sides.folder / "file.bin.part.json").write_bytes(notes)
        fetched = await sides.fetch()
    assert fetched.path.read_bytes() == CONTENT
    assert sides.part.read_bytes() == b"mine"
    assert sides.names() == {"file.bin", "file.bin.part", "file.bin.part.json"}


@pytest.mark.parametrize("mode", [0o600, 0o644])
async def test_an_empty_part_is_used_if_nobody_else_can_read_it(tmp_path: Path, mode: int) -> None:
    async with offering(memory, tmp_path, CONTENT) as sides:
        sides.folder.mkdir()
        sides.part.touch()
        sides.part.chmod(mode)
        fetched = await sides.fetch()
    assert stat.S_IMODE(fetched.path.stat().st_mode) == 0o600
    assert sides.part.exists() == (mode != 0o600)


async def test_notes_without_a_part_are_removed(tmp_path: Path) -> None:
    async with offering(memory, tmp_path, CONTENT) as sides:
        leave_part(sides, b"")
        sides.part.unlink()
        await sides.fetch()
    assert (sides.folder / "file.bin").read_bytes() == CONTENT


async def test_a_part_that_is_taken_away_meanwhile(tmp_path: Path) -> None:
    async with offering(memory, tmp_path, CONTENT) as sides:
        with pytest.raises(FileFailed, match="not any more the file that was written"):
            await sides.fetch(progress=lambda done, size: sides.part.unlink(missing_ok=True))
        await sides.fetch()


async def test_who_waits_for_a_file_to_be_read_hears_of_it(tmp_path: Path) -> None:
    limits = TransferLimits(preparing_seconds=1e-9, spare_bytes=0)
    async with offering(memory, tmp_path, CONTENT, limits=limits) as sides, await sides.served.dial() as conn:
        await conn.send(encode_message(Fetch(ID)))
        reader = TransferReader()
        events = reader.receive(await conn.receive())
        while len(events) < 2:
            events += reader.receive(await conn.receive())
        assert events[:2] == [Preparing(), HEAD]


async def test_links_and_folders_in_the_way_are_passed_by(tmp_path: Path) -> None:
    async with offering(memory, tmp_path, CONTENT) as sides:
        sides.folder.mkdir()
        victim = tmp_path / "victim"
        victim.write_text("mine")
        sides.part.symlink_to(victim)
        (sides.folder / "file (1).bin.part").mkdir()
        fetched = await sides.fetch()
    assert fetched.path.name == "file.bin"
    assert victim.read_text() == "mine"


async def test_a_pause_is_a_cancellation(meeting: Meeting, tmp_path: Path) -> None:
    """Who has seen enough of it ends the connection, and the sender is free for others at once."""
    async with offering(meeting, tmp_path, some_bytes(8_000_000)) as sides:
        with CancelScope() as scope:
            await sides.fetch(progress=lambda done, size: scope.cancel())
        assert scope.cancelled_caught
        with fail_after(10):
            while sides.served.table.live:
                await checkpoint()
        await sides.fetch()


async def test_several_files_at_once(meeting: Meeting, tmp_path: Path) -> None:
    contents = {f"id{number}": some_bytes(600_000, number) for number in range(4)}
    async with offering(meeting, tmp_path) as sides:
        for name, content in contents.items():
            (tmp_path / name).write_bytes(content)
            sides.table.add(CLIENT.public, name, Offer(tmp_path / name))

        async def fetch(name: str) -> None:
            fetched = await sides.fetch(offer_id=name)
            assert fetched.path.read_bytes() == contents[name]

        async with create_task_group() as tasks:
            for name in contents:
                tasks.start_soon(fetch, name)
    assert len(sides.names()) == len(contents)


async def test_parts_that_nobody_goes_on_with_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "received"
    remove_parts(folder, ())
    folder.mkdir()
    (folder / "mine.part").write_bytes(b"of the user")
    (folder / "odd.part.json").write_bytes(b"nothing of ours")
    (folder / "whole.txt").write_bytes(b"complete")
    head = FileHead(10, checksum(b""))
    held = Wanted(SERVER.public, "held", "held")
    for name in ("kept", "left", "alone"):
        write_notes(folder / f"{name}.part", Notes(Origin(SERVER.public, name), head))
    for name in ("kept", "left"):
        (folder / f"{name}.part").write_bytes(b"x")
        (folder / f"{name}.part").chmod(0o600)
    async with receiving(held, folder, limits=ROOMY) as reception:
        write_notes(folder / "held.part", Notes(Origin(SERVER.public, "held"), head))
        remove_parts(folder, {Origin(SERVER.public, "kept"), Origin(CLIENT.public, "left")})
        assert reception.done == 0
        assert {each.name for each in folder.iterdir()} == {
            *("mine.part", "odd.part.json", "whole.txt", "kept.part", "kept.part.json", "held.part", "held.part.json")
        }
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "a.part.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileFailed, match="cannot remove parts"):
        remove_parts(blocked, ())
