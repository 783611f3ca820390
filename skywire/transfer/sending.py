"""The end that has a file: it sends what it offers, to whom it offers it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from anyio import CapacityLimiter

from skywire.errors import ProtocolError
from skywire.keys import PubKey
from skywire.transfer.errors import FileChanged, FileFailed, Interrupted, OfferUnwanted, TransferError
from skywire.transfer.limits import TransferLimits
from skywire.transfer.offers import Offer, OfferedFile
from skywire.transfer.pace import Pace
from skywire.transfer.streams import Carrier, TransferStream
from skywire.wire.transfer import Announcement, End, Failed, FailureCode, Fetch, FileHead, Preparing, Received, Taken

PIECE_SIZE: Final = 524288
"""Bytes that are read and sent at a time; all that a slow receiver costs, beside what the connection holds."""
_THREADS: Final = 4

_log: Final = logging.getLogger("skywire.transfer")


@final
@dataclass(frozen=True, slots=True)
class Sending:
    """How far a file is sent.

    Args:
        peer: to whom.
        id: of the offer.
        done: bytes that are on their way or there.
        size: bytes of the whole.
        received: whether the receiver says that it has all of it, checked and on disk.
    """

    peer: PubKey
    id: str
    done: int
    size: int
    received: bool = False


Take: TypeAlias = Callable[[PubKey, Announcement], Awaitable[None]]
"""Writes down what a peer offers, once however often it is told; or raises :class:`OfferUnwanted`. Whatever else it
raises ends the connection, so that the peer may try again."""
Find: TypeAlias = Callable[[PubKey, str], Offer | None]
"""Gives what a peer is offered under an id."""


@final
class Sender:
    """Sends what is offered, and takes what peers offer.

    Args:
        find: gives what a peer is offered under an id; asked once for each request.
        limits: what it may cost.
        progress: told how far files are: at the begin, a few times a second, and when the receiver has all.
        take: takes what peers offer; None to take nothing.
    """

    def __init__(
        self,
        find: Find,
        *,
        limits: TransferLimits = TransferLimits(),
        progress: Callable[[Sending], None] = lambda sending: None,
        take: Take | None = None,
    ) -> None:
        self._find = find
        self._limits = limits
        self._progress = progress
        self._take = take
        self._conns: Counter[PubKey] = Counter()
        self._active: Counter[PubKey] = Counter()
        self._limiter = CapacityLimiter(_THREADS)

    async def serve(self, conn: Carrier) -> None:
        """Serve one connection, on which the peer asks for a file, or offers one. A handler for a dispatcher.

        What goes wrong is told to the peer where that is possible, and logged.
        """
        stream = TransferStream(conn, self._limits.stall_seconds)
        peer = conn.remote.pk
        self._conns[peer] += 1
        try:
            try:
                await self._serve(stream, peer)
            except FileChanged as error:
                await stream.tell(Failed(FailureCode.CHANGED, str(error)))
                raise
            except FileFailed:
                # The folders of this machine are no business of the peer.
                await stream.tell(Failed(FailureCode.UNREADABLE, "the file is gone, or cannot be read any more"))
                raise
            except ProtocolError as error:
                await stream.tell(Failed(FailureCode.REQUEST, str(error)))
                raise
        except (TransferError, ProtocolError) as error:
            _log.info("sending to %s ended: %s", conn.remote, error)
        finally:
            self._conns -= Counter({peer: 1})

    async def _serve(self, stream: TransferStream, peer: PubKey) -> None:
        if self._conns[peer] > self._limits.conns_per_peer:
            await stream.tell(Failed(FailureCode.BUSY, "so many connections are served already; try again later"))
            return
        request = await stream.next_message()
        if isinstance(request, Announcement):
            await self._take_offer(stream, peer, request)
            return
        if not isinstance(request, Fetch):
            raise ProtocolError("a transfer begins with a request")
        if self._active[peer] >= self._limits.per_peer or self._active.total() >= self._limits.at_once:
            await stream.tell(Failed(FailureCode.BUSY, "so many files are being sent already; try again later"))
            return
        self._active[peer] += 1
        try:
            await self._answer(stream, peer, request)
        finally:
            self._active -= Counter({peer: 1})

    async def _take_offer(self, stream: TransferStream, peer: PubKey, announcement: Announcement) -> None:
        try:
            if self._take is None:
                raise OfferUnwanted("no files are taken here")
            await self._take(peer, announcement)
        except OfferUnwanted as error:
            await stream.tell(Failed(FailureCode.UNWANTED, str(error)))
        else:
            await stream.tell(Taken())

    async def _answer(self, stream: TransferStream, peer: PubKey, request: Fetch) -> None:
        offer = self._find(peer, request.id)
        if offer is None:
            await stream.tell(Failed(FailureCode.UNKNOWN, "nothing of that id is offered to this key"))
            return
        pace = Pace(self._limits.preparing_seconds)

        async def wait() -> None:
            if pace.is_due():
                await stream.tell(Preparing())

        async with offer.opened(self._limiter) as file:
            head = await file.prepare(wait)
            if request.sha256 not in ("", head.sha256):
                raise FileChanged("the file is another one than that which was begun with")
            if request.offset > head.size:
                raise ProtocolError(f"the file has {head.size} bytes, and is asked for from byte {request.offset}")
            await stream.tell(head)
            await self._send(stream, file, head, peer, request)
        if not isinstance(await stream.next_message(), Received):
            raise ProtocolError("a transfer ends with the word that the file was received")
        self._progress(Sending(peer, request.id, head.size, head.size, received=True))

    async def _send(
        self, stream: TransferStream, file: OfferedFile, head: FileHead, peer: PubKey, request: Fetch
    ) -> None:
        self._progress(Sending(peer, request.id, request.offset, head.size))
        pace = Pace()
        for start in range(request.offset, head.size, PIECE_SIZE):
            if pace.is_due():
                self._progress(Sending(peer, request.id, start, head.size))
            await stream.send(await file.read_frame(start, min(PIECE_SIZE, head.size - start)))
        self._progress(Sending(peer, request.id, head.size, head.size))
        await stream.tell(End())


async def announce(conn: Carrier, announcement: Announcement, *, limits: TransferLimits = TransferLimits()) -> None:
    """Tell a peer that there is a file for it; returns when it has written that down.

    Args:
        conn: to it; used up by this, and not closed.
        announcement: what there is.
        limits: how long it may take.

    Raises:
        OfferUnwanted: it does not want it.
        Interrupted: the connection ended, or it is busy; it may have it, and may be told again.
        ProtocolError: its answer makes no sense.
    """
    stream = TransferStream(conn, limits.stall_seconds)
    await stream.tell(announcement)
    answer = await stream.next_message()
    if isinstance(answer, Failed):
        if answer.code is FailureCode.BUSY:
            raise Interrupted(f"{conn.remote} is busy: {answer.reason}")
        raise OfferUnwanted(f"{conn.remote} does not take the file: {answer.reason or answer.code}")
    if not isinstance(answer, Taken):
        raise ProtocolError(f"{conn.remote} answers to an offer with something else")
