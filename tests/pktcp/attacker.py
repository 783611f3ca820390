"""An attacker of a key-encrypted TCP listener, the listener it attacks, and a program that opens very many connections.

``python -m tests.pktcp.attacker <port> <count>`` takes one command a line: ``open <hex>`` opens ``count`` connections,
sends those bytes on each and holds them; ``reset`` resets all that are held. Each is answered by a line when done.
"""

from __future__ import annotations

import hashlib
import resource
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable, Container, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE
from typing import Final

from anyio import (
    BrokenResourceError,
    EndOfStream,
    Event,
    connect_tcp,
    create_task_group,
    fail_after,
    get_running_tasks,
    open_process,
)
from anyio.abc import Process, SocketAttribute, SocketStream
from anyio.lowlevel import checkpoint
from anyio.streams.buffered import BufferedByteReceiveStream
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from skywire import Address, Conn, HostPort, Owner, PkTcpNetwork, SecKey, SingleHandler, StreamBroken
from skywire.keys import PubKey
from skywire.pktcp import Limits
from skywire.wire.noise import AEAD_NONCE, Handshake, Pattern, Role, TransportKeys
from skywire.wire.records import frame, split_frame

ROOT: Final = Path(__file__).parent.parent.parent
SERVER: Final = SecKey(hashlib.sha256(b"skyvec:noise-bad-r-static").digest())
"""The identity of the attacked listener: the responder of the recorded verdicts, so that they can be sent to it."""
HONEST, ROGUE, STRANGER = (SecKey(bytes([n]) * 32) for n in (21, 22, 23))
"""Rogue is on the allow-list and means harm, stranger is not."""
ME: Final = Owner("tester")
SHORT: Final = Limits(handshake_seconds=0.3)
"""For tests that wait until the time for a handshake is over."""
PATIENCE: Final = 10.0
"""Seconds after which a test gives up waiting for what must happen at once."""
_LINGER_NOT: Final = struct.pack("ii", 1, 0)
"""For SO_LINGER: closing the socket resets the connection."""


async def until(condition: Callable[[], bool]) -> None:
    """Let the other tasks run until ``condition`` holds."""
    with fail_after(PATIENCE):
        while not condition():
            await checkpoint()


@dataclass
class Target:
    """A live listener that echoes records, with an honest connection that lives through all attacks."""

    network: PkTcpNetwork
    address: Address
    honest: Conn
    endings: list[Exception] = field(default_factory=list)
    """What ended the served connections, the honest one's excepted."""
    release: Event = field(default_factory=Event)
    """Lets the handlers go on that were told to hold."""
    asked: int = 0
    tasks: int = 0

    @property
    def refused(self) -> dict[str, int]:
        """How many connections were turned away, by the name of the error."""
        return dict(self.network.stats.refused)

    async def connect(self) -> Attack:
        """A TCP connection to it, and not a byte more."""
        return Attack(await connect_tcp("127.0.0.1", self.address.port))

    def connect_now(self) -> socket.socket:
        """A TCP connection to it, before the event loop takes another step."""
        return socket.create_connection(("127.0.0.1", self.address.port))

    def count_tasks(self) -> None:
        """Take the tasks of now for those that there are when nothing goes on."""
        self.tasks = len(get_running_tasks())

    async def echoes(self) -> None:
        """The honest connection gets its answers."""
        self.asked += 1
        record = f"record {self.asked}".encode()
        with fail_after(PATIENCE):
            await self.honest.send_record(record)
            assert await self.honest.receive_record() == record

    async def is_unharmed(self) -> None:
        """The honest connection gets its answers, and there is nothing left of any other."""
        await self.echoes()
        stats = self.network.stats
        await until(lambda: stats.half_open == 0 and stats.live == 1 and len(get_running_tasks()) == self.tasks)


@asynccontextmanager
async def target(
    *,
    limits: Limits = SHORT,
    peers: Container[PubKey] = frozenset({HONEST.public, ROGUE.public}),
    require_post_quantum: bool = False,
) -> AsyncIterator[Target]:
    """Serve while the block runs."""
    network = PkTcpNetwork(
        SERVER, listen=[HostPort("127.0.0.1", 0)], limits=limits, require_post_quantum=require_post_quantum
    )
    endings: list[Exception] = []
    release = Event()

    async def echo(conn: Conn) -> None:
        try:
            while True:
                data = await conn.receive_record()
                if data == b"hold":
                    await release.wait()
                await conn.send_record(data)
        except (EndOfStream, StreamBroken) as error:
            endings.append(error)
            raise

    async with create_task_group() as task_group:
        await task_group.start(network.serve, SingleHandler(echo, peers=peers))
        async with await PkTcpNetwork(HONEST).dial(network.addresses[0], owner=ME) as honest:
            attacked = Target(network, network.addresses[0], honest, endings, release)
            await until(lambda: network.stats.live == 1)
            attacked.count_tasks()
            await attacked.is_unharmed()
            yield attacked
        task_group.cancel_scope.cancel()


