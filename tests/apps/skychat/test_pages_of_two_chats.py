"""Two people, each with a chat of their own, each at a real browser."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.apps.browser import browsing
from tests.apps.skychat.page import MESSAGES, choose, shown
from tests.apps.skychat.town import ALICE, BOB, allowing, town
from tests.loops import of_programs as anyio_backend  # noqa: F401 - a fixture

pytestmark = pytest.mark.anyio
ENTER = "\ue007"
TAB = "\ue004"
MARKS = "[...document.querySelectorAll('.ours .mark')].map((each) => each.textContent).join(' ')"


async def test_what_is_typed_in_one_page_appears_in_the_others(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        there = await stack.enter_async_context(town())
        first = await stack.enter_async_context(browsing(tmp_path / "first"))
        second = await stack.enter_async_context(browsing(tmp_path / "second"))
        alice = await stack.enter_async_context(there.chat(tmp_path, ALICE, allowing()))
        await stack.enter_async_context(shown(alice, first, tmp_path / "alice"))

        # Nobody is there yet.
        await first.click("#new summary")
        await first.type("#new-key", f"{BOB.public}{TAB}Bob{ENTER}")
        await first.until("document.getElementById('peer-title').textContent === 'Bob'")
        await first.type("#text", f"are you there?{ENTER}")
        await first.until(f"{MARKS} === 'queued'")

        bob = await stack.enter_async_context(there.chat(tmp_path, BOB, allowing(ALICE)))
        await first.until(f"{MARKS} === 'delivered'")
        await stack.enter_async_context(shown(bob, second, tmp_path / "bob"))
        await choose(second, str(ALICE.public)[:8])
        await second.until(f"{MESSAGES}.includes('are you there?')")
        await first.until(f"{MARKS} === 'read'")
        await second.type("#text", f"I am.{ENTER}")
        await first.until(f"{MESSAGES}.includes('I am.')")
        await second.until(f"{MARKS} === 'read'")

        # Connections break, and what is typed comes once, in order.
        for number in range(5):
            await there.cut()
            await first.type("#text", f"number {number}{ENTER}")
            await first.until("document.getElementById('text').value === ''")
        await second.until(f"{MESSAGES}.includes('number 4')")
        texts = await second.ask(
            "return [...document.querySelectorAll('.theirs .text')].map((each) => each.textContent)"
        )
        assert texts == ["are you there?", *(f"number {number}" for number in range(5))]

        # What is taken back goes at both ends.
        await first.until(f"{MARKS}.endsWith('read')")
        await first.ask("document.querySelector('.ours:last-child button:last-child').click()")
        await first.ask("document.querySelector('.ours:last-child button:last-child').click()")
        await second.until("document.querySelector('.theirs:last-child .gone')?.textContent === 'deleted'")
        assert await first.complaints() == await second.complaints() == []
