"""``skywire app`` as its users run it, against nodes of this process."""

from __future__ import annotations

import json
import logging
import os
import re
import select
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from anyio.abc import TaskStatus

from skywire.app.host import AppHost
from skywire.app.loaded import load
from skywire.app.ownership import on_behalf_of
from skywire.app.record import InstanceConfig
from skywire.app.run_mode import RunMode
from skywire.net.conn import CORE
from tests.app.site import definition, instance
from tests.programs.control_node import HOSTILE, Served
from tests.programs.machine import VISOR, Machine, new_machine
from tests.programs.running import Running
from tests.programs.talker import TALKER

GATE = "--i-know-what-im-doing"


async def frail(host: AppHost, task_status: TaskStatus[None]) -> None:
    raise RuntimeError("it is frail\x1b[2J")


def talker(name: str = "talker", port: int = 4100) -> InstanceConfig:
    return instance(load(TALKER), name, talk=port)


def configs() -> list[InstanceConfig]:
    return [
        talker(),
        instance(definition("pty", critical=True)),
        instance(definition("frail", frail)),
        instance(definition("idle"), auto_start=False),
    ]


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with new_machine() as machine:
        yield machine


@pytest.fixture(scope="module")
def node(machine: Machine) -> Iterator[Served]:
    with machine.node(*configs()) as served:
        machine.portal.call(served.site.until, "frail", "errored")
        machine.portal.call(served.site.until, "talker", "running")
        yield served


@pytest.fixture
def empty() -> Iterator[Machine]:
    """A machine of its own."""
    with new_machine() as machine:
        yield machine


def apps(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, object]]:
    assert done.returncode == 0, done.stderr
    return {each["name"]: each for each in json.loads(done.stdout)["apps"]}


# --- ls


def test_the_table_has_every_instance(machine: Machine, node: Served) -> None:
    done = machine.run("app ls")
    assert (done.returncode, done.stderr) == (0, "")
    head, _, *rows = done.stdout.splitlines()
    assert head.split() == [
        *("name", "app", "state", "port", "autostart", "restart", "mode", "isolation", "node", "since", "reason"),
    ]
    cells = {row.split()[0]: re.split(r"  +", row.strip()) for row in rows}
    assert cells["talker"][1:4] == ["talker", "running", "4100"]
    assert cells["idle"][1:4] == ["idle", "stopped", "off"]
    assert cells["frail"][-1] == r"RuntimeError: it is frail\x1b[2J"
    assert {len(row.rstrip()) <= 200 for row in rows} == {True}


def test_a_narrow_table_says_what_it_leaves_out(machine: Machine, node: Served) -> None:
    done = machine.run("app ls", environment={"COLUMNS": "80"})
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["name", "app", "state", "port", "autostart", "since", "reason"]
    assert done.stderr == "no room for: node, mode, restart, isolation; --json tells all\n"
    assert "\x1b" not in done.stdout


def test_colours_are_for_terminals_and_none_come_from_others(machine: Machine, node: Served) -> None:
    code, shown = machine.at_terminal("app ls")
    assert code == 0
    assert "\x1b[32mrunning" in shown
    assert "\x1b[31merrored" in shown
    assert (r"frail\x1b[2J" in shown, "\x1b[2J" in shown) == (True, False)
    code, shown = machine.at_terminal("cli visor log --last 1")
    assert (code, shown.startswith("\x1b[33m1970-01-01")) == (0, True)
    assert (r"\x1b[2J" in shown, "\x1b[2J" in shown, "\x9b" in shown) == (True, False, False)


def test_the_list_as_json(machine: Machine, node: Served) -> None:
    found = apps(machine.run("app ls --json"))
    assert list(found) == ["talker", "pty", "frail", "idle"]
    facts = found["talker"]
    assert (facts["state"], facts["node"], facts["mode"], facts["ports"]) == (
        "running",
        VISOR,
        "visor-app",
        {"talk": 4100},
    )
    assert facts["public_key"] == str(node.public)


