"""Files to and from a host, both ways, over connections that break."""

from __future__ import annotations

import os
import random
import resource
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from skywire import SecKey
from skywire.errors import NetworkError, SkywireError
from skywire.net.address import Address
from skywire.net.memory import MEMORY
from skywire.pty.errors import PtyError, Refused
from skywire.pty.landing import KEPT_SECONDS, Landing
from skywire.transfer import FileChanged, NoSpace, Origin, TransferLimits
from skywire.transfer.notes import Notes, write_notes
from skywire.wire.transfer import FileHead
from tests.pty.copies import copies

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("way", ["take", "give"])]

PATIENCE = 30.0
CONTENT = random.Random(5).randbytes(2_500_000)


def names(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


async def is_all(folder: Path, *expected: str) -> None:
    """Wait until that is all that a folder has: a host tidies up when its client has all already."""
    while names(folder) != set(expected):
        await checkpoint()


@pytest.mark.parametrize("size", [0, 1, len(CONTENT)])
async def test_a_file_arrives_whole(tmp_path: Path, way: str, size: int) -> None:
    with anyio.fail_after(PATIENCE):
        async with copies(tmp_path) as both:
            source, target = both.ends(way)
            (source / "file").write_bytes(CONTENT[:size])
            (source / "file").chmod(0o750)
            await both.copy(way, "file", "other")
            assert (target / "other").read_bytes() == CONTENT[:size]
            assert stat.S_IMODE((target / "other").stat().st_mode) == 0o750 & ~umask()
            await is_all(target, "other")
            assert both.seen[-1] == (size, size)
            assert both.host.notices == []


async def test_to_a_folder_it_goes_by_its_name(tmp_path: Path, way: str) -> None:
    with anyio.fail_after(PATIENCE):
        async with copies(tmp_path) as both:
            source, target = both.ends(way)
            (source / "in").mkdir()
            (source / "in" / "file").write_bytes(b"it")
            (target / "to").mkdir()
            (target / "link").symlink_to("to")
            await both.copy(way, "in/file", "to")
            await both.copy(way, "in/file", "", force=True)
            with pytest.raises(PtyError, match="to/file exists: --force"):
                await both.copy(way, "in/file", "link")
            assert (target / "to" / "file").read_bytes() == (target / "file").read_bytes() == b"it"


@pytest.mark.parametrize("seed", range(3))
async def test_it_goes_on_wherever_connections_break(tmp_path: Path, way: str, seed: int) -> None:
    dice = random.Random(seed)
    with anyio.fail_after(PATIENCE):
        async with copies(tmp_path) as both:
            source, target = both.ends(way)
            (source / "file").write_bytes(CONTENT)
            both.cuts = [dice.randrange(len(CONTENT) // 2) for _ in range(3)] + [len(CONTENT) + 150]
            await both.copy(way, "file", "file")
            assert (target / "file").read_bytes() == CONTENT
            assert both.cuts == []
            await is_all(target, "file")
            assert both.host.notices[0] is not None
            assert both.host.notices[-1] is None or way == "give"


async def test_the_next_copy_goes_on_where_the_last_one_ended(tmp_path: Path, way: str) -> None:
    with anyio.fail_after(PATIENCE):
        async with copies(tmp_path) as both:
            source, target = both.ends(way)
            (source / "file").write_bytes(CONTENT)
            both.cuts = [len(CONTENT) // 2]
            async with anyio.create_task_group() as tasks:
                noticed = both.host.noticed
                tasks.start_soon(both.copy, way, "file", "file")
                await noticed.wait()
                tasks.cancel_scope.cancel()
            assert len(names(target)) == 1
            both.seen.clear()
            await both.copy(way, "file", "file")
            assert both.seen[0][0] > len(CONTENT) // 4
            assert (target / "file").read_bytes() == CONTENT
            await is_all(target, "file")


async def test_what_was_begun_with_of_an_older_file_is_not_gone_on_with(tmp_path: Path, way: str) -> None:
    with anyio.fail_after(PATIENCE):
        async with copies(tmp_path) as both:
            source, target = both.ends(way)
            (source / "file").write_bytes(CONTENT)
            both.cuts = [len(CONTENT) // 2]
            async with anyio.create_task_group() as tasks:
                noticed = both.host.noticed
                tasks.start_soon(both.copy, way, "file", "file")
                await noticed.wait()
                tasks.cancel_scope.cancel()
            (source / "file").write_bytes(CONTENT[::-1])
            await both.copy(way, "file", "file")
            assert (target / "file").read_bytes() == CONTENT[::-1]


async def test_nothing_is_replaced_unless_that_is_asked_for(tmp_path: Path, way: str) -> None:
    with anyio.fail_after(PATIENCE):
        async with copies(tmp_path) as both:
            source, target = both.ends(way)
            (source / "file").write_bytes(b"new")
            (target / "file").write_bytes(b"old")
            (target / "file").chmod(0o640)
            (target / "link").symlink_to("file")
            for name in ("file", "link"):
                with pytest.raises(PtyError, match=f"{name} exists: --force replaces it"):
                    await both.copy(way, "file", name)
            await both.copy(way, "file", "link", force=True)
            assert (target / "file").read_bytes() == b"old"
            assert not (target / "link").is_symlink()
            await both.copy(way, "file", "file", force=True)
            assert (target / "file").read_bytes() == b"new"
            assert stat.S_IMODE((target / "file").stat().st_mode) == 0o640
            await is_all(target, "file", "link")


async def test_what_comes_into_being_meanwhile_is_not_replaced_and_nothing_is_lost(tmp_path: Path, way: str) -> None:
    with anyio.fail_after(PATIENCE):
        async with copies(tmp_path) as both:
            source, target = both.ends(way)
            (source / "file").write_bytes(CONTENT)
            both.watch = lambda: (target / "file").write_bytes(b"theirs")
            with pytest.raises(PtyError, match="file exists by now: --force replaces it"):
                await both.copy(way, "file", "file")
            assert (target / "file").read_bytes() == b"theirs"
            both.watch = lambda: None
            both.seen.clear()
            await both.copy(way, "file", "file", force=True)
            assert {done for done, _ in both.seen} == {len(CONTENT)}
            assert (target / "file").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("source_name", "target_name", "why"),
    [
        ("no-such", "x", "no-such: No such file or directory|cannot read .*no-such: No such file or directory"),
        ("folder", "x", "is a folder, and single files are copied: pack it first"),
        ("fifo", "x", "is no regular file"),
        ("file", "no-such/x", "no-such: no such folder"),
        ("file", "fifo", "is there, and is no file"),
        ("file", "n" * 300, "File name too long"),
        ("file", "\0", "zero|null|embedded"),
    ],
)
async def test_what_cannot_be_copied(tmp_path: Path, way: str, source_name: str, target_name: str, why: str) -> None:
    with anyio.fail_after(PATIENCE):
        async with copies(tmp_path) as both:
            source, target = both.ends(way)
            (source / "folder").mkdir()
            (source / "file").write_bytes(b"it")
            for folder in (source, target):
                os.mkfifo(folder / "fifo")
            with pytest.raises(SkywireError, match=why) as caught:
                await both.copy(way, source_name, target_name)
            assert "\n" not in str(caught.value)
            await is_all(target, "fifo")


async def test_names_that_command_a_terminal_stay_as_they_are_and_are_told_harmlessly(tmp_path: Path, way: str) -> None:
    name = "a\x1b[2J\nb: c"
    with anyio.fail_after(PATIENCE):
        async with copies(tmp_path) as both:
            source, target = both.ends(way)
            (source / name).write_bytes(b"it")
            await both.copy(way, name, "")
            await is_all(target, name)
            with pytest.raises(PtyError, match=r"a\\x1b\[2J\\nb: c exists"):
                await both.copy(way, name, "")


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


async def test_a_full_disk_is_told_and_what_is_there_is_used_when_there_is_room(tmp_path: Path, way: str) -> None:
    with anyio.fail_after(PATIENCE):
        async with copies(tmp_path) as both:
            source, target = both.ends(way)
            (source / "file").write_bytes(CONTENT)
            with files_up_to(1_234_567), pytest.raises((NoSpace, PtyError), match="File too large"):
                await both.copy(way, "file", "file")
            assert "file" not in names(target)
            both.seen.clear()
            await both.copy(way, "file", "file")
            assert both.seen[0][0] > 0
            assert (target / "file").read_bytes() == CONTENT


async def test_a_disk_without_room_is_told_before_a_byte_is_sent(tmp_path: Path, way: str) -> None:
    with anyio.fail_after(PATIENCE):
        async with copies(tmp_path, TransferLimits(spare_bytes=1 << 60)) as both:
            source, target = both.ends(way)
            (source / "file").write_bytes(CONTENT)
            with pytest.raises((NoSpace, PtyError), match="the disk has room for 0"):
                await both.copy(way, "file", "file")
            await is_all(target)


async def test_a_file_that_changes_all_the_time_is_given_up(tmp_path: Path, way: str) -> None:
    with anyio.fail_after(PATIENCE):
        async with copies(tmp_path) as both:
            source, target = both.ends(way)
            (source / "file").write_bytes(CONTENT)
            both.watch = lambda: (source / "file").write_bytes((source / "file").read_bytes() + b"x")
            with pytest.raises((FileChanged, PtyError), match="not any more what was offered"):
                await both.copy(way, "file", "file")
            assert "file" not in names(target)


async def test_nobody_gets_what_another_key_has_spoken_of(tmp_path: Path, way: str) -> None:
    stranger = Address(MEMORY, SecKey.generate().public, 1)
    with anyio.fail_after(PATIENCE):
        async with copies(tmp_path) as both:
            (both.home / "file").write_bytes(b"it")
            (both.here / "file").write_bytes(b"it")
            await both.copy(way, "file", "other")
            (request,) = both.asked
            with pytest.raises(Refused, match="no such file has been spoken of"):
                async with both.host.reach(request, stranger):
                    pass


async def test_where_nobody_is_there_at_first_that_is_told(tmp_path: Path, way: str) -> None:
    with anyio.fail_after(PATIENCE):
        async with copies(tmp_path) as both:
            (both.ends(way)[0] / "file").write_bytes(b"it")
            both.host.there = False
            with pytest.raises(NetworkError, match="nobody is there"):
                await both.copy(way, "file", "file")


async def test_what_nobody_goes_on_with_is_removed_after_some_days(tmp_path: Path, way: str) -> None:
    with anyio.fail_after(PATIENCE):
        async with copies(tmp_path) as both:
            source, target = both.ends(way)
            (source / "file").write_bytes(b"it")
            landing = Landing(target, "file", 0o644, replace=False)
            landing.open()
            for name, age in (("old", KEPT_SECONDS + 60), ("young", KEPT_SECONDS - 60)):
                part = landing.parts / f"{name}.part"
                part.write_bytes(b"some")
                part.chmod(0o600)
                write_notes(part, Notes(Origin(SecKey.generate().public, name), FileHead(9, "0" * 64)))
                then = part.stat().st_mtime - age
                os.utime(part, (then, then))
            (landing.parts / "draft").write_bytes(b"")
            os.utime(landing.parts / "draft", (0, 0))
            await both.copy(way, "file", "")
            await is_all(landing.parts, "young.part", "young.part.json")


async def test_a_folder_for_parts_that_is_not_ours_is_not_used(tmp_path: Path, way: str) -> None:
    with anyio.fail_after(PATIENCE):
        async with copies(tmp_path) as both:
            source, target = both.ends(way)
            (source / "file").write_bytes(b"it")
            (tmp_path / "elsewhere").mkdir()
            Landing(target, "file", 0, replace=False).parts.symlink_to(tmp_path / "elsewhere")
            with pytest.raises(PtyError, match="is no folder of this user alone: remove it"):
                await both.copy(way, "file", "")
            assert names(tmp_path / "elsewhere") == set()


def umask() -> int:
    before = os.umask(0o077)
    os.umask(before)
    return before
