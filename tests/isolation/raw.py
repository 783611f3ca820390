"""A process that attaches and speaks the protocol by hand, well or badly."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from anyio import BrokenResourceError, EndOfStream, connect_unix
from anyio.abc import ByteStream

from skywire.control.frames import MessageStream
from skywire.net.local_socket import LocalSocket
from tests.isolation.places import Place


async def connect(path: Path) -> LocalSocket:
    return await LocalSocket.of(await connect_unix(path))


async def is_closed(stream: ByteStream) -> bool:
    """Wait for the end of a stream on which nothing is to come."""
    try:
        await stream.receive()
    except (EndOfStream, BrokenResourceError):
        return True
    return False


@dataclass
class Raw:
    """The other end of the link.

    Args:
        link: itself.
        host: the socket on which the host is called.
        instance: the one on which the host calls; its first call has been read.
        assignment: of that first call.
    """

    link: LocalSocket
    host: LocalSocket
    instance: LocalSocket
    assignment: dict[str, object]
    calls: MessageStream
    called: MessageStream
    last: int = 0

    async def call(self, method: str, **arguments: object) -> dict[str, object]:
        """Call the host; the whole answer."""
        self.last += 1
        await self.calls.send({"jsonrpc": "2.0", "id": self.last, "method": method, "params": arguments})
        return await self.calls.receive()

    async def started(self) -> None:
        """Say that the app serves."""
        await self.called.send({"jsonrpc": "2.0", "id": 1, "result": None})

    async def take(self) -> tuple[int, LocalSocket]:
        """The next socket that is handed over."""
        return await take(self.link)


async def take(link: LocalSocket) -> tuple[int, LocalSocket]:
    message, sock = await link.receive_with_descriptor(8)
    assert isinstance(sock, socket.socket)
    return int.from_bytes(message, "big"), LocalSocket(sock)


@asynccontextmanager
async def attached(here: Place, name: str) -> AsyncIterator[Raw]:
    where = here.processes.attachment(name)
    async with await connect(where.socket) as link:
        await link.send(where.token_file.read_text().strip().encode())
        host, instance = await take(link), await take(link)
        assert (host[0], instance[0]) == (1, 2)
        async with host[1], instance[1]:
            called = MessageStream(instance[1])
            message = await called.receive()
            assert (message["id"], message["method"]) == (1, "instance.start")
            params = message["params"]
            assert isinstance(params, dict)
            yield Raw(link, host[1], instance[1], params["assignment"], MessageStream(host[1]), called)
