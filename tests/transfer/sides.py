"""Both sides of a transfer, for tests."""

from __future__ import annotations

import hashlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from anyio import sleep_forever

from skywire import Conn
from skywire.transfer import Fetched, Offer, OfferTable, Sender, Sending, TransferLimits, Wanted, receiving
from skywire.wire.transfer import Fetch, Message, TransferReader, encode_message, piece_head
from tests.net.meetings import CLIENT, SERVER, Meeting, Port, Served

ID = "5f0c8d21a4b7e390"
ROOMY = TransferLimits(stall_seconds=20.0, spare_bytes=0)
"""A test that ends by them has failed."""


def some_bytes(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Sides:
    """A node that offers, and a folder where another one receives."""

    served: Served
    folder: Path
    table: OfferTable = field(default_factory=OfferTable)
    sendings: list[Sending] = field(default_factory=list)

    async def fetch(
        self,
        name: str = "file.bin",
        *,
        offer_id: str = ID,
        size: int | None = None,
        sha256: str = "",
        limits: TransferLimits = ROOMY,
        progress: Callable[[int, int], None] = lambda done, size: None,
    ) -> Fetched:
        wanted = Wanted(SERVER.public, offer_id, name, size, sha256)
        async with receiving(wanted, self.folder, limits=limits) as reception, await self.served.dial() as conn:
            return await reception.fetch(conn, progress=progress)

    @property
    def part(self) -> Path:
        return self.folder / "file.bin.part"

    def names(self) -> set[str]:
        """What is in the folder."""
        return {each.name for each in self.folder.iterdir()} if self.folder.exists() else set()


@asynccontextmanager
async def offering(
    meeting: Meeting, folder: Path, content: bytes = b"", *, limits: TransferLimits = ROOMY
) -> AsyncIterator[Sides]:
    """A node that offers a file of that content to the other one."""
    path = folder / "offered"
    path.write_bytes(content)
    table, sendings = OfferTable(), list[Sending]()
    table.add(CLIENT.public, ID, Offer(path))
    sender = Sender(table.find, limits=limits, progress=sendings.append)
    async with meeting(Port(sender.serve)) as served:
        yield Sides(served, folder / "received", table, sendings)


def pieces(data: bytes, size: int = 100_000) -> bytes:
    """Frames of these bytes."""
    cut = [data[start : start + size] for start in range(0, len(data), size)]
    return b"".join(piece_head(len(piece)) + piece for piece in cut)


def says(*said: Message | bytes) -> Callable[[Conn], Awaitable[None]]:
    """A sender that takes one request and says that, whatever was asked."""

    async def handle(conn: Conn) -> None:
        await request(conn)
        for each in said:
            await conn.send(each if isinstance(each, bytes) else encode_message(each))

    return handle


async def request(conn: Conn) -> Fetch:
    """The request that comes."""
    reader = TransferReader()
    while not (events := reader.receive(await conn.receive())):
        pass
    assert isinstance(events[0], Fetch)
    return events[0]


def answers(answer: bytes | None) -> Callable[[Conn], Awaitable[None]]:
    """A peer that takes something, and answers with that; with None it never answers."""

    async def handle(conn: Conn) -> None:
        await conn.receive()
        if answer is None:
            await sleep_forever()
        elif answer:
            await conn.send(answer)

    return handle
