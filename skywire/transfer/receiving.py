"""The end that wants a file: it asks, writes down what comes, checks it, and only then gives it its name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeAlias, final

from anyio import BrokenResourceError, CancelScope, Event, create_memory_object_stream, to_thread

from skywire.errors import NetworkError, ProtocolError
from skywire.keys import PubKey
from skywire.net.background import Background
from skywire.transfer.errors import (
    FileChanged,
    Interrupted,
    NoSpace,
    SenderFailed,
    Stalled,
    TooLarge,
    TransferError,
    WrongChecksum,
    WrongSize,
)
from skywire.transfer.limits import TransferLimits
from skywire.transfer.names import safe_name
from skywire.transfer.notes import Notes, Origin
from skywire.transfer.pace import Pace
from skywire.transfer.part import GiveName, Part, open_part
from skywire.transfer.streams import Carrier, TransferStream
from skywire.wire.transfer import End, Failed, FailureCode, Fetch, FileHead, Message, Preparing, Received

WRITE_SIZE: Final = 1 << 20
"""Bytes that are collected before they are written; while they are, the next are collected."""
MAX_PREPARING: Final = 1000
"""Times that a sender may ask for patience."""

Progress: TypeAlias = Callable[[int, int], None]
"""Told the bytes that are there, and the bytes of the whole."""


@final
@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to receive.

    Args:
        peer: who offers it.
        id: of the offer: 1 to 64 letters, digits, ``_`` and ``-``.
        name: in the sender's words; made safe before it is used.
        size: bytes, where they were said; None for unknown.
        sha256: 64 hexadecimal digits, where they were said; empty for unknown.

    Raises:
        ValueError: the id or the checksum is none.
    """

    peer: PubKey
    id: str
    name: str
    size: int | None = None
    sha256: str = ""

    def __post_init__(self) -> None:
        Fetch(self.id, 0, self.sha256)


