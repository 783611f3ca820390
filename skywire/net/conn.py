"""The contract of a connection, whatever network carries it."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from anyio.abc import ByteStream

from skywire.net.address import Address
from skywire.wire.records import MAX_RECORD


@final
@dataclass(frozen=True, slots=True)
class Owner:
    """On whose behalf a connection exists.

    Args:
        name: the name of an app instance, of a tool, or ``core``; not empty.
    """

    name: str

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("an owner has a name")

    def __str__(self) -> str:
        return self.name


CORE: Final = Owner("core")
"""The owner of what the node opens for itself."""


class Conn(ByteStream):
    """A connection to a peer whose key is proven: an anyio byte stream that also keeps records, and knows its facts.

    Bytes and records are two views of one stream: ``send`` cuts into records, ``receive`` joins them. Use the record
    calls where the protocol above needs one write to be one read.

    Errors, of all calls: ClosedResourceError after the caller closed it, or ended this direction; StreamBroken when it
    failed; EndOfStream when the peer ended its direction; BusyResourceError when another task is in the same direction.

    A receive that is cancelled loses nothing. A send that is cancelled midway leaves in doubt what was sent, so every
    later send raises StreamBroken.

    Args:
        local: this end.
        remote: the other end; its key is proven.
        owner: on whose behalf it exists.
    """

    half_close: bool
    """Whether ``send_eof`` ends one direction only; where False it raises HalfCloseUnsupported."""

    def __init__(self, *, local: Address, remote: Address, owner: Owner) -> None:
        self.local: Final = local
        self.remote: Final = remote
        self.owner: Final = owner
        self.opened: Final = time.time()
        """When the connection was made, in seconds of Unix time."""
        self.bytes_in = 0
        """Bytes handed to the caller."""
        self.bytes_out = 0
        """Bytes taken from the caller."""
        self.closed = False
        """Whether this end has been closed."""

    @property
    def network(self) -> str:
        """The name of the network that carries it."""
        return self.remote.network

    @abstractmethod
    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Between 1 and ``max_bytes`` bytes, as soon as there are any."""

    @abstractmethod
    async def send(self, item: bytes) -> None:
        """Send all of ``item``; returns when it is on its way and more may follow."""

    @abstractmethod
    async def receive_record(self) -> bytes:
        """The next record, 1 to 4070 bytes, neither merged nor split.

        After a ``receive`` that ended inside a record, the rest of that record.
        """

    @abstractmethod
    async def send_record(self, data: bytes) -> None:
        """Send exactly one record.

        Args:
            data: 1 to 4070 bytes.

        Raises:
            ValueError: ``data`` is empty or longer.
        """

    async def receive_records(self, max_bytes: int) -> list[bytes]:
        """The next record, and those behind it that are here already: for who passes records on.

        Args:
            max_bytes: in all of them; a first record that is longer comes all the same.
        """
        return [await self.receive_record()]

    async def send_records(self, records: Sequence[bytes]) -> None:
        """Send records, in as few steps as the network can.

        Args:
            records: each of 1 to 4070 bytes.

        Raises:
            ValueError: one is empty or longer; none of them was sent.
        """
        for record in records:
            check_record(record)
        for record in records:
            await self.send_record(record)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.local} to {self.remote} for {self.owner}>"


def check_record(data: bytes) -> None:
    """Refuse what is no record to send.

    Raises:
        ValueError: see :meth:`Conn.send_record`.
    """
    if not 1 <= len(data) <= MAX_RECORD:
        raise ValueError(f"a record holds 1 to {MAX_RECORD} bytes, this is {len(data)}")
