"""The behaviour of the chat."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Final

from anyio import sleep
from anyio.abc import TaskStatus

from skywire.app import AppHost, NoOptions
from skywire.app.web import PageRefused, WebPage
from skywire.apps.skychat import (
    ALIAS,
    CHANGES,
    CHAT,
    CONTACTS,
    DELETE,
    FILES,
    HISTORY,
    INFO,
    PAGE,
    READ,
    RETRY_FILE,
    SEND,
    SEND_FILE,
    AliasArguments,
    ChangesArguments,
    Contacts,
    DeleteArguments,
    Done,
    History,
    HistoryArguments,
    ReadArguments,
    RetryFileArguments,
    SendArguments,
    SendFileArguments,
    SkychatOptions,
)
from skywire.apps.skychat.contract import Chat, ChatError, ChatMessage, ChatStatus, Sent
from skywire.apps.skychat.files import files_of
from skywire.apps.skychat.messenger import Messenger, messenger
from skywire.apps.skychat.page_app import page_app
from skywire.net.errors import ListenError

UPLOADS: Final = "uploads"
"""Where files that browsers send are, in the folder of the app."""
_REPORT_SECONDS: Final = 5.0
_SWEEP_SECONDS: Final = 3600.0


async def serve(host: AppHost, options: SkychatOptions, *, task_status: TaskStatus[None]) -> None:
    """Serve until cancelled."""
    async with AsyncExitStack() as stack:
        chat = await stack.enter_async_context(messenger(host, options))
        if chat.store.trouble:
            host.log.error("%s", chat.store.trouble)
        answer(host, chat)
        page = await _open_page(host, options, chat, stack)
        files = await stack.enter_async_context(files_of(chat, host, options))
        await stack.enter_async_context(host.serve(CHAT, chat.exchange.serve, label="chat", peers=chat.access))
        await stack.enter_async_context(host.serve(FILES, files.serve, label="files", peers=chat.access))
        stack.callback(chat.exchange.links.end_all)  # first of all: else the ports would wait for them
        await _report(host, chat, page)
        task_status.started()
        await _look_after(host, chat, page)


async def _open_page(host: AppHost, options: SkychatOptions, chat: Chat, stack: AsyncExitStack) -> WebPage | None:
    """Serve the page, at any other port where its own is taken: people are given the address, and chat goes on."""
    page: WebPage | None = None
    if options.local is not None:
        app = page_app(chat, host.data_dir / UPLOADS)
        try:
            page = await stack.enter_async_context(host.serve_web(app, options.local, label="chat page"))
        except ListenError as error:
            host.log.warning("its page is at another port: %s", error)
            anywhere = replace(options.local, port=0)
            page = await stack.enter_async_context(host.serve_web(app, anywhere, label="chat page"))
        except PageRefused as error:
            host.log.warning("no page: %s", error)

    async def tell(_: NoOptions) -> str:
        if page is None:
            raise ChatError(f"{host.name} has no page: see its log, and set its option local to one as 127.0.0.1:0")
        return page.url

    host.answer(PAGE, tell)
    return page


def answer(host: AppHost, chat: Chat) -> None:
    """Answer the commands of the app from now on."""

    async def send(asked: SendArguments) -> Sent:
        return await chat.send(asked.peer, asked.text, reply_to=asked.reply_to, wait=asked.wait)

    async def send_file(asked: SendFileArguments) -> Sent:
        return await chat.send_file(asked.peer, asked.path, text=asked.text)

    async def retry_file(asked: RetryFileArguments) -> Done:
        await chat.retry_file(asked.peer, asked.id)
        return Done()

    async def history(asked: HistoryArguments) -> History:
        return History(await chat.history(asked.peer, before=asked.before, limit=asked.limit))

    def changes(asked: ChangesArguments) -> AsyncIterator[ChatMessage]:
        return chat.changes(asked.since)

    async def read(asked: ReadArguments) -> Done:
        await chat.mark_read(asked.peer, asked.number)
        return Done()

    async def delete(asked: DeleteArguments) -> Done:
        await chat.delete(asked.peer, asked.id)
        return Done()

    async def contacts(_: NoOptions) -> Contacts:
        return Contacts(await chat.contacts())

    async def alias(asked: AliasArguments) -> Done:
        await chat.name(asked.peer, asked.alias)
        return Done()

    async def status(_: NoOptions) -> ChatStatus:
        return await chat.status()

    host.answer(SEND, send)
    host.answer(SEND_FILE, send_file)
    host.answer(RETRY_FILE, retry_file)
    host.answer(HISTORY, history)
    host.answer_stream(CHANGES, changes)
    host.answer(READ, read)
    host.answer(DELETE, delete)
    host.answer(CONTACTS, contacts)
    host.answer(ALIAS, alias)
    host.answer(INFO, status)


async def _look_after(host: AppHost, chat: Messenger, page: WebPage | None) -> None:
    """Say how the chat is, and let go what is too old, until cancelled."""
    next_sweep = 0.0
    while True:
        if time.monotonic() >= next_sweep:
            next_sweep = time.monotonic() + _SWEEP_SECONDS
            try:
                await chat.store.sweep(now=time.time())
            except ChatError as error:
                host.log.warning("what is too old stays for now: %s", error)
        await _report(host, chat, page)
        await sleep(_REPORT_SECONDS)


async def _report(host: AppHost, chat: Messenger, page: WebPage | None) -> None:
    address = None if page is None else str(page.address)
    try:
        figures = await chat.store.figures()
    except ChatError as error:
        host.report(str(error), page=address, peers=chat.exchange.links.peers)
        return
    host.report(
        chat.store.trouble,
        page=address,
        peers=chat.exchange.links.peers,
        waiting=figures.waiting,
        messages=figures.stored,
    )