class Attack:
    """One raw TCP connection of the attacker."""

    def __init__(self, stream: SocketStream) -> None:
        self.stream = stream
        self.received = b""
        """What came behind the last frame."""

    async def send(self, *pieces: bytes) -> None:
        """Send bytes, whoever still listens."""
        with suppress(BrokenResourceError):
            await self.stream.send(b"".join(pieces))

    async def end(self) -> None:
        """Send no more, whoever still listens."""
        with suppress(OSError, RuntimeError):  # what event loops raise where there is nobody
            await self.stream.send_eof()

    async def drain(self) -> bytes:
        """Everything that comes until the other end closes, cleanly or not; then close."""
        with fail_after(PATIENCE):
            async with self.stream:
                try:
                    while True:
                        self.received += await self.stream.receive()
                except (EndOfStream, BrokenResourceError):
                    return self.received

    async def receive_frame(self) -> bytes:
        """The next frame."""
        with fail_after(PATIENCE):
            while (cut := split_frame(self.received)) is None:
                self.received += await self.stream.receive()
        body, self.received = cut
        return body

    async def reset(self) -> None:
        """Make the other end see a reset."""
        raw: socket.socket = self.stream.extra(SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        await self.stream.aclose()

    async def until_message_3(self, identity: SecKey, payload: bytes = b"") -> Handshake:
        """Begin a classical handshake; the next step is to write message 3."""
        handshake = initiator(identity)
        await self.send(frame(handshake.write_message(payload)))
        handshake.read_message(await self.receive_frame())
        return handshake

    async def shake_hands(self, identity: SecKey) -> TransportKeys:
        """A whole classical handshake."""
        handshake = await self.until_message_3(identity)
        await self.send(frame(handshake.write_message()))
        return handshake.transport_keys()


def initiator(identity: SecKey, peer: PubKey = SERVER.public) -> Handshake:
    """The first half of a handshake with ``peer``."""
    return Handshake(Pattern.XK, Role.INITIATOR, static=identity, ephemeral=SecKey.generate, remote_static=peer)


def record(key: bytes, counter: int, plaintext: bytes) -> bytes:
    """A record with any counter."""
    sealed = ChaCha20Poly1305(key).encrypt(AEAD_NONCE.pack(counter), plaintext, None)
    return frame(struct.pack(">Q", counter) + sealed)


def opened(key: bytes, body: bytes) -> bytes:
    """What is in a record, without its length, that was sealed with ``key``."""
    (counter,) = struct.unpack_from(">Q", body)
    return ChaCha20Poly1305(key).decrypt(AEAD_NONCE.pack(counter), body[8:], None)


def reset_now(connection: socket.socket) -> None:
    """Make the other end of a plain socket see a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    connection.close()


def flipped(data: bytes, index: int) -> bytes:
    """``data`` with one bit changed."""
    changed = bytearray(data)
    changed[index] ^= 1
    return bytes(changed)


class Flood:
    """The attacking program."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._commands = process.stdin
        self._answers = BufferedByteReceiveStream(process.stdout)

    async def order(self, command: str, *, patience: float = 30.0) -> None:
        """Give a command and wait until it is carried out."""
        with fail_after(patience):
            await self._commands.send(f"{command}\n".encode())
            assert await self._answers.receive_until(b"\n", 100) == b"done"


@asynccontextmanager
async def flood(port: int, count: int) -> AsyncIterator[Flood]:
    """Run the attacking program."""
    command = [sys.executable, "-m", "tests.pktcp.attacker", str(port), str(count)]
    async with await open_process(command, stdin=PIPE, stdout=PIPE, stderr=None, cwd=ROOT) as process:
        yield Flood(process)
        process.terminate()


def main(port: int, count: int, commands: Iterable[str]) -> None:
    """See the top of this file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, count + 100)), hard))
    held: list[socket.socket] = []
    for command in commands:
        match command.split():
            case ["open", data]:
                for _ in range(count):
                    connection = socket.create_connection(("127.0.0.1", port))
                    connection.sendall(bytes.fromhex(data))
                    held.append(connection)
            case ["reset"]:
                for connection in held:
                    reset_now(connection)
                held.clear()
            case _:
                raise ValueError(command)
        sys.stdout.write("done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.stdin)
