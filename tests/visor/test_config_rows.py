"""Rows of a configuration as app instances: upstream's and ours, and what a bad one costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from skywire.app.catalogue import Catalogue
from skywire.app.definition import Isolation
from skywire.app.limits import RestartPolicy
from skywire.app.options import encode
from skywire.app.record import InstanceConfig
from skywire.apps import BUILT_IN
from skywire.keys import PubKey
from skywire.visor.config.file import ConfigFile
from skywire.visor.config.rows import instances
from tests.visor.definitions import ChatOptions, ClientOptions, DebugOptions, LogOptions, catalogue
from tests.visor.files import ALICE, BOB, CAROL, copied, made


def read(
    folder: Path, *rows: dict[str, object], trust: bool = False, **members: object
) -> tuple[dict[str, InstanceConfig], list[str]]:
    """The instances of rows, without those that are there without one, and the warnings."""
    file = made(folder, launcher={"apps": list(rows)}, **members)
    found, warnings = instances(
        file.config, catalogue("skychat", "skysocks", "skysocks-client", "vpn-client"), trust=trust
    )
    return found, [f"{each.place}: {each.text}" for each in warnings]


def one(folder: Path, **row: object) -> InstanceConfig:
    """The only instance of one row, which nobody has to be told anything about."""
    found, warnings = read(folder, row)
    assert warnings == []
    (instance,) = found.values()
    return instance


def trouble(folder: Path, row: dict[str, object], *, trust: bool = False) -> str:
    """Why the instance of a row cannot run."""
    found, _ = read(folder, row, trust=trust)
    (instance,) = found.values()
    assert instance.app.trouble is not None
    return instance.app.trouble


@pytest.mark.parametrize("name", ["go-2024.json", "go-2026.json"])
def test_rows_of_upstream(tmp_path: Path, name: str) -> None:
    config = ConfigFile.load(copied(tmp_path, name)).config
    found, warnings = instances(config, catalogue(), trust=False)
    texts = [f"{each.place}: {each.text}" for each in warnings]
    allowed = (*config.survey_whitelist, *config.user_survey_whitelist, *config.hypervisors)
    chat = found["skychat"]
    assert chat.app.options == ChatOptions(addr=":8001", persist=name == "go-2026.json")
    assert (chat.auto_start, chat.ports, chat.restart) == (True, {"chat": 1}, RestartPolicy.ON_FAILURE)
    assert found["skysocks-client"].app.options == ClientOptions(addr=":1080")
    assert found["debug"].app.options == DebugOptions(allow=config.hypervisors)
    assert found["debug"].auto_start
    if name == "go-2024.json":
        assert found["log-server"].app.options == LogOptions(allow=allowed)
        assert {key for key, each in found.items() if each.app.trouble} == {"weather"}
        assert texts == ["launcher.apps[0].args: --dns means nothing to vpn-client"]
    else:
        assert found["log-server"].app.options == LogOptions(allow=allowed, local="127.0.0.1:8002")
        assert found["skysocks-client-home"].app.definition.name == "skysocks-client"
        assert found["skysocks-client-home"].app.options == ClientOptions(addr="127.0.0.1:1081")
        assert found["skysocks-client-home"].environment == {"LANG": "C"}
        assert found["skysocks"].restart is RestartPolicy.NEVER
        assert found["vpn-client"].isolation is Isolation.CHILD
        assert not any(each.app.trouble for each in found.values())
        assert texts == [
            "launcher.apps[0].args: --dns means nothing to vpn-client",
            "launcher.apps[3].args: --reconnect means nothing to skysocks-client",
            "launcher.apps[4].env[1]: NAME=value is expected, and it is left out",
            "launcher.apps[5].user: it means nothing here, and is kept",
        ]


def test_a_row_of_ours(tmp_path: Path) -> None:
    made = one(
        tmp_path,
        name="chat-home",
        app="skychat",
        auto_start=True,
        options={"addr": "127.0.0.1:9"},
        ports={"chat": 9, "files": 10},
        isolation="child",
        restart_policy="always",
        env=["A=b=c"],
    )
    assert (made.name, made.app.definition.name, made.auto_start) == ("chat-home", "skychat", True)
    assert made.app.options == ChatOptions(addr="127.0.0.1:9")
    assert made.ports == {"chat": 9, "files": 10}
    assert (made.isolation, made.restart) == (Isolation.CHILD, RestartPolicy.ALWAYS)
    assert made.environment == {"A": "b=c"}


def test_what_is_left_out(tmp_path: Path) -> None:
    made = one(tmp_path, name="skychat")
    assert (made.auto_start, made.restart, made.ports) == (False, RestartPolicy.ON_FAILURE, {})
    assert (made.isolation, made.environment) == (Isolation.IN_PROCESS, {})
    assert made.app.options == ChatOptions()


@pytest.mark.parametrize(
    "args",
    [
        ["app", "skysocks-client", "--addr", ":9", "--retry-time", "1"],
        ["app", "skysocks", "client", "-addr", ":9", "-retry_time=1"],
        ["skysocks-client", "--addr=:9", "--retry_time", "1.0"],
        ["--addr=:9", "--retry-time=1"],
        "app skysocks-client --addr ':9' --retry-time 1",
        "--addr :7 --addr :9 --retry-time=1",
    ],
)
def test_command_lines(tmp_path: Path, args: object) -> None:
    assert one(tmp_path, name="skysocks-client", args=args).app.options == ClientOptions(addr=":9", retry_time=1.0)


@pytest.mark.parametrize(
    ("args", "persist"),
    [
        ("--persist", True),
        ("--persist=false", False),
        ("-persist=true", True),
        ("--persist false --addr :1", False),
        ("--persist --addr :1", True),
    ],
)
def test_switches(tmp_path: Path, args: str, persist: bool) -> None:
    options = one(tmp_path, name="skychat", args=args).app.options
    assert isinstance(options, ChatOptions)
    assert options.persist is persist


def test_options_win_over_the_command_line(tmp_path: Path) -> None:
    made = one(tmp_path, name="skysocks-client", args="--addr :1 --tries 9", options={"addr": ":2"})
    assert made.app.options == ClientOptions(addr=":2", tries=9)


def test_what_means_nothing_is_told(tmp_path: Path) -> None:
    words = ["--mux", "3", "--addr", ":1", "--direct", "--pk=secret", "alone", "-", "--direct"]
    found, warnings = read(tmp_path, {"name": "skysocks-client", "args": words, "group": "users"})
    assert found["skysocks-client"].app.options == ClientOptions(addr=":1")
    assert warnings == [
        "launcher.apps[0].args: --mux means nothing to skysocks-client",
        "launcher.apps[0].args: --direct means nothing to skysocks-client",
        "launcher.apps[0].args: --pk means nothing to skysocks-client",
        "launcher.apps[0].args: a word that belongs to no flag means nothing to skysocks-client",
        "launcher.apps[0].group: it means nothing here, and is kept",
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"name": "nothing"}, "there is no app 'nothing'; there are: "),
        ({"name": "chat-home", "args": "app chat --x"}, "there is no app 'chat'; did you mean skychat? there are: "),
        ({"name": "broken"}, "app broken of skywire cannot be loaded: "),
        ({"name": "chat", "app": "nothing"}, "there is no app 'nothing'"),
        ({"name": "Chat!", "app": "skychat"}, "a name is up to 64 small letters"),
        ({"app": "skychat"}, "a name is up to 64 small letters"),
        ({"name": "dmsg", "app": "skychat"}, "the name 'dmsg' is taken by the process itself"),
        ({"name": "skychat", "options": {"adr": 1}}, "launcher.apps[0].options.adr: there is no such option"),
        ({"name": "skychat", "options": {"addr": 1}}, "launcher.apps[0].options.addr: a text is expected, this is the"),
        ({"name": "skysocks-client", "args": "--tries x"}, "launcher.apps[0].args.tries: a whole number is expected"),
        ({"name": "skysocks-client", "args": "--addr"}, "launcher.apps[0].args: --addr needs a value"),
        ({"name": "skychat", "args": '--addr "'}, "launcher.apps[0].args: it is no command line: No closing quotation"),
        ({"name": "skychat", "isolation": "jail"}, "launcher.apps[0].isolation: 'jail' is none of in-process, child"),
        (
            {"name": "skychat", "launcher_mode": "x"},
            "launcher.apps[0].launcher_mode: 'x' is none of internal, ext",
        ),
        ({"name": "skychat", "restart_policy": "x"}, "launcher.apps[0].restart_policy: 'x' is none of never"),
        (
            {"name": "skychat", "ports": {"web": 1}},
            "launcher.apps[0].ports.web: skychat has no such port; there are",
        ),
        ({"name": "skychat", "ports": {"chat": 0}}, "launcher.apps[0].ports.chat: 1 to 65535 is expected"),
    ],
)
def test_a_bad_row_costs_itself_alone(tmp_path: Path, row: dict[str, object], reason: str) -> None:
    found, _ = read(tmp_path, {**row, "auto_start": True}, {"name": "skysocks"})
    bad, good = found.values()
    assert bad.app.trouble is not None
    assert bad.app.trouble.startswith(reason)
    assert bad.auto_start
    assert good.name == "skysocks"
    assert good.app.trouble is None


@pytest.mark.parametrize("row", [{"options": {"pin": "123456"}}, {"args": "--pin hunter2"}])
def test_a_secret_that_does_not_fit_is_not_shown(tmp_path: Path, row: dict[str, object]) -> None:
    text = trouble(tmp_path, {"name": "skychat", **row})
    assert "pin: it does not fit, and is not shown, being secret" in text
    assert "123456" not in text
    assert "hunter2" not in text


def test_programs_are_not_executed(tmp_path: Path) -> None:
    row: dict[str, object] = {"name": "weather", "binary": "/opt/weather"}
    assert trouble(tmp_path, row) == (
        "it names the program /opt/weather, which is executed only when the visor is started with --trust"
    )
    assert trouble(tmp_path, row, trust=True) == ("programs of other languages are started by `isolation: attached`")
    for binary in ("", "skywire", "skychat"):
        assert one(tmp_path, name="skychat", binary=binary).app.trouble is None
    assert "names the program" in trouble(tmp_path, {"name": "skychat", "binary": "./skychat"})


def test_names_that_stand_in_for_bad_ones(tmp_path: Path) -> None:
    found, _ = read(tmp_path, {"name": "Bad"}, {"name": "row-0", "app": "skychat"}, {"name": ""})
    assert list(found) == ["row-0-x", "row-0", "row-2"]


def test_two_rows_of_one_name(tmp_path: Path) -> None:
    found, warnings = read(
        tmp_path,
        {"name": "skychat", "options": {"addr": ":1"}},
        {"name": "skychat", "options": {"addr": ":2"}},
        {"name": "skysocks", "removed": True},
        {"name": "skysocks"},
    )
    assert found["skychat"].app.options == ChatOptions(addr=":1")
    assert list(found) == ["skychat"]
    assert warnings == [
        "launcher.apps[1]: a row before it has the name skychat too, and is the one that counts",
        "launcher.apps[3]: a row before it has the name skysocks too, and is the one that counts",
    ]


def test_what_is_there_without_a_row(tmp_path: Path) -> None:
    file = made(
        tmp_path,
        survey_whitelist=[ALICE],
        user_survey_whitelist=[BOB],
        hypervisors=[CAROL, ALICE],
        log_server={"local_addr": "127.0.0.1:8002"},
    )
    found, warnings = instances(file.config, catalogue(), trust=False)
    alice, bob, carol = (PubKey.from_hex(each) for each in (ALICE, BOB, CAROL))
    assert warnings == ()
    assert list(found) == ["log-server", "debug"]
    assert found["log-server"].app.options == LogOptions(allow=(alice, bob, carol), local="127.0.0.1:8002")
    assert found["debug"].app.options == DebugOptions(allow=(carol, alice))
    assert all(each.auto_start and each.restart is RestartPolicy.ON_FAILURE for each in found.values())
    assert instances(file.config, catalogue("skychat"), trust=False) == ({}, ())


def test_the_log_server_is_for_this_machine(tmp_path: Path) -> None:
    file = made(tmp_path, log_server={"local_addr": ":8002"})
    found, _ = instances(file.config, Catalogue(BUILT_IN, ()), trust=False)
    assert found["log-server"].app.trouble is None
    assert encode(found["log-server"].app.options)["local"] == "127.0.0.1:8002"
    assert found["debug"].app.trouble is None


def test_the_remote_shell_is_for_hypervisors_and_whom_its_section_names(tmp_path: Path) -> None:
    section = {"dmsg_port": 2222, "whitelist": [BOB], "cli_network": "unix", "cli_address": "/tmp/x.sock"}
    file = made(tmp_path, hypervisors=[ALICE], pty=section)
    found, _ = instances(file.config, Catalogue(BUILT_IN, ()), trust=False)
    pty = found["pty"]
    assert pty.app.trouble is None
    assert encode(pty.app.options)["allow"] == [ALICE, BOB]
    assert (pty.ports, pty.restart, pty.auto_start) == ({"pty": 2222}, RestartPolicy.ALWAYS, True)
    rows = [{"name": "pty", "port": 23, "restart_policy": "on-failure"}]
    file = made(tmp_path, pty=section, launcher={"apps": rows})
    pty = instances(file.config, Catalogue(BUILT_IN, ()), trust=False)[0]["pty"]
    assert (pty.ports, pty.restart) == ({"pty": 23}, RestartPolicy.ON_FAILURE)


def test_a_row_overrides_what_is_there_without_it(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"name": "log-server", "options": {"lines": 7}, "restart_policy": ""},
        {"name": "debug", "auto_start": False},
    ]
    file = made(tmp_path, hypervisors=[ALICE], launcher={"apps": rows})
    found, _ = instances(file.config, catalogue(), trust=False)
    assert found["log-server"].app.options == LogOptions(allow=(PubKey.from_hex(ALICE),), lines=7)
    assert (found["log-server"].auto_start, found["log-server"].restart) == (True, RestartPolicy.NEVER)
    assert found["debug"].app.options == DebugOptions(allow=(PubKey.from_hex(ALICE),))
    assert not found["debug"].auto_start
    removed = made(tmp_path, launcher={"apps": [{"name": "debug", "removed": True}]})
    assert list(instances(removed.config, catalogue(), trust=False)[0]) == ["log-server"]
