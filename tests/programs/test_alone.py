"""Apps alone in a process, as programs: how they are started, reached, controlled and ended, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import psutil
import pytest

from skywire import Address, DialError, Owner, PkTcpNetwork, SecKey, keyfile
from tests.programs.alone import DMSG, SKYWIRE, TCP, Place
from tests.programs.running import PATIENCE, Network
from tests.programs.visor_program import Node
from tests.standalone.sites import free_port

ME = Owner("tester")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A machine without a network."""
    node = Node(tmp_path)
    yield Place(node)
    shutil.rmtree(node.sockets, ignore_errors=True)


@pytest.fixture
def connected(tmp_path: Path, network: Network) -> Iterator[Place]:
    """A machine with a way into a dmsg network."""
    node = Node(tmp_path, network.served.disc)
    yield Place(node)
    shutil.rmtree(node.sockets, ignore_errors=True)


def greeting(address: str, identity: SecKey) -> str:
    """What the app at an address of key-encrypted TCP says."""

    async def main() -> bytes:
        with anyio.fail_after(PATIENCE):
            async with await PkTcpNetwork(identity).dial(Address.parse(address), owner=ME) as conn:
                return await conn.receive()

    return anyio.run(main).decode()


def greeting_over_dmsg(network: Network, address: str, identity: SecKey) -> str:
    """What the app at an address of dmsg says, once it can be reached."""

    async def main() -> bytes:
        with anyio.fail_after(PATIENCE):
            async with network.served.deployment.client(identity) as client:
                while True:
                    try:
                        async with await client.dial(Address.parse(address), owner=ME) as conn:
                            return await conn.receive()
                    except DialError:
                        await anyio.sleep(0.05)

    return network.portal.call(main).decode()


def test_on_tcp_from_its_start_to_its_end(place: Place) -> None:
    peer, port = SecKey.generate(), free_port()
    with place.running(TCP, "hello", "--greeting", "Good day", "--port", str(port)) as (program, facts):
        assert facts.mode == "tcp-standalone"
        (address,) = facts.addresses
        assert address == f"tcp://{facts.public_key}@127.0.0.1:{port}"
        assert greeting(address, peer) == f"Good day, {peer.public}!\n"
        (info,) = place.apps().values()
        assert (info["name"], info["mode"], info["state"]) == ("hello", "tcp-standalone", "running")
        assert (info["node"], info["ports"]) == (f"tcp-hello-{facts.public_key[:10]}", {"greeting": port})
        assert "tcp-standalone" in place.skywire("app hello status")
        assert f"greeting {peer.public}" in place.skywire("app hello log")
        assert "no connections" in place.run(SKYWIRE, "app", "hello", "conns").stderr
        assert "Good day" in place.skywire("app hello config")
        assert place.skywire("app hello restart") == "hello: running\n"
        assert place.skywire("app hello stop") == "hello: stopped\n"
        code, out, err = program.end()
        assert (code, out) == (0, "")
        assert "Traceback" not in err
    assert list(place.node.sockets.iterdir()) == []


def test_on_dmsg_from_its_start_to_its_end(connected: Place, network: Network) -> None:
    peer = SecKey.generate()
    with connected.running(DMSG, "hello") as (program, facts):
        (address,) = facts.addresses
        assert address == f"dmsg://{facts.public_key}:4000"
        assert greeting_over_dmsg(network, address, peer) == f"Hello, {peer.public}!\n"
        (info,) = connected.apps().values()
        assert (info["node"], info["mode"]) == (f"dmsg-hello-{facts.public_key[:10]}", "dmsg-standalone")
        assert f"greeting {peer.public}" in connected.skywire("app hello log")
        program.signal(signal.SIGTERM)
        assert program.end()[0] == 0
    with connected.running((*SKYWIRE, "dmsg"), "hello") as (program, again):
        assert again.public_key == facts.public_key  # kept with the data
        assert greeting_over_dmsg(network, address, peer) == f"Hello, {peer.public}!\n"
        program.signal(signal.SIGINT)
        assert program.end()[0] == 0


def test_beside_a_visor_each_is_found_where_it_is(connected: Place) -> None:
    node = connected.node
    node.configure({"name": "hello"})
    with node.running(), connected.running(DMSG, "hello", "--name", "alone") as (program, facts):
        found = {(each["name"], each["mode"]) for each in json.loads(connected.skywire("app ls --json"))["apps"]}
        assert {("hello", "visor-app"), ("log-server", "visor-app"), ("alone", "dmsg-standalone")} <= found
        assert connected.skywire("app hello stop") == "hello: stopped\n"
        assert node.states()["log-server"] == "running"
        done = connected.run(SKYWIRE, "app", "add", "hello", "--name", "another", "--node", "dmsg-alone")
        assert (done.returncode, "as its command line says" in done.stderr) == (1, True)
        assert connected.skywire("app alone stop") == "alone: stopped\n"
        assert program.end()[0] == 0
        assert facts.name == "alone"


