"""HTTP on one connection, by hand: every byte that an app sends is looked at."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import httpx
from anyio import EndOfStream, connect_tcp, fail_after
from anyio.abc import ByteStream

from skywire.app.port import PortSpec
from skywire.app.trial import Trial
from skywire.keys import PubKey
from skywire.net.address import HostPort

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds for what takes milliseconds."""


@dataclass
class Answer:
    """A whole answer."""

    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> object:
        return json.loads(self.body)


async def receive_all(stream: ByteStream) -> bytes:
    received = bytearray()
    with fail_after(PATIENCE):
        try:
            while True:
                received += await stream.receive()
        except EndOfStream:
            return bytes(received)


async def receive_until(stream: ByteStream, what: bytes, received: bytes = b"") -> bytes:
    """What has come once these bytes have."""
    with fail_after(PATIENCE):
        while what not in received:
            received += await stream.receive()
    return received


def request(path: str, *fields: str, method: str = "GET", host: str = "here") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *([f"Host: {host}"] if host else []), *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def read(answer: bytes) -> Answer:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *fields = head.decode("latin-1").split("\r\n")
    headers = httpx.Headers([(name, value.strip()) for name, _, value in (field.partition(":") for field in fields)])
    if headers.get("transfer-encoding") == "chunked":
        body = unchunked(body)
    return Answer(int(status.split()[1]), headers, body)


def unchunked(body: bytes) -> bytes:
    found = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        found += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]
    return found


async def get(app: Trial, port: PortSpec | int, path: str, *fields: str, peer: PubKey | None = None) -> Answer:
    """Ask an app in a trial."""
    async with app.dial(port, peer=peer) as conn:
        await conn.send(request(path, "Connection: close", *fields))
        return read(await receive_all(conn))


async def ask_page(where: HostPort, path: str, *fields: str, method: str = "GET", host: str | None = None) -> Answer:
    """Ask a local page as a program that is no browser would."""
    async with await connect_tcp(where.host, where.port) as stream:
        name = str(where) if host is None else host
        await stream.send(request(path, "Connection: close", *fields, method=method, host=name))
        return read(await receive_all(stream))


@asynccontextmanager
async def following(
    app: Trial, port: PortSpec | int, path: str, *, peer: PubKey | None = None
) -> AsyncIterator[ByteStream]:
    """An answer that goes on, while the block runs."""
    async with app.dial(port, peer=peer) as conn:
        await conn.send(request(path))
        yield conn


def only(items: list[T]) -> T:
    (item,) = items
    return item