def test_all_processes_are_listed_and_a_silent_one_does_not_stop_that(empty: Machine) -> None:
    with (
        empty.node(talker()),
        empty.node(talker("alone"), name="dmsg-talker", mode=RunMode.DMSG_STANDALONE, program="dmsg 0.1.0"),
        empty.node(name="silent") as silent,
    ):
        silent.process.silent = True
        done = empty.run("app ls --json --timeout 2")
        found = apps(done)
        assert {name: (each["node"], each["mode"], each["program"]) for name, each in found.items()} == {
            "talker": (VISOR, "visor-app", "skywire 0.1.0"),
            "alone": ("dmsg-talker", "dmsg-standalone", "dmsg 0.1.0"),
        }
        assert done.stderr == "skywire: silent: silent has not answered within 2 s\n"
        assert list(apps(empty.run("app ls --json --node dmsg"))) == ["alone"]
        # Each instance is found where it is, visor or not.
        assert empty.run("app alone status --timeout 2").stdout.startswith("alone\n")
        assert empty.run("app talker stop --timeout 2").stdout == "talker: stopped\n"
        # Nothing that only a visor has.
        assert "this process cannot do that" in empty.run("--node dmsg-talker cli visor grants").stderr


def test_no_node(empty: Machine) -> None:
    for line in ("app ls", "app ls --json", "app talker start", "app add talker", "cli visor info", "app talker say x"):
        done = empty.run(line)
        assert (done.returncode, done.stdout) == (3, ""), line
        assert done.stderr == "skywire: no node runs here; start one with: skywire visor\n"


def test_a_live_table_follows(machine: Machine, node: Served) -> None:
    with machine.running("app ls -L") as live:
        assert read_until(live.line, "idle +idle +stopped")
        assert machine.run("app idle start").returncode == 0
        assert read_until(live.line, "idle +idle +running")
        live.signal(signal.SIGINT)
        assert live.end()[0] == 130
    assert machine.run("app idle stop").returncode == 0


# --- start, stop, restart


def test_what_is_done_twice_is_done(machine: Machine, node: Served) -> None:
    for verb, told in (("start", "idle: running"), ("restart", "idle: running"), ("stop", "idle: stopped")):
        for _ in range(2):
            done = machine.run(f"app idle {verb}")
            assert (done.returncode, done.stdout, done.stderr) == (0, f"{told}\n", "")
    assert json.loads(machine.run("app idle stop --json").stdout)["state"] == "stopped"


def test_what_does_not_come_up_says_why(machine: Machine, node: Served) -> None:
    done = machine.run("app frail start")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "skywire: frail: errored (RuntimeError: it is frail\\x1b[2J)\n"
    done = machine.run("app frail start --json")
    assert (done.returncode, json.loads(done.stdout)["state"]) == (1, "errored")


def test_what_is_critical_is_guarded(machine: Machine, node: Served) -> None:
    for line in ("app pty stop", "app pty restart", "app pty config x=y", "app rm pty", "cli visor app stop pty"):
        done = machine.run(line)
        if "config" in line:  # it has no options
            assert done.returncode == 1
        else:
            assert (done.returncode, done.stdout) == (4, "")
            assert done.stderr.count("\n") == 1
            assert GATE in done.stderr
    assert machine.run(f"app pty restart {GATE}").stdout == "pty: running\n"
    assert machine.run(f"app pty stop --for 10m {GATE}").stdout == "pty: stopped (comes back in 9m59s)\n"
    assert re.search("pty .*stopped .*comes back in 9m", machine.run("app ls").stdout)
    assert machine.run("app pty start").stdout == "pty: running\n"


def test_it_comes_back_by_itself(machine: Machine, node: Served) -> None:
    machine.portal.call(node.site.launcher.start, "idle")
    assert machine.run("app idle stop --for 1s").stdout.startswith("idle: stopped (comes back in ")
    machine.portal.call(node.site.until, "idle", "running")
    machine.portal.call(node.site.launcher.stop, "idle")


# --- names, nodes


def test_names_that_are_not_there(machine: Machine, node: Served) -> None:
    done = machine.run("app talkr start")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "skywire: there is no app instance 'talkr'; did you mean talker? there are: frail, idle, pty, talker\n"
    )
    assert "there is no app instance 'bogus'" in machine.run("app bogus").stderr
    assert machine.run("app start talker").stderr == "skywire: the name comes first: skywire app NAME start\n"
    assert machine.run("app talker rm").stderr == "skywire: the name comes last: skywire app rm talker\n"
    assert 'Unknown command "bogus"' in machine.run("--node visor app talker bogus").stderr
    assert machine.run("app --node visor").stdout.startswith("Usage: skywire app COMMAND")
    hostile = machine.run("app", "\x1b[2J", "start")
    assert (hostile.returncode, "\x1b" in hostile.stderr) == (1, False)


