"""Files of peers: what they offer is written down, and fetched as soon as that can be."""

from __future__ import annotations

import logging
import stat
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, final

from anyio import CancelScope, CapacityLimiter, Lock, sleep, to_thread
from anyio.abc import TaskGroup

from skywire.apps.skychat.access import Access
from skywire.apps.skychat.contract import ChatError, ChatMessage, Direction, FileOffer
from skywire.apps.skychat.file_offers import Settle, Tell
from skywire.apps.skychat.file_ways import FileWays
from skywire.apps.skychat.store import Store
from skywire.errors import InvalidKey, ProtocolError
from skywire.keys import PubKey
from skywire.net.backoff import Backoff
from skywire.net.errors import DialError
from skywire.transfer import (
    Announcement,
    FailureCode,
    Fetched,
    FileFailed,
    Interrupted,
    NoSpace,
    OfferUnwanted,
    Origin,
    Reception,
    SenderFailed,
    TransferError,
    TransferLimits,
    Wanted,
    receiving,
    remove_parts,
    safe_name,
)
from skywire.wire.skychat import is_id

MOST_WAITING: Final = 64
"""Files of one peer that are on their way at a time."""
_AT_ONCE: Final = 2
"""Files that are fetched of one peer at a time; what it holds up is its own."""
_FIRST_RETRY: Final = 1.0
_LONGEST_RETRY: Final = 60.0
_LONGEST_LOCAL_RETRY: Final = 300.0
"""Where the disk is in the way; what is here is read anew each time."""


