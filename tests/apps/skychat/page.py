"""The page of a chat, served as an app serves it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from skywire.app.local_ports import LocalPorts
from skywire.app.page_tokens import PageSession
from skywire.app.web import WebPage, serving_page
from skywire.apps.skychat.contract import Chat
from skywire.apps.skychat.page_app import page_app
from skywire.net.address import HostPort
from tests.apps.browser import Browser

PATIENCE = 10.0
"""Seconds for what takes milliseconds."""
LIVE = "document.getElementById('connection').textContent === 'Live'"
MESSAGES = "document.getElementById('messages').innerText"
COUNT = "document.querySelectorAll('#messages .message').length"


@dataclass
class Opened:
    """A page, and a program that may use it."""

    page: WebPage
    client: httpx.AsyncClient

    async def get(self, path: str, **fields: str) -> httpx.Response:
        return await self.client.get(path, headers=fields)

    async def post(self, path: str, asked: object) -> httpx.Response:
        return await self.client.post(path, json=asked)


@asynccontextmanager
async def opened(chat: Chat, folder: Path) -> AsyncIterator[Opened]:
    """Serve the page while the block runs."""
    app = page_app(chat, folder / "uploads")
    where = HostPort("127.0.0.1", 0)
    session = PageSession()
    async with serving_page(app, where, ports=LocalPorts(), session=session, owner="skychat", label="page") as page:
        proof = {"authorization": f"Bearer {page.url.partition('token=')[2]}"}
        async with httpx.AsyncClient(
            base_url=f"http://{page.address}", headers=proof, timeout=PATIENCE, trust_env=False
        ) as client:
            yield Opened(page, client)


@asynccontextmanager
async def shown(chat: Chat, browser: Browser, folder: Path) -> AsyncIterator[None]:
    """The page in the browser while the block runs."""
    async with opened(chat, folder) as page:
        await browser.open(page.page.url)
        await browser.until(LIVE)
        yield


async def choose(browser: Browser, name: str) -> None:
    """Open the conversation with a contact."""
    find = "Array.from(document.querySelectorAll('.contact')).find((each) => each.innerText.includes(arguments[0]))"
    await browser.until(find, name)
    await browser.ask(f"{find}.click()", name)
    await browser.until("!document.getElementById('conversation').hidden")
