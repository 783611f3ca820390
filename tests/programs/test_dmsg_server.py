"""The dmsg server as a program, with a discovery and clients around it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx
import pytest
from anyio import EndOfStream, create_task_group, fail_after, open_process
from anyio.abc import Process, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from prometheus_client.parser import text_string_to_metric_families

from skywire import EVERYONE, Address, Conn, DialError, HostPort, Owner, SecKey, SingleHandler
from skywire.cli.dmsg.server import add_server_command
from skywire.cli.program import new_program, run
from skywire.dmsg import DmsgNetwork
from skywire.dmsg.discovery.directory import Directory
from skywire.dmsg.discovery.http_client import HttpDiscovery
from skywire.dmsg.discovery.local import LocalDiscovery
from skywire.dmsg.discovery.memory import MemoryStore
from skywire.dmsg.discovery.service import DiscoveryApp
from skywire.dmsg.relay.config import load
from skywire.http.server import HttpServer
from skywire.wire.discovery import Rules

SOURCE = """
from skywire.cli.dmsg.server import add_server_command
from skywire.cli.program import new_program, run
app = new_program("dmsg", "Tools of the dmsg network.")
add_server_command(app)
run(app)
"""
PROGRAM = [sys.executable, "-c", SOURCE, "server"]
KEY = SecKey(b"\x21" * 32)
ALICE, BOB = SecKey(b"\x22" * 32), SecKey(b"\x23" * 32)
ME = Owner("tester")
PATIENCE = 30.0
"""Seconds for what takes one or two."""
STOP_SECONDS = 8.0
"""Within which a server has ended, whatever goes on."""
READY = re.compile(
    rf"the server {KEY.public} is at (?P<address>\S+), its health at (?P<health>\S+/health)"
    r"(, its figures at (?P<metrics>\S+/metrics))?"
)


@pytest.fixture
def anyio_backend() -> object:
    """Of this process, which serves HTTP; the program chooses its own."""
    return "asyncio", {"use_uvloop": False}


def write_config(folder: Path, discovery: str, others: Mapping[str, str | int] = {}) -> Path:
    path = folder / "server.json"
    members = {
        "public_key": KEY.public.hex(),
        "secret_key": KEY.expose_hex(),
        "discovery": discovery,
        "public_address": "",
        "local_address": "127.0.0.1:0",
        "health_endpoint_address": "127.0.0.1:0",
        "log_level": "warning",
        "max_sessions": 100,
    }
    path.write_text(json.dumps({**members, **others}, indent=1))
    path.chmod(0o600)
    return path


@dataclass
class Running:
    """The program, and what it writes."""

    process: Process
    out: BufferedByteReceiveStream
    err: BufferedByteReceiveStream

    async def said(self) -> str:
        """The next line of its standard output."""
        return (await self.out.receive_until(b"\n", 4096)).decode()

    async def warned(self) -> str:
        """The next line of its standard error."""
        return (await self.err.receive_until(b"\n", 4096)).decode()

    async def end(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """End it: its exit code, and what it still wrote."""
        with fail_after(STOP_SECONDS):
            self.process.send_signal(how)
            out, err = await read_all(self.out), await read_all(self.err)
            return await self.process.wait(), out, err


async def read_all(stream: BufferedByteReceiveStream) -> str:
    data = b""
    with suppress(EndOfStream):
        while True:
            data += await stream.receive()
    return data.decode()


@asynccontextmanager
async def running(
    *arguments: str | Path, shell: str = "", environment: Mapping[str, str] = {}
) -> AsyncIterator[Running]:
    """``server start`` while the block runs; perhaps by a shell that does something before."""
    command = [*PROGRAM, "start", *map(str, arguments)]
    if shell:
        command = ["sh", "-c", f'{shell}; exec "$@"', "sh", *command]
    with fail_after(PATIENCE):
        async with await open_process(command, stdin=subprocess.DEVNULL, env={**os.environ, **environment}) as process:
            assert process.stdout
            assert process.stderr
            try:
                yield Running(
                    process, BufferedByteReceiveStream(process.stdout), BufferedByteReceiveStream(process.stderr)
                )
            finally:
                if process.returncode is None:
                    process.kill()


@dataclass(frozen=True)
class Served:
    """A discovery that is served by HTTP."""

    url: str
    directory: Directory

    async def server(self) -> tuple[str, int, str] | None:
        """Address, free sessions and type in the entry of the server, if there is one."""
        entry = await LocalDiscovery(self.directory).entry(KEY.public)
        if entry is None:
            return None
        assert entry.server
        return entry.server.address, entry.server.available_sessions, entry.server.server_type


@asynccontextmanager
async def discovery(port: int = 0, *, passphrase: str = "") -> AsyncIterator[Served]:
    directory = Directory(MemoryStore(), Rules(allow_loopback=True, passphrase=passphrase))
    server = HttpServer(DiscoveryApp(directory), listen=[HostPort("127.0.0.1", port)])
    async with create_task_group() as task_group:
        await task_group.start(server.serve)
        yield Served(f"http://{server.addresses[0]}", directory)
        task_group.cancel_scope.cancel()


@asynccontextmanager
async def clients(url: str, handler: SingleHandler) -> AsyncIterator[tuple[DmsgNetwork, Address]]:
    """A client that dials, and the address at which another one serves."""
    async with (
        HttpDiscovery(url) as asked,
        DmsgNetwork(ALICE, asked) as alice,
        DmsgNetwork(BOB, asked) as bob,
        create_task_group() as task_group,
    ):
        await task_group.start(bob.serve, handler)
        yield alice, Address("dmsg", BOB.public, 80)
        task_group.cancel_scope.cancel()


async def echo(conn: Conn) -> None:
    async for data in conn:
        await conn.send(data)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def systemd(name: str) -> Iterator[Callable[[], list[bytes]]]:
    """A service manager, which tells what it has heard since it was asked before."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name.replace("@", "\0"))
        listening.setblocking(False)

        def heard() -> list[bytes]:
            messages = []
            with suppress(BlockingIOError):
                while True:
                    messages.append(listening.recv(1000))
            return messages

        yield heard


