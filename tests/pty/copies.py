"""A host whose files are copied, over connections that break after so many bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
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
        asked: what was asked for with the connections for files.
        watch: called whenever that is told.
        limits: of what comes to the client.
    """

    host: FarHost
    home: Path
    here: Path
    cuts: list[int] = field(default_factory=list)
    seen: list[tuple[int, int]] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)
    watch: Callable[[], object] = lambda: None
    limits: TransferLimits = ROOMY

    @property
    def files(self) -> FarFiles:
        """What copies."""
        return FarFiles(self._reach, self.host.far.pk, self._note, self.host.note, self.limits)

    def _note(self, done: int, size: int) -> None:
        self.seen.append((done, size))
        self.watch()

    @asynccontextmanager
    async def _reach(self, request: Request) -> AsyncIterator[ByteStream]:
        async with self.host.reach(request) as stream:
            if request.path == FILES:
                self.asked.append(request)
                stream = Cut(stream, self.cuts.pop(0)) if self.cuts else stream
            yield stream

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
        yield Copies(host, home, here, limits=limits)