@final
@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that is here.

    Args:
        path: where.
        size: bytes.
        sha256: of it, which was checked.
    """

    path: Path
    size: int
    sha256: str


@asynccontextmanager
async def receiving(
    wanted: Wanted, folder: Path, *, limits: TransferLimits = TransferLimits(), give_name: GiveName | None = None
) -> AsyncIterator[Reception]:
    """Find what is there of a file, or begin with it, and hold it while the block runs.

    It reads what is there, which takes seconds for some gigabytes: to be entered before a connection is made.

    Args:
        wanted: the file.
        folder: where to; made if it is not there.
        limits: what it may cost.
        give_name: gives the complete file its name, before the sender is told that it is here; None for a name in
            ``folder`` that nothing has.

    Raises:
        TooLarge: it has more bytes than are taken.
        AlreadyReceiving: the same file is being received already.
        FileFailed, NoSpace: the folder cannot be used.
    """
    _check_size(wanted.size or 0, limits)
    origin = Origin(wanted.peer, wanted.id)
    part = await to_thread.run_sync(open_part, folder, wanted.name, origin, wanted.sha256)
    try:
        while await to_thread.run_sync(part.hash_more):
            pass
        yield Reception(part, wanted, limits, give_name)
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(part.close)


@final
class Reception:
    """One file on its way; made by :func:`receiving`."""

    def __init__(self, part: Part, wanted: Wanted, limits: TransferLimits, give_name: GiveName | None) -> None:
        self._part = part
        self._wanted = wanted
        self._name = safe_name(wanted.name)
        self._limits = limits
        self._give_name = give_name

    @property
    def done(self) -> int:
        """Bytes that are on this disk."""
        return self._part.size

    async def fetch(self, conn: Carrier, *, progress: Progress = lambda done, size: None) -> Fetched:
        """Fetch what is missing; the connection is used up by it, and not closed.

        May be called again, with another connection, after :class:`Interrupted` and :class:`SenderFailed`.

        Args:
            conn: to who offers the file.
            progress: told how far it is: at the begin, a few times a second, and at the end.

        Raises:
            TransferError: see :mod:`skywire.transfer.errors`, which says of each what becomes of the part.
            ProtocolError: the sender breaks the rules; the part stays.
        """
        stream = TransferStream(conn, self._limits.stall_seconds)
        try:
            head = await self._ask(stream)
            await self._take(stream, head, progress)
            if self._part.sha256 != head.sha256:
                raise WrongChecksum(f"what came of {self._name} has another checksum than the sender said")
        except (FileChanged, WrongSize, WrongChecksum):
            await to_thread.run_sync(self._part.discard)
            raise
        path = await to_thread.run_sync(self._part.finish, self._give_name)
        progress(head.size, head.size)
        with suppress(Interrupted):  # the sender does not learn of it; the file is here all the same
            await stream.tell(Received())
        return Fetched(path, head.size, head.sha256)

    async def _ask(self, stream: TransferStream) -> FileHead:
        """Ask for the file, and see to it that what comes fits what is there, what is wanted, and the disk."""
        wanted, part = self._wanted, self._part
        known = part.notes.head if part.notes is not None and part.size else None
        await stream.tell(Fetch(wanted.id, part.size, wanted.sha256 if known is None else known.sha256))
        head = await _answer(stream)
        if head.sha256 != (wanted.sha256 or head.sha256) or head.size != (
            head.size if wanted.size is None else wanted.size
        ):
            raise FileChanged(f"the sender has another file than {self._name} by now")
        if known not in (None, head):
            raise FileChanged(f"the sender has another file by now than the one that {part.path.name} is of")
        _check_size(head.size, self._limits)
        await self._check_room(head)
        if known is None:
            await to_thread.run_sync(part.note, Notes(Origin(wanted.peer, wanted.id), head))
        return head

    async def _check_room(self, head: FileHead) -> None:
        missing = head.size - self._part.size
        free = await to_thread.run_sync(self._part.free_bytes) - self._limits.spare_bytes
        if missing > max(free, 0):
            raise NoSpace(f"{missing} bytes are missing of {self._name}, and the disk has room for {max(free, 0)}")

    async def _take(self, stream: TransferStream, head: FileHead, progress: Progress) -> None:
        """Write down all pieces. However that ends, what has come is written, but for a cancellation."""
        async with Background() as tasks, _Writer(self._part) as writer:
            tasks.start_soon(writer.run)
            try:
                size = await self._collect(stream, head, progress, writer)
            except (NetworkError, ProtocolError, SenderFailed, NoSpace):
                await writer.finish()
                raise
            await writer.finish()
        if size < head.size:
            raise WrongSize(f"the sender ends at byte {size} of {head.size}")

    async def _collect(self, stream: TransferStream, head: FileHead, progress: Progress, writer: _Writer) -> int:
        """Have all pieces written; how many bytes there are in all then."""
        size = self._part.size
        progress(size, head.size)
        pace = Pace()
        while True:
            for event in await stream.next_events():
                if not isinstance(event, bytes):
                    _require_end(event)
                    return size
                size += len(event)
                if size > head.size:
                    raise WrongSize(f"the sender sends more than the {head.size} bytes that it said there are")
                await writer.put(event)
            if pace.is_due():
                progress(self._part.size, head.size)
                await self._check_room(head)  # others write to the disk, too


@final
class _Writer:
    """Writes behind the reader: while some is written, the next is collected, and no more than that."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._pieces: list[bytes] = []
        self._size = 0
        self._error: TransferError | None = None
        self._ended = Event()
        self._send, self._receive = create_memory_object_stream[list[bytes]](0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._send.close()

    async def run(self) -> None:
        """Write what is put; ends at an error, which the next call raises."""
        with self._receive:
            try:
                async for pieces in self._receive:
                    await to_thread.run_sync(self._part.append, pieces)
            except TransferError as error:
                self._error = error
            finally:
                self._ended.set()

    async def put(self, piece: bytes) -> None:
        """Have a piece written; waits while what was put before is not."""
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size >= WRITE_SIZE:
            await self._hand_over()

    async def finish(self) -> None:
        """Return when everything is written."""
        if self._pieces:
            await self._hand_over()
        self._send.close()
        await self._ended.wait()
        if self._error is not None:
            raise self._error

    async def _hand_over(self) -> None:
        pieces, self._pieces, self._size = self._pieces, [], 0
        try:
            await self._send.send(pieces)
        except BrokenResourceError:
            assert self._error is not None
            raise self._error from None


async def _answer(stream: TransferStream) -> FileHead:
    for _ in range(MAX_PREPARING):
        message = await stream.next_message()
        if isinstance(message, FileHead):
            return message
        if not isinstance(message, Preparing):
            _raise_failed(message)
            raise ProtocolError("the sender answers with something else than a file")
    raise Stalled("the sender prepares the file without end")


def _require_end(message: Message) -> None:
    _raise_failed(message)
    if not isinstance(message, End):
        raise ProtocolError("the sender says something else than the end behind a file")


def _raise_failed(message: Message) -> None:
    if isinstance(message, Failed):
        if message.code is FailureCode.CHANGED:
            raise FileChanged(f"the sender says: {message.reason}")
        raise SenderFailed(message.code, message.reason)


def _check_size(size: int, limits: TransferLimits) -> None:
    if size > limits.max_size:
        raise TooLarge(f"the file has {size} bytes, and at most {limits.max_size} are taken")
