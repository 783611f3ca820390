"""A host whose files are copied, over connections that break after so many bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from anyio import BrokenResourceError
from anyio.abc import ByteStream

from skywire.pty.copying import Copying
from skywire.pty.far_files import FarFiles
from skywire.transfer import TransferLimits
from skywire.wire.pty.opening import FILES, Request
from tests.pty.far_host import LOG, FarHost, far_host

ROOMY = TransferLimits(stall_seconds=20.0, spare_bytes=0)


@final
class Cut(ByteStream):
    """A stream that breaks when so many bytes have gone through it."""

    def __init__(self, stream: ByteStream, left: int) -> None:
        self._stream = stream
        self._left = left

    async def receive(self, max_bytes: int = 65536) -> bytes:
        return self._count(await self._stream.receive(max_bytes))

    async def send(self, item: bytes) -> None:
        kept = item[: self._left]
        if kept:
            await self._stream.send(kept)
        self._count(item)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()

    def _count(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left < 0:
            raise BrokenResourceError("it broke")
        return data


@final
@dataclass
class Copies:
    """The two ends.

    Args:
        host: the far one.
        home: of its user.
        here: a folder of the client's.
        cuts: bytes after which the next connections for files break; those behind them do not.
        seen: how far files were, whenever that was told.
    """

    host: FarHost
    home: Path
    here: Path
    cuts: list[int] = field(default_factory=list)
    seen: list[tuple[int, int]] = field(default_factory=list)

    @property
    def files(self) -> FarFiles:
        """What copies."""
        return FarFiles(
            self._reach,
            self.host.far.pk,
            lambda done, size: self.seen.append((done, size)),
            self.host.note,
            ROOMY,
        )

    @asynccontextmanager
    async def _reach(self, request: Request) -> AsyncIterator[ByteStream]:
        async with self.host.reach(request) as stream:
            yield Cut(stream, self.cuts.pop(0)) if request.path == FILES and self.cuts else stream

    async def copy(self, way: str, source: str, target: str, *, force: bool = False) -> None:
        """Copy a file, ``take`` or ``give``, with paths as they are on each side."""
        if way == "take":
            await self.files.take(source, self.here / target, replace=force)
        else:
            await self.files.give(self.here / source, target, replace=force)

    def ends(self, way: str) -> tuple[Path, Path]:
        """The folders of the source and of the target."""
        return (self.home, self.here) if way == "take" else (self.here, self.home)


@asynccontextmanager
async def copies(folder: Path, limits: TransferLimits = ROOMY) -> AsyncIterator[Copies]:
    """The two while the block runs."""
    home, here = folder / "home", folder / "here"
    home.mkdir()
    here.mkdir()
    async with far_host(copying=Copying(LOG, home, limits)) as host:
        yield Copies(host, home, here)
