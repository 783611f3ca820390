"""What a chat keeps, and what it does with files that it cannot use."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import Final

import pytest
from anyio import create_task_group, fail_after, open_process, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from skywire.apps.skychat.contract import ChatError, Delivery, Direction, FileOffer
from skywire.apps.skychat.database import StoreFull
from skywire.apps.skychat.edits import ROW_BYTES, Settled
from skywire.apps.skychat.room import StoreLimits
from skywire.apps.skychat.rows import Kind, Waiting
from skywire.apps.skychat.store import Store, opened
from skywire.wire.skychat import BareText, Deleted, Seen, Written
from tests.apps.skychat.town import ALICE, BOB, PATIENCE

pytestmark = pytest.mark.anyio

PEER: Final = ALICE.public
OTHER: Final = BOB.public
DAY: Final = 86400.0


def id_of(number: int) -> str:
    return f"{number:016x}"


async def texts(store: Store) -> list[str]:
    return [each.text for each in await store.history(None, 0, 500)]


async def test_who_waits_for_changes_is_told_when_there_will_be_none(tmp_path: Path) -> None:
    told: list[str] = []
    async with create_task_group() as tasks:

        async def wait() -> None:
            with pytest.raises(ChatError, match="the chat has ended"):
                await store.changed(0, 1)
            told.append("ended")

        async with opened(tmp_path / "chat.db") as store:
            tasks.start_soon(wait)
            await wait_all_tasks_blocked()
        with fail_after(PATIENCE):
            while not told:
                await checkpoint()
    with pytest.raises(ChatError, match="the chat has ended"):
        await store.changed(0, 1)


async def test_every_change_has_the_next_number_and_is_told_once(tmp_path: Path) -> None:
    async with opened(tmp_path / "chat.db") as store:
        await store.write(PEER, id_of(1), "one", now=5.0)
        assert await store.take(PEER, [Written(id_of(1), "two"), BareText("three")], now=6.0) == [id_of(1)]
        first = await store.changed(0, 10)
        assert [(each.change, each.number, each.text, each.time) for each in first] == [
            (1, 1, "one", 5.0),
            (2, 2, "two", 6.0),
            (3, 3, "three", 6.0),
        ]
        await store.settle(PEER, [Settled(Kind.MESSAGE, id_of(1))])
        await store.take(PEER, [Seen(id_of(1)), Seen(id_of(1))], now=7.0)
        await store.mark_read(PEER, 2, now=8.0)
        then = await store.changed(3, 10)
        assert [(each.change, each.number, each.delivery) for each in then] == [
            (5, 1, Delivery.READ),
            (6, 2, Delivery.READ),
        ]
        assert await store.changed(5, 1) == then[1:]
        assert await store.history(PEER, 3, 1) == then[1:]
        assert await store.history(OTHER, 0, 9) == ()
        assert await store.one(PEER, Direction.OUT, id_of(1)) == then[0]
        assert await store.one(OTHER, Direction.OUT, id_of(1)) is None


async def test_who_waits_for_changes_is_told_of_them(tmp_path: Path) -> None:
    async with opened(tmp_path / "chat.db") as store:
        found: list[str] = []

        async def follow() -> None:
            at = 0
            while len(found) < 20:
                for message in await store.changed(at, 3):
                    at = message.change
                    found.append(message.text)

        with fail_after(PATIENCE):
            async with create_task_group() as tasks:
                tasks.start_soon(follow)
                for number in range(20):
                    await store.write(PEER, id_of(number), f"{number}", now=1.0)
                    await checkpoint()
        assert found == [f"{number}" for number in range(20)]


async def test_what_waits_is_there_again_when_it_is_opened_again(tmp_path: Path) -> None:
    async with opened(tmp_path / "chat.db") as store:
        await store.write(PEER, id_of(1), "one", now=1.0, reply_to=id_of(7))
        await store.take(PEER, [Written(id_of(2), "two"), BareText("no receipt for this")], now=1.0)
        assert await store.mark_read(PEER, 3, now=1.0)
        assert not await store.mark_read(PEER, 3, now=1.0)
        await store.write(PEER, id_of(3), "three", now=1.0)
        await store.delete(PEER, id_of(3), now=1.0)
        await store.set_bare(PEER, True)
        before = await store.figures()
        assert {each.stat().st_mode & 0o777 for each in tmp_path.glob("chat.db*")} == {0o600}
    assert (tmp_path / "chat.db").stat().st_mode & 0o777 == 0o600
    async with opened(tmp_path / "chat.db") as store:
        assert store.trouble is None
        assert await store.figures() == before
        assert await store.waited_for() == (PEER,)
        assert await store.waiting(PEER, 9) == (
            Waiting(Kind.MESSAGE, id_of(1), "one", id_of(7)),
            Waiting(Kind.READ, id_of(2)),
            Waiting(Kind.DELETE, id_of(3)),
        )
        assert await store.allowed() == await store.bare() == {PEER}
        await store.settle(PEER, [Settled(Kind.DELETE, id_of(3)), Settled(Kind.MESSAGE, id_of(9))])
        await store.take(PEER, [Deleted(id_of(2)), Deleted(id_of(2)), Deleted(id_of(8))], now=2.0)
        assert [each.kind for each in await store.waiting(PEER, 9)] == [Kind.MESSAGE]
        (contact,) = await store.contacts([PEER])
        assert (contact.waiting, contact.unread, contact.last) == (1, 0, 1.0)


async def test_delivery_never_goes_back(tmp_path: Path) -> None:
    async with opened(tmp_path / "chat.db") as store:
        await store.write(PEER, id_of(1), "x", now=1.0)
        await store.take(PEER, [Seen(id_of(1)), Settled(Kind.MESSAGE, id_of(1))], now=1.0)
        await store.set_delivery(PEER, id_of(1), Delivery.QUEUED)
        (message,) = await store.history(None, 0, 9)
        assert (message.delivery, message.change) == (Delivery.READ, 2)


async def test_files_that_messages_carry(tmp_path: Path) -> None:
    async with opened(tmp_path / "chat.db") as store:
        mine = FileOffer("a.txt", 5, path="/home/a.txt")
        theirs = FileOffer("b.txt", 7)
        await store.write(PEER, id_of(1), "", now=1.0, file=mine)
        assert await store.waited_for() == (), "whoever sends files delivers it"
        await store.take_file(PEER, id_of(2), "words", theirs, now=1.0)
        await store.take_file(PEER, id_of(2), "again", theirs, now=1.0)
        await store.set_file(PEER, Direction.IN, id_of(2), FileOffer("b.txt", 7, done=3))
        await store.set_file(PEER, Direction.IN, id_of(2), FileOffer("b.txt", 7, done=3))
        await store.set_file(PEER, Direction.IN, id_of(9), theirs)
        await store.set_delivery(PEER, id_of(1), Delivery.DELIVERED)
        one, two = await store.history(None, 0, 9)
        assert (one.file, one.delivery) == (mine, Delivery.DELIVERED)
        assert (two.file, two.text, two.change) == (FileOffer("b.txt", 7, done=3), "words", 3)


async def test_what_was_read_goes_before_what_was_not(tmp_path: Path) -> None:
    async with opened(tmp_path / "chat.db", StoreLimits(per_peer=3)) as store:
        for number in range(1, 11):
            await store.take(PEER, [Written(id_of(number), f"{number}")], now=1.0)
        assert len(await texts(store)) == 10, "nobody has read them"
        await store.mark_read(PEER, 6, now=1.0)
        assert await texts(store) == ["4", "5", "6", "7", "8", "9", "10"]
        await store.take(OTHER, [Written(id_of(1), "other")], now=1.0)
        assert (await store.figures()).stored == 8


async def test_one_peer_cannot_fill_it_and_nothing_unread_is_lost(tmp_path: Path) -> None:
    row = ROW_BYTES + 10
    async with opened(tmp_path / "chat.db", StoreLimits(total_bytes=10 * row)) as store:
        for number in range(5):
            await store.take(PEER, [Written(id_of(number), "x" * 10)], now=1.0)
        with pytest.raises(StoreFull, match="has not been read yet"):
            await store.take(PEER, [Written(id_of(9), "x" * 10)], now=1.0)
        assert await store.take(PEER, [Written(id_of(0), "x" * 10)], now=1.0) == [id_of(0)], "that is there already"
        for number in range(5):
            await store.write(OTHER, id_of(number), "y" * 10, now=1.0)
        with pytest.raises(StoreFull, match="not been read or delivered"):
            await store.write(PEER, id_of(9), "z" * 10, now=1.0)
        assert (await store.figures()).stored == 10
        assert store.trouble is None
        await store.mark_read(PEER, 2, now=1.0)
        await store.write(PEER, id_of(9), "z" * 10, now=1.0)
        assert await texts(store) == ["x" * 10] * 3 + ["y" * 10] * 5 + ["z" * 10]


async def test_strangers_share_half_of_the_room(tmp_path: Path) -> None:
    async with opened(tmp_path / "chat.db", StoreLimits(total_bytes=10 * ROW_BYTES)) as store:
        for number in range(3):
            await store.take(PEER, [Written(id_of(number), "")], now=1.0, known=False)
        for number in range(2):
            await store.take(OTHER, [Written(id_of(number), "")], now=1.0, known=False)
        with pytest.raises(StoreFull, match="not allowed by name"):
            await store.take(OTHER, [Written(id_of(2), "")], now=1.0, known=False)
        assert await store.take(OTHER, [Written(id_of(2), "")], now=1.0) == [id_of(2)]
        await store.mark_read(PEER, 3, now=1.0)
        assert await store.take(OTHER, [Written(id_of(3), "")], now=1.0, known=False) == [id_of(3)]


async def test_old_messages_go_and_late_ones_are_given_up(tmp_path: Path) -> None:
    async with opened(tmp_path / "chat.db", StoreLimits(days=30)) as store:
        await store.write(PEER, id_of(1), "queued", now=0.0)
        await store.take(PEER, [Written(id_of(2), "read"), Written(id_of(3), "unread")], now=0.0)
        await store.mark_read(PEER, 2, now=0.0)
        await store.sweep(now=29 * DAY)
        assert await texts(store) == ["queued", "read", "unread"]
        await store.sweep(now=31 * DAY)
        assert [(each.text, each.delivery) for each in await store.history(None, 0, 9)] == [
            ("queued", Delivery.REFUSED),
            ("unread", Delivery.DELIVERED),
        ]
        assert await store.waited_for() == ()
        await store.sweep(now=61 * DAY)
        assert await texts(store) == ["unread"]


async def test_a_full_disk_costs_what_does_not_fit_and_nothing_else(tmp_path: Path) -> None:
    async with opened(tmp_path / "chat.db") as store:
        await store.write(PEER, id_of(0), "before", now=1.0)

        def shrink(database: sqlite3.Connection) -> None:
            database.execute("PRAGMA max_page_count = 1").fetchall()  # sets it to what is there

        await store._database.run(shrink)
        kept = 0

        async def fill() -> None:
            nonlocal kept
            for number in range(1, 100):
                await store.write(PEER, id_of(number), "x" * 4096, now=1.0)
                kept = number

        with pytest.raises(StoreFull, match="the disk is full: make room"):
            await fill()
        assert "the disk is full" in (store.trouble or "")
        with pytest.raises(StoreFull):
            await store.take(PEER, [Written(id_of(1), "y" * 4096)], now=1.0)
        assert len(await store.history(None, 0, 500)) == kept + 1
        assert (await store.figures()).stored == kept + 1

        def grow(database: sqlite3.Connection) -> None:
            database.execute("PRAGMA max_page_count = 100000").fetchall()

        await store._database.run(grow)
        await store.write(PEER, id_of(kept + 1), "x" * 4096, now=1.0)
        assert not store.trouble
        (last,) = await store.history(None, 0, 1)
        assert last.number == kept + 2, "what was not kept has no number"


async def damaged(path: Path) -> bytes:
    """A history of which a part in the middle is gone."""
    async with opened(path) as store:
        for number in range(200):
            await store.write(PEER, id_of(number), "x" * 500, now=1.0)
    data = bytearray(path.read_bytes())
    data[8192:24576] = b"\xff" * 16384
    path.write_bytes(data)
    return bytes(data)


@pytest.mark.parametrize("what", ["text", "damaged", "foreign"])
async def test_a_file_that_cannot_be_used_is_kept_aside(tmp_path: Path, what: str) -> None:
    path = tmp_path / "chat.db"
    if what == "text":
        data = b"my notes, and nothing else\n" * 100
        path.write_bytes(data)
    elif what == "damaged":
        data = await damaged(path)
    else:
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE notes (note TEXT)")
        database.close()
        data = path.read_bytes()
    async with opened(path) as store:
        assert store.trouble is not None
        assert "a new history was begun" in store.trouble
        await store.write(PEER, id_of(1), "new", now=1.0)
        assert await texts(store) == ["new"]
        assert "a new history was begun" in store.trouble, "it stays so until the next start"
        (message,) = await store.changed(10**9, 9)
        assert message.text == "new", "whoever has followed the old one misses nothing of the new one"
    (kept,) = tmp_path.glob("chat.db.kept-*")
    assert kept.read_bytes() == data
    async with opened(path) as store:
        assert store.trouble is None
        assert await texts(store) == ["new"]


async def test_files_that_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    async with opened(path):
        pass
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(ChatError, match="written by a newer version"):
        async with opened(path):
            pass
    (tmp_path / "folder").mkdir()
    with pytest.raises(ChatError, match="cannot be opened"):
        async with opened(tmp_path / "folder"):
            pass
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(ChatError, match="cannot be opened"):
        async with opened(tmp_path / "link"):
            pass
    assert not list(tmp_path.glob("*.kept-*"))


async def test_another_process_that_has_it_is_named(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    code = (
        "import sys, anyio\nfrom pathlib import Path\nfrom skywire.apps.skychat.store import opened\n"
        "async def main():\n    async with opened(Path(sys.argv[1])):\n        print('open', flush=True)\n"
        "        await anyio.sleep_forever()\nanyio.run(main)"
    )
    async with await open_process([sys.executable, "-c", code, str(path)], stderr=None) as process:
        try:
            assert process.stdout is not None
            with fail_after(PATIENCE):
                assert (await process.stdout.receive()).startswith(b"open")
            with pytest.raises(ChatError, match="another process has the history"):
                async with opened(path):
                    pass
        finally:
            process.kill()
    async with opened(path) as store:
        assert await texts(store) == []
