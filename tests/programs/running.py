"""Programs as their users run them, and the network that they use."""

from __future__ import annotations

import hashlib
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from anyio import create_task_group
from anyio.from_thread import BlockingPortal

from skywire import EVERYONE, Conn, PubKey, SecKey, embedded
from tests.net.meetings import Handler, Port, PortTable
from tests.programs.deployment import Served

PATIENCE = 40.0
"""Seconds for what takes one or two."""
SKYWIRE = [sys.executable, "-m", "skywire", "dmsg"]
DMSG = [sys.executable, "-m", "skywire_dmsg"]

Stream = int | IO[bytes]


@dataclass
class Running:
    """A program that runs."""

    process: subprocess.Popen[bytes]

    def line(self, stream: str = "stdout") -> str:
        """The next line that it writes."""
        source = self.process.stdout if stream == "stdout" else self.process.stderr
        assert source is not None
        assert select.select([source], [], [], PATIENCE)[0], "nothing was written"
        return source.readline().decode().rstrip("\n")

    def read(self, size: int | None = None) -> bytes:
        """So many bytes of what it writes, or all to the end."""
        assert self.process.stdout is not None
        data = b""
        while size is None or len(data) < size:
            piece = self.process.stdout.read(65536 if size is None else size - len(data))
            if not piece:
                break
            data += piece
        return data

    def read_no_more(self) -> None:
        """Have nobody read what it writes."""
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process.stdout = None

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, str, str]:
        """Wait for its end: exit code, and what else it wrote."""
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, (out or b"").decode(), (err or b"").decode()


@dataclass
class Network:
    """A dmsg network for programs.

    Args:
        served: what runs.
        portal: to the event loop in which it does.
    """

    served: Served
    portal: BlockingPortal
    environment: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SKYWIRE_")}
        self.environment = {**clean, "COLUMNS": "200", "SKYWIRE_DMSG_DISC": self.served.disc}

    def run(
        self,
        *arguments: str | Path,
        data: bytes | None = None,
        program: list[str] = SKYWIRE,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program to its end."""
        return subprocess.run(
            [*program, *map(str, arguments)],
            input=b"" if data is None else data,
            env={**self.environment, **(environment or {})},
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )

    @contextmanager
    def running(
        self,
        *arguments: str | Path,
        stdin: Stream = subprocess.DEVNULL,
        stdout: Stream = subprocess.PIPE,
        stderr: Stream = subprocess.PIPE,
        program: list[str] = SKYWIRE,
    ) -> Iterator[Running]:
        """Run a program while the block runs."""
        with subprocess.Popen(
            [*program, *map(str, arguments)],
            env=self.environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            bufsize=0,  # or lines would wait in a buffer that nobody can look at
        ) as process:
            try:
                yield Running(process)
            finally:
                process.kill()

    @contextmanager
    def peer(self, ports: Mapping[int, Handler], key: SecKey | None = None) -> Iterator[PubKey]:
        """A peer in this process, which admits everyone; its key."""
        key = key or SecKey.generate()
        with self.portal.wrap_async_context_manager(_serving(self.served.deployment, ports, key)):
            yield key.public


@asynccontextmanager
async def _serving(
    deployment: embedded.Deployment, handlers: Mapping[int, Handler], key: SecKey
) -> AsyncIterator[None]:
    table = PortTable({port: Port(handler, peers=EVERYONE) for port, handler in handlers.items()})
    async with deployment.client(key) as network, create_task_group() as task_group:
        await task_group.start(network.serve, table)
        yield
        task_group.cancel_scope.cancel()


@dataclass
class Script:
    """An HTTP server that gives one answer after another, whatever is asked, and ends the connection behind each."""

    answers: list[bytes]
    requests: list[bytes] = field(default_factory=list)

    async def __call__(self, conn: Conn) -> None:
        request = b""
        while not _is_whole(request):
            request += await conn.receive()
        self.requests.append(request)
        if self.answers:
            await conn.send(self.answers.pop(0))

    def fields(self, number: int = -1) -> dict[str, str]:
        """The header fields of a request."""
        lines = self.requests[number].partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _is_whole(request: bytes) -> bool:
    head, end, body = request.partition(b"\r\n\r\n")
    if b"chunked" in head.lower():
        return body.endswith(b"0\r\n\r\n")
    length = re.search(rb"content-length: *([0-9]+)", head.lower())
    return bool(end) and len(body) >= (int(length[1]) if length else 0)


def answer(status: str, body: bytes = b"", **fields: str | int) -> bytes:
    """An answer of HTTP; ``_`` in the name of a field is a hyphen."""
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1") + body


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