def test_two_visors(empty: Machine) -> None:
    with empty.node(talker()), empty.node(talker(), talker("second", 4101), name="visor-fedcba9876"):
        done = empty.run("cli visor pk")
        assert (done.returncode, done.stdout) == (2, "")
        assert "several visors run here; choose one with --node, or in SKYWIRE_NODE: visor-0123456789 (" in done.stderr
        assert empty.run("app talker status").returncode == 2
        assert empty.run("app second status").returncode == 0
        key = empty.run("--node visor-fe cli visor pk").stdout
        assert empty.run("cli visor pk --node visor-fedcba9876").stdout == key
        for named in ("fe", "fedcba9876", "fedcba98760123456789"):  # its key, or the beginning of that
            assert empty.run(f"cli visor pk --node {named}").stdout == key
        assert empty.run("cli visor pk --node fedcba98770123456789").returncode == 3
        narrow = empty.run("app ls", environment={"COLUMNS": "80"}).stdout  # which is which has to be seen
        assert re.search("talker +running +4100 .*visor-0123456789", narrow)
        assert re.search("talker +running +4100 .*visor-fedcba9876", narrow)
        assert empty.run("cli --node visor-fe visor pk").stdout == key
        assert empty.run("cli visor pk", environment={"SKYWIRE_NODE": "visor-fe"}).stdout == key
        for named, reason in (
            ("visor", "several nodes have names or keys that begin with 'visor'"),
            ("x", "no node 'x' runs here"),
        ):
            done = empty.run(f"cli visor pk --node {named}")
            assert (done.returncode, reason in done.stderr) == (3, True)


def test_a_node_that_ends_in_the_middle(empty: Machine) -> None:
    with ExitStack() as stack:
        stack.enter_context(empty.node(talker()))
        with empty.running("app talker count") as counting, empty.running("app talker log -f") as following:
            assert [counting.line(), counting.line()] == ["number 1", "number 2"]
            assert empty.run("app talker say here-it-is").returncode == 0
            assert read_until(following.line, "here-it-is")
            stack.close()
            for each in (counting, following):
                code, out, err = each.end()
                assert (code, out) == (3, ""), err
                assert err.startswith("skywire: the ")
                assert err.count("\n") == 1


# --- status, log, conns


def test_status(machine: Machine, node: Served) -> None:
    done = machine.run("app frail status")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "frail"
    assert "  state             errored" in lines
    assert r"  reason            RuntimeError: it is frail\x1b[2J" in lines
    history = lines[lines.index("history (UTC)") + 1 :]
    assert [line.split()[2] for line in history[:3]] == ["stopped", "starting", "errored"]
    facts = json.loads(machine.run("app frail status --json").stdout)
    assert (facts["name"], facts["state"], facts["node"]) == ("frail", "errored", VISOR)
    assert facts["history"][0]["state"] == "stopped"


def test_logs(machine: Machine, node: Served) -> None:
    async def speak() -> None:
        logger = logging.getLogger("skywire.app.talker")
        with on_behalf_of("talker"):
            logger.debug("in detail")
            logger.warning("%s", HOSTILE)

    machine.portal.call(speak)
    done = machine.run("app talker log --level warning --last 1")
    assert (done.returncode, done.stderr) == (0, "")
    first, second = done.stdout.splitlines()
    assert first.endswith(r"WARNING skywire.app.talker: \x1b[2Jcleared\x07")
    assert second == r"    second line\x9b31m"
    entries = [json.loads(line) for line in machine.run("app talker log --json --since 1h").stdout.splitlines()]
    assert entries[-1]["text"] == f"skywire.app.talker: {HOSTILE}"
    assert [each["level"] for each in entries[-2:]] == ["debug", "warning"]
    assert machine.run("app talker log beginning").stdout == machine.run("app talker log").stdout
    assert machine.run("app talker log --since 2999-01-01").stdout == ""
    for wrong, reason in (("--since yesterday", "a moment is"), ("--level loud", "a level is"), ("-n -1", "--last is")):
        done = machine.run(f"app talker log {wrong}")
        assert (done.returncode, done.stdout) == (2, ""), wrong
        assert reason in done.stderr


def test_a_log_is_followed_until_ctrl_c(machine: Machine, node: Served) -> None:
    with machine.running("app talker log --follow --last 0") as following:
        for number in range(3):
            words = f"line-{number}"
            say = machine.run(f"app talker say {words}")
            assert say.returncode == 0, say.stderr
            # What came before it was followed may be missing: nobody knows when that was.
            if number == 0:
                read_until_said(machine, following)
            else:
                assert following.line().endswith(f"saying {words}")
        following.signal(signal.SIGINT)
        assert following.end() == (130, "", "")


