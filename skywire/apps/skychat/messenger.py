"""A chat, as it can be asked."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol, final

from anyio import Event, move_on_after

from skywire.app import AppHost
from skywire.app.run_mode import MODE_RULES
from skywire.apps.skychat import CHAT, SkychatOptions
from skywire.apps.skychat.access import Access
from skywire.apps.skychat.contract import Chat, ChatError, ChatMessage, ChatStatus, Contact, Sent
from skywire.apps.skychat.exchange import Exchange
from skywire.apps.skychat.limits import LinkLimits
from skywire.apps.skychat.room import StoreLimits
from skywire.apps.skychat.store import Store, opened
from skywire.keys import PubKey
from skywire.net.address import TCP
from skywire.net.background import Background
from skywire.wire.skychat import MAX_TEXT, is_id

FILE: Final = "chat.db"
"""The name of the history, in the folder of the app."""
LONGEST_WAIT: Final = 60.0
MOST_AT_ONCE: Final = 500
"""Messages that one question gives."""
_PAGE: Final = 200
"""Changes that are read at a time."""
_LONGEST_ALIAS: Final = 64


class Files(Protocol):
    """What offers files to peers."""

    async def send(self, peer: PubKey, path: Path, text: str) -> Sent:
        """See :meth:`skywire.apps.skychat.contract.Chat.send_file`."""
        ...

    async def retry(self, peer: PubKey, id: str) -> None:  # noqa: A002 - as on the wire
        """See :meth:`skywire.apps.skychat.contract.Chat.retry_file`."""
        ...

    def forget(self, peer: PubKey, id: str) -> None:  # noqa: A002 - as on the wire
        """A message was taken back."""
        ...


@final
class Messenger(Chat):
    """See :class:`skywire.apps.skychat.contract.Chat`; made by :func:`messenger`.

    Args:
        host: of the app.
        store: what is kept.
        access: who may write.
        exchange: what delivers.
        waits: who waits for a message to be delivered, by peer and id.
    """

    def __init__(
        self,
        host: AppHost,
        store: Store,
        access: Access,
        exchange: Exchange,
        waits: dict[tuple[PubKey, str], Event],
    ) -> None:
        self.store: Final = store
        self.access: Final = access
        self.exchange: Final = exchange
        self.files: Files | None = None
        """What offers files, where something does."""
        self.log: Final = host.log
        self._host = host
        self._waits = waits

    async def send(self, peer: PubKey, text: str, *, reply_to: str = "", wait: float = 0.0) -> Sent:
        """See :meth:`Chat.send`."""
        self._check_peer(peer)
        _check_text(text, least=1)
        if reply_to and not is_id(reply_to):
            raise ChatError("reply_to is the id of a message: 16 hexadecimal digits")
        if not 0 <= wait <= LONGEST_WAIT:
            raise ChatError(f"wait is 0 to {LONGEST_WAIT:g} seconds")
        began = time.perf_counter()
        id = secrets.token_hex(8)  # noqa: A001
        came = self._waits[peer, id] = Event()
        try:
            try:
                await self.store.write(peer, id, text, now=time.time(), reply_to=reply_to)
                self.access.known.add(peer)
            finally:  # whoever is cancelled meanwhile: it may be on disk
                self.exchange.wake(peer)
            with move_on_after(wait):
                await came.wait()
        finally:
            del self._waits[peer, id]
        return Sent(id, came.is_set(), (time.perf_counter() - began) * 1000)

    async def send_file(self, peer: PubKey, path: Path, *, text: str = "") -> Sent:
        """See :meth:`Chat.send_file`."""
        self._check_peer(peer)
        _check_text(text, least=0)
        if self.files is None:
            raise ChatError("this version of the chat sends no files")
        return await self.files.send(peer, path, text)

    async def retry_file(self, peer: PubKey, id: str) -> None:  # noqa: A002 - as on the wire
        """See :meth:`Chat.retry_file`."""
        if self.files is None:
            raise ChatError("this version of the chat fetches no files")
        await self.files.retry(peer, id)

    async def history(self, peer: PubKey | None = None, *, before: int = 0, limit: int = 50) -> tuple[ChatMessage, ...]:
        """See :meth:`Chat.history`."""
        if not 1 <= limit <= MOST_AT_ONCE:
            raise ChatError(f"limit is 1 to {MOST_AT_ONCE}")
        return await self.store.history(peer, _number(before, "before"), limit)

    async def changes(self, since: int | None = None) -> AsyncIterator[ChatMessage]:
        """See :meth:`Chat.changes`."""
        last = (await self.store.figures()).change
        if since is not None and _number(since, "since") > last:
            raise ChatError(f"there was no change {since} yet, the last is {last}: ask again for all, with since 0")
        at = last if since is None else since
        while True:
            for message in await self.store.changed(at, _PAGE):
                at = message.change
                yield message

    async def mark_read(self, peer: PubKey, number: int) -> None:
        """See :meth:`Chat.mark_read`."""
        if await self.store.mark_read(peer, _number(number, "number"), now=time.time()):
            self.exchange.wake(peer)
        self.exchange.links.renew(peer)

    async def delete(self, peer: PubKey, id: str) -> None:  # noqa: A002 - as on the wire
        """See :meth:`Chat.delete`."""
        await self.store.delete(peer, id, now=time.time())
        if self.files is not None:
            self.files.forget(peer, id)
        self.exchange.wake(peer)

    async def contacts(self) -> tuple[Contact, ...]:
        """See :meth:`Chat.contacts`."""
        return tuple(self._now(each) for each in await self.store.contacts(self.access.known))

    async def name(self, peer: PubKey, alias: str) -> None:
        """See :meth:`Chat.name`."""
        if len(alias) > _LONGEST_ALIAS or not alias.isprintable() or alias.strip() != alias:
            raise ChatError(f"a name is up to {_LONGEST_ALIAS} characters that can be seen, without spaces around it")
        await self.store.name(peer, alias)

    async def status(self) -> ChatStatus:
        """See :meth:`Chat.status`."""
        figures = await self.store.figures()
        return ChatStatus(
            public=self._host.public,
            mode=self._host.mode.value,
            listening=self._listening(),
            connected=self.exchange.links.peers,
            waiting=figures.waiting,
            stored=figures.stored,
            change=figures.change,
        )

    def _listening(self) -> tuple[str, ...]:
        port = self._host.port(CHAT)
        networks = sorted(MODE_RULES[self._host.mode].networks)
        return tuple(f"{each}://{self._host.public}{'@HOST' if each == TCP else ''}:{port}" for each in networks)

    def _now(self, contact: Contact) -> Contact:
        link = self.exchange.links.best(contact.peer)
        return replace(
            contact,
            allowed=contact.peer in self.access,
            network="" if link is None else link.network,
            trouble=self.exchange.trouble(contact.peer) if link is None else "",
        )

    def _check_peer(self, peer: PubKey) -> None:
        if peer == self._host.public:
            raise ChatError("that is the key of this node itself")


@asynccontextmanager
async def messenger(
    host: AppHost, options: SkychatOptions, limits: LinkLimits = LinkLimits()
) -> AsyncIterator[Messenger]:
    """A chat that delivers while the block runs; what peers connect to is ``exchange.serve``.

    Raises:
        ChatError: the history cannot be used.
    """
    kept = StoreLimits(options.per_peer, options.total_bytes, options.days)
    async with opened(host.data_dir / FILE, kept) as store, Background() as tasks:
        named = (*options.allow, *(each.pk for each in options.peers))
        access = Access({*named, *await store.allowed()} - {host.public}, everyone=options.everyone)
        waits: dict[tuple[PubKey, str], Event] = {}

        def got(peer: PubKey, id: str) -> None:  # noqa: A002
            if (came := waits.get((peer, id))) is not None:
                came.set()

        exchange = Exchange(
            host,
            store,
            access,
            peers=options.peers,
            bare=await store.bare(),
            limits=replace(limits, per_minute=options.per_minute),
            tasks=tasks,
            got=got,
        )
        await exchange.start()
        yield Messenger(host, store, access, exchange, waits)


def _check_text(text: str, *, least: int) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ChatError("a message is text, and this is none that can be written as UTF-8") from None
    if not least <= size <= MAX_TEXT:
        raise ChatError(f"a message has {least} to {MAX_TEXT} bytes, this has {size}")


def _number(number: int, name: str) -> int:
    """A number that the tables can have."""
    if not 0 <= number < 2**63:
        raise ChatError(f"{name} is the number of a message, or 0")
    return number
