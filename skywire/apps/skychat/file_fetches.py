"""Files of peers: what they offer is written down, and fetched as soon as that can be."""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Final, final

from anyio import CancelScope, CapacityLimiter, sleep
from anyio.abc import TaskGroup

from skywire.apps.skychat.access import Access
from skywire.apps.skychat.contract import ChatError, ChatMessage, Direction, FileOffer
from skywire.apps.skychat.file_offers import Settle, Tell
from skywire.apps.skychat.file_ways import FileWays
from skywire.apps.skychat.store import Store
from skywire.errors import ProtocolError
from skywire.keys import PubKey
from skywire.net.backoff import Backoff
from skywire.net.errors import DialError
from skywire.transfer import (
    Announcement,
    FailureCode,
    Fetched,
    Interrupted,
    OfferUnwanted,
    Reception,
    SenderFailed,
    TransferError,
    TransferLimits,
    Wanted,
    receiving,
    safe_name,
)
from skywire.wire.skychat import is_id

MOST_WAITING: Final = 64
"""Files of one peer that are on their way at a time."""
_AT_ONCE: Final = 2
"""Files that are fetched of one peer at a time; what it holds up is its own."""
_FIRST_RETRY: Final = 1.0
_LONGEST_RETRY: Final = 60.0


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
        self._log = log
        self._limiters: defaultdict[PubKey, CapacityLimiter] = defaultdict(lambda: CapacityLimiter(_AT_ONCE))
        self._active: Counter[PubKey] = Counter()

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
        if said.size > self._limits.max_size:
            raise OfferUnwanted(f"files of more than {self._limits.max_size} bytes are not taken here")
        if self._active[peer] >= MOST_WAITING:
            raise TransferError(f"{MOST_WAITING} of its files are on their way already")
        file = FileOffer(safe_name(said.name), said.size, said.sha256)
        try:
            if await self._store.one(peer, Direction.IN, said.id) is not None:
                return
            await self._store.take_file(peer, said.id, said.text, file, now=time.time())
            message = await self._store.one(peer, Direction.IN, said.id)
        except ChatError as error:
            self._log.warning("a file of %s is not taken for now: %s", peer, error)
            raise TransferError(str(error)) from error
        if message is not None:
            self.add(message)

    def add(self, message: ChatMessage) -> None:
        """Fetch the file of a message."""
        self._active[message.peer] += 1
        self._tasks.start_soon(self._fetch, message)

    async def _fetch(self, message: ChatMessage) -> None:
        assert message.file is not None
        file = replace(message.file, trouble="")
        wanted = Wanted(message.peer, message.id, file.name, file.size, file.sha256)
        try:
            async with (
                self._limiters[message.peer],
                receiving(wanted, self._folder / str(message.peer), limits=self._limits) as part,
            ):
                file = replace(file, done=part.done)
                fetched = await self._fetch_all(message, file, part)
                file = replace(file, done=fetched.size, sha256=fetched.sha256, path=str(fetched.path))
        except (TransferError, ProtocolError) as error:
            self._log.warning("a file of %s is given up: %s", message.peer, error)
            file = replace(file, trouble=str(error))
        finally:
            self._active -= Counter({message.peer: 1})
            with CancelScope(shield=True):
                await self._settle(message.peer, Direction.IN, message.id, file)

    async def _fetch_all(self, message: ChatMessage, file: FileOffer, part: Reception) -> Fetched:
        """Go on until all of it is here, however often the connection ends."""
        backoff = Backoff(_FIRST_RETRY, 2.0, _LONGEST_RETRY)

        def progress(done: int, _: int) -> None:
            backoff.succeeded()
            self._tell(message.peer, Direction.IN, message.id, replace(file, done=done))

        while True:
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
