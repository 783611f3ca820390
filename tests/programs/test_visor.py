"""The visor as a program: how it comes up, goes down, and what it makes of what can go wrong."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from skywire.app.api import VisorAPI
from skywire.control.client import NodeGone, RemoteError
from skywire.visor.config.file import ConfigFile
from tests.programs.running import PATIENCE, Network
from tests.programs.visor_program import Node

SKYWIRE = [sys.executable, "-m", "skywire"]
STOP_SECONDS = 8.0
"""Within which a node has ended, whatever goes on."""


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def until_running(node: Node, *names: str) -> None:
    async def run(api: VisorAPI) -> bool:
        states = {each.name: each.state.value for each in await api.apps.list()}
        return all(states[name] in {"running", "degraded"} for name in names)

    node.until(run)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    former = os.umask(mask)
    try:
        yield
    finally:
        os.umask(former)


def test_it_comes_up_is_reached_and_goes_down(tmp_path: Path, network: Network) -> None:
    node = Node(tmp_path, network.served.disc)
    node.configure({"name": "hello"})
    with node.running() as program:
        until_running(node, "hello", "log-server", "pty", "debug")
        mode = node.socket.stat().st_mode
        assert stat.S_IMODE(mode) == 0o600
        with network.peer({}) as stranger:
            assert stranger != node.identity.public
        began = time.monotonic()
        program.signal(signal.SIGTERM)
        code, _, err = program.end()
        assert (code, time.monotonic() - began < STOP_SECONDS) == (0, True), err
    assert not node.socket.exists()
    assert "Traceback" not in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_it_ends_by_other_signals_too(node: Node, number: signal.Signals) -> None:
    node.configure()
    with node.running() as program:
        program.signal(number)
        assert program.end()[0] == 0


def test_an_app_that_does_not_end_is_named_and_left(node: Node) -> None:
    node.configure({"name": "stubborn"}, shutdown_timeout="1s")
    with node.running() as program:
        until_running(node, "stubborn")
        began = time.monotonic()
        program.signal(signal.SIGTERM)
        code, _, err = program.end()
    assert (code, time.monotonic() - began < STOP_SECONDS) == (1, True)
    assert "it has not ended by itself within 1 s, and is left" in err
    assert "stubborn waits in run (" in err
    assert "> resist (" in err


def test_a_second_signal_ends_it_at_once(node: Node) -> None:
    node.configure({"name": "stubborn"}, shutdown_timeout="60s")
    with node.running() as program:
        until_running(node, "stubborn")
        program.signal(signal.SIGINT)
        while "ends" not in program.line("stderr"):
            pass
        program.signal(signal.SIGINT)
        assert program.end()[0] == 1


def test_systemd_is_told(node: Node, tmp_path: Path) -> None:
    node.configure()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(PATIENCE)
        with node.running(NOTIFY_SOCKET=str(tmp_path / "notify")) as program:
            assert channel.recv(100) == b"READY=1"
            program.signal(signal.SIGTERM)
            assert channel.recv(100) == b"STOPPING=1"
            assert program.end()[0] == 0


def test_what_listens_is_what_is_listed(tmp_path: Path, network: Network) -> None:
    node = Node(tmp_path, network.served.disc)
    node.configure({"name": "hello"})
    with node.running() as program:
        until_running(node, "hello", "log-server")
        process = psutil.Process(program.process.pid)
        found = {
            (each.laddr.ip, each.laddr.port)
            for each in process.net_connections("inet")
            if each.status == psutil.CONN_LISTEN or each.type == socket.SOCK_DGRAM
        }

        async def listed(api: VisorAPI) -> set[tuple[str, int]]:
            return {(each.host, each.port) for each in await api.network.listeners()}

        assert found == node.ask(listed)
        assert all(host == "127.0.0.1" for host, _ in found)
        assert len(found) == 1  # the page of the log server
        unix = {str(each.laddr) for each in process.net_connections("unix")}
        assert str(node.socket) in unix

        async def served(api: VisorAPI) -> set[tuple[int, str]]:
            return {(each.port, each.owner) for each in await api.network.ports()}

        core = {(7, "core"), (3435, "core")}
        assert node.ask(served) == core | {(22, "pty"), (80, "log-server"), (4000, "hello"), (6060, "debug")}


def test_two_visors_with_one_configuration(node: Node) -> None:
    node.configure({"name": "keeper"})
    with node.running():
        until_running(node, "keeper")
        code, err = node.refused()
        assert code == 1
        assert "another visor uses" in err
        assert len(err.splitlines()) == 1
        assert node.states()["keeper"] == "running"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"sk": "', "line 1"),
        ("", "line 1"),
        ("[]", "line 1"),
        ('{\n"dmsg": {\n"sessions_count": "two"}}', "line 3: dmsg.sessions_count: a whole number is expected"),
        ('{"launcher": {"apps": [{"name": "x", "ports": {"a": []}}]}}', "launcher.apps[0].ports.a"),
        ("{}", "there is no secret key"),
    ],
)
def test_a_configuration_that_is_none(node: Node, text: str, error: str) -> None:
    node.write(text)
    code, err = node.refused()
    assert code == 1
    assert error in err
    assert "Traceback" not in err


def test_a_configuration_that_others_can_read_or_that_is_not_there(node: Node) -> None:
    code, err = node.refused()
    assert code == 1
    assert "skywire cli config gen" in err
    node.configure()
    node.config.chmod(0o644)
    code, err = node.refused()
    assert code == 1
    assert "chmod 600" in err


def test_rows_that_cannot_run_cost_no_other(node: Node) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        node.configure(
            {"name": "keeper"},
            {"name": "keeper-2", "app": "keeper"},
            {"name": "nobody", "app": "no-such-app"},
            {"name": "odd", "app": "hello", "options": {"greeting": 5}},
            {"name": "foreign", "app": "keeper", "binary": "/bin/sh"},
            {"name": "gate"},
            log_server={"local_addr": place},
        )
        with node.running():
            until_running(node, "keeper", "gate", "debug")

            async def failed(api: VisorAPI) -> bool:
                return (await api.apps.get("log-server")).state == "errored"

            node.until(failed)
            assert place in node.reason("log-server")
            states = node.states()
            assert {name for name, state in states.items() if state == "errored"} == {
                "keeper-2",
                "nobody",
                "odd",
                "foreign",
                "log-server",
            }
            assert "is taken by keeper" in node.reason("keeper-2")
            assert "there is no app 'no-such-app'" in node.reason("nobody")
            assert "greeting: a text is expected" in node.reason("odd")
            assert "--trust" in node.reason("foreign")


def test_what_was_said_to_be_done_is_there_after_kill_9(node: Node) -> None:
    """Instances are added until the node is killed; then all that were answered are there, and the file is whole."""
    node.configure({"name": "keeper"})
    chance = random.Random(4)
    answered: list[str] = []
    for round_number in range(6):
        with node.running() as program:
            began = chance.uniform(0, 0.4)

            async def add(api: VisorAPI, began: float = began, round_number: int = round_number) -> None:
                end = time.monotonic() + began
                try:
                    for number in range(10_000):
                        name = f"gate-{round_number}-{number}"
                        await api.apps.add("gate", name, {"text": "x" * 1000})
                        answered.append(name)
                        if time.monotonic() > end:
                            program.process.kill()
                except NodeGone:
                    pass

            node.ask(add)
            assert program.process.wait(PATIENCE) == -signal.SIGKILL
        assert {row.name for row in ConfigFile.load(node.config).config.launcher.apps} >= {*answered, "keeper"}
    with node.running():
        until_running(node, "keeper", *answered)
    assert not [path for path in node.folder.iterdir() if path.name.startswith(".skywire-config")]


def test_what_was_stopped_for_a_while_comes_back_though_the_node_was_killed(node: Node) -> None:
    node.configure({"name": "gate"})
    with node.running():
        until_running(node, "gate")

        async def stop(api: VisorAPI) -> None:
            with pytest.raises(RemoteError, match="would take away gate"):
                await api.apps.stop("gate", back_in=3.0)
            await api.apps.stop("gate", knowing=True, back_in=3.0)

        node.ask(stop)
        assert node.states()["gate"] == "stopped"
    with node.running():
        until_running(node, "gate")


def test_a_full_disk_costs_what_would_be_written_and_nothing_else(node: Node) -> None:
    """The limit of a file's size stands for the end of the disk: what goes beyond it cannot be written."""
    node.configure({"name": "keeper"}, {"name": "chatter"})
    with node.running() as program:
        until_running(node, "keeper", "chatter")
        before = node.config.read_bytes()
        psutil.Process(program.process.pid).rlimit(psutil.RLIMIT_FSIZE, (512, 512))

        async def change(api: VisorAPI) -> None:
            with pytest.raises(RemoteError, match="cannot write"):
                await api.apps.add("gate", "gate", {"text": "x" * 2000})
            with pytest.raises(RemoteError, match="cannot write"):
                await api.apps.configure("keeper", {"text": "x" * 2000})
            assert (await api.apps.restart("chatter")).state == "running"

        node.ask(change)
        assert node.config.read_bytes() == before
        assert node.states()["keeper"] == "running"
        assert "gate" not in node.states()
        program.signal(signal.SIGTERM)
        assert program.end()[0] == 0
    assert ConfigFile.load(node.config).config.launcher.apps[0].name == "keeper"


