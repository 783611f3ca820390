"""Control of a node elsewhere through a visor of this machine, which goes there with its own key.

Beside the socket by which a visor is controlled there is another one. Who connects to it sends the key of the other
node, 66 hexadecimal characters, and gets one line: ``ok``, or ``refused`` or ``unreachable`` and the reason. After
``ok`` the connection is that to the other node.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from anyio import (
    BrokenResourceError,
    ClosedResourceError,
    DelimiterNotFound,
    EndOfStream,
    IncompleteRead,
    create_task_group,
    fail_after,
)
from anyio.abc import ByteReceiveStream, ByteSendStream, TaskGroup
from anyio.streams.buffered import BufferedByteStream

from skywire.control.client import Client, connected
from skywire.control.local import LocalControlError, connect_locally, serving_callers
from skywire.control.over_dmsg import CONTROL_PORT
from skywire.errors import InvalidKey
from skywire.keys import PubKey
from skywire.net.address import Address
from skywire.net.conn import CORE, Conn
from skywire.net.errors import DialError, PeerRefused, Unreachable
from skywire.net.local_socket import LocalSocket
from skywire.net.network import Network

SUFFIX: Final = ".via"
"""Of the name of the socket."""
ASK_SECONDS: Final = 5.0
"""For a caller to say where they want to go."""
LONGEST_ANSWER: Final = 4096
"""Bytes of the line that says whether it worked."""
ANSWER_SECONDS: Final = 60.0
"""For the visor to get there: longer than a dial takes."""

_KEY_LENGTH: Final = 66


@asynccontextmanager
async def giving_passage(network: Network, path: Path) -> AsyncIterator[None]:
    """Let processes of this user control other nodes through this one while the block runs.

    Args:
        network: over which; its key is the one that the other nodes see.
        path: of the socket.

    Raises:
        LocalControlError: it cannot be made, or another process has it.
    """

    async def handle(caller: LocalSocket) -> None:
        with suppress(EndOfStream, BrokenResourceError, ClosedResourceError, TimeoutError, IncompleteRead):
            await _lead(network, BufferedByteStream(caller))

    async with serving_callers(path, handle):
        yield


@asynccontextmanager
async def through(path: Path, network: str, key: PubKey) -> AsyncIterator[Client]:
    """Control a node elsewhere through a visor of this machine while the block runs.

    Args:
        path: of that visor's socket for this.
        network: the name of the network over which it goes, for messages.
        key: of the node elsewhere.

    Raises:
        LocalControlError: the visor cannot be reached, or makes no sense.
        PeerRefused: the other node does not let the visor's key control it, or does not run.
        Unreachable: it cannot be reached.
    """
    stream = BufferedByteStream(await connect_locally(path))
    async with stream:
        word, reason = await _asked(stream, key)
        address = Address(network, key, CONTROL_PORT)
        if word == "refused":
            raise PeerRefused(address, reason)
        if word != "ok":
            raise Unreachable(address, reason)
        async with connected(stream) as client:
            yield client


async def _asked(stream: BufferedByteStream, key: PubKey) -> tuple[str, str]:
    """Whether the visor has got there, and why not."""
    try:
        with fail_after(ANSWER_SECONDS):
            await stream.send(key.hex().encode())
            line = await stream.receive_until(b"\n", LONGEST_ANSWER)
    except (EndOfStream, BrokenResourceError, DelimiterNotFound, IncompleteRead, TimeoutError):
        raise LocalControlError("the visor of this machine gives no passage; see its log") from None
    word, _, reason = line.decode("utf-8", errors="replace").partition(" ")
    return word, reason


async def _lead(network: Network, stream: BufferedByteStream) -> None:
    with fail_after(ASK_SECONDS):
        asked = await stream.receive_exactly(_KEY_LENGTH)
    try:
        key = PubKey.from_hex(asked.decode("ascii", errors="replace"))
        conn = await network.dial(Address(network.name, key, CONTROL_PORT), owner=CORE)
    except (DialError, InvalidKey) as error:
        word = "refused" if isinstance(error, PeerRefused) else "unreachable"
        reason = " ".join((error.reason if isinstance(error, DialError) else str(error)).split())
        await stream.send(f"{word} {reason}".encode()[: LONGEST_ANSWER - 1] + b"\n")
        return
    async with conn:
        await stream.send(b"ok\n")
        await _join(conn, stream)


async def _join(conn: Conn, stream: BufferedByteStream) -> None:
    async with create_task_group() as task_group:
        task_group.start_soon(_copy, conn, stream, task_group)
        task_group.start_soon(_copy, stream, conn, task_group)


async def _copy(source: ByteReceiveStream, target: ByteSendStream, task_group: TaskGroup) -> None:
    """Hand on what comes; the end of one direction is the end of both."""
    with suppress(EndOfStream, BrokenResourceError, ClosedResourceError):
        while True:
            await target.send(await source.receive())
    task_group.cancel_scope.cancel()
