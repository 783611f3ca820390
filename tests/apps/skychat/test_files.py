"""Files that messages carry."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from anyio import Event, create_task_group, fail_after
from anyio import Path as AsyncPath

from skywire import SecKey, embedded
from skywire.app.run_mode import RunMode
from skywire.apps.skychat import FILES, SkychatOptions
from skywire.apps.skychat.contract import ChatError, ChatMessage, Delivery, FileOffer
from skywire.apps.skychat.file_fetches import MOST_WAITING, FileFetches
from skywire.apps.skychat.files import FOLDER, Files, files_of
from skywire.apps.skychat.messenger import Messenger
from skywire.embedded import Deployment
from skywire.transfer import Announcement, Offer, OfferUnwanted, Origin, TransferError
from skywire.transfer.notes import Notes, write_notes
from skywire.transfer.part import Part
from skywire.wire.skychat import Deleted, Seen
from skywire.wire.transfer import FileHead
from tests.apps.skychat.site import dmsg_chat
from tests.apps.skychat.town import ALICE, BOB, CAROL, PATIENCE, until
from tests.dmsg.relaying import SWIFT

pytestmark = pytest.mark.anyio
MODE = RunMode.DMSG_STANDALONE
OPTIONS = SkychatOptions()


@asynccontextmanager
async def filing(
    network: Deployment, folder: Path, identity: SecKey, *allow: SecKey, options: SkychatOptions = OPTIONS
) -> AsyncIterator[Messenger]:
    """A chat that has files."""
    keys = [each.public for each in allow]
    async with (
        dmsg_chat(network, folder, identity, MODE, allow=keys) as chat,
        files_of(chat, chat._host, options) as files,
    ):
        if options.everyone:
            chat.access._everyone = True
        async with chat._host.serve(FILES, files.serve, peers=chat.access):
            yield chat


async def the_one(chat: Messenger) -> ChatMessage:
    (message,) = await chat.history()
    return message


async def file_of(chat: Messenger) -> FileOffer:
    file = (await the_one(chat)).file
    assert file is not None
    return file


async def comes(chat: Messenger) -> FileOffer:
    """The file of the only message, once it is here."""

    async def is_here() -> bool:
        history = await chat.history()
        return bool(history) and history[0].file is not None and bool(history[0].file.path)

    await until(is_here)
    return await file_of(chat)


async def in_trouble(chat: Messenger) -> FileOffer:
    async def is_so() -> bool:
        history = await chat.history()
        return bool(history) and history[0].file is not None and bool(history[0].file.trouble)

    await until(is_so)
    return await file_of(chat)


def made(folder: Path, size: int, name: str = "letter.txt") -> Path:
    path = folder / name
    path.write_bytes(os.urandom(size))
    return path


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
async def test_a_file_comes_with_its_words(tmp_path: Path, size: int) -> None:
    path = made(tmp_path, size)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    async with (
        embedded.start(limits=SWIFT) as network,
        filing(network, tmp_path, BOB, ALICE) as bob,
        filing(network, tmp_path, ALICE) as alice,
    ):
        sent = await alice.send_file(BOB.public, path, text="here it is")
        file = await comes(bob)
        message = await the_one(bob)
        assert (message.id, message.text, message.delivery) == (sent.id, "here it is", Delivery.DELIVERED)
        assert (file.name, file.size, file.done, file.sha256, file.trouble) == ("letter.txt", size, size, digest, "")
        assert Path(file.path).read_bytes() == path.read_bytes()
        assert Path(file.path).parent == bob._host.data_dir / FOLDER / str(ALICE.public)

        async def is_known() -> bool:
            ours = await the_one(alice)
            assert ours.file is not None
            return ours.delivery is Delivery.DELIVERED and ours.file.done == size

        await until(is_known)


async def test_it_waits_for_a_peer_that_is_not_there(tmp_path: Path) -> None:
    path = made(tmp_path, 1000)
    async with embedded.start(limits=SWIFT) as network:
        async with filing(network, tmp_path, ALICE) as alice:
            await alice.send_file(BOB.public, path)
            await in_trouble(alice)
            assert (await the_one(alice)).delivery is Delivery.QUEUED
        async with filing(network, tmp_path, BOB, ALICE) as bob, filing(network, tmp_path, ALICE):
            assert Path((await comes(bob)).path).read_bytes() == path.read_bytes()


async def test_it_goes_on_where_it_was_when_the_receiver_ended(tmp_path: Path) -> None:
    path = made(tmp_path, 30_000_000)
    async with embedded.start(limits=SWIFT) as network, filing(network, tmp_path, ALICE) as alice:
        async with filing(network, tmp_path, BOB, ALICE) as bob:
            await alice.send_file(BOB.public, path)

            async def some_is_here() -> bool:
                history = await bob.history()
                return bool(history) and history[0].file is not None and history[0].file.done > 0

            await until(some_is_here)
        async with filing(network, tmp_path, BOB, ALICE) as bob:
            file = await comes(bob)
            assert Path(file.path).read_bytes() == path.read_bytes()
            assert len(await bob.history()) == 1


async def test_files_of_strangers_are_not_taken(tmp_path: Path) -> None:
    async with (
        embedded.start(limits=SWIFT) as network,
        filing(network, tmp_path, BOB, options=replace(OPTIONS, everyone=True)) as bob,
        filing(network, tmp_path, ALICE) as alice,
    ):
        await alice.send_file(BOB.public, made(tmp_path, 10))
        assert "files are taken only of keys that are allowed" in (await in_trouble(alice)).trouble

        async def is_refused() -> bool:
            return (await the_one(alice)).delivery is Delivery.REFUSED

        await until(is_refused)
        assert await bob.history() == ()


async def test_files_that_are_too_large_are_not_taken(tmp_path: Path) -> None:
    async with (
        embedded.start(limits=SWIFT) as network,
        filing(network, tmp_path, BOB, ALICE, options=replace(OPTIONS, largest_file=9)) as bob,
        filing(network, tmp_path, ALICE) as alice,
    ):
        await alice.send_file(BOB.public, made(tmp_path, 10))
        assert "files of more than 9 bytes are not taken here" in (await in_trouble(alice)).trouble
        assert await bob.history() == ()


async def test_a_file_that_is_gone_is_told_and_the_next_one_comes(tmp_path: Path) -> None:
    lost, kept = made(tmp_path, 10, "lost"), made(tmp_path, 10, "kept")
    async with embedded.start(limits=SWIFT) as network, filing(network, tmp_path, ALICE) as alice:
        await alice.send_file(BOB.public, lost)
        await in_trouble(alice)  # nobody is there
        await alice.send_file(BOB.public, kept)
        await AsyncPath(lost).unlink()
    async with (
        embedded.start(limits=SWIFT) as network,
        filing(network, tmp_path, BOB, ALICE) as bob,
        filing(network, tmp_path, ALICE) as alice,
    ):
        assert (await comes(bob)).name == "kept"

        async def is_told() -> bool:
            first, second = await alice.history()
            assert first.file is not None
            told = (first.delivery, second.delivery) == (Delivery.REFUSED, Delivery.DELIVERED)
            return told and "lost" in first.file.trouble

        await until(is_told)


async def test_what_was_taken_back_is_not_offered_any_more(tmp_path: Path) -> None:
    async with embedded.start(limits=SWIFT) as network, filing(network, tmp_path, ALICE) as alice:
        taken_back = await alice.send_file(BOB.public, made(tmp_path, 10, "first"))
        await alice.delete(BOB.public, taken_back.id)
        await alice.send_file(BOB.public, made(tmp_path, 10, "second"))
        async with filing(network, tmp_path, BOB, ALICE) as bob:
            assert (await comes(bob)).name == "second"


async def test_what_cannot_be_sent_is_said_at_once(tmp_path: Path) -> None:
    async with embedded.start(limits=SWIFT) as network, filing(network, tmp_path, ALICE) as alice:
        for path, reason in (
            (Path("letter.txt"), "name the whole path"),
            (tmp_path, "is no file"),
            (tmp_path / "none", "cannot be read: No such file"),
        ):
            with pytest.raises(ChatError, match=reason):
                await alice.send_file(BOB.public, path)
        assert await alice.history() == ()


async def test_files_of_one_who_has_gone_hold_up_nobody_else(tmp_path: Path) -> None:
    path = made(tmp_path, 1000)
    async with embedded.start(limits=SWIFT) as network, filing(network, tmp_path, BOB, ALICE, CAROL) as bob:
        gone = {f"{number:016x}" for number in range(5)}
        for each in gone:
            offer = FileOffer(f"file {each}", 10, "0" * 64)
            await bob.store.take_file(CAROL.public, each, "", offer, now=0.0)
    async with (  # it goes on with those, which nobody sends
        embedded.start(limits=SWIFT) as network,
        filing(network, tmp_path, BOB, ALICE, CAROL) as bob,
        filing(network, tmp_path, ALICE) as alice,
    ):
        await alice.send_file(BOB.public, path)

        async def is_here() -> bool:
            return any(each.file is not None and each.file.path for each in await bob.history(ALICE.public))

        await until(is_here)
        assert {each.id for each in await bob.history(CAROL.public) if each.file and not each.file.path} == gone


def fetches_of(chat: Messenger) -> FileFetches:
    assert isinstance(chat.files, Files)
    return chat.files._fetches


def said(number: int, size: int = 10) -> Announcement:
    return Announcement(f"{number:016x}", "letter.txt", size, "0" * 64)


def names(chat: Messenger, peer: SecKey) -> set[str]:
    folder = chat._host.data_dir / FOLDER / str(peer.public)
    return {each.name for each in folder.iterdir()} if folder.exists() else set()


def a_part(chat: Messenger, peer: SecKey, id: str, size: int) -> None:  # noqa: A002
    """As an attempt leaves it that was interrupted."""
    folder = chat._host.data_dir / FOLDER / str(peer.public)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "letter.txt.part"
    part.write_bytes(b"x" * size)
    part.chmod(0o600)
    write_notes(part, Notes(Origin(peer.public, id), FileHead(size + 1, "0" * 64)))


async def test_one_that_is_offered_many_times_at_once_comes_once(tmp_path: Path) -> None:
    path = made(tmp_path, 100_000)
    async with (
        embedded.start(limits=SWIFT) as network,
        filing(network, tmp_path, BOB, ALICE) as bob,
        filing(network, tmp_path, ALICE, BOB) as alice,
    ):
        assert isinstance(alice.files, Files)
        table = alice.files._offers.table
        offer = Offer(path)
        head = await offer.prepare()
        table.add(BOB.public, "0" * 16, offer)
        announcement = Announcement("0" * 16, "letter.txt", head.size, head.sha256)
        async with create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(fetches_of(bob).take, ALICE.public, announcement)
        file = await comes(bob)
        await fetches_of(bob).take(ALICE.public, announcement)
        assert names(bob, ALICE) == {"letter.txt"}
        assert not fetches_of(bob)._active[ALICE.public]
        assert file.trouble == ""


async def test_no_more_of_a_peer_are_on_their_way_than_may_be(tmp_path: Path) -> None:
    async with embedded.start(limits=SWIFT) as network, filing(network, tmp_path, BOB, ALICE) as bob:
        refused = 0

        async def offer(number: int) -> None:
            nonlocal refused
            try:
                await fetches_of(bob).take(ALICE.public, said(number))
            except TransferError:
                refused += 1

        async with create_task_group() as tasks:
            for number in range(MOST_WAITING + 5):
                tasks.start_soon(offer, number)
        assert refused == 5
        assert len(await bob.history(limit=500)) == MOST_WAITING


async def test_files_of_a_peer_have_room_until_they_are_moved(tmp_path: Path) -> None:
    options = replace(OPTIONS, files_per_peer=1000)
    async with (
        embedded.start(limits=SWIFT) as network,
        filing(network, tmp_path, BOB, ALICE, options=options) as bob,
        filing(network, tmp_path, ALICE) as alice,
    ):
        with pytest.raises(OfferUnwanted, match="more than 1000 bytes"):
            await fetches_of(bob).take(ALICE.public, said(1, size=1001))
        await alice.send_file(BOB.public, made(tmp_path, 600))
        file = await comes(bob)
        with pytest.raises(TransferError, match="have 600 of 1000 bytes: move some out of"):
            await fetches_of(bob).take(ALICE.public, said(1, size=401))
        await fetches_of(bob).take(ALICE.public, said(2, size=300))
        with pytest.raises(TransferError, match="have 900 of 1000 bytes"):
            await fetches_of(bob).take(ALICE.public, said(3, size=101))
        await AsyncPath(file.path).rename(tmp_path / "moved")
        await fetches_of(bob).take(ALICE.public, said(3, size=101))


async def test_one_that_is_taken_back_comes_no_more_and_leaves_nothing(tmp_path: Path) -> None:
    async with embedded.start(limits=SWIFT) as network, filing(network, tmp_path, BOB, ALICE) as bob:
        a_part(bob, ALICE, said(1).id, 5)
        await fetches_of(bob).take(ALICE.public, said(1, size=6))
        await in_trouble(bob)  # nobody is there
        assert names(bob, ALICE) == {"letter.txt.part", "letter.txt.part.json"}
        await bob.store.take(ALICE.public, [Deleted(said(1).id)], now=1.0)

        async def is_gone() -> bool:
            return not fetches_of(bob)._active[ALICE.public] and not names(bob, ALICE)

        await until(is_gone)


async def test_what_is_left_of_files_that_come_no_more_is_removed_when_it_begins(tmp_path: Path) -> None:
    async with embedded.start(limits=SWIFT) as network:
        async with filing(network, tmp_path, BOB, ALICE) as bob:
            a_part(bob, ALICE, "1" * 16, 5)
            a_part(bob, CAROL, said(1).id, 5)
            await bob.store.take_file(CAROL.public, said(1).id, "", FileOffer("letter.txt", 6, "0" * 64), now=1.0)
            (bob._host.data_dir / FOLDER / "notes.txt").write_bytes(b"of the user")
        async with filing(network, tmp_path, BOB, ALICE) as bob:
            assert names(bob, ALICE) == set()
            assert names(bob, CAROL) == {"letter.txt.part", "letter.txt.part.json"}


async def test_one_that_was_given_up_comes_when_it_is_asked_for(tmp_path: Path) -> None:
    path = made(tmp_path, 1000)
    async with embedded.start(limits=SWIFT) as network, filing(network, tmp_path, ALICE, BOB) as alice:
        async with filing(network, tmp_path, BOB, ALICE) as bob:
            offer = Offer(path)
            head = await offer.prepare()
            announcement = Announcement("0" * 16, "letter.txt", head.size, head.sha256)
            await fetches_of(bob).take(ALICE.public, announcement)
            file = await in_trouble(bob)
            assert file.given_up
            assert "nothing of that id" in file.trouble
        async with filing(network, tmp_path, BOB, ALICE) as bob:
            assert isinstance(alice.files, Files)
            alice.files._offers.table.add(BOB.public, "0" * 16, offer)
            assert not fetches_of(bob)._active[ALICE.public]
            with pytest.raises(ChatError, match="there is no file"):
                await bob.retry_file(ALICE.public, "1" * 16)
            await bob.retry_file(ALICE.public, "0" * 16)
            file = await comes(bob)
            assert (file.trouble, file.given_up, Path(file.path).read_bytes()) == ("", False, path.read_bytes())
            with pytest.raises(ChatError, match="the file is here"):
                await bob.retry_file(ALICE.public, "0" * 16)
            await fetches_of(bob).take(ALICE.public, said(5))
            with pytest.raises(ChatError, match="comes by itself"):
                await bob.retry_file(ALICE.public, said(5).id)


async def test_one_that_has_no_room_on_the_disk_comes_when_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        embedded.start(limits=SWIFT) as network,
        filing(network, tmp_path, BOB, ALICE) as bob,
        filing(network, tmp_path, ALICE) as alice,
    ):
        with monkeypatch.context() as patch:
            patch.setattr(Part, "free_bytes", lambda _: 0)
            await alice.send_file(BOB.public, made(tmp_path, 1000))
            file = await in_trouble(bob)
            assert "the disk has room for 0" in file.trouble
            assert not file.given_up
        assert (await comes(bob)).trouble == ""


async def test_a_disk_that_fails_while_a_file_is_refused_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        embedded.start(limits=SWIFT) as network,
        filing(network, tmp_path, BOB, ALICE, options=replace(OPTIONS, largest_file=9)),
        filing(network, tmp_path, ALICE) as alice,
    ):
        with monkeypatch.context() as patch:
            failed = Event()

            async def fail(*_: object) -> None:
                failed.set()
                raise ChatError("the disk is full")

            patch.setattr(alice.store, "set_delivery", fail)
            await alice.send_file(BOB.public, made(tmp_path, 10))
            with fail_after(PATIENCE):
                await failed.wait()

        async def is_refused() -> bool:
            return (await the_one(alice)).delivery is Delivery.REFUSED

        await until(is_refused)


async def test_one_that_was_kept_too_long_is_offered_no_more(tmp_path: Path) -> None:
    async with embedded.start(limits=SWIFT) as network, filing(network, tmp_path, ALICE) as alice:
        sent = await alice.send_file(BOB.public, made(tmp_path, 10))
        await in_trouble(alice)
        await alice.store.sweep(now=time.time() + 31 * 86400)
        assert (await the_one(alice)).delivery is Delivery.REFUSED
        async with filing(network, tmp_path, BOB, ALICE) as bob:
            assert isinstance(alice.files, Files)
            offers = alice.files._offers

            async def is_given_up() -> bool:
                return offers.table.find(BOB.public, sent.id) is None

            await until(is_given_up)
            assert await bob.history() == ()


async def test_one_that_the_peer_knows_of_stays_on_offer_though_its_answer_was_lost(tmp_path: Path) -> None:
    async with embedded.start(limits=SWIFT) as network, filing(network, tmp_path, ALICE) as alice:
        sent = await alice.send_file(BOB.public, made(tmp_path, 10))
        await in_trouble(alice)  # as if it had not heard that it was taken
        await alice.store.take(BOB.public, [Seen(sent.id)], now=1.0)
        assert isinstance(alice.files, Files)
        offers = alice.files._offers

        async def is_told() -> bool:
            return not offers._waiting

        await until(is_told)
        assert offers.table.find(BOB.public, sent.id) is not None
        assert (await the_one(alice)).delivery is Delivery.READ