def test_an_app_for_a_process_of_others_waits_for_it() -> None:
    with TemporaryDirectory(prefix="sky-") as folder:  # it is a part of the path of a socket, and short
        node = Node(Path(folder))
        node.configure()
        with node.running():
            done = subprocess.run(
                [sys.executable, "-m", "skywire", "cli", "visor", "app", "register", "-a", "outside", "-p", "hello"],
                env=node.environment,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
    assert (done.returncode, done.stderr) == (0, "")
    state, what_to_do = done.stdout.splitlines()
    assert state == "outside: degraded (no process has attached yet: run `skywire app attach outside`)"
    assert what_to_do == "attach its process with: skywire app attach outside"


def test_halting_is_refused_until_they_know(node: Node) -> None:
    node.configure()
    with node.running() as program:

        async def halt(api: VisorAPI) -> None:
            with pytest.raises(RemoteError, match="halting this node would take away dmsg, rpc") as refused:
                await api.process.halt()
            assert refused.value.kind == "CriticalRefusal"
            await api.process.halt(knowing=True)

        node.ask(halt)
        assert program.end()[0] == 0


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(node: Node) -> None:
    node.configure(log_level="error")
    for arguments, variable, is_told in [
        ((), {}, False),
        ((), {"SKYWIRE_LOG_LEVEL": "info"}, True),
        (("--log-level", "error"), {"SKYWIRE_LOG_LEVEL": "info"}, False),
    ]:
        with node.running(*arguments, **variable) as program:
            program.signal(signal.SIGTERM)
            code, _, err = program.end()
            assert (code, "INFO skywire.visor" in err) == (0, is_told)


def test_it_says_who_it_is_as_json(node: Node) -> None:
    node.configure()
    program = node.start("--json")
    with program.process:
        assert json.loads(program.line())["public_key"] == str(node.identity.public)
        program.signal(signal.SIGTERM)
        assert program.end()[0] == 0


def test_one_visor_is_controlled_through_another(tmp_path: Path, network: Network) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    near, far = Node(here, network.served.disc), Node(elsewhere, network.served.disc)
    near.configure()
    far.configure({"name": "keeper"}, hypervisors=[str(near.identity.public)])
    with near.running(), far.running() as remote:
        for node in (near, far):
            node.until(connected)
        via = f"--via=dmsg://{far.identity.public}"
        done = network.run(via, "app", "ls", "--json", program=SKYWIRE, environment=near.environment)
        assert {each["name"] for each in json.loads(done.stdout)["apps"]} == {"keeper", "log-server", "pty", "debug"}
        done = network.run(via, "cli", "visor", "halt", program=SKYWIRE, environment=near.environment)
        assert (done.returncode, b"would take away" in done.stderr) == (4, True)
        words = ("cli", "visor", "halt", "--i-know-what-im-doing", via)
        assert network.run(*words, program=SKYWIRE, environment=near.environment).returncode == 0
        assert remote.end()[0] == 0


async def connected(api: VisorAPI) -> bool:
    return not any(each.offline for each in (await api.network.info()).facilities)


def test_what_it_has_is_for_its_owner_alone(node: Node) -> None:
    node.configure({"name": "log-server", "isolation": "child"})
    with umask(0), node.running() as program:
        until_running(node, "log-server")
        made = [*(node.folder / "local").rglob("*"), node.folder / "local", *node.socket.parent.rglob("*")]
        assert {str(path): oct(path.lstat().st_mode) for path in made if path.lstat().st_mode & 0o077} == {}
        assert psutil.Process(program.process.pid).rlimit(psutil.RLIMIT_CORE) == (0, 0)
