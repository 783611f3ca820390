"""The command ``disc``: a whole discovery as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import httpx
import pytest

from skywire.cli.dmsg import disc
from skywire.cli.dmsg.disc import AUTH_VARIABLE, add_disc_command
from skywire.cli.program import new_program, run
from skywire.dmsg.discovery.http_client import HttpDiscovery
from skywire.wire.discovery import DiscoveryRefused, Reason
from skywire.wire.entry import Entry, ServerPart
from tests.dmsg.discovery.redis_server import RedisServer
from tests.wire.memory_discovery import ALICE, BOB, MONITOR, client_entry

PROGRAM = (
    # Whoever started the tests in the background has had SIGINT ignored.
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from skywire.cli.dmsg.disc import add_disc_command; from skywire.cli.program import new_program, run;"
    "app = new_program('dmsg', 'Tools.'); add_disc_command(app); run(app)"
)


@contextmanager
def running(
    *options: str, addr: str = "127.0.0.1:0", env: dict[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A discovery and what it wrote when it was ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "disc", "--addr", addr, *options],
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        yield process, process.stdout.readline()
    finally:
        process.terminate()
        process.communicate(timeout=10)


def url_in(line: str) -> str:
    facts = json.loads(line)
    url = facts["urls"][0]
    assert isinstance(url, str)
    return url


def ended(process: subprocess.Popen[str], by: signal.Signals) -> tuple[int, str, str]:
    process.send_signal(by)
    out, err = process.communicate(timeout=10)
    return process.returncode, out, err


def server_entry(server_type: str = "", address: str = "192.0.2.1:8081") -> Entry:
    return Entry(BOB.public, 0, time.time_ns(), server=ServerPart(address, 5, server_type)).sign(BOB)


@pytest.mark.parametrize(("by", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_life(by: signal.Signals, code: int) -> None:
    async def use(url: str) -> None:
        async with HttpDiscovery(url) as discovery:
            await discovery.post(client_entry())
            await discovery.post(server_entry())
            assert await discovery.entry(ALICE.public) == client_entry()
            (listed,) = await discovery.available_servers()
            assert listed.server
            assert listed.server.server_type == "community"
            with pytest.raises(DiscoveryRefused) as caught:
                await discovery.post(server_entry(address="127.0.0.1:8081"))
            assert caught.value.reason is Reason.LOOPBACK_ADDRESS

    with running() as (process, line):
        assert line.startswith("the discovery is at http://127.0.0.1:")
        anyio.run(use, line.split()[-1])
        assert ended(process, by) == (code, "", "")


def test_one_line_of_json_and_metrics() -> None:
    with running("--json", "--metrics", "127.0.0.1:0") as (process, line):
        facts = json.loads(line)
        assert list(facts) == ["urls", "metrics"]
        figures = httpx.get(facts["metrics"][0], trust_env=False).text
        assert "\ndmsg_discovery_clients_count 0.0\n" in figures
        assert httpx.get(f"{facts['urls'][0]}/health", trust_env=False).status_code == 200
        assert ended(process, signal.SIGTERM) == (0, "", "")
    with running("-m", "127.0.0.1:0") as (_, line):
        assert ", its figures at http://127.0.0.1:" in line


def test_rules(tmp_path: Path) -> None:
    """What makes a server official, and what is allowed in tests."""
    secret = tmp_path / "auth"
    secret.write_text("open sesame\nmore\n")

    async def registers(line: str, entry: Entry) -> str:
        async with HttpDiscovery(url_in(line)) as discovery:
            await discovery.post(entry)
            (stored,) = await discovery.all_servers()
            assert stored.server
            return stored.server.server_type

    for options, env, entry, server_type in [
        (["--auth-file", str(secret)], {}, server_entry("open sesame"), "official"),
        (["--auth-file", str(secret)], {}, server_entry("more"), "community"),
        ([], {AUTH_VARIABLE: "from outside"}, server_entry("from outside"), "official"),
        (["--official-servers", f"{ALICE.public}, {BOB.public}"], {}, server_entry(), "official"),
        (["-t"], {}, server_entry(address="127.0.0.1:8081"), "community"),
        (["--enable-load-testing"], {}, replace(server_entry(), signature="none", timestamp=0), "community"),
    ]:
        with running("--json", *options, env=env) as (_, line):
            assert anyio.run(registers, line, entry) == server_type


def test_a_network_monitor() -> None:
    with running("--json", "--whitelist-keys", str(MONITOR.public)) as (_, line):
        headers = {"NM-PK": str(MONITOR.public), "NM-Sign": MONITOR.sign(str(MONITOR.public).encode()).hex()}
        url = f"{url_in(line)}/dmsg-discovery/deregister"
        with httpx.Client(trust_env=False) as client:
            assert client.request("DELETE", url, headers=headers, content=b"[]").status_code == 200
            assert client.request("DELETE", url, content=b"[]").status_code == 403


def test_two_processes_on_one_redis(redis_server: RedisServer) -> None:
    """Of all updates with one number, one wins, whichever process is asked."""

    async def race(first: str, second: str) -> None:
        async with HttpDiscovery(first) as one, HttpDiscovery(second) as other:
            for number in range(10):
                results: Counter[Reason | None] = Counter()

                async def post(
                    discovery: HttpDiscovery, copy: int, number: int, results: Counter[Reason | None]
                ) -> None:
                    try:
                        await discovery.post(client_entry(number, client_type=f"copy {copy}"))
                    except DiscoveryRefused as error:
                        results[error.reason] += 1
                    else:
                        results[None] += 1

                async with anyio.create_task_group() as task_group:
                    for copy in range(4):
                        task_group.start_soon(post, one, copy, number, results)
                        task_group.start_soon(post, other, copy + 10, number, results)
                assert results == {None: 1, Reason.WRONG_SEQUENCE: 7}
                assert await one.entry(ALICE.public) == await other.entry(ALICE.public)

    options = ("--json", "--redis", redis_server.url)
    with running(*options) as (process, first), running(*options) as (_, second):
        anyio.run(race, url_in(first), url_in(second))
        assert ended(process, signal.SIGTERM) == (0, "", "")


def test_a_redis_that_is_not_there_yet(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)

    async def use(url: str) -> None:
        async with HttpDiscovery(url) as discovery:
            with pytest.raises(DiscoveryRefused) as caught:
                await discovery.post(client_entry())
            assert (caught.value.reason, caught.value.status) == (Reason.UNEXPECTED, 500)
            server.start()
            await discovery.post(client_entry())

    with running("--json", "--redis", server.url) as (process, line):
        try:
            anyio.run(use, url_in(line))
            code, out, err = ended(process, signal.SIGTERM)
            assert (code, out) == (0, "")
            assert err.count("\n") == 1
            assert f" ERROR skywire.dmsg.discovery: the Redis at 127.0.0.1:{server.port} failed: " in err
            assert err.endswith("Connection refused; requests are refused until it works again\n")
        finally:
            server.stop()


@pytest.fixture
def tmp_file(tmp_path: Path) -> Path:
    (tmp_path / "empty").write_text("\n")
    return tmp_path / "empty"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--addr", "nowhere"], "a local address is host:port"),
        (["--addr", ":x"], "a local address is host:port"),
        (["--metrics", ":99999"], "a local port is 0 to 65535"),
        (["--official-servers", f"{ALICE.public},x"], "'x': a public key is 66"),
        (["--whitelist-keys", "0" * 66], "no point of secp256k1"),
        (["--redis", "http://localhost"], "not the address of a Redis"),
        (["--redis", "redis://["], "not the address of a Redis"),
        (["--redis", "redis://:secret@["], "not the address of a Redis"),
        (["--redis", "redis://user:secret"], "not the address of a Redis"),
        (["--redis", "redis://localhost:secret"], "not the address of a Redis"),
        (["--redis", "redis://localhost:1?secret=1"], "not the address of a Redis"),
        (["--redis", "redis://localhost:1?protocol=7"], "not the address of a Redis"),
        (["--redis", "redis://:secret@localhost"], "REDIS_PASSWORD"),
        (["--redis", "redis://localhost?password=secret"], "REDIS_PASSWORD"),
        (["--auth-file", "/nowhere/at/all"], "cannot read the passphrase from /nowhere/at/all"),
        (["--auth-file", "{empty}"], "an empty passphrase is none"),
    ],
)
def test_wrong_usage(options: list[str], text: str, tmp_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = new_program("dmsg", "Tools.")
    add_disc_command(app)
    with pytest.raises(SystemExit) as caught:
        run(app, ["disc", *(option.replace("{empty}", str(tmp_file)) for option in options)])
    assert caught.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("dmsg: ")
    assert text in shown.err
    assert shown.err.count("\n") == 1
    assert "secret" not in shown.err


@pytest.mark.parametrize("for_metrics", [False, True])
def test_a_port_that_is_taken(for_metrics: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        with running("--metrics", where) if for_metrics else running(addr=where) as (process, line):
            assert line == ""
            out, err = process.communicate(timeout=10)
            assert (process.returncode, out) == (1, "")
            assert err == f"dmsg: cannot listen on {where}: Address already in use\n"


def test_nobody_reads_what_it_writes() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", PROGRAM, "disc", "--addr", "127.0.0.1:0"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=20, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_every_address_of_this_machine() -> None:
    with running("--json", addr=":0") as (_, line):
        urls = json.loads(line)["urls"]
        assert [url.rpartition(":")[0] for url in urls] in (["http://0.0.0.0", "http://[::]"], ["http://0.0.0.0"])


def test_every_address_where_there_is_no_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "AF_INET6", 12345)
    assert [str(place) for place in disc._places(":9090")] == ["0.0.0.0:9090"]