@pytest.mark.anyio
async def test_clients_meet_through_it(tmp_path: Path) -> None:
    async with discovery(passphrase="open sesame") as served:
        config = write_config(tmp_path, served.url)
        environment = {"DMSG_SERVER_AUTH": "open sesame"}
        async with running(config, "-m", "127.0.0.1:0", environment=environment) as server, httpx.AsyncClient() as http:
            ready = READY.fullmatch((await server.said()).strip())
            assert ready
            assert await served.server() == (ready["address"], 100, "official")
            async with clients(served.url, SingleHandler(echo, peers=EVERYONE)) as (alice, address):
                async with await alice.dial(address, owner=ME) as conn:
                    sent = os.urandom(300_000)
                    async with create_task_group() as task_group:
                        task_group.start_soon(conn.send, sent)
                        received = b""
                        while len(received) < len(sent):
                            received += await conn.receive()
                    assert received == sent
                    figures = await scrape(http, ready["metrics"])
                with pytest.raises(DialError):
                    await alice.dial(Address("dmsg", SecKey.generate().public, 80), owner=ME)
                health = (await http.get(ready["health"])).json()
            assert (
                figures.items()
                >= {
                    "clients_count": 2,
                    "vm_active_sessions_count": 2,
                    "vm_session_success_total": 2,
                    "vm_session_fail_total": 0,
                    "vm_active_streams_count": 1,
                    "vm_stream_success_total": 1,
                    "vm_stream_fail_total": 0,
                }.items()
            )
            assert list(health) == ["build_info", "started_at"]
            assert list(health["build_info"]) == ["version", "commit", "date"]
            assert await server.end() == (0, "", "")
        assert await served.server() is None


async def scrape(http: httpx.AsyncClient, url: str) -> dict[str, float]:
    text = (await http.get(url)).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {sample.name.removeprefix("dmsg_server_"): sample.value for sample in samples}


@pytest.mark.anyio
async def test_facts_as_json_and_every_address(tmp_path: Path) -> None:
    everywhere = {"local_address": ":0", "public_address": "127.0.0.1:8081", "health_endpoint_address": ":0"}
    async with discovery() as served, running(write_config(tmp_path, served.url, everywhere), "--json") as server:
        facts = json.loads(await server.said())
        assert list(facts) == ["public_key", "addresses", "announced", "health", "metrics"]
        assert (facts["public_key"], facts["announced"], facts["metrics"]) == (KEY.public.hex(), True, [])
        assert facts["addresses"][0].startswith("0.0.0.0:")
        assert len(facts["health"]) == len(facts["addresses"])
        async with httpx.AsyncClient() as http:
            url: str = facts["health"][0]
            assert (await http.get(url.replace("0.0.0.0", "127.0.0.1"))).status_code == 200
        assert await served.server() == ("127.0.0.1:8081", 100, "community")
        assert await server.end() == (0, "", "")


