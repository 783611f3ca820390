"""Files that are offered: what is known of each, and noticing that one is not any more what it was."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, final

from anyio import CapacityLimiter, to_thread

from skywire.keys import PubKey
from skywire.transfer.errors import FileChanged, FileFailed
from skywire.wire.transfer import FileHead, check_sha256, piece_head

HASH_STEP: Final = 16 << 20
"""Bytes that are hashed between two chances to be cancelled."""
_READ_SIZE: Final = 1 << 20
_CHANGED: Final = "the file is not any more what was offered"  # told to the peer, so it does not say where that is
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


@final
@dataclass(frozen=True, slots=True)
class Facts:
    """What changes when a file does. Who hides a change from them is found out by the checksum, at the receiver."""

    device: int
    inode: int
    size: int
    changed_ns: int

    @classmethod
    def of(cls, descriptor: int) -> Self:
        found = os.fstat(descriptor)
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


@final
class Offer:
    """A file that is offered.

    Args:
        path: where it is; it has to stay there, and as it is.
        sha256: of it, 64 hexadecimal digits, where that is known already; empty until it is first needed.

    Raises:
        ValueError: the checksum is none.
    """

    def __init__(self, path: Path, *, sha256: str = "") -> None:
        if sha256:
            check_sha256(sha256)
        self.path: Final = path
        self.sha256 = sha256
        """Of the whole; empty until it is known."""
        self.hashed: Facts | None = None
        """Of the file, when its checksum was last found to be that."""

    @asynccontextmanager
    async def opened(self, limiter: CapacityLimiter) -> AsyncIterator[OfferedFile]:
        """The file, open while the block runs; to be prepared before it is read.

        Args:
            limiter: for the threads that read.

        Raises:
            FileFailed: it cannot be opened, or is no regular file.
        """
        descriptor = await to_thread.run_sync(_open, self.path, limiter=limiter)
        try:
            yield OfferedFile(self, descriptor, limiter)
        finally:
            os.close(descriptor)

    async def prepare(self, limiter: CapacityLimiter | None = None) -> FileHead:
        """Find out its size and its checksum, so that no receiver has to wait for that.

        Raises:
            FileChanged: it has another checksum than it had.
            FileFailed: it cannot be read.
        """
        async with self.opened(limiter or CapacityLimiter(1)) as file:
            return await file.prepare(_nothing)

    def __repr__(self) -> str:
        return f"<Offer {self.path}>"


@final
class OfferedFile:
    """The file of an offer while it is open; made by :meth:`Offer.opened`."""

    def __init__(self, offer: Offer, descriptor: int, limiter: CapacityLimiter) -> None:
        self._offer = offer
        self._descriptor = descriptor
        self._limiter = limiter
        self._facts = Facts.of(descriptor)

    async def prepare(self, between: Callable[[], Awaitable[None]]) -> FileHead:
        """Make sure that it is what is offered. What was found to be is not read again until it changes.

        Args:
            between: called between two steps of reading.

        Raises:
            FileChanged: it is something else.
            FileFailed: it cannot be read.
        """
        offer, size = self._offer, self._facts.size
        if offer.hashed != self._facts or not offer.sha256:
            digest = hashlib.sha256()
            for start in range(0, size, HASH_STEP):
                await to_thread.run_sync(self._hash, digest, start, limiter=self._limiter)
                await between()
            if offer.sha256 not in ("", digest.hexdigest()):
                raise FileChanged(_CHANGED)
            offer.sha256, offer.hashed = digest.hexdigest(), self._facts
        return FileHead(size, offer.sha256)

    async def read_frame(self, start: int, size: int) -> bytes:
        """A piece with its head.

        Args:
            start: of the piece, in the file.
            size: of the piece; all of it is in the file.

        Raises:
            FileChanged: the file has changed.
            FileFailed: it cannot be read.
        """
        return await to_thread.run_sync(self._read_frame, start, size, limiter=self._limiter)

    def _read_frame(self, start: int, size: int) -> bytes:
        return piece_head(size) + self._read(start, size)

    def _hash(self, digest: hashlib._Hash, start: int) -> None:
        for at in range(start, min(start + HASH_STEP, self._facts.size), _READ_SIZE):
            digest.update(self._read(at, min(_READ_SIZE, self._facts.size - at)))

    def _read(self, start: int, size: int) -> bytes:
        try:
            data = os.pread(self._descriptor, size, start)
            facts = Facts.of(self._descriptor)
        except OSError as error:
            raise _unreadable(self._offer.path, error) from error
        if len(data) < size or facts != self._facts:
            raise FileChanged(_CHANGED)
        return data


@final
class OfferTable:
    """What is offered to whom."""

    def __init__(self) -> None:
        self._offers: dict[tuple[PubKey, str], Offer] = {}

    def add(self, peer: PubKey, id: str, offer: Offer) -> None:  # noqa: A002 - as on the wire
        """Offer a file to a peer, instead of what it was offered under that id before."""
        self._offers[peer, id] = offer

    def remove(self, peer: PubKey, id: str) -> None:  # noqa: A002 - as on the wire
        """Offer it no longer; who is being sent it is sent the rest."""
        self._offers.pop((peer, id), None)

    def find(self, peer: PubKey, id: str) -> Offer | None:  # noqa: A002 - as on the wire
        """What that peer is offered under that id."""
        return self._offers.get((peer, id))


async def _nothing() -> None:
    return


def _open(path: Path) -> int:
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValueError:
        raise FileFailed(f"{str(path)!r} is no name of a file") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileFailed(f"{path} is no regular file")
    return descriptor


def _unreadable(path: Path, error: OSError) -> FileFailed:
    return FileFailed(f"cannot read {path}: {error.strerror or error}")
