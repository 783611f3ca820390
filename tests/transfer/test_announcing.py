"""Telling a peer that there is a file for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from skywire.errors import ProtocolError
from skywire.keys import PubKey
from skywire.transfer import (
    Announcement,
    Interrupted,
    NoSpace,
    Offer,
    OfferTable,
    OfferUnwanted,
    Sender,
    Stalled,
    TransferLimits,
    announce,
)
from skywire.wire.transfer import End, encode_message
from tests.net.meetings import CLIENT, MEETINGS, Meeting, Port, memory
from tests.transfer.sides import ID, ROOMY, answers, offering, some_bytes

pytestmark = pytest.mark.anyio


async def announcement_of(path: Path) -> Announcement:
    head = await Offer(path).prepare()
    return Announcement(ID, path.name, head.size, head.sha256, "the plan\nof the house")


@pytest.mark.parametrize("meeting", MEETINGS.values(), ids=MEETINGS)
async def test_what_is_announced_is_taken(meeting: Meeting, tmp_path: Path) -> None:
    path = tmp_path / "plan.pdf"
    path.write_bytes(some_bytes(100))
    taken: list[tuple[PubKey, Announcement]] = []

    async def take(peer: PubKey, announcement: Announcement) -> None:
        taken.append((peer, announcement))

    sent = await announcement_of(path)
    async with meeting(Port(Sender(OfferTable().find, take=take).serve)) as served, await served.dial() as conn:
        await announce(conn, sent, limits=ROOMY)
        assert taken == [(CLIENT.public, sent)]


async def test_what_is_not_wanted_is_said(tmp_path: Path) -> None:
    async def take(peer: PubKey, announcement: Announcement) -> None:
        raise OfferUnwanted(f"{announcement.name} is too large")

    (tmp_path / "plan.pdf").write_bytes(b"")
    sent = await announcement_of(tmp_path / "plan.pdf")
    async with memory(Port(Sender(OfferTable().find, take=take).serve)) as served, await served.dial() as conn:
        with pytest.raises(OfferUnwanted, match=r"does not take the file: plan\.pdf is too large"):
            await announce(conn, sent, limits=ROOMY)
    async with offering(memory, tmp_path) as sides, await sides.served.dial() as conn:
        with pytest.raises(OfferUnwanted, match="no files are taken here"):
            await announce(conn, sent, limits=ROOMY)


async def test_what_cannot_be_taken_just_now_is_told_again(tmp_path: Path) -> None:
    taken: list[Announcement] = []

    async def take(peer: PubKey, announcement: Announcement) -> None:
        taken.append(announcement)
        if len(taken) == 1:
            raise NoSpace("the disk is full")

    (tmp_path / "plan.pdf").write_bytes(b"")
    sent = await announcement_of(tmp_path / "plan.pdf")
    async with memory(Port(Sender(OfferTable().find, take=take).serve)) as served:
        async with await served.dial() as conn:
            with pytest.raises(Interrupted):
                await announce(conn, sent, limits=ROOMY)
        async with await served.dial() as conn:
            await announce(conn, sent, limits=ROOMY)
    assert taken == [sent, sent]


@pytest.mark.parametrize(
    ("answer", "error"), [(encode_message(End()), ProtocolError), (b"GET ", ProtocolError), (b"", Interrupted)]
)
async def test_answers_that_make_no_sense(tmp_path: Path, answer: bytes, error: type[Exception]) -> None:
    (tmp_path / "plan.pdf").write_bytes(b"")
    sent = await announcement_of(tmp_path / "plan.pdf")
    async with memory(Port(answers(answer))) as served, await served.dial() as conn:
        with pytest.raises(error):
            await announce(conn, sent, limits=ROOMY)


async def test_no_answer(tmp_path: Path) -> None:
    (tmp_path / "plan.pdf").write_bytes(b"")
    sent = await announcement_of(tmp_path / "plan.pdf")
    async with memory(Port(answers(None))) as served, await served.dial() as conn:
        with pytest.raises(Stalled):
            await announce(conn, sent, limits=TransferLimits(stall_seconds=0.05))
