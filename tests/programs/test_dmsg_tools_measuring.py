"""``dmsg iperf``, ``dmsg probe`` and ``dmsg ip``."""

from __future__ import annotations

import json
import os
import pty
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager

import pytest
from anyio import create_task_group, sleep_forever
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from skywire import Address, Conn, HostPort, SecKey
from skywire.dmsg.control import serve_control
from skywire.http.server import HttpServer
from skywire.net.handshake import respond
from skywire.net.tcp import TcpStream, listen
from skywire.wire.entry import Entry, ServerPart
from tests.programs.running import DMSG, Network

KEY = SecKey(b"\x33" * 32)
SIZE = 2_000_001


@pytest.fixture(scope="module")
def meter(network: Network) -> Iterator[str]:
    """Address of one that measures with everyone."""
    with network.running("iperf", "--listen", "--allow-all") as server:
        yield server.line()
        server.signal(signal.SIGTERM)
        assert server.end() == (0, "", "")


# iperf


@pytest.mark.parametrize(
    ("options", "directions"),
    [
        ([], ["upload"]),
        (["-R"], ["download"]),
        (["--bidir"], ["upload", "download"]),
        (["-P", "3"], ["upload"] * 3),
    ],
    ids=["upload", "download", "both", "three"],
)
def test_a_number_of_bytes(network: Network, meter: str, options: list[str], directions: list[str]) -> None:
    done = network.run("iperf", meter, "-n", str(SIZE), "--json", *options)
    assert (done.returncode, done.stderr) == (0, b"")
    facts = json.loads(done.stdout)
    assert facts["peer"] == meter
    assert [each["direction"] for each in facts["streams"]] == directions
    for each in (*facts["streams"], *facts["sums"].values()):
        assert each["seconds"] > 0
        assert each["mib_per_second"] == pytest.approx(each["bytes"] / each["seconds"] / 2**20, rel=0.01)
    assert {each["bytes"] for each in facts["streams"]} == {SIZE}
    assert {name: each["bytes"] for name, each in facts["sums"].items()} == {
        name: SIZE * directions.count(name) for name in directions
    }
    assert facts["round_trips"] == {"idle": None, "loaded": None}


def test_a_time_with_round_trips(network: Network, meter: str) -> None:
    facts = json.loads(network.run("iperf", meter, "-t", "0.5", "--rtt", "--json", program=DMSG).stdout)
    assert facts["streams"][0]["bytes"] > 0
    assert 0.5 <= facts["streams"][0]["seconds"] < 20
    for each in facts["round_trips"].values():
        assert each["count"] > 0
        assert 0 < each["p50"] <= each["p90"] <= each["p99"] < 20


def test_a_table(network: Network, meter: str) -> None:
    done = network.run("iperf", meter.removeprefix("dmsg://"), "-n", str(SIZE), "-P", "2", "--rtt")
    lines = done.stdout.decode().splitlines()
    assert "MiB/s" in lines[1]
    assert [line.split("│")[1:4] for line in lines if "upload" in line][-1][:2] == [" all    ", " upload    "]
    assert "round trips, idle: p50 " in done.stdout.decode()


def test_a_table_at_a_terminal(network: Network, meter: str) -> None:
    ours, theirs = pty.openpty()
    with (
        os.fdopen(ours, "rb", buffering=0) as terminal,
        network.running("iperf", meter, "-n", str(SIZE), stderr=theirs) as program,
    ):
        os.close(theirs)
        shown = b""
        while b"upload" not in shown:
            shown += terminal.read(65536)
        code, out, _ = program.end()
    assert code == 0
    assert "upload" in out


def test_a_key_is_enough(network: Network) -> None:
    with network.running("iperf", "--listen", "--allow-all", "--json", "-v") as server:
        address = json.loads(server.line())["address"]
        done = network.run("iperf", Address.parse(address).pk.hex(), "-n", "5", "--json")
        assert json.loads(done.stdout)["peer"] == address
        server.signal(signal.SIGINT)
        code, _, err = server.end()
    assert code == 130
    assert "upload of 5 bytes" in err


