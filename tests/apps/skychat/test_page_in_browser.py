"""The page in a real browser."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest
from anyio import create_task_group

from skywire.app.page_check import PageCheck
from skywire.app.page_tokens import PageSession, PageTokens
from skywire.apps.skychat.contract import ChatMessage, Delivery, FileOffer
from skywire.apps.skychat.page_app import page_app
from skywire.http.server import HttpServer
from skywire.net.address import HostPort
from skywire.net.listening import listen_on
from tests.apps.browser import Browser, browsing
from tests.apps.skychat.memory_chat import ALICE, BOB, CAROL, MemoryChat
from tests.apps.skychat.page import COUNT, LIVE, MESSAGES, choose, shown
from tests.apps.test_log_page_in_browser import CONTRAST
from tests.loops import of_programs as anyio_backend  # noqa: F401 - a fixture

pytestmark = pytest.mark.anyio

ENTER = "\ue007"
SHIFT = "\ue008"
TAB = "\ue004"
UP = "\ue013"
HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\">",
    "</script><script>document.title = 'owned'</script>",
    "</p></li></ol><h1>owned</h1>",
    "javascript:document.title='owned'",
    "abc\u202egpj.exe \u2066isolated\u2067 \x1b[2J \x00 \u200f",
    "x" * 4096,
    "\u0301" * 2048,
    "\u202e" * 1000,
)


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with browsing(tmp_path / "browser") as window:
        yield window


async def test_a_conversation_between_two_pages(tmp_path: Path, browser: Browser) -> None:
    here, there = MemoryChat(ALICE), MemoryChat(BOB)
    here.other, there.other = there, here
    here.meet(BOB, alias="Bob", network="dmsg")
    there.meet(ALICE, alias="Alice", network="dmsg")
    async with AsyncExitStack() as stack:
        second = await stack.enter_async_context(browsing(tmp_path / "second"))
        await stack.enter_async_context(shown(here, browser, tmp_path / "one"))
        await stack.enter_async_context(shown(there, second, tmp_path / "two"))
        await choose(browser, "Bob")
        await browser.type("#text", f"hello Bob{SHIFT}{ENTER}{SHIFT}a second line{ENTER}")
        await browser.until(f"{MESSAGES}.includes('hello Bob\\na second line')")
        await browser.until("document.querySelector('.ours .mark')?.textContent === 'delivered'")
        assert await browser.ask("return document.getElementById('text').value") == ""

        # At the other end nobody has looked yet.
        await second.until("document.querySelector('.contact .unread')?.textContent === '1 new'")
        await second.until("document.title === '(1) Skywire: chat'")
        await second.until("document.getElementById('heard').textContent === 'Alice: hello Bob a second line'")
        await choose(second, "Alice")
        await second.until(f"{MESSAGES}.includes('hello Bob\\na second line')")
        await browser.until("document.querySelector('.ours .mark')?.textContent === 'read'")
        await second.until("document.querySelector('.contact .unread') === null")

        # An answer, by the button.
        await second.ask("document.querySelector('.theirs .small').click()")
        await second.until("document.getElementById('replying').innerText.includes('hello Bob a second line')")
        await second.type("#text", "hello Alice")
        await second.click("#send")
        await browser.until(f"{MESSAGES}.includes('hello Alice')")
        await second.until("document.querySelector('.ours .quote')?.textContent === 'hello Bob a second line'")

        # And taken back.
        deletion = "document.querySelector('.ours button:last-child')"
        await browser.ask(f"{deletion}.focus(); {deletion}.click(); document.getElementById('text').focus()")
        assert await browser.ask(f"return {deletion}.textContent") == "Delete", "who goes on has not meant it"
        await browser.ask(f"{deletion}.focus(); {deletion}.click()")
        assert await browser.ask(f"return {deletion}.textContent") == "Really?"
        assert here.sent()[0].deleted is False
        await browser.ask(f"{deletion}.click()")
        await browser.until("document.querySelector('.ours .gone')?.textContent === 'deleted'")
        assert await browser.complaints() == await second.complaints() == []


async def test_what_strangers_write_is_inert(tmp_path: Path, browser: Browser) -> None:
    chat = MemoryChat()
    for text in HOSTILE:
        chat.receive(text)
    chat.receive("", file=FileOffer('<b>"x"</b>\u202egpj.exe', 5, done=2, trouble="<i>no</i>"))
    chat.meet(alias="<u>Bob</u>\u202e", network="<u>dmsg</u>", trouble="<u>no</u>")
    await browser.look(width=360, dark=False)
    async with shown(chat, browser, tmp_path):
        await choose(browser, "Bob")
        await browser.until(f"{COUNT} === {len(HOSTILE) + 1}")
        assert (
            await browser.ask("return document.querySelectorAll('#conversation :is(img, script, h1, b, i, u)').length")
            == 0
        )
        assert await browser.ask("return document.querySelectorAll('#people u').length") == 0
        shown_texts = await browser.ask(
            "return [...document.querySelectorAll('.text')].map((each) => each.textContent)"
        )
        assert isinstance(shown_texts, list)
        assert shown_texts[:4] == list(HOSTILE[:4])
        assert shown_texts[-1] == r"\u202e (1000 times)"
        assert shown_texts[4] == r"abc\u202egpj.exe \u2066isolated\u2067 \u001b[2J \u0000 \u200f"
        assert (
            await browser.ask("return document.querySelector('.file-name').textContent") == '<b>"x"</b>\\u202egpj.exe'
        )
        assert "owned" not in str(await browser.ask("return document.title"))
        assert await browser.ask("return document.documentElement.scrollWidth <= innerWidth") is True
        assert await browser.ask("return document.querySelector('#messages').scrollWidth <= innerWidth") is True
        assert await browser.ask(
            "return [...document.querySelectorAll('.message')].every((each) => each.offsetHeight < 4000)"
        )
        assert await browser.complaints() == []


async def test_a_contact_is_added_by_key_and_named(tmp_path: Path, browser: Browser) -> None:
    chat = MemoryChat()
    async with shown(chat, browser, tmp_path):
        await browser.until("document.getElementById('no-contacts').checkVisibility()")
        assert await browser.ask("return document.getElementById('own-key').textContent") == str(ALICE)
        await browser.click("#new summary")
        for wrong, reason in (("abc", "66"), ("f" * 66, "public key")):
            await browser.type("#new-key", f"{wrong}{ENTER}")
            await browser.until("document.getElementById('new-trouble').textContent.includes(arguments[0])", reason)
            await browser.ask("document.getElementById('new-key').value = ''")
        await browser.type("#new-key", f" {str(BOB).upper()}{TAB}Bob{ENTER}")
        await browser.until("document.getElementById('peer-title').textContent === 'Bob'")
        await browser.type("#text", f"hello{ENTER}")
        await browser.until(f"{MESSAGES}.includes('queued')")
        assert [each.peer for each in chat.sent()] == [BOB]

        await browser.click("#rename")
        await browser.type("#alias", f"by{ENTER}")
        await browser.until("document.getElementById('peer-title').textContent === 'Bobby'")
        assert chat.known[BOB].alias == "Bobby"


async def test_drafts_are_kept_for_each_contact_and_long_ones_are_not_sent(tmp_path: Path, browser: Browser) -> None:
    chat = MemoryChat()
    chat.meet(BOB, alias="Bob")
    chat.meet(ALICE, alias="Me")
    async with shown(chat, browser, tmp_path):
        await choose(browser, "Bob")
        await browser.type("#text", "for Bob")
        await choose(browser, "Me")
        assert await browser.ask("return document.getElementById('text').value") == ""
        await browser.type("#text", "for me")
        await browser.ask("location.reload()")
        await browser.until(f"{LIVE} && document.getElementById('text').value === 'for me'")
        await choose(browser, "Bob")
        assert await browser.ask("return document.getElementById('text').value") == "for Bob"

        fill = "const it = document.getElementById('text'); it.value = 'é'.repeat(arguments[0]); "
        fill += "it.dispatchEvent(new Event('input'))"
        await browser.ask(fill, 2000)
        await browser.until("document.getElementById('count').textContent === '96 bytes left'")
        await browser.ask(fill, 2049)
        await browser.until("document.getElementById('count').textContent === '2 bytes too long'")
        await browser.type("#text", ENTER)
        await browser.until("document.getElementById('trouble').textContent.includes('up to 4096 bytes')")
        assert chat.count == 0


async def test_ten_thousand_messages_are_paged_and_the_page_stays_small(tmp_path: Path, browser: Browser) -> None:
    chat = MemoryChat()
    now = time.time()
    for number in range(10_000):
        chat.receive(f"number {number}.", at=now - (10_000 - number) * 600)
    async with shown(chat, browser, tmp_path):
        await choose(browser, chat_name())
        await browser.until(f"{MESSAGES}.includes('number 9999.')")
        assert await browser.ask(f"return {COUNT}") == 50
        texts = await browser.ask("return [...document.querySelectorAll('#messages li')].map((each) => each.className)")
        assert isinstance(texts, list)
        assert "day" in texts
        scroll = "document.getElementById('messages').scrollTop = 0"
        for oldest in range(9900, 9300, -50):
            await browser.ask(scroll)
            await browser.until(f"{MESSAGES}.includes('number {oldest}.')")
            # What was seen stays where it was, below what has come above it.
            assert await browser.ask("return document.getElementById('messages').scrollTop > 0")
            assert await browser.ask(f"return {COUNT} <= 200")
        assert await browser.ask(f"return {MESSAGES}.includes('number 9999.')") is False

        # What comes does not move the page away from what is looked at.
        chat.receive("while looking back")
        await browser.until("document.getElementById('newest').textContent.includes('below')")
        assert await browser.ask(f"return {MESSAGES}.includes('while looking back')") is False

        # Down again, and to the end at once.
        await browser.ask("const it = document.getElementById('messages'); it.scrollTop = it.scrollHeight")
        await browser.until(f"{MESSAGES}.includes('number 9550.')")
        await browser.click("#newest")
        await browser.until(f"{MESSAGES}.includes('while looking back')")
        assert await browser.ask(f"return {COUNT} <= 200")
        await browser.until("document.querySelector('.contact .unread') === null")


def chat_name() -> str:
    """How the peer is called who has no name."""
    return str(BOB)[:8]


@dataclass
class ComingAndGoing:
    """A page whose app ends and runs again, at the same port."""

    check: PageCheck
    where: HostPort

    @classmethod
    async def at_some_port(cls, chat: MemoryChat, folder: Path) -> Self:
        async with await listen_on(HostPort("127.0.0.1", 0)) as listener:
            ((host, port),) = listener.addresses
        where = HostPort(host, port)
        return cls(PageCheck(page_app(chat, folder / "uploads"), where, "skychat", PageTokens(PageSession())), where)

    @property
    def address(self) -> str:
        return f"http://{self.where}/?token={self.check.tokens.issue()}"

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        async with create_task_group() as task_group:
            await task_group.start(HttpServer(self.check, listen=[self.where]).serve)
            yield
            task_group.cancel_scope.cancel()


async def test_a_lost_connection_is_said_and_resumed_without_doubles(tmp_path: Path, browser: Browser) -> None:
    chat = MemoryChat()
    chat.receive("before")
    page = await ComingAndGoing.at_some_port(chat, tmp_path)
    async with page.served():
        await browser.open(page.address)
        await browser.until(LIVE)
        await choose(browser, chat_name())
        chat.receive("live")
        await browser.until(f"{MESSAGES}.includes('live')")
    await browser.until("document.getElementById('banner').innerText.includes('Connection lost')")
    await browser.type("#text", f"a draft{ENTER}")
    await browser.until("document.getElementById('trouble').textContent.includes('no connection')")
    assert await browser.ask("return document.getElementById('text').value") == "a draft"
    chat.receive("meanwhile")
    chat.change(next(iter(chat.messages.values())), text="before, edited")
    async with page.served():
        await browser.until(f"{LIVE} && document.getElementById('banner').hidden")
        await browser.until(f"{MESSAGES}.includes('meanwhile')")
        texts = await browser.ask("return [...document.querySelectorAll('.text')].map((each) => each.textContent)")
        assert texts == ["before, edited", "live", "meanwhile"]
        await browser.type("#text", ENTER)
        await browser.until(f"{MESSAGES}.includes('a draft')")
        assert [each.text for each in chat.sent()] == ["a draft"]


async def test_who_is_in_no_more_is_told_what_to_do(tmp_path: Path, browser: Browser) -> None:
    chat = MemoryChat()
    page = await ComingAndGoing.at_some_port(chat, tmp_path)
    async with page.served():
        await browser.open(page.address)
        await browser.until(LIVE)
    check = PageCheck(page_app(chat, tmp_path / "uploads"), page.where, "skychat", PageTokens(PageSession()))
    async with ComingAndGoing(check, page.where).served():  # another process
        await browser.until("document.getElementById('banner').innerText.includes('ask for its address again')")
        await browser.ask("location.reload()")
        await browser.until("document.body.innerText.includes('skywire app skychat page')")


async def test_files_go_and_come(tmp_path: Path, browser: Browser) -> None:
    chat = MemoryChat()
    path = tmp_path / "photo.jpg"
    path.write_bytes(bytes(range(256)) * 5000)
    coming = chat.receive("look", file=FileOffer("song.ogg", 3_000_000, done=1_500_000))
    async with shown(chat, browser, tmp_path):
        await choose(browser, chat_name())
        await browser.until(f"{MESSAGES}.includes('1.4 MiB of 2.9 MiB')")
        assert await browser.ask("return document.querySelector('.file progress').value") == 1_500_000
        chat.change(coming, file=FileOffer("song.ogg", 3_000_000, done=3_000_000, path=str(path)))
        await browser.until("document.querySelector('.file a')?.textContent === 'Save'")
        assert (
            await browser.ask(
                "return fetch(document.querySelector('.file a').href)"
                ".then((got) => got.headers.get('content-disposition'))"
            )
            == 'attachment; filename="song.ogg"'
        )

        await browser.type("#file", str(path))
        await browser.until(f"{MESSAGES}.includes('photo.jpg')")
        assert chat.offered[0].read_bytes() == path.read_bytes()
        await browser.until("document.getElementById('sending').hidden")


async def test_the_keyboard_is_enough(tmp_path: Path, browser: Browser) -> None:
    chat = MemoryChat()
    chat.meet(BOB, alias="Bob")
    for number in range(3):
        chat.receive(f"number {number}")
    focus = "return document.activeElement.className || document.activeElement.id"
    async with shown(chat, browser, tmp_path):
        await browser.until("document.querySelector('.contact')")
        await browser.press(TAB)
        assert await browser.ask(focus) == "skip"
        await browser.press(TAB)
        assert await browser.ask(focus) == "contact"
        await browser.press(ENTER)
        await browser.until("document.activeElement.id === 'text'")
        await browser.until(f"{COUNT} === 3")
        await browser.ask("document.getElementById('rename').focus()")
        await browser.press(TAB)
        assert await browser.ask("return document.activeElement.innerText.includes('number 2')")
        await browser.press(UP)
        assert await browser.ask("return document.activeElement.innerText.includes('number 1')")
        await browser.press(TAB)
        assert await browser.ask("return document.activeElement.ariaLabel") == "Reply: number 1"
        await browser.press(ENTER)
        await browser.until("document.activeElement.id === 'text'")
        for key in "yes":
            await browser.press(key)
        await browser.press(ENTER)
        await browser.until(f"{MESSAGES}.includes('yes')")
        (sent,) = chat.sent()
        assert chat.messages[sent.reply_to].text == "number 1"


LOOKS = [(1280, False), (1280, True), (360, False), (360, True)]


@pytest.mark.parametrize(("width", "dark"), LOOKS)
async def test_it_fits_the_screen_and_can_be_read(tmp_path: Path, browser: Browser, width: int, dark: bool) -> None:
    chat = MemoryChat()
    await play(chat)
    await browser.look(width=width, dark=dark)
    async with shown(chat, browser, tmp_path):
        await browser.until("document.querySelectorAll('.contact').length === 3")
        await browser.screenshot(tmp_path / "contacts.png")
        await browser.ask(f"document.getElementById('new').open = {'true' if width > 600 else 'false'}")
        for place in ("contacts", "conversation"):
            assert await browser.ask("return document.documentElement.scrollWidth <= innerWidth") is True
            assert await browser.ask("return document.documentElement.scrollHeight <= innerHeight") is True
            contrasts = await browser.ask(CONTRAST.replace("#log span", "#conversation :is(span, a), .contact span"))
            assert isinstance(contrasts, dict)
            assert len(contrasts) > 5
            assert {text: ratio for text, ratio in contrasts.items() if ratio < 4.5} == {}
            if place == "contacts":
                await choose(browser, "Bob")
                await browser.until(f"{COUNT} === 8")
        await browser.screenshot(tmp_path / "page.png")
        assert await browser.ask("return document.getElementById('people').checkVisibility()") is (width > 600)
        if width < 600:
            await browser.click("#back")
            await browser.until("document.activeElement.innerText.includes('Bob')")


async def play(chat: MemoryChat) -> None:
    """A conversation to look at."""
    noon = time.time() // 86400 * 86400 - 86400 + 43200
    chat.meet(BOB, alias="Bob", network="dmsg")
    chat.meet(ALICE, trouble="no server knows it")
    chat.meet(CAROL, alias="Carol with a name that is rather long for a small screen")
    chat.receive("Is the relay back?", peer=CAROL, at=noon)
    chat.receive("Did the new node come up?", at=noon)
    first = await written(chat, "Yes, after the second try. The first had no servers.", noon + 60)
    chat.change(first, delivery=Delivery.READ)
    asked = chat.receive("Which key has it?", at=noon + 90)
    answer = await written(chat, f"This one:\n{ALICE}", noon + 120, reply_to=asked.id)
    chat.change(answer, delivery=Delivery.READ)
    now = time.time()
    chat.receive("", at=now - 300, file=FileOffer("map of relays.pdf", 2_400_000, done=2_400_000, path="/tmp/map"))
    chat.receive("שלום, and <b>this</b> is only text \u202e", at=now - 200)
    chat.change(await written(chat, "A slip", now - 100), text="", deleted=True)
    chat.change(await written(chat, "Thanks. I look at it tonight.", now - 50), delivery=Delivery.DELIVERED)


async def written(chat: MemoryChat, text: str, at: float, reply_to: str = "") -> ChatMessage:
    sent = await chat.send(BOB, text, reply_to=reply_to)
    return chat.change(chat.messages[sent.id], time=at)


async def test_more_tabs_than_a_browser_has_connections(tmp_path: Path, browser: Browser) -> None:
    chat = MemoryChat()
    chat.meet(BOB, alias="Bob")
    async with shown(chat, browser, tmp_path):
        first = await browser.tab()
        address = str(await browser.ask("return location.href"))
        await choose(browser, "Bob")
        for number in range(7):
            await browser.open_tab(address)
            await browser.until(LIVE)
            await choose(browser, "Bob")
            chat.receive(f"number {number}")
            await browser.until(f"{MESSAGES}.includes('number {number}')")
        await browser.type("#text", f"to all tabs{ENTER}")
        await browser.until(f"{MESSAGES}.includes('to all tabs')")
        await browser.turn_to(first)
        await browser.until(f"{MESSAGES}.includes('to all tabs') && {COUNT} === 8")
        assert await browser.complaints() == []


async def test_a_browser_without_shared_workers_has_a_stream_of_each_tab(tmp_path: Path, browser: Browser) -> None:
    chat = MemoryChat()
    chat.meet(BOB, alias="Bob")
    await browser.before_each_page("delete globalThis.SharedWorker")
    async with shown(chat, browser, tmp_path):
        await choose(browser, "Bob")
        chat.receive("there it is")
        await browser.until(f"{MESSAGES}.includes('there it is')")
        assert await browser.complaints() == []


async def test_the_focus_stays_where_it_is_when_a_message_changes(tmp_path: Path, browser: Browser) -> None:
    chat = MemoryChat()
    chat.meet(BOB, alias="Bob")
    sent = await written(chat, "look at me", time.time())
    focus = "return document.activeElement.textContent"
    async with shown(chat, browser, tmp_path):
        await choose(browser, "Bob")
        await browser.until(f"{MESSAGES}.includes('look at me')")
        await browser.ask("document.querySelector('.ours .small').focus()")
        assert await browser.ask(focus) == "Reply"
        chat.change(sent, delivery=Delivery.DELIVERED)
        await browser.until(f"{MESSAGES}.includes('delivered')")
        assert await browser.ask(focus) == "Reply"
        await browser.ask("document.querySelector('.ours button:last-child').focus()")
        await browser.press(ENTER)
        assert await browser.ask(focus) == "Really?"
        await browser.press(ENTER)
        await browser.until("document.querySelector('.ours .gone') !== null")
        assert await browser.ask("return document.activeElement.className") == "message ours"


async def test_a_conversation_that_was_opened_without_connection_comes_with_it(
    tmp_path: Path, browser: Browser
) -> None:
    chat = MemoryChat()
    chat.receive("there all the time")
    page = await ComingAndGoing.at_some_port(chat, tmp_path)
    async with page.served():
        await browser.open(page.address)
        await browser.until(LIVE)
    await browser.until("!document.getElementById('banner').hidden")
    assert (
        await browser.ask(
            "return document.querySelector('.contact .presence').checkVisibility({visibilityProperty: true})"
        )
        is False
    )
    await choose(browser, chat_name())
    await browser.until("document.getElementById('trouble').textContent.includes('no connection')")
    assert await browser.ask("return document.getElementById('no-messages').hidden"), "nobody knows"
    async with page.served():
        await browser.until(f"{MESSAGES}.includes('there all the time')")
        assert await browser.ask("return document.getElementById('trouble').textContent") == ""
        assert (
            await browser.ask(
                "return document.querySelector('.contact .presence').checkVisibility({visibilityProperty: true})"
            )
            is True
        )


DROP = """
const [name, text] = arguments;
const carried = new DataTransfer();
carried.items.add(new File([text], name));
const drop = new DragEvent('drop', { dataTransfer: carried, bubbles: true, cancelable: true });
document.getElementById('messages').dispatchEvent(drop);
return drop.defaultPrevented;
"""


async def test_a_file_that_is_dropped_is_sent_and_one_at_a_time(tmp_path: Path, browser: Browser) -> None:
    chat = MemoryChat()
    async with shown(chat, browser, tmp_path):
        chat.receive("send it")
        assert await browser.ask(DROP, "nobody is chosen", "x") is True, "or the browser would go to the file"
        await choose(browser, chat_name())
        await browser.ask(
            "globalThis.fetched = fetch; "
            "fetch = (...all) => new Promise((go) => { globalThis.go = () => go(fetched(...all)); })"
        )
        assert await browser.ask(DROP, "one.txt", "the first") is True
        await browser.until("globalThis.go")
        await browser.ask(DROP, "two.txt", "the second")
        await browser.until("document.getElementById('trouble').textContent.includes('one at a time')")
        await browser.ask("fetch = fetched; go()")
        await browser.until(f"{MESSAGES}.includes('one.txt')")
        assert [each.read_text() for each in chat.offered] == ["the first"]