def read_until_said(machine: Machine, following: Running) -> None:
    """Say something again and again until it is followed, and then read until all of that is gone."""
    for _ in range(100):
        assert machine.run("app talker say now").returncode == 0
        assert following.process.stdout is not None
        if select.select([following.process.stdout], [], [], 0.5)[0]:
            break
    assert machine.run("app talker say enough").returncode == 0
    assert read_until(following.line, "saying enough")


@pytest.mark.parametrize(
    "line", ["app talker log --follow", "app talker count", "cli visor log --follow --min-level info"]
)
def test_whoever_reads_has_enough(machine: Machine, node: Served, line: str) -> None:
    machine.run("app talker say before")
    with machine.running(line) as following:
        following.line()
        following.read_no_more()
        for _ in range(10):
            if following.process.poll() is not None:
                break
            machine.portal.call(say_again, node)
            try:
                following.process.wait(0.3)
            except subprocess.TimeoutExpired:
                continue
        else:
            following.signal(signal.SIGINT)  # who has nothing to write cannot notice
        code, _, err = following.end()
        assert code in {1, 130}
        assert err == ""


async def say_again(node: Served) -> None:
    with on_behalf_of("talker"):
        logging.getLogger("skywire.app.talker").info("again")


def test_connections(machine: Machine, node: Served) -> None:
    assert machine.run("app talker conns").stderr == "talker has no connections\n"
    with machine.portal.wrap_async_context_manager(node.site.registry.self_dial(4100, owner=CORE)) as conn:
        machine.portal.call(conn.receive)
        done = machine.run("app talker conns")
        _, _, row = done.stdout.splitlines()
        assert row.split()[:5] == [str(node.public), "in", "memory", "4100", "65535"]
        assert row.split()[-4:] == ["0", "B", "6", "B"]
        (facts,) = json.loads(machine.run("cli visor app conns talker --json").stdout)["connections"]
        assert (facts["owner"], facts["bytes_out"]) == ("talker", 6)
        narrow = machine.run("app talker conns", environment={"COLUMNS": "80"})
        assert str(node.public) in narrow.stdout


# --- options


def test_options_are_told_and_set(machine: Machine, node: Served, tmp_path: Path) -> None:
    done = machine.run("app talker config greeting=Hi times=3")
    assert (done.returncode, done.stdout) == (0, "talker: running\n")
    secret = tmp_path / "passcode"
    secret.write_text("hush\nsecond\n")
    assert machine.run(f"app talker config passcode=@{secret}").returncode == 0
    config = node.site.launcher.config("talker").app.options
    assert vars(config) == {"greeting": "Hi", "times": 3, "passcode": "hush"}
    head, _, *rows = machine.run("app talker config").stdout.splitlines()
    assert head.split() == ["option", "kind", "value", "default", "help"]
    assert [re.split(r"  +", row.strip())[:4] for row in rows] == [
        ["greeting", "text", "Hi", "Hello"],
        ["times", "whole number", "3", "1"],
        ["passcode", "text", "(hidden)", "What peers have to know."],
    ]
    told = machine.run("app talker config --json").stdout
    assert "hush" not in told
    assert {each["name"]: each["value"] for each in json.loads(told)["options"]} == {
        "greeting": "Hi",
        "times": 3,
        "passcode": None,
    }
    assert machine.run("app talker config --unset greeting --unset times --unset passcode").returncode == 0
    assert vars(node.site.launcher.config("talker").app.options) == {"greeting": "Hello", "times": 1, "passcode": ""}


@pytest.mark.parametrize(
    ("setting", "code", "reason"),
    [
        ("passcode=hush", 2, "passcode is secret, and arguments are not"),
        ("passcode=@/nowhere/at/all", 2, "cannot read"),
        ("times=many", 1, "options.times: a whole number is expected"),
        ("bogus=1", 1, "options.bogus: there is no such option"),
        ("times", 2, "settings are NAME=VALUE"),
        ("greeting=fail", 1, "talker: errored (tests.programs.talker.NotNow: it was told to fail)"),
    ],
)
def test_options_that_do_not_fit(machine: Machine, node: Served, setting: str, code: int, reason: str) -> None:
    done = machine.run(f"app talker config {setting}")
    assert (done.returncode, done.stdout) == (code, "")
    assert reason in done.stderr
    assert "hush" not in done.stderr
    if "fail" in setting:
        assert machine.run("app talker config --unset greeting").returncode == 0