def test_a_peer_that_will_not(network: Network, meter: str) -> None:
    async def refuse(conn: Conn) -> None:
        await conn.receive_record()
        await conn.send_record(b'{"error": "not today"}')

    async def misunderstand(conn: Conn) -> None:
        await conn.receive_record()
        await conn.send_record(b"what?")

    with network.peer({5201: refuse, 1: misunderstand}) as key:
        for arguments in ([], ["--rtt"]):
            done = network.run("iperf", str(key), *arguments)
            assert (done.returncode, done.stdout) == (4, b"")
            assert done.stderr.decode() == f"skywire: cannot reach dmsg://{key}:5201: not today\n"
        done = network.run("iperf", f"{key}:1")
        assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (1, b"", 1)
    assert network.run("iperf", str(KEY.public)).returncode == 3


def test_an_interruption(network: Network) -> None:
    async def hold(conn: Conn) -> None:
        asked.append(await conn.receive_record())
        await conn.send_record(b'{"error": null}')
        await sleep_forever()

    asked: list[bytes] = []
    with network.peer({5201: hold}) as key, network.running("iperf", str(key), "-R", "-vv") as program:
        while "session with server" not in program.line("stderr"):
            pass
        program.signal(signal.SIGINT)
        code, out, _ = program.end()
    assert (code, out) == (130, "")


# probe


def test_discovery_and_servers(network: Network) -> None:
    done = network.run("probe", "--json")
    facts = json.loads(done.stdout)
    assert (done.returncode, facts["complete"], facts["peers"]) == (0, True, [])
    assert facts["discovery"]["url"] == network.served.disc
    assert (facts["discovery"]["seconds"] > 0, facts["discovery"]["error"]) == (True, None)
    assert {f"{each['key']}@{each['address']}" for each in facts["servers"]} == set(network.served.servers)
    for each in facts["servers"]:
        assert each["connect_seconds"] > 0
        assert each["ping_seconds"] > 0
        assert each["free_sessions"] > 2000
        assert (each["type"], each["post_quantum"], each["error"]) == ("community", True, None)


def test_peers(network: Network) -> None:
    async def ramble(conn: Conn) -> None:
        await conn.send(b"hello")
        await sleep_forever()

    async def leave(conn: Conn) -> None:
        await conn.receive()

    with (
        network.peer({7: serve_control}) as good,
        network.peer({}) as deaf,
        network.peer({7: ramble}) as odd,
        network.peer({7: leave}) as gone,
    ):
        done = network.run("probe", str(good), str(good), "--json")
        facts = json.loads(done.stdout)
        assert (done.returncode, len(facts["peers"])) == (0, 1)
        peer = facts["peers"][0]
        assert (peer["key"], peer["registered"], peer["error"]) == (str(good), True, None)
        assert {each.partition("@")[0] for each in network.served.servers} >= set(peer["servers"]) != set()
        assert peer["dial_seconds"] > 0
        assert peer["ping_seconds"] > 0
        done = network.run("probe", *map(str, (good, deaf, odd, gone, KEY.public)), "--json")
        facts = json.loads(done.stdout)
        errors = {each["key"]: each["error"] for each in facts["peers"]}
        table = network.run("probe", str(good), str(deaf), program=DMSG)
    assert (done.returncode, facts["complete"]) == (3, False)
    assert errors[str(good)] is None
    assert "nothing listens" in errors[str(deaf)] or "no associated listener" in errors[str(deaf)]
    assert "does not speak the control protocol" in errors[str(odd)]
    assert "ended the stream" in errors[str(gone)]
    assert "entry is not found" in errors[str(KEY.public)]
    assert [each["registered"] for each in facts["peers"]] == [True, True, True, True, False]
    assert table.returncode == 3
    text = table.stdout.decode()
    assert f"discovery {network.served.disc}: " in text
    assert " yes " in text
    assert str(good)[:20] in text


def test_a_tool_that_waits_answers_pings(network: Network, meter: str) -> None:
    assert network.run("probe", str(Address.parse(meter).pk)).returncode == 0


def test_named_servers(network: Network) -> None:
    server = network.served.servers[0]
    with network.portal.wrap_async_context_manager(network.portal.call(listen, "127.0.0.1", 0)) as listener:
        # It takes connections and says nothing.
        silent = f"{KEY.public}@{HostPort(*listener.addresses[0])}"
        dead = f"{KEY.public}@127.0.0.1:1"
        done = network.run("probe", "--server", server, "--json")
        facts = json.loads(done.stdout)
        assert (done.returncode, facts["discovery"], facts["servers"][0]["free_sessions"]) == (0, None, None)
        for other in (silent, dead):
            done = network.run("probe", "--server", server, "--server", other, "--timeout", "2", "--json")
            facts = json.loads(done.stdout)
            assert done.returncode == 3
            assert [each["error"] is None for each in facts["servers"]] == [True, False]
        impostor = f"{KEY.public}@{server.partition('@')[2]}"
        done = network.run("probe", "--server", impostor, str(KEY.public), "--timeout", "5")
        assert done.returncode == 3
        assert b"cannot reach" in done.stdout