def test_the_key_of_a_visor_that_runs_here_is_refused_on_dmsg_and_can_be_had_on_tcp(connected: Place) -> None:
    node, port = connected.node, str(free_port())
    node.configure()
    secret = node.identity.expose_hex()
    key_file = node.folder / "visor.key"
    keyfile.save(key_file, node.identity)
    with node.running():
        for words, more in [(("--key-file", str(key_file)), {}), ((), {"SKYWIRE_DMSG_SK": secret})]:
            done = connected.run(DMSG, "hello", *words, more=more)
            assert (done.returncode, done.stdout) == (1, "")
            assert done.stderr.splitlines()[-1].startswith(
                f"dmsg: {node.identity.public} is the key of visor-{str(node.identity.public)[:10]}, which runs on "
                "this machine and would be cut off from dmsg: give this app a key of its own with --key-file"
            )
        words = ("--visor-key", "--config", str(node.config), "--port", port)
        with connected.running(TCP, "hello", *words) as (program, facts):
            assert facts.public_key == str(node.identity.public)
            assert secret not in " ".join(psutil.Process(program.process.pid).cmdline())
            assert greeting(facts.addresses[0], SecKey.generate()).startswith("Hello, ")
        done = connected.run(TCP, "hello", "--visor-key", more={"SKYWIRE_CONFIG": str(node.folder / "none.json")})
        assert (done.returncode, "of a visor; name it with --config" in done.stderr) == (1, True)