def test_instances_are_made_and_removed(machine: Machine, node: Served, tmp_path: Path) -> None:
    secret = tmp_path / "passcode"
    secret.write_text("hush\n")
    done = machine.run("app definitions")
    assert re.search("talker +skywire +.*Talks", done.stdout)
    assert re.search("broken +skywire +.*cannot be loaded", done.stdout)
    assert json.loads(machine.run("app definitions --json").stdout)["definitions"][0]["name"] == "talker"
    machine.run("app talker stop")
    try:
        done = machine.run(f"app add talker --name other greeting=Hi passcode=@{secret} --restart always")
        assert (done.returncode, done.stdout) == (0, "other: running\n"), done.stderr
        made = node.site.launcher.config("other")
        assert (vars(made.app.options)["passcode"], made.restart, made.auto_start) == ("hush", "always", True)
        assert machine.run("app add talker --name third --port talk=4102 --no-auto-start").stdout == "third: stopped\n"
        for line, reason in (
            ("app add talker --name other", "there is an app instance 'other' already"),
            ("app add nothing a=b", "there is no app 'nothing'"),
            ("app add talkr", "there is no app 'talkr'; did you mean talker?"),
            ("app add talker --name fourth --port tal=4103", "talker has no port 'tal'; did you mean talk? there are"),
            ("app add talker --name fourth --port talk=4103 times=x", "options.times: a whole number"),
        ):
            done = machine.run(line)
            assert (done.returncode, done.stdout) == (1, "")
            assert reason in done.stderr
        assert machine.run("app add talker --name fourth --port talk=4103 passcode=hush").returncode == 2
        assert "fourth" not in node.site.states()
    finally:
        for name in ("other", "third"):
            assert machine.run(f"app rm {name}").stdout == f"{name}: removed\n"
        machine.run("app talker start")


# --- commands of its own


def test_an_app_has_commands_of_its_own(machine: Machine, node: Served) -> None:
    done = machine.run("app talker say --loud --times 2 hello")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"words": "HELLO HELLO", "timeout": 1.5})
    done = machine.run("app talker say --words hello --say-timeout 3 --timeout 20")
    assert json.loads(done.stdout) == {"words": "hello", "timeout": 3.0}
    assert machine.run("app talker greet").stdout == "Hello\\x1b]0;x\\x07\nand more\n"
    assert machine.run("app talker count --first 5 --last 7").stdout == "number 5\nnumber 6\nnumber 7\n"
    done = machine.run("app talker say nothing")
    assert (done.returncode, done.stderr) == (1, "skywire: there is nothing to say\\x1b[2J\n")
    for wrong, reason in (("--times many x", "times: a whole number"), ("--to 02 x", "public key"), ("", "--words")):
        done = machine.run(f"app talker say {wrong}")
        assert (done.returncode, done.stdout) == (2, ""), wrong
        assert reason in done.stderr + done.stdout


def test_the_help_of_an_instance_has_all_that_it_can_do(machine: Machine, node: Served) -> None:
    shown = machine.run("app talker --help").stdout
    for verb in ("start", "stop", "restart", "status", "log", "conns", "config", "call", "say", "greet", "count"):
        assert re.search(rf"│ {verb} ", shown), verb
    assert "--say-timeout" in machine.run("app talker say --help").stdout
    assert "│ start " in machine.run("app pty --help").stdout


def test_commands_by_name_where_the_definition_is_not_installed(machine: Machine, node: Served) -> None:
    bare = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    assert machine.run("app talker say x", environment=bare).returncode == 2
    done = machine.run("app talker call say words=hi times=2 to=null", environment=bare)
    assert json.loads(done.stdout)["words"] == "hi hi"
    done = machine.run("app talker call count last=2 --stream", environment=bare)
    assert done.stdout == "number 1\nnumber 2\n"
    done = machine.run("app talker call bogus")
    assert (done.returncode, "there is no command 'bogus'" in done.stderr) == (1, True)
    assert machine.run("app idle call say").stderr == "skywire: idle is stopped, and answers only while it runs\n"


def read_until(line: Callable[[], str], pattern: str) -> str:
    """Read lines until one matches."""
    while not re.search(pattern, read := line()):
        pass
    return read
