"""Two chats, and chats with peers made by hand."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
from anyio import EndOfStream, Event, create_task_group, fail_after, move_on_after, sleep_forever
from anyio.lowlevel import checkpoint

from skywire import Address, Conn, Owner, PubKey
from skywire.app.loaded import load
from skywire.app.record import InstanceConfig
from skywire.apps.skychat import SKYCHAT
from skywire.apps.skychat.contract import ChatError, Delivery, Direction
from skywire.apps.skychat.limits import LinkLimits
from skywire.apps.skychat.link import Link
from skywire.apps.skychat.links import Links
from skywire.apps.skychat.messenger import Messenger
from skywire.apps.skychat.rows import Waiting
from skywire.net.errors import PeerRefused
from skywire.net.memory import conn_pair
from skywire.wire.skychat import Acked, BareText, Deleted, Seen, Written
from tests.app.site import site
from tests.apps.skychat.town import (
    ALICE,
    BOB,
    CAROL,
    LINKS,
    PATIENCE,
    PATIENT,
    Talk,
    allowing,
    delivered,
    seen,
    town,
    until,
)

pytestmark = pytest.mark.anyio
ID = "00112233445566ff"


async def test_a_message_its_answer_and_what_became_of_them(tmp_path: Path) -> None:
    async with town() as there, there.chat(tmp_path, ALICE, allowing()) as alice:
        async with there.chat(tmp_path, BOB, allowing(ALICE)) as bob:
            sent = await alice.send(BOB.public, "hello", wait=PATIENCE)
            assert sent.acked
            assert 0 < sent.ms < PATIENCE * 1000
            (came,) = await bob.history()
            assert (came.id, came.text, came.peer, came.direction) == (sent.id, "hello", ALICE.public, Direction.IN)
            assert came.delivery is Delivery.DELIVERED
            answer = await bob.send(ALICE.public, "hello yourself", reply_to=sent.id, wait=PATIENCE)
            assert answer.acked, "writing to a key lets it answer"
            assert (await alice.history())[-1].reply_to == sent.id
            await bob.mark_read(ALICE.public, came.number)
            mine = (await seen(alice, 1, since=(await alice.history())[-1].number))[0]
            assert (mine.id, mine.delivery) == (sent.id, Delivery.READ)
            await alice.delete(BOB.public, sent.id)
            gone = (await seen(bob, 1, since=(await bob.status()).change))[0]
            assert (gone.id, gone.text, gone.deleted) == (sent.id, "", True)
            await delivered(alice)
            await delivered(bob)
        assert len(there.conns) == 1, "one connection is used both ways"


async def test_what_is_written_to_an_absent_peer_comes_in_order_when_it_is_there(tmp_path: Path) -> None:
    async with town() as there:
        async with there.chat(tmp_path, ALICE) as alice:
            for number in range(100):
                assert not (await alice.send(BOB.public, f"{number}")).acked
            (contact,) = await alice.contacts()
            assert (contact.waiting, contact.network) == (100, "")
        async with there.chat(tmp_path, ALICE) as alice:

            async def in_trouble() -> bool:
                return "nobody is there" in (await alice.contacts())[0].trouble

            await until(in_trouble)
            async with there.chat(tmp_path, BOB) as bob:
                assert [each.text for each in await seen(bob, 100)] == [f"{number}" for number in range(100)]
                await delivered(alice)
                (contact,) = await alice.contacts()
                assert (contact.waiting, contact.network, contact.trouble) == (0, "dmsg", "")
                assert {each.delivery for each in await alice.history(limit=200)} == {Delivery.DELIVERED}


async def test_a_peer_that_connects_gets_what_waits_at_once(tmp_path: Path) -> None:
    async with town() as there, there.chat(tmp_path, ALICE, limits=PATIENT) as alice:
        await alice.send(BOB.public, "one")

        async def tried() -> bool:
            return bool(there.dials)

        await until(tried)
        talk = Talk(await there.connect(BOB.public, ALICE.public))
        await talk.say(Seen(ID, ack=False))
        (message,) = await talk.hear()
        assert isinstance(message, Written)
        await talk.say(Acked(message.id))
        await delivered(alice)


async def test_both_dial_at_once_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    async with town() as there, there.chat(tmp_path, ALICE) as alice, there.chat(tmp_path, BOB) as bob:
        async with create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(alice.send, BOB.public, f"a{number}")
                tasks.start_soon(bob.send, ALICE.public, f"b{number}")
        await delivered(alice)
        await delivered(bob)
        for chat, mark in ((alice, "b"), (bob, "a")):
            came = [each.text for each in await chat.history(limit=100) if each.direction is Direction.IN]
            assert sorted(came) == sorted(f"{mark}{number}" for number in range(20))

        async def settled() -> bool:
            return len(alice.exchange.links) == len(bob.exchange.links) == 1

        await until(settled)


async def test_connections_that_break_all_the_time_lose_nothing(tmp_path: Path) -> None:
    async with town() as there, there.chat(tmp_path, ALICE) as alice, there.chat(tmp_path, BOB) as bob:
        for number in range(60):
            await alice.send(BOB.public, f"{number}")
            if number % 3 == 0:
                await there.cut()
        await delivered(alice)
        assert [each.text for each in await bob.history(limit=100)] == [f"{number}" for number in range(60)]


async def test_a_peer_that_takes_nothing_delays_nobody_else(tmp_path: Path) -> None:
    hung = Event()

    async def hang(conn: Conn) -> None:
        hung.set()
        await sleep_forever()

    async with town() as there, there.chat(tmp_path, ALICE, limits=PATIENT) as alice:
        there.peer(CAROL, hang)
        for _ in range(100):
            await alice.send(CAROL.public, "x" * 4096)
        with fail_after(PATIENCE):
            await hung.wait()
        async with there.chat(tmp_path, BOB) as bob:
            assert (await alice.send(BOB.public, "hello", wait=2)).acked
            assert [each.text for each in await bob.history()] == ["hello"]


async def test_a_peer_that_acknowledges_nothing_is_tried_again_with_the_same_id(tmp_path: Path) -> None:
    ids: list[str] = []
    third = Event()

    async def deaf(conn: Conn) -> None:
        talk = Talk(conn)
        (message,) = await talk.hear()
        assert isinstance(message, Written)
        ids.append(message.id)
        if len(ids) == 3:
            third.set()
            await talk.say(Acked(message.id))
        await sleep_forever()

    async with town() as there, there.chat(tmp_path, ALICE) as alice:
        there.peer(BOB, deaf)
        sent = await alice.send(BOB.public, "hello")
        with fail_after(PATIENCE):
            await third.wait()
        await delivered(alice)
        assert ids == [sent.id] * 3


async def test_acknowledgements_out_of_order_and_doubled(tmp_path: Path) -> None:
    async with town() as there, there.chat(tmp_path, ALICE, limits=PATIENT) as alice:
        talks: list[Talk] = []

        async def take(conn: Conn) -> None:
            talks.append(Talk(conn))
            await sleep_forever()

        for number in range(5):
            await alice.send(BOB.public, f"{number}")
        there.peer(BOB, take)
        talk = Talk(await there.connect(BOB.public, ALICE.public))
        await talk.say(Seen(ID, ack=False))
        heard = await talk.hear(5)
        ids = [each.id for each in heard if isinstance(each, Written)]
        await talk.say(*(Acked(each) for each in (ids[4], ids[0], ids[4], "f" * 16, ids[2], ids[1], ids[3], ids[3])))
        await delivered(alice)
        assert {each.delivery for each in await alice.history()} == {Delivery.DELIVERED}


async def test_a_message_that_comes_twice_is_kept_once_and_acknowledged_twice(tmp_path: Path) -> None:
    async with town() as there, there.chat(tmp_path, ALICE, allowing(BOB)) as alice:
        talk = Talk(await there.connect(BOB.public, ALICE.public))
        await talk.say(Written(ID, "hello"), Written(ID, "hello"))
        assert await talk.hear(2) == [Acked(ID)] * 2
        again = Talk(await there.connect(BOB.public, ALICE.public))
        await again.say(Written(ID, "hello"), Written("f" * 16, "not to be acknowledged", ack=False), BareText("bye"))
        await again.say(Deleted("e" * 16))
        assert await again.hear(2) == [Acked(ID), Acked("e" * 16)]
        assert [each.text for each in await alice.history()] == ["hello", "not to be acknowledged", "bye"]


async def test_who_is_not_allowed_is_not_admitted(tmp_path: Path) -> None:
    async with town() as there, there.chat(tmp_path, ALICE, allowing(BOB)) as alice:
        with pytest.raises(PeerRefused):
            await there.connect(CAROL.public, ALICE.public)
        await there.connect(BOB.public, ALICE.public)
        await alice.send(CAROL.public, "you may answer")
        await there.connect(CAROL.public, ALICE.public)
        assert {each.peer: each.allowed for each in await alice.contacts()} == {BOB.public: True, CAROL.public: True}


@pytest.mark.parametrize("data", [b"\0\0\0\0", b"\0\1\0\1", b'\0\0\0\x13{"type":"chat-ack"}', b"\0\xff\xff\xff"])
async def test_garbage_ends_its_connection_alone(tmp_path: Path, data: bytes) -> None:
    async with town() as there, there.chat(tmp_path, ALICE, allowing(BOB, CAROL)) as alice:
        honest = Talk(await there.connect(CAROL.public, ALICE.public))
        conn = await there.connect(BOB.public, ALICE.public)
        await conn.send(data)
        with fail_after(PATIENCE), pytest.raises(EndOfStream):
            await conn.receive()
        await honest.say(Written(ID, "still here"))
        assert await honest.hear() == [Acked(ID)]
        assert [each.text for each in await alice.history()] == ["still here"]


async def test_a_peer_of_2024_both_ways(tmp_path: Path) -> None:
    async with town() as there:
        async with there.chat(tmp_path, ALICE, allowing(BOB)) as alice:
            conn = await there.connect(BOB.public, ALICE.public)
            await conn.send_record(b"hello from 2024")
            (came,) = await seen(alice, 1)
            assert came.text == "hello from 2024"
            await alice.mark_read(BOB.public, came.number)
            sent = await alice.send(BOB.public, "h\u00e9" + "x" * 4090, wait=PATIENCE)
            with fail_after(PATIENCE):
                records = [await conn.receive_record(), await conn.receive_record()]
            assert b"".join(records).decode() == "h\u00e9" + "x" * 4090
            assert sent.acked
            await delivered(alice)
        heard: list[bytes] = []

        async def peer(conn: Conn) -> None:
            while True:
                heard.append(await conn.receive_record())

        there.peer(BOB, peer)
        async with there.chat(tmp_path, ALICE, allowing(BOB)) as alice:
            assert (await alice.send(BOB.public, "dialled", wait=PATIENCE)).acked
            assert heard == [b"dialled"], "what a peer speaks is remembered"


async def test_a_peer_of_2024_that_was_brought_up_to_date(tmp_path: Path) -> None:
    async with town() as there, there.chat(tmp_path, ALICE, allowing(BOB)) as alice:
        old = await there.connect(BOB.public, ALICE.public)
        await old.send_record(b"old")
        await seen(alice, 1)
        await old.aclose()
        async with there.chat(tmp_path, BOB) as bob:
            sent = await alice.send(BOB.public, "new", wait=PATIENCE)
            assert sent.acked
            assert "new" in [each.text for each in await bob.history()]
            assert (await alice.send(BOB.public, "newer", wait=PATIENCE)).acked
            assert [each.id for each in await bob.history()][-1] != sent.id


async def test_receipts_that_nobody_acknowledges_are_sent_once(tmp_path: Path) -> None:
    async with town() as there, there.chat(tmp_path, ALICE, allowing(BOB)) as alice:
        talk = Talk(await there.connect(BOB.public, ALICE.public))
        await talk.say(Written(ID, "hello"))
        assert await talk.hear() == [Acked(ID)]
        await alice.mark_read(BOB.public, (await alice.history())[0].number)
        assert await talk.hear() == [Seen(ID)]
        await delivered(alice)
        sent = await alice.send(BOB.public, "x")
        await talk.hear()
        await talk.say(Acked(sent.id))
        await delivered(alice)
        await alice.delete(BOB.public, sent.id)
        assert await talk.hear() == [Deleted(sent.id)]
        await delivered(alice)


async def test_a_message_that_is_taken_back_before_it_was_sent_never_is(tmp_path: Path) -> None:
    async with town() as there, there.chat(tmp_path, ALICE, limits=PATIENT) as alice:
        sent = await alice.send(BOB.public, "secret")
        await alice.delete(BOB.public, sent.id)
        await alice.delete(BOB.public, sent.id)
        (message,) = await alice.history()
        assert (message.text, message.deleted, message.delivery) == ("", True, Delivery.REFUSED)
        talk = Talk(await there.connect(BOB.public, ALICE.public))
        await talk.say(Seen(ID, ack=False))
        assert await talk.hear() == [Deleted(sent.id)]


async def test_a_flood_of_a_stranger_is_taken_slowly(tmp_path: Path) -> None:
    options = allowing(BOB, everyone=True, per_minute=3)
    async with town() as there, there.chat(tmp_path, ALICE, options) as alice:
        flood = Talk(await there.connect(CAROL.public, ALICE.public))
        await flood.say(*(Written(f"{number:016x}", "buy!") for number in range(50)))
        assert await flood.hear(3) == [Acked(f"{number:016x}") for number in range(3)]
        honest = Talk(await there.connect(BOB.public, ALICE.public))
        await honest.say(*(Written(f"{number:016x}", "hello") for number in range(50)))
        await honest.hear(50)
        assert sum(each.peer == CAROL.public for each in await alice.history(limit=500)) == 3


async def test_connections_are_limited_per_peer_and_in_all(tmp_path: Path) -> None:
    limits = type(LINKS)(connections=3, connections_per_peer=2)
    async with town() as there, there.chat(tmp_path, ALICE, allowing(BOB, everyone=True), limits) as alice:
        first = Talk(await there.connect(CAROL.public, ALICE.public))
        await first.say(Written(ID, "first"))
        await first.hear()
        second, third = [Talk(await there.connect(CAROL.public, ALICE.public)) for _ in range(2)]
        await third.say(Written(ID, "x"))
        assert await third.hear() == [Acked(ID)]
        with fail_after(PATIENCE), pytest.raises(EndOfStream):
            await first.conn.receive()

        async def two() -> bool:
            return len(alice.exchange.links) == 2

        await until(two)
        others = [await there.connect(BOB.public, ALICE.public) for _ in range(2)]
        await Talk(others[0]).say(Written(ID, "known"))
        talk = Talk(others[1])
        await talk.say(Written("f" * 16, "known"))
        assert await talk.hear() == [Acked("f" * 16)]
        with fail_after(PATIENCE), pytest.raises(EndOfStream):
            await second.conn.receive()


async def test_what_cannot_be_asked(tmp_path: Path) -> None:
    async with town() as there, there.chat(tmp_path, ALICE) as alice:
        for peer, text, words in (
            (ALICE.public, "x", "this node itself"),
            (BOB.public, "", "1 to 4096 bytes"),
            (BOB.public, "é" * 2049, "this has 4098"),
            (BOB.public, "\ud800", "UTF-8"),
        ):
            with pytest.raises(ChatError, match=words):
                await alice.send(peer, text)
        with pytest.raises(ChatError, match="reply_to"):
            await alice.send(BOB.public, "x", reply_to="nothing")
        with pytest.raises(ChatError, match="wait"):
            await alice.send(BOB.public, "x", wait=61)
        with pytest.raises(ChatError, match="no message"):
            await alice.delete(BOB.public, ID)
        with pytest.raises(ChatError, match="sends no files"):
            await alice.send_file(BOB.public, tmp_path)
        for limit in (0, 501):
            with pytest.raises(ChatError, match="limit"):
                await alice.history(limit=limit)
        for since in (-1, 2**63):
            with pytest.raises(ChatError, match="since"):
                await anext(aiter(alice.changes(since)))
        with pytest.raises(ChatError, match="with since 0"):
            await anext(aiter(alice.changes(5)))
        assert await alice.history() == ()


async def test_when_too_much_is_unread_the_peer_keeps_it_until_there_is_room(tmp_path: Path) -> None:
    small = replace(allowing(ALICE), total_bytes=2000)
    async with town() as there, there.chat(tmp_path, ALICE) as alice, there.chat(tmp_path, BOB, small) as bob:
        for number in range(40):
            await alice.send(BOB.public, f"{number}")
        assert (await bob.send(ALICE.public, "this has room", wait=PATIENCE)).acked
        found: list[str] = []
        while len(found) < 40:
            new = [each for each in await bob.history(limit=100) if each.direction is Direction.IN]
            new = [each for each in new if each.delivery is Delivery.DELIVERED]
            found += [each.text for each in new]
            if new:
                await bob.mark_read(ALICE.public, new[-1].number)
            assert (await bob.store.figures()).bytes <= 2000
        assert found == [f"{number}" for number in range(40)]


async def test_a_send_that_is_cancelled_has_happened_or_not(tmp_path: Path) -> None:
    async with town() as there, there.chat(tmp_path, ALICE) as alice, there.chat(tmp_path, BOB) as bob:
        for number in range(30):
            with move_on_after(number / 5000):
                await alice.send(BOB.public, f"{number}", wait=PATIENCE)
        await alice.send(BOB.public, "last")
        await delivered(alice)
        written = [each.text for each in await alice.history(limit=100)]
        assert written[-1] == "last"
        assert [each.text for each in await bob.history(limit=100)] == written


async def test_a_damaged_history_is_told_and_does_not_keep_it_from_running(tmp_path: Path) -> None:
    folder = tmp_path / "skychat"
    folder.mkdir()
    (folder / "chat.db").write_bytes(b"nothing that can be used")
    async with site(tmp_path, InstanceConfig(name="skychat", app=load(SKYCHAT).defaults(), auto_start=True)) as there:
        reason = await there.until("skychat", "degraded")
        assert "it is kept as chat.db.kept-" in reason
        answers = there.launcher.answers("skychat")
        await answers.call("send", {"peer": str(BOB.public), "text": "hello"})
        changes = answers.stream("changes", {"since": 0})
        async with aclosing(changes):
            first = await anext(changes)
        assert isinstance(first, dict)
        assert first["text"] == "hello"


async def test_names(tmp_path: Path) -> None:
    async with town() as there, there.chat(tmp_path, ALICE, allowing(BOB)) as alice:
        await alice.name(BOB.public, "Bob")
        with pytest.raises(ChatError, match="'Bob' is the name of"):
            await alice.name(CAROL.public, "bob")
        for bad in ("x" * 65, "a\nb", " x"):
            with pytest.raises(ChatError, match="64 characters"):
                await alice.name(CAROL.public, bad)
        await alice.name(BOB.public, "")
        await alice.name(CAROL.public, "bob")
        assert {each.peer: each.alias for each in await alice.contacts()} == {BOB.public: "", CAROL.public: "bob"}


async def test_both_send_more_at_once_than_a_connection_holds(tmp_path: Path) -> None:
    text = "\x01" * 4096  # six times as much in a frame
    async with town() as there:
        for mine, other in ((ALICE, BOB), (BOB, ALICE)):
            async with there.chat(tmp_path, mine) as chat:
                for _ in range(40):
                    await chat.send(other.public, text)
        async with there.chat(tmp_path, ALICE) as alice, there.chat(tmp_path, BOB) as bob:
            await delivered(alice)
            await delivered(bob)
            assert (await alice.status()).stored == (await bob.status()).stored == 80


async def test_connections_that_are_slow_to_end_make_no_room_for_more(tmp_path: Path) -> None:
    limits = LinkLimits(connections_per_peer=2)
    links = Links(ALICE.public, limits)
    conns = [conn_pair(Address("dmsg", ALICE.public, 1), Owner("a"), Address("dmsg", BOB.public, 2), Owner("b"))[0]]
    made = [Link(conns[0], dialled=False, assumed=None, limits=limits) for _ in range(9)]
    for each in made:
        links.add(each)  # and none is taken away, as if each took its time to end
    assert [each.live for each in made] == [False] * 7 + [True] * 2
    assert links.strangest(set()) is made[7]


async def test_a_history_that_cannot_be_read_is_not_read_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0

    async def fail(peer: PubKey, limit: int) -> tuple[Waiting, ...]:
        nonlocal reads
        reads += 1
        raise ChatError("the disk fails")

    async with town() as there, there.chat(tmp_path, ALICE, allowing(BOB), limits=PATIENT) as alice:
        talk = Talk(await there.connect(BOB.public, ALICE.public))
        await talk.say(Written(ID, "hello"))
        await talk.hear()
        with monkeypatch.context() as patch:
            patch.setattr(alice.store, "waiting", fail)
            await alice.send(BOB.public, "x")

            async def told() -> bool:
                return alice.exchange.trouble(BOB.public) == "the disk fails"

            await until(told)
            for _ in range(100):
                await checkpoint()
        assert reads < 5


async def test_a_peer_with_several_connections_makes_room_for_one_who_has_none(tmp_path: Path) -> None:
    limits = LinkLimits(connections=2)
    async with town() as there, there.chat(tmp_path, ALICE, allowing(BOB, CAROL), limits) as alice:
        talks = [Talk(await there.connect(BOB.public, ALICE.public)) for _ in range(2)]
        for talk in talks:
            await talk.say(Written(ID, "x"))
            assert await talk.hear() == [Acked(ID)]
        other = Talk(await there.connect(CAROL.public, ALICE.public))
        await other.say(Written(ID, "y"))
        assert await other.hear() == [Acked(ID)]
        with fail_after(PATIENCE), pytest.raises(EndOfStream):
            await talks[0].conn.receive()

        async def two() -> bool:
            return len(alice.exchange.links) == 2

        await until(two)
        more = await there.connect(BOB.public, ALICE.public)
        with fail_after(PATIENCE), pytest.raises(EndOfStream):
            await more.receive()
        await other.say(Written("f" * 16, "still here"))
        assert await other.hear() == [Acked("f" * 16)]


async def test_a_disk_that_is_read_only_for_a_while_loses_and_doubles_nothing(tmp_path: Path) -> None:
    def set_read_only(chat: Messenger, value: str) -> None:
        database = chat.store._database
        with database._lock:
            database._connection.execute(f"PRAGMA query_only = {value}").fetchall()

    async with town() as there, there.chat(tmp_path, ALICE) as alice, there.chat(tmp_path, BOB) as bob:
        for chat in (bob, alice):  # the one that takes, then the one that is to note what was taken
            for number in range(10):
                await alice.send(BOB.public, f"{number}")
                if number == 3:
                    set_read_only(chat, "ON")
                    if chat is alice:
                        with pytest.raises(ChatError, match="cannot be used"):
                            await alice.send(BOB.public, "x")
                        set_read_only(chat, "OFF")
            if chat is bob:
                assert not (await alice.send(BOB.public, "10", wait=0.2)).acked
                set_read_only(chat, "OFF")
            await delivered(alice)
        wanted = [f"{number}" for number in (*range(11), *range(10))]
        assert [each.text for each in await bob.history(limit=100)] == wanted
