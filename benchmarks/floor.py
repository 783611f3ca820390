"""The floors: what this machine does with the same libraries and none of this project's code."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from struct import Struct
from typing import Final

import anyio
from anyio.abc import SocketStream
from coincurve import PrivateKey, PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from benchmarks.reading import Parameters, answer
from benchmarks.timing import UVLOOP, percentiles

KEY: Final = bytes(range(32))
RECORD: Final = 4070
WRITE: Final = 65536
READ: Final = 262144
_HEADER: Final = Struct(">HQ")
_NONCE: Final = Struct("<4xQ")


async def _serve(handle: Callable[[SocketStream], Awaitable[None]]) -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0) as listener:
        answer(port=listener.extra(anyio.abc.SocketAttribute.local_port))
        await listener.serve(handle)


def bulk_server(_: Parameters) -> None:
    """Opens every record of what it receives, and says when it has all."""

    async def handle(stream: SocketStream) -> None:
        aead = ChaCha20Poly1305(KEY)
        wanted = int.from_bytes(await stream.receive(8), "big")
        opened = 0
        rest = b""
        while opened < wanted:
            data = rest + await stream.receive(READ)
            view = memoryview(data)
            start, size = 0, len(data)
            while size - start >= 2:
                end = start + 2 + (data[start] << 8 | data[start + 1])
                if end > size:
                    break
                counter = _HEADER.unpack_from(data, start)[1]
                opened += len(aead.decrypt(_NONCE.pack(counter), view[start + 10 : end], None))
                start = end
            rest = data[start:]
        await stream.send(b"done")

    anyio.run(_serve, handle, backend_options=UVLOOP)


def bulk_client(parameters: Parameters) -> None:
    """Seals 64 KiB at a time and sends it in one write."""

    async def run() -> None:
        total = parameters.number("bytes")
        plaintext = os.urandom(WRITE)
        aead = ChaCha20Poly1305(KEY)
        counter = 0
        async with await anyio.connect_tcp("127.0.0.1", parameters.number("port")) as stream:
            started = time.perf_counter()
            await stream.send(total.to_bytes(8, "big"))
            for _ in range(total // WRITE):
                parts = []
                for start in range(0, WRITE, RECORD):
                    counter += 1
                    chunk = plaintext[start : start + RECORD]
                    parts.append(_HEADER.pack(len(chunk) + 24, counter))
                    parts.append(aead.encrypt(_NONCE.pack(counter), chunk, None))
                await stream.send(b"".join(parts))
            await stream.receive(4)
            answer(mib_s=total / (time.perf_counter() - started) / 2**20)

    anyio.run(run, backend_options=UVLOOP)


def echo_server(_: Parameters) -> None:
    """Sends back what it receives."""

    async def handle(stream: SocketStream) -> None:
        async for data in stream:
            await stream.send(data)

    anyio.run(_serve, handle, backend_options=UVLOOP)


def echo_client(parameters: Parameters) -> None:
    """Times round trips of 64 bytes."""

    async def run() -> None:
        async with await anyio.connect_tcp("127.0.0.1", parameters.number("port")) as stream:

            async def round_trip() -> None:
                await stream.send(bytes(64))
                await stream.receive(64)

            answer(**await percentiles(round_trip, parameters.number("count")))

    anyio.run(run, backend_options=UVLOOP)


def session_crypto(parameters: Parameters) -> None:
    """The curve arithmetic of one session handshake (XK), both sides: 2 key generations and 6 ECDHs."""
    static = [PrivateKey() for _ in range(2)]
    points = [key.public_key.format() for key in static]
    count = parameters.number("count")
    started = time.perf_counter()
    for _ in range(count):
        ephemeral = [PrivateKey() for _ in range(2)]
        shown = [key.public_key.format() for key in ephemeral]
        for mine in (0, 1):
            ephemeral[mine].ecdh(shown[1 - mine])  # ee
            static[mine].ecdh(shown[1 - mine])  # es or se
            ephemeral[mine].ecdh(points[1 - mine])
    answer(per_s=count / (time.perf_counter() - started))


def dial_crypto(parameters: Parameters) -> None:
    """The curve arithmetic of one stream dial (KK, request and response), both ends and the relay.

    2 key generations, 8 ECDHs, 2 signatures, 4 recoveries.
    """
    static = [PrivateKey() for _ in range(2)]
    points = [key.public_key.format() for key in static]
    message = os.urandom(290)
    count = parameters.number("count")
    started = time.perf_counter()
    for _ in range(count):
        ephemeral = [PrivateKey() for _ in range(2)]
        shown = [key.public_key.format() for key in ephemeral]
        for mine in (0, 1):
            ephemeral[mine].ecdh(shown[1 - mine])  # ee
            static[mine].ecdh(points[1 - mine])  # ss
            static[mine].ecdh(shown[1 - mine])  # es or se
            ephemeral[mine].ecdh(points[1 - mine])
            signature = static[mine].sign_recoverable(message)
            for _checker in range(2):  # the relay and the other end
                PublicKey.from_signature_and_message(signature, message).format()
    answer(per_s=count / (time.perf_counter() - started))