def test_keys_come_by_file_environment_or_are_made(place: Place) -> None:
    key, sealed, words = SecKey.generate(), place.node.folder / "sealed", place.node.folder / "words"
    keyfile.save(sealed, key, passphrase="open sesame")
    words.write_text("open sesame\n")
    listen = ("--port", str(free_port()))
    with place.running(TCP, "hello", "--key-file", sealed, "--passphrase-file", words, *listen) as (_, facts):
        assert facts.public_key == str(key.public)
    with place.running(TCP, "hello", *listen, more={"SKYWIRE_TCP_SK": key.expose_hex()}) as (_, facts):
        assert facts.public_key == str(key.public)
    with place.running(TCP, "hello", *listen) as (_, facts):
        data = Path(facts.data)
        assert data == place.node.folder / "share" / "skywire" / "standalone" / "hello"
        assert facts.public_key == str(keyfile.load(data / "key").public) != str(key.public)
        made = [data, *data.rglob("*"), *place.node.sockets.iterdir()]
        assert [str(path) for path in made if path.lstat().st_mode & 0o077] == []
        assert stat.S_IMODE((data / "key").stat().st_mode) == 0o600
    (data / "key").chmod(0o644)
    done = place.run(TCP, "hello", *listen)
    assert (done.returncode, "chmod 600" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("program", "line", "code", "reason"),
    [
        (
            TCP,
            "debug",
            2,
            "does not run as tcp-standalone: its definition does not allow it; use skywire app add debug",
        ),
        (TCP, "debug --help", 2, "or dmsg debug (dmsg-standalone)"),
        (TCP, "helo", 2, "did you mean hello?"),
        (DMSG, "helo", 2, "did you mean hello?"),
        (DMSG, "hello", 2, "there is no way into the network yet: name a discovery with --disc"),
        (DMSG, "hello --disc ftp://x", 2, "reached by http:// or https://"),
        (DMSG, "hello --disc http://127.0.0.1:1 --min-sessions -1", 2, "--min-sessions is 0 for all"),
        (TCP, "hello --port 0", 2, "1 to 65535 is expected"),
        (TCP, "hello --port other=5", 2, "hello has no port 'other'"),
        (TCP, "hello --port x", 2, "--port takes NAME=NUMBER"),
        (TCP, "hello --port 5 --port greeting=6", 2, "each port once"),
        (TCP, "hello --listen a:5 --listen b:6", 2, "it cannot be both 5 and 6"),
        (TCP, "hello --listen 1.2.3.4:x", 2, "--listen: a local address is host:port"),
        (TCP, "hello --listen =", 2, "--listen: '=' is neither an IP address nor a host name"),
        (TCP, "hello --name Nobody", 2, "a name is up to 64 small letters"),
        (TCP, "hello --name core", 2, "is taken by the process itself"),
        (TCP, "hello --log-level loud", 2, "--log-level: 'loud' is none of"),
        (TCP, "hello --config x", 2, "use it with --visor-key"),
        (TCP, "hello --visor-key --key-file x", 2, "use --visor-key or --key-file, not both"),
        (TCP, "hello --key-file /no/such/file", 1, "cannot read the key file"),
        (TCP, "hello --passphrase-file x", 2, "name it with --key-file"),
        (TCP, "log-server --allow 02", 2, "--allow: a public key is 66 hexadecimal"),
        (TCP, "log-server --local nowhere", 2, "--local: a local address is host:port"),
        (TCP, "--data x hello", 2, "options come behind the name of a command, as in: standalone APP --data ..."),
        (TCP, "hello --data /dev/null/x", 1, "cannot make the folder /dev/null/x for a key"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    place: Place, program: tuple[str, ...], line: str, code: int, reason: str
) -> None:
    done = place.run(program, *line.split())
    assert reason in done.stderr
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)


def test_without_a_home_it_asks_for_a_folder(place: Place) -> None:
    lost = """import os, pwd
def getpwuid(uid): raise KeyError(uid)
pwd.getpwuid = getpwuid
os.environ.pop("HOME", None)
from skywire_standalone.main import main
main()"""
    done = place.run((sys.executable, "-c", lost), "hello", more={"XDG_DATA_HOME": ""})
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "there is no folder for its data" in done.stderr
    assert "name one with --data" in done.stderr


def test_a_port_that_is_taken_ends_it_with_the_reason(place: Place) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = place.run(TCP, "hello", "--listen", f"127.0.0.1:{port}")
    assert done.returncode == 1
    assert f"standalone: cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_killed_and_started_again_among_leftovers(place: Place) -> None:
    port = str(free_port())
    with place.running(TCP, "hello", "--port", port) as (program, facts):
        program.signal(signal.SIGKILL)
        program.end()
    sockets = place.node.sockets
    assert [path.suffix for path in sockets.iterdir()] == [".sock"]
    for number in range(20):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(sockets / f"visor-{number:010}.sock"))
    (sockets / "text.sock").write_text("no socket")
    (sockets / "folder.sock").mkdir()
    with place.running(TCP, "hello", "--port", port) as (program, again):
        assert again == facts
        assert [each["name"] for each in place.apps().values()] == ["hello"]
        assert sorted(path.name for path in sockets.iterdir()) == [
            "folder.sock",
            f"tcp-hello-{facts.public_key[:10]}.sock",
            "text.sock",
        ]
        program.signal(signal.SIGTERM)
        assert program.end()[0] == 0


def test_two_of_one_name_are_told_apart_and_two_with_one_folder_are_one_too_many(place: Place) -> None:
    one = ("hello", "--port", str(free_port()), "--data", str(place.node.folder / "one"))
    two = ("hello", "--port", str(free_port()), "--data", str(place.node.folder / "two"))
    with place.running(TCP, *one) as (_, first), place.running(TCP, *two) as (program, second):
        assert len(place.apps()) == 2
        done = place.run(SKYWIRE, "app", "hello", "status")
        assert (done.returncode, "several processes have an app hello" in done.stderr) == (2, True)
        done = place.run(TCP, *one)
        assert done.returncode == 1
        assert "another process uses" in done.stderr
        assert "is it running already" in done.stderr
        assert place.skywire(f"app hello stop --node {second.public_key}") == "hello: stopped\n"
        assert program.end()[0] == 0
        assert list(place.apps()) == [f"tcp-hello-{first.public_key[:10]}"]


def test_what_is_critical_asks_first(place: Place) -> None:
    with place.running(TCP, "gate") as (program, facts):
        assert facts.addresses == []
        done = place.run(SKYWIRE, "app", "gate", "stop")
        assert (done.returncode, "would take away gate" in done.stderr) == (4, True)
        done = place.run(SKYWIRE, "cli", "visor", "halt", "--node", "tcp-gate")
        assert (done.returncode, "ending gate would take away gate" in done.stderr) == (4, True)
        assert place.skywire("app gate stop --i-know-what-im-doing") == "gate: stopped\n"
        assert program.end()[0] == 0


def test_what_does_not_end_is_named_and_left(place: Place) -> None:
    with place.running(TCP, "stubborn") as (program, _):
        program.signal(signal.SIGTERM)
        while "ends" not in program.line("stderr"):
            pass
        program.signal(signal.SIGTERM)  # who cannot wait
        code, _, err = program.end()
    assert code == 1
    assert "stubborn waits in" in err


