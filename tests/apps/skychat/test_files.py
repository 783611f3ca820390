"""Files that messages carry."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from anyio import Path as AsyncPath

from skywire import SecKey, embedded
from skywire.app.run_mode import RunMode
from skywire.apps.skychat import FILES, SkychatOptions
from skywire.apps.skychat.contract import ChatError, ChatMessage, Delivery, FileOffer
from skywire.apps.skychat.files import FOLDER, files_of
from skywire.apps.skychat.messenger import Messenger
from skywire.embedded import Deployment
from tests.apps.skychat.site import dmsg_chat
from tests.apps.skychat.town import ALICE, BOB, CAROL, until
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
