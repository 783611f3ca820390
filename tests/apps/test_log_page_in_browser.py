"""The page of the log server in a real browser."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from skywire.app.trial import Trial, trial
from skywire.apps.log_server import LOG_SERVER
from tests.apps.browser import Browser, browsing
from tests.apps.node import Node, node
from tests.loops import of_programs as anyio_backend  # noqa: F401 - a fixture

pytestmark = pytest.mark.anyio

NASTY = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\"> \x1b[2J \u202e \x00"


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with browsing(tmp_path / "browser") as window:
        yield window


@asynccontextmanager
async def opened(here: Node, browser: Browser) -> AsyncIterator[Trial]:
    """The page, in the browser, with its first lines."""
    async with trial(LOG_SERVER, facilities=here.facilities) as app:
        await browser.open(str(await app.call("page")))
        await browser.until("document.getElementById('connection').textContent === 'Live'")
        yield app


SHOWN = "document.getElementById('log').innerText"


async def test_in_a_browser(tmp_path: Path, browser: Browser) -> None:
    async with node(tmp_path, "chat", "pty") as here:
        here.say("chat", "hello from the past")
        here.say("pty", NASTY, logging.WARNING)
        here.say("chat", "y" * 1_000_000)
        async with opened(here, browser) as app:
            await browser.until(f"{SHOWN}.includes('hello from the past')")
            assert await browser.ask("return location.search") == "", "the token is not in the address any more"

            # What strangers write is text.
            await browser.until(f"{SHOWN}.includes('<script>') && {SHOWN}.includes('\\\\x1b[2J \\\\u202e \\\\x00')")
            assert await browser.ask("return document.querySelectorAll('#log script, #log img').length") == 0
            assert await browser.ask("return document.title") == "Skywire: apps and logs"
            await browser.until(f"{SHOWN}.includes('characters more') && {SHOWN}.length < 20000")

            # Lines and apps as they come.
            here.say("chat", "a live line")
            await browser.until(f"{SHOWN}.includes('a live line')")
            await here.site.launcher.stop("pty")
            await browser.until("document.querySelector('#apps .stopped').textContent === 'stopped'")
            await here.site.launcher.restart("chat")
            await browser.until("document.querySelector('#apps tr').innerText.includes('1\\t1\\t')")

            # Filters.
            await browser.type("#search", "A LIVE")
            await browser.until("document.querySelectorAll('#log li').length === 1")
            await browser.ask("document.getElementById('search').value = ''")
            await choose(browser, "level", "30")
            await browser.until(f"!{SHOWN}.includes('a live line') && {SHOWN}.includes('<script>')")
            await choose(browser, "app", "chat")
            await browser.until("document.querySelectorAll('#log li').length === 0")
            here.say("pty", "not of this app", logging.ERROR)
            here.say("chat", "of this app", logging.ERROR)
            await browser.until(f"{SHOWN}.includes('of this app')")
            assert await browser.ask(f"return {SHOWN}.includes('not of this app')") is False
            await choose(browser, "app", "")
            await browser.until(f"{SHOWN}.includes('not of this app')")

            # Pause, by the keyboard.
            await browser.ask("document.getElementById('pause').focus()")
            await browser.press(" ")
            await browser.until("document.getElementById('pause').getAttribute('aria-pressed') === 'true'")
            here.say("chat", "while it pauses", logging.ERROR)
            await browser.until("document.getElementById('count').textContent.endsWith('paused, 1 new')")
            assert await browser.ask(f"return {SHOWN}.includes('while it pauses')") is False
            await browser.press(" ")
            await browser.until(f"{SHOWN}.includes('while it pauses')")
            assert await browser.ask("return document.getElementById('log').ariaLive") == "polite"
            assert await browser.complaints() == []

            # The app goes, and the page says so.
            await app.restart()
            await browser.until("document.getElementById('connection').className === 'bad'")


async def test_more_tabs_than_a_browser_has_connections(tmp_path: Path, browser: Browser) -> None:
    async with node(tmp_path, "chat") as here, opened(here, browser):
        here.say("chat", "before the others")
        await browser.until(f"{SHOWN}.includes('before the others')")
        address = str(await browser.ask("return location.href"))
        for number in range(7):
            await browser.open_tab(address)
            await browser.until(f"{SHOWN}.includes('before the others')")
            here.say("chat", f"number {number}.")
            await browser.until(f"{SHOWN}.includes('number {number}.')")
        assert [await browser.ask(f"return {SHOWN}.split('number {number}.').length") for number in range(7)] == [2] * 7
        assert await browser.ask("return document.querySelectorAll('#apps tr').length") == 1


async def choose(browser: Browser, select: str, value: str) -> None:
    script = "const [id, value] = arguments; const it = document.getElementById(id); it.value = value; "
    await browser.ask(script + "it.dispatchEvent(new Event('input'))", select, value)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
async def test_it_fits_the_screen_and_can_be_read(tmp_path: Path, browser: Browser, width: int, dark: bool) -> None:
    async with node(tmp_path, "chat", "skynet-srv-3435", "pty") as here:
        await here.site.launcher.stop("pty")
        for level in (logging.INFO, logging.WARNING, logging.ERROR):
            here.say(
                "chat", f"line of level {level} 02dc7806760f94f273229dc0565769f7faff39b8e22e7cd44c{'x' * 200}", level
            )
        await browser.look(width=width, dark=dark)
        async with opened(here, browser):
            await browser.until("document.querySelectorAll('#log li').length >= 3")
            assert await browser.ask("return document.documentElement.scrollWidth <= innerWidth") is True
            contrasts = await browser.ask(CONTRAST)
            assert isinstance(contrasts, dict)
            assert len(contrasts) > 8
            assert {text: ratio for text, ratio in contrasts.items() if ratio < 4.5} == {}
            await browser.screenshot(tmp_path / "page.png")
            assert await browser.ask("return document.querySelector('#apps tr').children[0].getAttribute('role')")


CONTRAST = """
const light = (color) => {
  const parts = color.match(/[\\d.]+/g).slice(0, 3).map((part) => Number(part) / 255);
  const linear = parts.map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
};
const backOf = (element) => {
  const color = getComputedStyle(element).backgroundColor;
  return /^rgb\\(/.test(color) ? color : backOf(element.parentElement);
};
const found = {};
for (const element of document.querySelectorAll('h1, h2, p, td, tbody th, label, button, #log span, time')) {
  const [one, two] = [light(getComputedStyle(element).color), light(backOf(element))];
  found[`${element.className || element.tagName}: ${element.textContent.slice(0, 20)}`] =
    (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
}
return found;
"""