def test_systemd_is_told_when_the_app_serves_and_when_it_ends(place: Place) -> None:
    notified = place.node.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(notified))
        channel.settimeout(PATIENCE)
        port = str(free_port())
        with place.running(TCP, "hello", "--port", port, more={"NOTIFY_SOCKET": str(notified)}) as (program, _):
            assert channel.recv(100) == b"READY=1"
            program.signal(signal.SIGHUP)
            assert channel.recv(100) == b"STOPPING=1"
            assert program.end()[0] == 0


def test_it_says_in_one_line_who_it_is_and_where(place: Place) -> None:
    port = free_port()
    program = place.start(TCP, "hello", "--listen", f"127.0.0.1:{port}", "--listen", "[::1]")
    with program.process:
        words = program.line().split()
        program.signal(signal.SIGTERM)
        assert program.end()[0] == 0
    assert words[:2] == ["hello", "runs"]
    key = words[3]
    assert " ".join(words[2:]) == (
        f"as {key} and is reached at tcp://{key}@127.0.0.1:{port} and tcp://{key}@[::1]:{port}; "
        "see: skywire app hello status"
    )


def test_without_a_network_it_runs_and_says_what_is_missing(place: Place) -> None:
    with place.running(DMSG, "hello", "--disc", "http://127.0.0.1:1") as (program, _):
        while "hello is degraded: dmsg does not work just now" not in program.line("stderr"):
            pass
        (info,) = place.apps().values()
        assert info["state"] == "degraded"
        assert str(info["reason"]).startswith("dmsg does not work just now: ")
        program.signal(signal.SIGTERM)
        assert program.end()[0] == 0


def test_the_apps_that_come_along_run_in_the_modes_that_they_allow(connected: Place) -> None:
    port = str(free_port())
    with (
        connected.running(DMSG, "log-server") as (_, facts),
        connected.running(TCP, "log-server", "--port", port, "--name", "logs") as (_, direct),
        connected.running(DMSG, "debug", "--allow", str(SecKey.generate().public)) as (_, debug),
    ):
        assert facts.addresses == [f"dmsg://{facts.public_key}:80"]
        assert direct.addresses == [f"tcp://{direct.public_key}@127.0.0.1:{port}"]
        assert debug.addresses == [f"dmsg://{debug.public_key}:6060"]
        assert len({facts.public_key, direct.public_key, debug.public_key}) == 3
        for name in ("log-server", "logs"):
            assert connected.skywire(f"app {name} page").startswith("http://127.0.0.1:")
        assert {str(each["name"]): each["mode"] for each in connected.apps().values()} == {
            "log-server": "dmsg-standalone",
            "logs": "tcp-standalone",
            "debug": "dmsg-standalone",
        }
        done = connected.run(DMSG, "curl", f"dmsg://{facts.public_key}:80/health")
        assert done.returncode == 0, done.stderr
        assert "started_at" in done.stdout


def test_two_chats_without_a_visor_talk_over_tcp(place: Place) -> None:
    def flags(name: str, chat: int) -> list[str]:
        ports = [f"--port=chat={chat}", f"--port=files={free_port()}"]
        return ["skychat", "--name", name, "--local", "none", "--everyone", *ports]

    port = free_port()
    with place.running(TCP, *flags("alice", port)) as (_, alice):
        (address,) = (each for each in alice.addresses if each.endswith(f":{port}"))
        with place.running(TCP, *flags("bob", free_port()), "--peers", address) as (_, bob):
            done = place.run(SKYWIRE, "app", "bob", "send", alice.public_key, "good evening", "--wait", "20")
            assert (done.returncode, json.loads(done.stdout)["acked"]) == (0, True), done.stderr
            (message,) = json.loads(place.skywire("app alice history"))["messages"]
            assert (message["text"], message["peer"]) == ("good evening", bob.public_key)


def test_nothing_listens_but_what_is_said(place: Place) -> None:
    port = free_port()
    with place.running(TCP, "hello", "--port", str(port)) as (program, _):
        process = psutil.Process(program.process.pid)
        found = {each.laddr for each in process.net_connections("inet") if each.status == psutil.CONN_LISTEN}
        assert found == {("127.0.0.1", port)}
        assert process.rlimit(psutil.RLIMIT_CORE) == (0, 0)
    assert os.listdir(place.node.sockets)  # noqa: PTH208 - it was killed, which leaves its socket