@pytest.mark.anyio
async def test_ctrl_c_ends_it_as_well(tmp_path: Path) -> None:
    name = f"@skywire-test-{os.getpid()}"
    async with discovery() as served:
        config = write_config(tmp_path, served.url)
        with systemd(name) as heard:
            async with running(config, environment={"NOTIFY_SOCKET": name}) as server:
                assert READY.match(await server.said())
                assert await served.server()
                assert await server.end(signal.SIGINT) == (130, "", "")
                assert await served.server() is None
            assert heard() == [b"READY=1", b"STOPPING=1"]


@pytest.mark.anyio
async def test_it_ends_during_a_transfer(tmp_path: Path) -> None:
    received = 0
    enough, over = anyio.Event(), anyio.Event()

    async def count(conn: Conn) -> None:
        nonlocal received
        try:
            async for data in conn:
                received += len(data)
                if received > 4 << 20:
                    enough.set()
        finally:
            over.set()

    async def send(conn: Conn) -> None:
        while True:
            try:
                await conn.send(bytes(1 << 16))
            except anyio.BrokenResourceError:
                return

    async with discovery() as served, running(write_config(tmp_path, served.url)) as server:
        await server.said()
        async with clients(served.url, SingleHandler(count, peers=EVERYONE)) as (alice, address):
            async with await alice.dial(address, owner=ME) as conn, create_task_group() as task_group:
                task_group.start_soon(send, conn)
                await enough.wait()
                assert await server.end() == (0, "", "")
            await over.wait()
        assert await served.server() is None


@pytest.mark.anyio
async def test_a_discovery_that_comes_later(tmp_path: Path) -> None:
    name, port = f"{tmp_path}/notify", free_port()
    config = write_config(tmp_path, f"http://127.0.0.1:{port}")
    with systemd(name) as heard:
        async with running(config, "--json", environment={"NOTIFY_SOCKET": name}) as server:
            assert "cannot announce this relay" in await server.warned()
            assert heard() == []
            assert json.loads(await server.said())["announced"] is False
            while "has not taken this server yet" not in await server.warned():
                pass
            async with discovery(port) as served:
                while (line := await server.warned()) != "the discovery has taken this server":
                    assert "cannot announce this relay" in line
                assert await served.server()
                assert await server.end() == (0, "", "")
                assert await served.server() is None
        assert heard() == [b"READY=1", b"STOPPING=1"]


@pytest.mark.anyio
async def test_a_discovery_that_never_answers(tmp_path: Path) -> None:
    asked = anyio.Event()

    async def hold(stream: SocketStream) -> None:
        async with stream:
            asked.set()
            await anyio.sleep_forever()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, create_task_group() as task_group:
        task_group.start_soon(listener.serve, hold)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with running(write_config(tmp_path, f"http://127.0.0.1:{port}")) as server:
            await asked.wait()
            assert await server.end() == (0, "", "")
        task_group.cancel_scope.cancel()


@pytest.mark.anyio
async def test_open_files_are_allowed_for_all_sessions(tmp_path: Path) -> None:
    async with discovery() as served:
        config = write_config(tmp_path, served.url, {"max_sessions": 500})
        async with running(config, shell="ulimit -Sn 64") as server:
            await server.said()
            limits = await anyio.Path(f"/proc/{server.process.pid}/limits").read_text()
            assert re.search(r"Max open files +1524 ", limits)
            assert await server.end() == (0, "", "")
        async with running(config, shell="ulimit -n 300") as server:
            warning = await server.warned()
            assert "WARNING" in warning
            assert "max_sessions needs 1524 open files, and the system allows 300" in warning
            await server.said()
            assert await server.end() == (0, "", "")


@pytest.mark.anyio
async def test_what_it_does_not_know_is_told(tmp_path: Path) -> None:
    environment = {"NOTIFY_SOCKET": f"{tmp_path}/nobody"}
    async with discovery() as served:
        config = write_config(tmp_path, served.url, {"max_session": 5})
        async with running(config, environment=environment) as server:
            assert f"{config}: the key 'max_session' means nothing here" in await server.warned()
            assert "cannot tell systemd READY=1: " in await server.warned()
            await server.said()
            code, out, err = await server.end()
            assert (code, out) == (0, "")
            assert "cannot tell systemd STOPPING=1: " in err


@pytest.mark.anyio
async def test_nobody_reads_what_it_says(tmp_path: Path) -> None:
    async with discovery() as served:
        config = write_config(tmp_path, served.url)
        ours, theirs = os.pipe()
        os.close(ours)
        with fail_after(PATIENCE):
            done = await anyio.run_process(
                [*PROGRAM, "start", str(config)], stdout=theirs, stderr=subprocess.PIPE, check=False
            )
        os.close(theirs)
        assert (done.returncode, done.stderr) == (1, b"")
        assert await served.server() is None


