"""Files that messages carry: offered on a port of their own, and fetched by who is offered them as soon as it can.

The message stands on both sides from the start, and says how far its file is. What has come of it outlives both
processes; it goes on from there.
"""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections.abc import AsyncIterator, Callable
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
        fetches: what comes.
        sender: serves the file port.
    """

    def __init__(self, chat: Messenger, offers: FileOffers, fetches: FileFetches, sender: Sender) -> None:
        self._chat = chat
        self._offers = offers
        self._fetches = fetches
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

    async def retry(self, peer: PubKey, id: str) -> None:  # noqa: A002 - as on the wire
        """See :meth:`skywire.apps.skychat.contract.Chat.retry_file`."""
        await self._fetches.retry(peer, id)

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
    limits = TransferLimits(max_size=options.largest_file)
    async with Background() as tasks:

        def gone(peer: PubKey, id: str) -> None:  # noqa: A002 - as on the wire
            fetches.stop(peer, id)

        notes = _Notes(chat, gone)
        offers = FileOffers(chat.store, ways, notes.tell, tasks=tasks, log=host.log)
        fetches = FileFetches(
            host.data_dir / FOLDER,
            chat.store,
            chat.access,
            ways,
            notes.tell,
            notes.settle,
            tasks=tasks,
            limits=limits,
            room=options.files_per_peer,
            log=host.log,
        )
        tasks.start_soon(notes.write)
        for message in await chat.store.with_files():
            if _goes_on(message):
                (offers if message.direction is Direction.OUT else fetches).add(message)
        await fetches.tidy()
        sender = Sender(offers.table.find, limits=limits, progress=offers.sent, take=fetches.take)
        chat.files = files = Files(chat, offers, fetches, sender)
        try:
            yield files
        finally:
            chat.files = None


@final
class _Notes:
    """Writes down how far files are: the newest of each, one after the other.

    Args:
        chat: whose messages carry them.
        gone: is told where the message of a file that comes is not there any more.
    """

    def __init__(self, chat: Messenger, gone: Callable[[PubKey, str], None]) -> None:
        self._gone = gone
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
                await self._put(key, self._waiting.pop(key))

    async def settle(self, peer: PubKey, direction: Direction, id: str, file: FileOffer) -> None:  # noqa: A002
        """Write it down now, and nothing older behind it."""
        self._waiting.pop((peer, direction, id), None)
        await self._put((peer, direction, id), file)

    async def _put(self, key: tuple[PubKey, Direction, str], file: FileOffer) -> None:
        try:
            peer, direction, id = key  # noqa: A001
            is_there = await self._store.set_file(*key, file)
            if not is_there and direction is Direction.IN:
                self._gone(peer, id)
        except ChatError as error:
            self._log.warning("how far a file is cannot be written down: %s", error)


def _goes_on(message: ChatMessage) -> bool:
    """Whether the file of a message is still offered, or still to come."""
    if message.file is None or message.deleted or message.delivery is Delivery.REFUSED:
        return False
    return message.direction is Direction.OUT or not (message.file.path or message.file.given_up)


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
