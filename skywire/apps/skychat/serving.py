"""The behaviour of the chat."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Final

from anyio import sleep
from anyio.abc import TaskStatus

from skywire.app import AppHost, NoOptions
from skywire.apps.skychat import (
    ALIAS,
    CHANGES,
    CHAT,
    CONTACTS,
    DELETE,
    FILES,
    HISTORY,
    INFO,
    READ,
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
    SendArguments,
    SendFileArguments,
    SkychatOptions,
)
from skywire.apps.skychat.contract import Chat, ChatError, ChatMessage, ChatStatus, Sent
from skywire.apps.skychat.files import files_of
from skywire.apps.skychat.messenger import Messenger, messenger

_REPORT_SECONDS: Final = 5.0
_SWEEP_SECONDS: Final = 3600.0


async def serve(host: AppHost, options: SkychatOptions, *, task_status: TaskStatus[None]) -> None:
    """Serve until cancelled."""
    async with AsyncExitStack() as stack:
        chat = await stack.enter_async_context(messenger(host, options))
        if chat.store.trouble:
            host.log.error("%s", chat.store.trouble)
        answer(host, chat)
        files = await stack.enter_async_context(files_of(chat, host, options))
        await stack.enter_async_context(host.serve(CHAT, chat.exchange.serve, label="chat", peers=chat.access))
        await stack.enter_async_context(host.serve(FILES, files.serve, label="files", peers=chat.access))
        stack.callback(chat.exchange.links.end_all)  # first of all: else the ports would wait for them
        await _report(host, chat)
        task_status.started()
        await _look_after(host, chat)


def answer(host: AppHost, chat: Chat) -> None:
    """Answer the commands of the app from now on."""

    async def send(asked: SendArguments) -> Sent:
        return await chat.send(asked.peer, asked.text, reply_to=asked.reply_to, wait=asked.wait)

    async def send_file(asked: SendFileArguments) -> Sent:
        return await chat.send_file(asked.peer, asked.path, text=asked.text)

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
    host.answer(HISTORY, history)
    host.answer_stream(CHANGES, changes)
    host.answer(READ, read)
    host.answer(DELETE, delete)
    host.answer(CONTACTS, contacts)
    host.answer(ALIAS, alias)
    host.answer(INFO, status)


async def _look_after(host: AppHost, chat: Messenger) -> None:
    """Say how the chat is, and let go what is too old, until cancelled."""
    next_sweep = 0.0
    while True:
        if time.monotonic() >= next_sweep:
            next_sweep = time.monotonic() + _SWEEP_SECONDS
            try:
                await chat.store.sweep(now=time.time())
            except ChatError as error:
                host.log.warning("what is too old stays for now: %s", error)
        await _report(host, chat)
        await sleep(_REPORT_SECONDS)


async def _report(host: AppHost, chat: Messenger) -> None:
    try:
        figures = await chat.store.figures()
    except ChatError as error:
        host.report(str(error), peers=chat.exchange.links.peers)
        return
    host.report(chat.store.trouble, peers=chat.exchange.links.peers, waiting=figures.waiting, messages=figures.stored)
