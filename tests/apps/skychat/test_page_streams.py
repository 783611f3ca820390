"""What goes on: each change once, whatever breaks in between."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from anyio import fail_after

from skywire.apps.skychat import page_streams
from skywire.apps.skychat.contract import Delivery
from tests.apps.skychat.memory_chat import ALICE, MemoryChat
from tests.apps.skychat.page import PATIENCE, Opened, opened
from tests.loops import of_programs as anyio_backend  # noqa: F401 - a fixture; pages are for asyncio

pytestmark = pytest.mark.anyio


@dataclass
class Event:
    """A server-sent event."""

    kind: str
    data: dict[str, object]
    number: str = ""


@pytest.fixture
def chat() -> MemoryChat:
    return MemoryChat()


@pytest.fixture
async def page(chat: MemoryChat, tmp_path: Path) -> AsyncIterator[Opened]:
    async with opened(chat, tmp_path) as found:
        yield found


@asynccontextmanager
async def listening(page: Opened, path: str = "/sse", **fields: str) -> AsyncIterator[AsyncIterator[str]]:
    async with page.client.stream("GET", path, headers=fields) as answer:
        assert answer.status_code == 200
        yield answer.aiter_lines()


async def following(lines: AsyncIterator[str], kind: str) -> Event:
    """The next event of a kind."""
    event = Event("", {})
    with fail_after(PATIENCE):
        async for line in lines:
            name, _, value = line.partition(": ")
            if name == "event":
                event.kind = value
            elif name == "id":
                event.number = value
            elif name == "data":
                event.data = json.loads(value)
            elif line == "":
                if event.kind == kind:
                    return event
                event = Event("", {})
    raise AssertionError("the stream has ended")


async def texts(lines: AsyncIterator[str], count: int) -> list[tuple[object, object]]:
    found = []
    for _ in range(count):
        event = await following(lines, "message")
        found.append((event.data["text"], event.data["delivery"]))
    return found


async def test_a_new_page_gets_what_comes_and_says_where_it_begins(chat: MemoryChat, page: Opened) -> None:
    chat.receive("before")
    async with listening(page) as lines:
        hello = await following(lines, "hello")
        assert (hello.number, hello.data["resumed"]) == ("1", False)
        status = hello.data["status"]
        assert isinstance(status, dict)
        assert status["public"] == str(ALICE)
        chat.receive("after")
        event = await following(lines, "message")
        assert (event.number, event.data["text"], event.data["change"]) == ("2", "after", 2)


async def test_who_comes_again_gets_each_change_once_in_its_last_form(chat: MemoryChat, page: Opened) -> None:
    async with listening(page) as lines:
        await following(lines, "hello")
        chat.receive("one")
        mark = (await following(lines, "message")).number
    sent = await chat.send(ALICE, "two")
    chat.receive("three")
    chat.change(chat.messages[sent.id], delivery=Delivery.DELIVERED)
    chat.change(chat.messages[sent.id], delivery=Delivery.READ)
    async with listening(page, **{"last-event-id": mark}) as lines:
        hello = await following(lines, "hello")
        assert (hello.data["resumed"], hello.number) == (True, mark)
        assert await texts(lines, 2) == [("three", "delivered"), ("two", "read")]
        chat.receive("four")
        assert await texts(lines, 1) == [("four", "delivered")]


@pytest.mark.parametrize("mark", ["99", "9" * 16])
async def test_who_knows_a_change_that_is_not_yet_asks_anew(chat: MemoryChat, page: Opened, mark: str) -> None:
    chat.receive("one")
    async with listening(page, **{"last-event-id": mark}) as lines:
        hello = await following(lines, "hello")
        assert (hello.data["resumed"], hello.number) == (False, "1")


async def test_contacts_are_told_when_they_are_otherwise(chat: MemoryChat, page: Opened) -> None:
    async with listening(page) as lines:
        assert (await following(lines, "contacts")).data["contacts"] == []
        chat.receive("one")
        contacts = (await following(lines, "contacts")).data["contacts"]
        assert isinstance(contacts, list)
        assert [each["unread"] for each in contacts] == [1]
        chat.meet(network="dmsg")  # no message tells of this
        contacts = (await following(lines, "contacts")).data["contacts"]
        assert isinstance(contacts, list)
        assert [each["network"] for each in contacts] == ["dmsg"]


async def test_a_quiet_stream_shows_that_it_lives(
    chat: MemoryChat, page: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_streams, "QUIET_SECONDS", 0.05)
    async with listening(page) as lines:
        with fail_after(PATIENCE):
            async for line in lines:
                if line.startswith(":"):
                    break
    async with listening(page, "/events") as lines:
        with fail_after(PATIENCE):
            assert await anext(lines) == ""


async def test_programs_get_lines(chat: MemoryChat, page: Opened) -> None:
    for number in range(100):
        chat.receive(f"number {number}")
    async with listening(page, "/events?since=97") as lines:
        with fail_after(PATIENCE):
            found = [json.loads(await anext(lines)) for _ in range(3)]
            assert [each["text"] for each in found] == ["number 97", "number 98", "number 99"]
            chat.receive("a line\nand\u2028another")
            assert json.loads(await anext(lines))["text"] == "a line\nand\u2028another"
