"""Files that messages carry: offered on a port of their own, and fetched by who is offered them as soon as it can.

The message stands on both sides from the start, and says how far its file is. What has come of it outlives both
processes; it goes on from there.
"""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, final

from anyio import CancelScope, Event, to_thread

from skywire.app import AppHost
from skywire.apps.skychat import SkychatOptions
from skywire.apps.skychat.contract import ChatError, ChatMessage, Delivery, Direction, FileOffer, Sent
from skywire.apps.skychat.file_fetches import FileFetches
from skywire.apps.skychat.file_offers import FileOffers
from skywire.apps.skychat.file_ways import FileWays
from skywire.apps.skychat.messenger import Messenger
from skywire.keys import PubKey
from skywire.net.background import Background
from skywire.net.conn import Conn
from skywire.transfer import Sender, TransferLimits, safe_name

FOLDER: Final = "files"
"""Where what comes in is, in the folder of the app."""


@final
class Files:
    """See :class:`skywire.apps.skychat.messenger.Files`; made by :func:`files_of`.

    Args:
        chat: whose messages carry them.
        offers: what we send.
        sender: serves the file port.
    """

    def __init__(self, chat: Messenger, offers: FileOffers, sender: Sender) -> None:
        self._chat = chat
        self._offers = offers
        self._sender = sender

    async def send(self, peer: PubKey, path: Path, text: str) -> Sent:
        """See :meth:`skywire.apps.skychat.contract.Chat.send_file`."""
        began = time.perf_counter()
        size = await to_thread.run_sync(_size_of, path)
        id = secrets.token_hex(8)  # noqa: A001
        file = FileOffer(safe_name(path.name), size, path=str(path))
        with CancelScope(shield=True):  # or nobody would offer what is on disk
            await self._chat.store.write(peer, id, text, now=time.time(), file=file)
            message = await self._chat.store.one(peer, Direction.OUT, id)
            self._chat.access.known.add(peer)
            if message is not None:
                self._offers.add(message)
        return Sent(id, acked=False, ms=(time.perf_counter() - began) * 1000)

    def forget(self, peer: PubKey, id: str) -> None:  # noqa: A002 - as on the wire
        """A message was taken back."""
        self._offers.forget(peer, id)

    async def serve(self, conn: Conn) -> None:
        """Serve a connection to the file port."""
        await self._sender.serve(conn)


@asynccontextmanager
async def files_of(chat: Messenger, host: AppHost, options: SkychatOptions) -> AsyncIterator[Files]:
    """Send and fetch files while the block runs; what was on its way goes on."""
    ways = FileWays(host, options.peers)
    notes = _Notes(chat)
    limits = TransferLimits(max_size=options.largest_file)
    async with Background() as tasks:
        tasks.start_soon(notes.write)
        offers = FileOffers(chat.store, ways, notes.tell, tasks=tasks, log=host.log)
        fetches = FileFetches(
            host.data_dir / FOLDER,
            chat.store,
            chat.access,
            ways,
            notes.tell,
            tasks=tasks,
            limits=limits,
            log=host.log,
        )
        for message in await chat.store.with_files():
            if _goes_on(message):
                (offers if message.direction is Direction.OUT else fetches).add(message)
        sender = Sender(offers.table.find, limits=limits, progress=offers.sent, take=fetches.take)
        chat.files = files = Files(chat, offers, sender)
        try:
            yield files
        finally:
            chat.files = None


@final
class _Notes:
    """Writes down how far files are: the newest of each, one after the other."""

    def __init__(self, chat: Messenger) -> None:
        self._store = chat.store
        self._log = chat.log
        self._waiting: dict[tuple[PubKey, Direction, str], FileOffer] = {}
        self._news = Event()

    def tell(self, peer: PubKey, direction: Direction, id: str, file: FileOffer) -> None:  # noqa: A002
        """Have it written down."""
        self._waiting[peer, direction, id] = file
        self._news.set()

    async def write(self) -> None:
        """Work until cancelled."""
        while True:
            await self._news.wait()
            self._news = Event()
            while self._waiting:
                key = next(iter(self._waiting))
                try:
                    await self._store.set_file(*key, self._waiting.pop(key))
                except ChatError as error:
                    self._log.warning("how far a file is cannot be written down: %s", error)


def _goes_on(message: ChatMessage) -> bool:
    """Whether there is still something to do for the file of a message."""
    file = message.file
    if file is None or message.deleted or message.delivery is Delivery.REFUSED:
        return False
    if message.direction is Direction.IN:
        return not file.path
    return message.delivery is Delivery.QUEUED or file.done < file.size or not file.size


def _size_of(path: Path) -> int:
    """The size of a file that can be read.

    Raises:
        ChatError: it is none.
    """
    if not path.is_absolute():
        raise ChatError(f"name the whole path of the file: {path} may be in another folder for the app than for you")
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise ChatError(f"{path} is no file")
        os.close(os.open(path, os.O_RDONLY))
    except OSError as error:
        raise ChatError(f"{path} cannot be read: {error.strerror}") from error
    return facts.st_size
