"""``skywire cli visor`` as its users run it, against nodes of this process; and the tree of its commands."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from skywire.app.definition import App
from skywire.app.host import AppHost
from skywire.app.interface import Role
from skywire.app.loaded import load
from skywire.app.options import option
from skywire.cli.main import app
from skywire.keys import PubKey
from tests.app.site import definition, instance
from tests.programs.control_node import OTHER, Served, findings
from tests.programs.machine import Machine, new_machine
from tests.programs.running import PATIENCE
from tests.programs.talker import TALKER

COMMANDS = {
    "visor": "app doctor events grant grants halt info ip log log-level pk ping ports ready revoke state tasks ver",
    "visor app": "arg args conns deregister env log ls register restart rm start status stop",
    "visor app arg": "autostart killswitch netifc passcode pk secure whitelist",
}
"""What users of the Go programs know, route options excepted, and what is ours beside it."""


@dataclass(frozen=True)
class VpnOptions:
    killswitch: bool = False
    netifc: str = ""
    pk: PubKey | None = None
    secure: bool = True
    whitelist: tuple[PubKey, ...] = ()
    passcode: str = option("", secret=True)


async def run_vpn(host: AppHost, options: VpnOptions, *, task_status: object) -> None:
    raise AssertionError("it is only configured here, and never run")


VPN = App(name="vpn", summary="For tests.", options=VpnOptions, run=run_vpn)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with new_machine() as machine:
        yield machine


@pytest.fixture(scope="module")
def node(machine: Machine) -> Iterator[Served]:
    configs = [
        instance(load(TALKER)),
        instance(load(VPN), auto_start=False),
        instance(definition("pty", critical=True)),
    ]
    with machine.node(*configs) as served:
        machine.portal.call(served.site.until, "pty", "running")
        yield served


def words(machine: Machine, line: str) -> str:
    """What a command writes that is done."""
    done = machine.run(line)
    assert (done.returncode, done.stderr) == (0, ""), line
    return done.stdout


def facts(machine: Machine, line: str) -> dict[str, object]:
    found = json.loads(words(machine, f"{line} --json"))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("group", COMMANDS)
def test_the_tree_has_every_command(group: str) -> None:
    here = app["cli"]
    for name in group.split():
        here = here[name]
    assert sorted(name for name in here if not name.startswith("-")) == sorted(COMMANDS[group].split())


def test_facts_about_the_node(machine: Machine, node: Served) -> None:
    assert words(machine, "cli visor pk") == f"{node.public}\n"
    assert words(machine, "cli visor ver") == "skywire 0.1.0\n"
    assert words(machine, "cli visor ip") == "198.51.100.7\n"
    shown = words(machine, "cli visor info")
    for part in (f"public key +{node.public}", "memory +50.0 MiB", f"dmsg servers +{OTHER}", "dmsg +works"):
        assert re.search(part, shown), part
    assert words(machine, "cli visor tasks") == "main: waits\nevil\\x1b[2J: waits\n"
    rows = [line.split() for line in words(machine, "cli visor ports").splitlines()[2:]]
    assert rows == [["4100", "dmsg", "talker", "talker", "2"], ["8001", "tcp", "127.0.0.1", "its", "page", "chat"]]
    assert facts(machine, "cli visor pk") == {"public_key": str(node.public)}
    assert facts(machine, "cli visor ver") == {"program": "skywire 0.1.0", "api": 1}
    assert facts(machine, "cli visor ip") == {"ip": "198.51.100.7"}
    for line in ("info", "ports", "tasks", "grants", "ready", "doctor"):
        assert facts(machine, f"cli visor {line}")


def test_ping(machine: Machine, node: Served) -> None:
    assert words(machine, f"cli visor ping {OTHER} -t 2") == "12.30 ms\n12.30 ms\n"
    assert facts(machine, f"cli visor ping {OTHER}") == {"peer": str(OTHER), "seconds": [0.0123] * 3}
    for wrong in ("02", f"{OTHER} -t 0"):
        assert machine.run(f"cli visor ping {wrong}").returncode == 2


def test_ready(machine: Machine, node: Served) -> None:
    assert words(machine, "cli visor ready") == "ready\n"
    node.network.offline = "there is no internet"
    try:
        done = machine.run("cli visor ready")
        assert (done.returncode, done.stderr) == (1, "skywire: not ready: dmsg is offline: there is no internet\n")
        done = machine.run("cli visor ready --json")
        assert (done.returncode, json.loads(done.stdout)["ready"]) == (1, False)
    finally:
        node.network.offline = None


def test_doctor(machine: Machine, node: Served) -> None:
    node.network.findings = findings()
    try:
        done = machine.run("cli visor doctor")
        assert done.returncode == 1
        assert re.search("GREEN +dmsg +two servers", done.stdout)
        assert re.search("YELLOW +clock +it is 3 s late +run an NTP client", done.stdout)
        assert re.search(r"RED +disk +it is full\\x1b\[2J +make room", done.stdout)
        node.network.findings.pop()
        assert machine.run("cli visor doctor").returncode == 0
    finally:
        node.network.findings = []


def test_state(machine: Machine, node: Served) -> None:
    everything = "summary,health,apps,ports,config,warnings,grants,connections,definitions,events"
    found = json.loads(words(machine, f"cli visor state --select {everything}"))
    assert list(found) == everything.split(",")
    assert found["summary"]["public_key"] == str(node.public)
    assert [each["name"] for each in found["apps"]] == ["talker", "vpn", "pty"]
    done = machine.run("cli visor state --select apps,bogus")
    assert (done.returncode, "--select has no 'bogus'; there are: apps" in done.stderr) == (2, True)


def test_state_is_watched(machine: Machine, node: Served) -> None:
    with machine.running("cli visor state --select apps,events --watch") as watching:
        first = json.loads(watching.line())
        assert first["events"] == []
        machine.portal.call(node.site.launcher.restart, "talker")
        found = json.loads(watching.line())
        assert {each["subject"] for each in found["events"]} == {"talker"}
        assert found["apps"][0]["name"] == "talker"
        watching.signal(signal.SIGINT)
        assert watching.end()[0] == 130


def test_events(machine: Machine, node: Served) -> None:
    async def publish() -> None:
        node.site.events.publish("other.kind", "nobody")
        node.site.events.publish("test.kind", "some\x1b[2Jbody", number=3, reason="")

    with (
        machine.running("cli visor events --kind test") as lines,
        machine.running("cli visor events --kind test --json") as objects,
    ):
        machine.until(lambda: len(node.site.events._subscriptions) == 3)  # the site has one of its own
        machine.portal.call(publish)
        assert lines.line().endswith(r" test.kind some\x1b[2Jbody number=3")
        found = json.loads(objects.line())
        assert (found["kind"], found["facts"]) == ("test.kind", {"number": 3, "reason": ""})
        for each in (lines, objects):
            each.signal(signal.SIGINT)
            assert each.end() == (130, "", "")


def test_the_log_of_the_node(machine: Machine, node: Served) -> None:
    first, second, third = words(machine, "cli visor log").splitlines()
    assert first == "1970-01-01 00:00:01 INFO    it began"
    assert (second, third) == (r"1970-01-01 00:00:02 WARNING \x1b[2Jcleared\x07", r"    second line\x9b31m")
    assert len(words(machine, "cli visor log --min-level warning --json").splitlines()) == 1
    with machine.running("cli visor log --follow --json") as following:
        told = [json.loads(following.line())["text"] for _ in range(3)]
        assert told == ["it began", node.process.lines[1].text, "it went on"]  # each once
        following.signal(signal.SIGINT)
        assert following.end() == (130, "", "")


def test_who_may_control_it(machine: Machine, node: Served) -> None:
    assert words(machine, f"cli visor grant {OTHER} control") == f"{OTHER}: control\n"
    assert node.config.who == {OTHER: Role.CONTROL}
    assert facts(machine, "cli visor grants") == {
        "grants": [{"key": str(OTHER), "role": "control", "source": "control"}]
    }
    assert words(machine, f"cli visor revoke {OTHER}") == f"{OTHER}: revoked\n"
    assert node.config.who == {}
    assert machine.run(f"cli visor grant {OTHER} root").returncode == 2
    assert machine.run("cli visor grant 02 read").returncode == 2
    assert words(machine, "cli visor log-level Debug") == "log level: debug\n"
    assert node.config.level == "debug"
    assert machine.run("cli visor log-level loud").returncode == 2


def test_halt(machine: Machine, node: Served) -> None:
    done = machine.run("cli visor halt")
    assert (done.returncode, done.stdout) == (4, "")
    assert not node.process.halted.is_set()
    assert words(machine, "cli visor halt --i-know-what-im-doing") == "visor-0123456789 is about to end\n"
    assert node.process.halted.is_set()


# --- cli visor app


def test_it_is_the_same_as_app(machine: Machine, node: Served) -> None:
    assert machine.run("app talker say something-to-log").returncode == 0
    for ours, theirs in (
        ("app ls --json", "cli visor app ls --json"),
        ("app talker status --json", "cli visor app status talker --json"),
        ("app talker config --json", "cli visor app args talker --json"),
        ("app talker log", "cli visor app log talker beginning"),
    ):
        assert words(machine, ours) == words(machine, theirs)
    assert words(machine, "cli visor app stop talker") == "talker: stopped\n"
    assert words(machine, "cli visor app start talker --internal") == "talker: running\n"
    assert words(machine, "cli visor app restart talker") == "talker: running\n"
    assert words(machine, "cli visor app args talker --set times=4") == "talker: running\n"
    assert words(machine, "cli visor app args talker --unset times") == "talker: running\n"
    assert machine.run("cli visor app start talker --internal --external").returncode == 2
    assert "did you mean talker" in machine.run("cli visor app stop talkr").stderr


def test_an_instance_for_a_process_of_others(machine: Machine, node: Served) -> None:
    machine.run("app talker stop")
    try:
        done = machine.run("cli visor app register -a outside -p talker")
        assert done.returncode == 0, done.stderr
        assert "skywire app attach outside" in done.stdout
        assert node.site.launcher.config("outside").isolation == "attached"
        assert words(machine, "cli visor app deregister outside") == "outside: removed\n"
    finally:
        machine.run("app talker start")


def test_variables(machine: Machine, node: Served, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hush\n")
    assert words(machine, f"cli visor app env talker A=1 B=@{secret}") == "talker: running\n"
    assert node.site.launcher.config("talker").environment == {"A": "1", "B": "hush"}
    assert words(machine, "cli visor app env talker") == "A=1\nB=hush\n"
    assert json.loads(words(machine, "cli visor app env talker --json")) == {"environment": {"A": "1", "B": "hush"}}
    assert words(machine, "cli visor app env talker --clear") == "talker: running\n"
    assert node.site.launcher.config("talker").environment == {}
    assert machine.run("cli visor app env talker").stderr == "talker is given no variables\n"
    for wrong in ("A", "A=1 --clear"):
        assert machine.run(f"cli visor app env talker {wrong}").returncode == 2


def options_of(node: Served) -> VpnOptions:
    found = node.site.launcher.config("vpn").app.options
    assert isinstance(found, VpnOptions)
    return found


@pytest.mark.parametrize(
    ("name", "value", "expected", "default"),
    [
        ("killswitch", "on", True, False),
        ("netifc", "eth0", "eth0", ""),
        ("pk", str(OTHER), OTHER, None),
        ("secure", "false", False, True),
        ("whitelist", f"{OTHER},{OTHER}", (OTHER, OTHER), ()),
    ],
)
def test_one_option(machine: Machine, node: Served, name: str, value: str, expected: object, default: object) -> None:
    assert words(machine, f"cli visor app arg {name} vpn {value}") == "vpn: stopped\n"
    assert getattr(options_of(node), name) == expected
    assert words(machine, f"cli visor app arg {name} vpn remove") == "vpn: stopped\n"
    assert getattr(options_of(node), name) == default
    assert "there is no such option" in machine.run(f"cli visor app arg {name} talker {value}").stderr


def test_autostart(machine: Machine, node: Served) -> None:
    assert words(machine, "cli visor app arg autostart talker off") == "talker: autostart off\n"
    assert not node.site.launcher.config("talker").auto_start
    assert words(machine, "cli visor app arg autostart talker on") == "talker: autostart on\n"
    assert node.site.launcher.config("talker").auto_start
    assert machine.run("cli visor app arg autostart talker maybe").returncode == 2
    assert machine.run("cli visor app arg autostart pty off").returncode == 4


def test_a_passcode_is_no_argument(machine: Machine, node: Served, tmp_path: Path) -> None:
    done = machine.run("cli visor app arg passcode vpn hush")
    assert (done.returncode, "a passcode is secret" in done.stderr, "hush" in done.stderr) == (2, True, False)
    secret = tmp_path / "secret"
    secret.write_text("hush\n")
    assert words(machine, f"cli visor app arg passcode vpn @{secret}") == "vpn: stopped\n"
    assert options_of(node).passcode == "hush"
    assert words(machine, "cli visor app arg passcode vpn remove") == "vpn: stopped\n"
    assert options_of(node).passcode == ""
    code, shown = machine.at_terminal("cli visor app arg passcode vpn", "passcode: ", "typed in")
    assert (code, "typed in" in shown) == (0, False)
    assert options_of(node).passcode == "typed in"


# --- completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(machine: Machine, node: Served, shell: str, tmp_path: Path) -> None:
    script = words(machine, f"completion {shell}")
    for name in ("log-level", "talker", "i-know-what-im-doing"):
        assert name in script
    if shell == "bash":
        file = tmp_path / "completion"
        file.write_text(script)
        commands = f'. {file}; COMP_WORDS=(skywire app talker s); COMP_CWORD=3; _skywire; echo "${{COMPREPLY[@]}}"'
        done = subprocess.run(["bash", "-c", commands], capture_output=True, text=True, timeout=PATIENCE, check=True)
        assert done.stdout == "start stop status say\n"


def test_completion_without_a_node() -> None:
    with new_machine() as machine:
        assert "log-level" in words(machine, "completion bash")