@final
class FileFetches:
    """See the module.

    Args:
        folder: where files go, in a folder for each peer.
        store: the messages.
        access: whose files are taken.
        ways: to peers.
        tell: has progress written down.
        settle: writes down what has come of it, for good.
        tasks: runs what fetches.
        limits: what a file may cost.
        room: bytes that files of one peer may take, those included that are on their way.
        log: of the app.
    """

    def __init__(
        self,
        folder: Path,
        store: Store,
        access: Access,
        ways: FileWays,
        tell: Tell,
        settle: Settle,
        *,
        tasks: TaskGroup,
        limits: TransferLimits,
        room: int,
        log: logging.Logger,
    ) -> None:
        self._folder = folder
        self._store = store
        self._access = access
        self._ways = ways
        self._tell = tell
        self._settle = settle
        self._tasks = tasks
        self._limits = limits
        self._room = room
        self._log = log
        self._limiters: defaultdict[PubKey, CapacityLimiter] = defaultdict(lambda: CapacityLimiter(_AT_ONCE))
        self._active: defaultdict[PubKey, dict[str, _Active]] = defaultdict(dict)
        self._taking = Lock()  # what there is room for is counted and kept in one step

    async def take(self, peer: PubKey, said: Announcement) -> None:
        """Take what a peer offers.

        Raises:
            OfferUnwanted: it is not wanted; the peer is told why.
            TransferError: it cannot be taken just now; the peer is told nothing, so that it offers it again.
        """
        if peer not in self._access.known:
            raise OfferUnwanted("files are taken only of keys that are allowed by themselves")
        if not is_id(said.id):
            raise OfferUnwanted("the id of a message is 16 hexadecimal digits")
        most = min(self._limits.max_size, self._room)
        if said.size > most:
            raise OfferUnwanted(f"files of more than {most} bytes are not taken here")
        file = FileOffer(safe_name(said.name), said.size, said.sha256)
        try:
            async with self._taking:
                if await self._store.one(peer, Direction.IN, said.id) is not None:
                    return
                await self._check_room(peer, said.size)
                message = await self._store.take_file(peer, said.id, said.text, file, now=time.time())
                if message is not None:
                    self.add(message)
        except ChatError as error:
            self._log.warning("a file of %s is not taken for now: %s", peer, error)
            raise TransferError(str(error)) from error

    async def retry(self, peer: PubKey, id: str) -> None:  # noqa: A002 - as on the wire
        """See :meth:`skywire.apps.skychat.contract.Chat.retry_file`."""
        async with self._taking:
            message = await self._store.one(peer, Direction.IN, id)
            if message is None or message.file is None:
                raise ChatError(f"there is no file with the id {id!r} of {peer}")
            if message.file.path:
                raise ChatError(f"the file is here: {message.file.path}")
            if not message.file.given_up:
                raise ChatError("the file was not given up, and comes by itself")
            await self._check_room(peer, message.file.size)
            file = replace(message.file, trouble="", given_up=False)
            await self._store.set_file(peer, Direction.IN, id, file)
            self.add(replace(message, file=file))

    def add(self, message: ChatMessage) -> None:
        """Fetch the file of a message."""
        assert message.file is not None
        active = self._active[message.peer][message.id] = _Active(message.file.size)
        self._tasks.start_soon(self._fetch, message, message.file, active)

    def stop(self, peer: PubKey, id: str) -> None:  # noqa: A002 - as on the wire
        """Its message is not there any more."""
        if (active := self._active[peer].get(id)) is not None:
            active.scope.cancel()

    async def tidy(self) -> None:
        """Remove what is left of files that nobody goes on with."""
        try:
            for peer in await to_thread.run_sync(_peers_in, self._folder):
                await self._remove_parts(peer)
        except FileFailed as error:
            self._log.warning("%s", error)

    async def _check_room(self, peer: PubKey, size: int) -> None:
        """Make sure that there is room for another file.

        Raises:
            ChatError: there is none, until some have come, or are moved elsewhere.
        """
        active = self._active[peer]
        if len(active) >= MOST_WAITING:
            raise ChatError(f"{MOST_WAITING} of its files are on their way already")
        folder = self._folder / str(peer)
        taken = await to_thread.run_sync(_bytes_in, folder) + sum(each.size for each in active.values())
        if taken + size > self._room:
            raise ChatError(f"files of it have {taken} of {self._room} bytes: move some out of {folder}")

    async def _fetch(self, message: ChatMessage, file: FileOffer, active: _Active) -> None:
        peer, id = message.peer, message.id  # noqa: A001
        try:
            with active.scope:
                file = await self._fetch_for_good(message, replace(file, trouble=""))
        finally:
            del self._active[peer][id]
        with CancelScope(shield=True):
            await self._settle(peer, Direction.IN, id, file)
            if not file.path:
                await self._remove_parts(peer)

    async def _fetch_for_good(self, message: ChatMessage, file: FileOffer) -> FileOffer:
        """Go on until the file is here, or cannot come."""
        wanted = Wanted(message.peer, message.id, file.name, file.size, file.sha256)
        backoff = Backoff(_FIRST_RETRY, 2.0, _LONGEST_LOCAL_RETRY)
        while True:
            try:
                async with (
                    self._limiters[message.peer],
                    receiving(wanted, self._folder / str(message.peer), limits=self._limits) as part,
                ):
                    file = replace(file, done=part.done)
                    fetched = await self._fetch_all(message, file, part)
                return replace(file, done=fetched.size, sha256=fetched.sha256, path=str(fetched.path))
            except (FileFailed, NoSpace) as error:  # of this machine: somebody may put that right
                self._log.warning("a file of %s cannot be kept for now: %s", message.peer, error)
                self._tell(message.peer, Direction.IN, message.id, replace(file, trouble=str(error)))
            except (TransferError, ProtocolError) as error:
                self._log.warning("a file of %s is given up: %s", message.peer, error)
                return replace(file, done=0, trouble=str(error), given_up=True)
            await sleep(backoff.failed())

    async def _fetch_all(self, message: ChatMessage, file: FileOffer, part: Reception) -> Fetched:
        """Go on until all of it is here, however often the connection ends."""
        backoff = Backoff(_FIRST_RETRY, 2.0, _LONGEST_RETRY)
        had = part.done

        def progress(done: int, _: int) -> None:
            if done > had:
                backoff.succeeded()
            self._tell(message.peer, Direction.IN, message.id, replace(file, done=done))

        while True:
            had = part.done
            try:
                async with await self._ways.dial(message.peer) as conn:
                    return await part.fetch(conn, progress=progress)
            except SenderFailed as error:
                if error.code is not FailureCode.BUSY:
                    raise
                reason = str(error)
            except (DialError, Interrupted) as error:
                reason = str(error)
            self._log.info("a file of %s goes on later: %s", message.peer, reason)
            self._tell(message.peer, Direction.IN, message.id, replace(file, done=part.done, trouble=reason))
            await sleep(backoff.failed())

    async def _remove_parts(self, peer: PubKey) -> None:
        """Remove what is left of files of a peer that do not come any more."""
        keep = [Origin(peer, id) for id in self._active[peer]]  # noqa: A001
        try:
            await to_thread.run_sync(remove_parts, self._folder / str(peer), keep)
        except FileFailed as error:
            self._log.warning("%s", error)


@final
@dataclass
class _Active:
    """A file that comes.

    Args:
        size: bytes of the whole.
        scope: of what fetches it.
    """

    size: int
    scope: CancelScope = field(default_factory=CancelScope)


def _peers_in(folder: Path) -> list[PubKey]:
    """Whose files are in a folder.

    Raises:
        FileFailed: it cannot be read.
    """
    peers: list[PubKey] = []
    try:
        for each in folder.iterdir() if folder.is_dir() else ():
            with suppress(InvalidKey):
                peers.append(PubKey.from_hex(each.name))
    except OSError as error:
        raise FileFailed(f"the folder {folder} cannot be read: {error.strerror or error}") from error
    return peers


def _bytes_in(folder: Path) -> int:
    """Bytes of the complete files in a folder.

    Raises:
        ChatError: it cannot be read.
    """
    size = 0
    try:
        for each in folder.iterdir() if folder.is_dir() else ():
            with suppress(FileNotFoundError):
                facts = each.lstat()
                size += facts.st_size if stat.S_ISREG(facts.st_mode) and each.suffix != ".part" else 0
    except OSError as error:
        raise ChatError(f"the folder {folder} cannot be read: {error.strerror or error}") from error
    return size
