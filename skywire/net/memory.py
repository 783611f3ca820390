"""A network inside one process: for tests, and for the parts of one program that speak to each other by key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from anyio import (
    TASK_STATUS_IGNORED,
    ClosedResourceError,
    EndOfStream,
    Event,
    ResourceGuard,
    create_task_group,
    sleep_forever,
)
from anyio.abc import TaskGroup, TaskStatus
from anyio.lowlevel import checkpoint

from skywire.keys import PubKey, SecKey
from skywire.net.address import Address
from skywire.net.conn import Conn, Owner, check_record
from skywire.net.errors import ListenError, PeerRefused, StreamBroken, Unreachable
from skywire.net.network import DialOptions, Dispatcher
from skywire.net.record_buffer import RecordBuffer
from skywire.net.serving import serve_conn
from skywire.wire.records import MAX_RECORD

MEMORY: Final = "memory"
"""The name of this network."""
WINDOW: Final = 262144
"""Bytes that one direction holds before its sender waits."""
_FIRST_EPHEMERAL_PORT: Final = 49153
_EPHEMERAL_PORTS: Final = 16383


@dataclass(frozen=True, slots=True)
class _Serving:
    dispatcher: Dispatcher
    task_group: TaskGroup


@final
class MemoryHub:
    """Where memory networks find each other."""

    def __init__(self) -> None:
        self.serving: dict[PubKey, _Serving] = {}


@final
class MemoryNetwork:
    """See :class:`skywire.net.network.Network`. The key is believed: both ends are this process.

    Args:
        identity: this end.
        hub: the networks on the same hub reach each other.
    """

    name: Final = MEMORY

    def __init__(self, identity: SecKey, hub: MemoryHub) -> None:
        self.public: Final = identity.public
        self._hub = hub
        self._dialled = 0

    async def dial(self, address: Address, *, owner: Owner, options: DialOptions = DialOptions()) -> Conn:
        """See :meth:`Network.dial`; takes no time, so the time-out is not looked at."""
        if address.network != MEMORY:
            raise ValueError(f"the memory network cannot dial {address}")
        await checkpoint()
        serving = self._hub.serving.get(address.pk)
        if serving is None:
            raise Unreachable(address, "that key serves nothing here")
        remote_owner = serving.dispatcher.admit(MEMORY, address.port, self.public)
        if remote_owner is None:
            raise PeerRefused(address, "this key is not admitted to that port")
        port = _FIRST_EPHEMERAL_PORT + self._dialled % _EPHEMERAL_PORTS
        self._dialled += 1
        near, far = conn_pair(Address(MEMORY, self.public, port), owner, address, remote_owner)
        serving.task_group.start_soon(serve_conn, serving.dispatcher, far)
        return near

    async def serve(self, dispatcher: Dispatcher, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """See :meth:`Network.serve`."""
        if self.public in self._hub.serving:
            raise ListenError(f"{self.public} serves on this hub already")
        try:
            async with create_task_group() as task_group:
                self._hub.serving[self.public] = _Serving(dispatcher, task_group)
                task_status.started()
                await sleep_forever()
        finally:
            del self._hub.serving[self.public]


def conn_pair(near: Address, near_owner: Owner, far: Address, far_owner: Owner) -> tuple[Conn, Conn]:
    """The two ends of a connection inside this process.

    Args:
        near: address of the first end.
        near_owner: on whose behalf it exists.
        far: address of the second end.
        far_owner: on whose behalf it exists.
    """
    there, back = _Pipe(), _Pipe()
    return (
        _MemoryConn(back, there, local=near, remote=far, owner=near_owner),
        _MemoryConn(there, back, local=far, remote=near, owner=far_owner),
    )


class _Pipe:
    """One direction of a memory connection."""

    def __init__(self) -> None:
        self.buffer = RecordBuffer()
        self.ended = False
        """Whether the writer sends no more."""
        self.abandoned = False
        """Whether the reader is gone."""
        self._changed = Event()

    def notify(self) -> None:
        self._changed.set()
        self._changed = Event()

    async def wait(self) -> None:
        await self._changed.wait()


class _MemoryConn(Conn):
    half_close = True

    def __init__(self, incoming: _Pipe, outgoing: _Pipe, *, local: Address, remote: Address, owner: Owner) -> None:
        super().__init__(local=local, remote=remote, owner=owner)
        self._incoming = incoming
        self._outgoing = outgoing
        self._send_in_doubt = False
        self._sending_ended = False
        self._send_guard = ResourceGuard("sending to")
        self._receive_guard = ResourceGuard("receiving from")

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if max_bytes < 1:
            raise ValueError(f"at least 1 byte must be asked for, not {max_bytes}")
        with self._receive_guard:
            await self._fill()
            data = self._incoming.buffer.take_bytes(max_bytes)
        return self._received(data)

    async def receive_record(self) -> bytes:
        with self._receive_guard:
            await self._fill()
            record = self._incoming.buffer.take_record()
        return self._received(record)

    async def receive_records(self, max_bytes: int) -> list[bytes]:
        with self._receive_guard:
            await self._fill()
            records = self._incoming.buffer.take_records(max_bytes)
        self.bytes_in += sum(map(len, records))
        self._incoming.notify()
        return records

    async def send(self, item: bytes) -> None:
        with self._send_guard:
            await checkpoint()
            if self._sending_ended:
                raise ClosedResourceError
            if self._send_in_doubt:
                raise StreamBroken(f"an earlier send to {self.remote} failed or was cancelled midway; dial again")
            self._send_in_doubt = True
            for start in range(0, len(item), MAX_RECORD):
                await self._wait_for_room()
                self._outgoing.buffer.put([item[start : start + MAX_RECORD]])
                self._outgoing.notify()
            self._send_in_doubt = False
        self.bytes_out += len(item)

    async def send_record(self, data: bytes) -> None:
        check_record(data)
        await self.send(data)

    async def send_eof(self) -> None:
        with self._send_guard:
            await checkpoint()
            self._sending_ended = self._outgoing.ended = True
            self._outgoing.notify()

    async def aclose(self) -> None:
        self.closed = True
        for pipe in (self._incoming, self._outgoing):
            pipe.ended = pipe.abandoned = True
            pipe.notify()
        await checkpoint()

    async def _fill(self) -> None:
        await checkpoint()
        pipe = self._incoming
        while not self.closed and not pipe.buffer.size:
            if pipe.ended:
                raise EndOfStream
            await pipe.wait()
        if self.closed:
            raise ClosedResourceError

    async def _wait_for_room(self) -> None:
        pipe = self._outgoing
        while not self.closed and not pipe.abandoned and pipe.buffer.size >= WINDOW:
            await pipe.wait()
        if self.closed:
            raise ClosedResourceError
        if pipe.abandoned:
            raise StreamBroken(f"the connection to {self.remote} broke")

    def _received(self, data: bytes) -> bytes:
        self.bytes_in += len(data)
        self._incoming.notify()
        return data
