"""The page of the remote shell in a real browser."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from anyio import to_thread

from skywire.app.page_tokens import PageSession
from tests.apps.browser import Browser, browsing
from tests.apps.pty.site import Site, site
from tests.apps.test_log_page_in_browser import CONTRAST
from tests.loops import of_programs as anyio_backend  # noqa: F401 - a fixture
from tests.programs.pty_places import pty_pair

pytestmark = pytest.mark.anyio

ENTER = "\ue007"
SHIFT = "\ue008"
CTRL = "\ue009"
TAB = "\ue004"
F6 = "\ue036"
ROWS = "document.querySelector('.xterm-rows').innerText.replaceAll('\\u00a0', ' ').replace(/ +$/gm, '')"
STATE = "document.getElementById('connection').textContent"
PASTE = """
const clipboardData = new DataTransfer();
clipboardData.setData("text/plain", arguments[0]);
const event = new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true });
document.querySelector(".xterm-helper-textarea").dispatchEvent(event);
"""
TROUBLE = "document.getElementById('trouble').textContent"


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with browsing(tmp_path / "browser") as window:
        yield window


@pytest.fixture
async def here() -> AsyncIterator[Site]:
    async with site() as found:
        yield found


async def sees(browser: Browser, text: str) -> None:
    """Wait until the terminal shows it."""
    await browser.until(f"{ROWS}.includes(arguments[0])", text)


async def connect(browser: Browser, peer: str = "") -> None:
    """A shell with a prompt that is known."""
    await browser.until("document.getElementById('peer')")
    await browser.type("#peer", f"{peer}{ENTER}")
    await browser.until(f"{STATE} === 'Connected'")
    await browser.write(f"PS1='ready> '; clear{ENTER}")
    await browser.until(f"/^ready>\\s*$/.test({ROWS})")


async def test_a_shell_with_sizes_vim_and_a_flood(here: Site, browser: Browser) -> None:
    await browser.look(width=900, dark=False)
    async with here.page() as page:
        await browser.open(page.url)
        await connect(browser)
        await browser.write(f"echo $((40+2)); stty size{ENTER}")
        await sees(browser, "\n42")
        before = await browser.ask(f"return {ROWS}.match(/\\d+ \\d+/)[0]")
        await browser.look(width=600, dark=False)
        await browser.write(f"clear; stty size{ENTER}")
        await browser.until(f"{ROWS}.match(/^\\d+ \\d+/) && {ROWS}.match(/^\\d+ \\d+/)[0] !== arguments[0]", before)
        await browser.write(f"clear; vim -u NONE -n{ENTER}")
        await sees(browser, "~\n~")
        await browser.write("iin vim")
        await sees(browser, "in vim")
        await browser.press("\ue00c")  # Escape
        await browser.write(f":q!{ENTER}")
        await browser.until(f"/ready>\\s*$/.test({ROWS})")
        await browser.write(f"clear; printf '\\xc3\\xa4\\xe6\\xbc\\xa2\\n'{ENTER}")
        await sees(browser, "ä漢")
        await browser.write(f"clear; yes | head -n 200000; echo $((20+3)){ENTER}")
        await browser.until(f"/\\n23\\s*\\nready>\\s*$/.test({ROWS})")
        await browser.write(f"clear{ENTER}")
        await browser.until(f"/^ready>\\s*$/.test({ROWS})")
        await browser.write(f"yes{ENTER}")
        await sees(browser, "y\ny\ny")
        await browser.press(f"{CTRL}c")
        await browser.until(f"/ready>\\s*$/.test({ROWS})")
        await browser.write(f"clear; echo calm{ENTER}")
        await browser.until(f"/^calm\\s*\\nready>\\s*$/.test({ROWS})")
        await browser.write(f"exit 5{ENTER}")
        await browser.until(f"{TROUBLE} === 'Ended with exit status 5'")
        assert await browser.complaints() == []
        assert await browser.ask("return location.search + location.hash") == ""


async def test_it_goes_on_when_the_websocket_was_lost(here: Site, browser: Browser) -> None:
    async with here.page() as page:
        await browser.open(page.url)
        await connect(browser)
        await browser.write(f"x=kept; read y; echo it is $x and $y{ENTER}")
        await sees(browser, "read y")
        where = page.address
    await browser.until(f"{STATE}.startsWith('Connection lost')")
    await browser.write("typed meanwhile")
    async with here.page(where):
        await browser.until(f"{STATE} === 'Connected'")
        await browser.write(ENTER)
        await sees(browser, "\nit is kept and typed meanwhile")
        assert await browser.ask(f"return {ROWS}.split('read y').length") == 2, "nothing is shown twice"


async def test_much_is_pasted_and_nothing_of_it_lost(here: Site, browser: Browser) -> None:
    lines = "".join(f"line {number} of what is pasted\n" for number in range(10000))
    async with here.page() as page:
        await browser.open(page.url)
        await connect(browser)
        await browser.write(f"clear; stty -echo; head -c {len(lines)} | md5sum; stty echo{ENTER}")
        await browser.until(f"/^\\s*$/.test({ROWS})")
        await browser.ask(PASTE, lines)
        await sees(browser, hashlib.md5(lines.encode()).hexdigest())
        await browser.ask("document.querySelector('.xterm-helper-textarea').focus()")
        await browser.write(f"clear; echo copied{ENTER}")
        await sees(browser, "copied\nready>")
        assert await browser.complaints() == []


async def test_a_page_that_is_not_open_any_more_says_so(here: Site, browser: Browser) -> None:
    async with here.page() as page:
        await browser.open(page.url)
        await connect(browser)
        where = page.address
    here.session = PageSession(place=here.session.place)
    async with here.page(where):
        await browser.until(f"{TROUBLE}.includes('not open to you any more')")


async def test_it_goes_on_when_the_page_is_loaded_again(here: Site, browser: Browser) -> None:
    async with here.page() as page:
        await browser.open(page.url)
        await connect(browser)
        await browser.write(f"x=kept{ENTER}")
        await browser.ask("location.reload()")
        await browser.until(f"{STATE} === 'Connected'")
        await sees(browser, "ready>")
        await browser.write(f"clear; echo $x{ENTER}")
        await sees(browser, "kept\nready>")

        # It is left and chosen from the list; in another tab as well.
        await browser.click("#leave")
        await browser.until("document.querySelector('#terminals button')")
        await browser.click("#terminals button")
        await browser.until(f"{STATE} === 'Connected'")
        first = await browser.tab()
        await browser.open_tab(str(await browser.ask("return location.href")))
        await browser.until("document.querySelector('#terminals button')?.textContent.includes('in another page')")
        await browser.click("#terminals button")
        await browser.until(f"{STATE} === 'Connected'")
        await browser.write(f"echo $x there{ENTER}")
        await sees(browser, "kept there")
        await browser.turn_to(first)
        await browser.until(f"{TROUBLE} === 'This session was opened in another page'")


async def test_what_goes_wrong_is_said(here: Site, browser: Browser) -> None:
    async with here.page() as page:
        await browser.open(page.url)
        await browser.until("document.getElementById('peer')")
        await browser.type("#peer", f"<b>nobody</b>{ENTER}")
        await browser.until(f"{TROUBLE}.includes('<b>nobody</b>')")
        assert await browser.ask("return document.activeElement.id") == "peer"
        await browser.ask("document.getElementById('peer').value = ''")
        await connect(browser)
        here.host.there = False
        await here.host.break_connections()
        await browser.until(f"{STATE}.includes('trying again')")
        here.host.there = True
        await browser.until(f"{STATE} === 'Connected'")
        await browser.click("#end")
        await browser.until(f"{TROUBLE} !== ''")
        assert await browser.ask("return sessionStorage.length") == 0


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1000])
async def test_on_a_phone_and_by_keyboard(here: Site, browser: Browser, width: int, *, dark: bool) -> None:
    await browser.look(width=width, dark=dark)
    async with here.page() as page:
        await browser.open(page.url)
        await connect(browser)
        assert await browser.ask("return document.documentElement.scrollWidth <= innerWidth") is True
        assert await browser.ask("return document.documentElement.scrollHeight <= innerHeight") is True
        assert (
            await browser.ask(
                "return [...document.querySelectorAll('button')].every((each) => each.getBoundingClientRect().right"
                " <= innerWidth && (!each.checkVisibility() || each.offsetHeight >= 40))"
            )
            is True
        )
        await browser.write("cat")
        for button in ("[data-key=ArrowLeft]", "[data-key=ArrowLeft]", "[data-key=ArrowRight]"):
            await browser.click(button)
        await browser.write(f"X{ENTER}")
        await sees(browser, "caXt")
        await browser.write(f"clear; cat{ENTER}")
        await browser.until(f"/^\\s*$/.test({ROWS})")
        await browser.click("#ctrl")
        assert await browser.ask("return document.getElementById('ctrl').getAttribute('aria-pressed')") == "true"
        await browser.write("c")
        await sees(browser, "^C\nready>")
        await browser.press(f"{SHIFT}{F6}")
        assert await browser.ask("return document.activeElement.id") == "ctrl"
        await browser.click("#reader")
        await browser.until("document.querySelector('.xterm-accessibility')?.innerText.includes('ready>')")
        contrasts = await browser.ask(CONTRAST)
        assert isinstance(contrasts, dict)
        assert len(contrasts) > 8
        assert {text: ratio for text, ratio in contrasts.items() if ratio < 4.5} == {}
        assert await browser.complaints() == []


async def test_between_two_nodes(tmp_path: Path, browser: Browser) -> None:
    def begin() -> tuple[str, str]:
        pair = stack.__enter__()
        return pair.far, pair.run("page").stdout.decode().strip()

    stack = pty_pair("--local", "127.0.0.1:0")
    far, address = await to_thread.run_sync(begin)
    try:
        await browser.open(address)
        await connect(browser, far.partition("://")[2])
        await browser.write(f"echo $SKYWIRE_PTY_PEER; echo $((40+2)){ENTER}")
        await sees(browser, "\n42")
        if folder := os.environ.get("SKYWIRE_SCREENSHOTS"):
            await take_pictures(browser, Path(folder))
        await browser.write(f"exit{ENTER}")
        await browser.until(f"{TROUBLE} === 'Ended with exit status 0'")
    finally:
        await to_thread.run_sync(lambda: stack.__exit__(None, None, None))


async def take_pictures(browser: Browser, folder: Path) -> None:
    """For the documentation."""
    await browser.look(width=900, dark=True)
    colours = "for c in 1 2 3 4 5 6; do printf '\\e[3%dm colour %d \\e[0m' $c $c; done; echo"
    for line in (
        "PS1='\\[\\e[1;32m\\]far\\[\\e[0m\\]:~$ '; clear",
        "uname -so; stty size",
        "printf 'this is for %s\\n' $SKYWIRE_PTY_PEER",
        colours,
        "seq -s ' ' 40",
    ):
        await browser.write(f"{line}{ENTER}")
        await browser.until(f"/far:~\\$\\s*$/.test({ROWS})")
    await browser.screenshot(folder / "pty-page.png")
    await browser.look(width=390, dark=False)
    await browser.write(f"clear; vim -u NONE -n -c 'set nocp ruler' note.txt{ENTER}")
    await sees(browser, "note.txt")
    await browser.write("iA note, written on a phone.")
    await sees(browser, "on a phone.")
    await browser.screenshot(folder / "pty-phone.png")
    await browser.click("[data-key=Escape]")
    await browser.write(f":q!{ENTER}")