def test_a_server_that_does_not_answer_pings(network: Network) -> None:
    async def shake_hands_and_hold(stream: TcpStream) -> None:
        async with stream:
            await respond(stream, KEY)
            await sleep_forever()

    with network.portal.wrap_async_context_manager(_serving(shake_hands_and_hold)) as where:
        done = network.run("probe", "--server", f"{KEY.public}@{where}", "--timeout", "1", "--json")
    facts = json.loads(done.stdout)["servers"][0]
    assert done.returncode == 3
    assert facts["connect_seconds"] > 0
    assert (facts["ping_seconds"], facts["error"]) == (None, "no answer in time")


@asynccontextmanager
async def _serving(handler: Callable[[TcpStream], Coroutine[object, object, None]]) -> AsyncIterator[HostPort]:
    async with await listen("127.0.0.1", 0) as listener, create_task_group() as task_group:
        task_group.start_soon(listener.serve, handler, task_group, lambda: None)
        yield HostPort(*listener.addresses[0])
        task_group.cancel_scope.cancel()


@asynccontextmanager
async def _false_discovery(entries: list[Entry]) -> AsyncIterator[str]:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        text = b"[" + b",".join(entry.to_json() for entry in entries) + b"]"
        await Response(text, media_type="application/json")(scope, receive, send)

    server = HttpServer(app, listen=[HostPort("127.0.0.1", 0)])
    async with create_task_group() as task_group:
        await task_group.start(server.serve)
        yield f"http://user:secret@{server.addresses[0]}"
        task_group.cancel_scope.cancel()


def test_a_discovery_that_means_harm(network: Network) -> None:
    evil = "\x1b]0;title\x07[bold]"
    entries = [
        Entry(KEY.public, server=ServerPart(evil, 5, server_type=evil)),
        Entry(None, server=ServerPart("127.0.0.1:1", 5)),
        Entry(KEY.public),
    ]
    with network.portal.wrap_async_context_manager(_false_discovery(entries)) as disc:
        done = network.run("probe", "--disc", disc)
        none = network.run("ip", "--all", "--disc", disc)
    assert (done.returncode, none.returncode) == (3, 3)
    assert b"its address is none" in done.stdout
    assert b"?]0;title?[bold]" in done.stdout
    for shown in (done.stdout, done.stderr, none.stdout, none.stderr):
        assert b"\x1b" not in shown
        assert b"secret" not in shown


# ip


def test_ip(network: Network) -> None:
    assert network.run("ip").stdout == b"127.0.0.1\n"
    assert json.loads(network.run("ip", "--json", program=DMSG).stdout) == {"ip": "127.0.0.1"}


def test_ip_of_all_servers(network: Network) -> None:
    keys = sorted(each.partition("@")[0] for each in network.served.servers)
    done = network.run("ip", "--all")
    assert sorted(done.stdout.decode().splitlines()) == [f"{key} 127.0.0.1" for key in keys]
    facts = json.loads(network.run("ip", "--all", "--json").stdout)
    assert sorted(each["server"] for each in facts["servers"]) == keys
    assert {(each["ip"], each["error"]) for each in facts["servers"]} == {("127.0.0.1", None)}


def test_ip_where_not_all_servers_answer(network: Network) -> None:
    servers = ("--server", network.served.servers[0], "--server", f"{KEY.public}@127.0.0.1:1")
    done = network.run("ip", "--all", *servers)
    assert done.returncode == 0
    assert done.stdout.decode().splitlines() == [f"{network.served.servers[0].partition('@')[0]} 127.0.0.1"]
    assert b"no server told our address" in done.stderr
    facts = json.loads(network.run("ip", "--all", "--json", *servers).stdout)
    assert [each["ip"] for each in facts["servers"]] == ["127.0.0.1", None]
    for arguments in ([], ["--all"]):
        done = network.run("ip", *arguments, *servers[2:])
        assert (done.returncode, done.stdout) == (3, b"")
        assert b"no server told our address" in done.stderr
