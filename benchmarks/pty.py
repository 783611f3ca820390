"""A program at a terminal of another process: ours over key-encrypted TCP and through a relay, and that of ssh."""

from __future__ import annotations

import getpass
import logging
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from math import nan
from pathlib import Path
from typing import Final, TypeAlias

import anyio
from anyio.abc import ByteStream

import skywire
from benchmarks import dmsg, pktcp
from benchmarks.reading import Parameters, answer
from benchmarks.timing import percentiles
from skywire import Conn, HostPort, PkTcpNetwork, SingleHandler
from skywire.net.waiter import waiters
from skywire.pty.far_program import FarProgram, far_program
from skywire.pty.host import PtyHost
from skywire.pty.limits import SessionLimits
from skywire.pty.opening import ask
from skywire.pty.sessions import hosting
from skywire.wire.pty.opening import PTY, Request
from skywire.wire.pty.session import NewSession
from skywire.wire.pty.shell import Command

ECHO: Final = "stty raw -echo; echo ready; exec cat"
READY: Final = b"ready\n"
LINE: Final = b"x" * 79 + b"\n"
SSHD: Final = "/usr/sbin/sshd"
LIMIT: Final = 20.0
"""Seconds for an ssh server to come up."""

Dial: TypeAlias = Callable[[], AbstractAsyncContextManager[ByteStream]]


@asynccontextmanager
async def _hosting() -> AsyncIterator[Callable[[Conn], Awaitable[None]]]:
    log = logging.getLogger("benchmark")
    async with hosting(SessionLimits(), log) as sessions:
        host = PtyHost(sessions, log)

        async def handle(conn: Conn) -> None:
            await host.serve(conn, conn.remote.pk, conn.network)

        yield handle


async def _use(dial: Callable[[], Awaitable[Conn]], use: Callable[[FarProgram], Awaitable[None]], *words: str) -> None:
    @asynccontextmanager
    async def connect() -> AsyncIterator[ByteStream]:
        async with await dial() as conn:
            await ask(conn, Request(PTY))
            yield conn

    async with far_program(connect, NewSession(Command(words[0], words[1:]))) as program:
        await use(program)


def _timing(count: int) -> Callable[[FarProgram], Awaitable[None]]:
    async def run(program: FarProgram) -> None:
        said = b""
        while not said.endswith(READY):
            said += await program.receive()

        waiter = waiters()()

        async def listen() -> None:
            while await program.receive():
                waiter.wake()

        async def give() -> None:
            await program.send(b"x")

        async def round_trip() -> None:
            tasks.start_soon(give)  # as at a terminal, where what is typed waits for nothing
            await waiter.wait()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            answer(**await percentiles(round_trip, count))
            tasks.cancel_scope.cancel()
        await program.end()

    return run


def tcp_host(_: Parameters) -> None:
    """Runs programs for the client."""

    async def run() -> None:
        network = PkTcpNetwork(pktcp.SERVER, listen=[HostPort("127.0.0.1", 0)])
        async with _hosting() as handle, anyio.create_task_group() as tasks:
            await tasks.start(network.serve, SingleHandler(handle, peers={pktcp.CLIENT.public}))
            answer(port=network.addresses[0].port)

    skywire.run(run)


def tcp_echo(parameters: Parameters) -> None:
    """Times a byte from here to a program, and back."""
    skywire.run(_use, lambda: pktcp.dial(parameters), _timing(parameters.number("count")), "sh", "-c", ECHO)


def tcp_cat(parameters: Parameters) -> None:
    """Shows a file at a terminal."""

    async def take(program: FarProgram) -> None:
        started, taken = time.perf_counter(), 0
        while data := await program.receive():
            taken += len(data)
        answer(mib_s=taken / (time.perf_counter() - started) / 2**20)

    with _lines(parameters) as path:
        skywire.run(_use, lambda: pktcp.dial(parameters), take, "cat", path)


def local_cat(parameters: Parameters) -> None:
    """Takes the same from a terminal of this process: what the system gives."""
    near, far = os.openpty()
    with _lines(parameters) as path, subprocess.Popen(["cat", path], stdin=far, stdout=far, start_new_session=True):
        os.close(far)
        started, taken = time.perf_counter(), 0
        with suppress(OSError):  # how its end shows
            while data := os.read(near, 1 << 16):
                taken += len(data)
        answer(mib_s=taken / (time.perf_counter() - started) / 2**20)


@contextmanager
def _lines(parameters: Parameters) -> Iterator[str]:
    """A file of lines."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(LINE * (parameters.number("bytes") // len(LINE)))
        file.flush()
        yield file.name


def dmsg_host(parameters: Parameters) -> None:
    """Runs programs for the client, behind a relay."""

    async def run() -> None:
        async with _hosting() as handle:
            await dmsg.serve(parameters, handle)

    skywire.run(run)


def dmsg_echo(parameters: Parameters) -> None:
    """Times a byte from here to a program, and back, through a relay."""

    async def run() -> None:
        async with dmsg.network_of(parameters, dmsg.CLIENT) as network:
            await _use(lambda: dmsg.dial(network), _timing(parameters.number("count")), "sh", "-c", ECHO)

    skywire.run(run)


def ssh_echo(parameters: Parameters) -> None:
    """Times a byte from here, through the ssh program, to a program at a terminal, and back; no number without sshd."""
    if shutil.which("ssh") is None or not Path(SSHD).exists():
        answer(p50_us=nan)
        return
    with tempfile.TemporaryDirectory() as name, _sshd(Path(name)) as words:
        ssh = subprocess.Popen([*words, ECHO], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        with ssh:
            assert ssh.stdin is not None
            assert ssh.stdout is not None
            given, taken = ssh.stdin.fileno(), ssh.stdout.fileno()
            said = b""
            while not said.endswith(READY):
                said += os.read(taken, 1024)

            async def round_trip() -> None:
                os.write(given, b"x")
                assert os.read(taken, 1) == b"x"

            async def run() -> None:
                answer(**await percentiles(round_trip, parameters.number("count")))

            anyio.run(run)
            ssh.kill()


@contextmanager
def _sshd(folder: Path) -> Iterator[list[str]]:
    """A server with keys of its own; the words that run a command by it."""
    for name in ("host", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    config = folder / "sshd_config"
    config.write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/client.pub\n"
        "PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # which it wants then
    options = ["IgnoreUnknown=ObscureKeystrokeTiming", "ObscureKeystrokeTiming=no", "StrictHostKeyChecking=no"]
    options += [f"UserKnownHostsFile={folder}/known", "LogLevel=ERROR"]
    words = ["ssh", "-F", "none", "-tt", "-p", str(port), "-i", str(folder / "client")]
    words += [part for each in options for part in ("-o", each)]
    with subprocess.Popen([SSHD, "-D", "-f", config], stderr=subprocess.DEVNULL) as server:
        try:
            _await(port)
            yield [*words, f"{getpass.getuser()}@127.0.0.1"]
        finally:
            server.terminate()


def _await(port: int) -> None:
    limit = time.monotonic() + LIMIT
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > limit:
                raise
            time.sleep(0.01)
        else:
            return