@pytest.mark.parametrize("which", ["local_address", "health_endpoint_address", "metrics"])
def test_an_address_that_is_taken(tmp_path: Path, which: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        where = {} if which == "metrics" else {which: address}
        config = write_config(tmp_path, f"http://127.0.0.1:{free_port()}", where)
        metrics = address if which == "metrics" else "127.0.0.1:0"
        done = subprocess.run(
            [*PROGRAM, "start", str(config), "--metrics", metrics],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE,
            check=False,
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"dmsg: cannot listen on {address}: Address already in use\n"


Program = Callable[..., tuple[int, str, str]]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """The program, in this process and an empty folder: exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    app = new_program("dmsg", "Tools of the dmsg network.")
    add_server_command(app)

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            run(app, ["server", *map(str, arguments)])
        assert isinstance(ended.value.code, int)
        return ended.value.code, *capsys.readouterr()

    return call


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"max_sessions": "many"}, "server.json, line 9: max_sessions: a whole number is expected, this is text\n"),
        (
            {"secret_key": ALICE.expose_hex()},
            "server.json, line 2: public_key: it does not belong to the secret_key, whose public key is {other}\n",
        ),
        (
            {"discovery": "http://1.2.3.400"},
            "server.json: discovery: not the URL of a discovery: Invalid IPv4 address: '1.2.3.400'\n",
        ),
    ],
)
def test_a_configuration_that_is_wrong(
    program: Program, tmp_path: Path, changes: Mapping[str, str], error: str
) -> None:
    write_config(tmp_path, "http://host", changes)
    assert program("start", "server.json") == (1, "", f"dmsg: {error.replace('{other}', str(ALICE.public))}")


def test_a_configuration_that_is_missing_or_open(program: Program, tmp_path: Path) -> None:
    missing = "dmsg: cannot read the configuration none: No such file or directory\n"
    assert program("start", "none") == (1, "", missing)
    write_config(tmp_path, "http://host").chmod(0o644)
    code, out, err = program("start", "server.json")
    assert (code, out) == (1, "")
    assert "run chmod 600 server.json" in err


@pytest.mark.parametrize(
    ("options", "content", "error"),
    [
        ("-m 8083", b"", "a local address is host:port or [ipv6]:port, this is '8083'\n"),
        (
            "--auth-file none",
            b"",
            "cannot read the passphrase from none: [Errno 2] No such file or directory: 'none'\n",
        ),
        ("--auth-file words", b"\nsecond", "the first line of words is empty, and an empty passphrase is none\n"),
        ("--auth-file words", b"a\tb", "the first line of words has characters that no passphrase has\n"),
        ("--auth-file words", b"\xff", "cannot read the passphrase from words: 'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_wrong_usage(program: Program, tmp_path: Path, options: str, content: bytes, error: str) -> None:
    (tmp_path / "words").write_bytes(content)
    code, out, err = program("start", "server.json", *options.split())
    assert (code, out) == (2, "")
    assert err.startswith(f"dmsg: {error}")


def test_a_passphrase_of_the_environment_that_cannot_be_one(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DMSG_SERVER_AUTH", "\udcff")
    error = "dmsg: DMSG_SERVER_AUTH has characters that no passphrase has\n"
    assert program("start", "server.json") == (2, "", error)


def test_config_gen(program: Program, tmp_path: Path) -> None:
    code, out, err = program("config", "gen")
    path = tmp_path / "config.json"
    config = load(path)
    assert (code, out) == (0, f"{config.identity.public}\n")
    assert err == "the configuration is in config.json; set its public_address to where clients reach this machine\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (config.discovery, config.max_sessions) == ("http://dmsgd.skywire.skycoin.com", 2048)
    again = program("config", "gen")
    assert again == (1, "", "dmsg: config.json exists already; it is not replaced unless told so\n")
    assert load(path) == config
    code, out, err = program("config", "gen", "-t", "-o", path, "--replace")
    newer = load(path)
    assert (code, out, err) == (0, f"{newer.identity.public}\n", f"the configuration is in {path}\n")
    assert newer.identity != config.identity
    assert newer.discovery == "http://127.0.0.1:9090"
    assert load(tmp_path / "config.json.bak") == config


def test_help_names_the_commands(program: Program) -> None:
    code, out, _ = program("--help")
    assert code == 0
    assert "start" in out
    assert "config" in out
