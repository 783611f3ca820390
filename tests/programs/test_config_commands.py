"""The commands about the configuration, as their users run them."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from skywire import SecKey, keyfile
from skywire.visor.config.file import ConfigFile
from tests.visor.files import ALICE, BOB, FIXTURES, KEY, copied, put

PROGRAM = [sys.executable, "-m", "skywire", "cli", "config"]
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("SKYWIRE_")}
SERVICES = {
    "prod": {
        "conf": "http://conf.example.invalid",
        "dmsg_discovery": "http://dmsgd.example.invalid",
        "transport_setup": [ALICE],
        "route_setup_nodes": [BOB],
        "uptime_tracker": "http://ut.example.invalid",
        "dmsg_servers": [{"static": BOB, "server": {"address": "127.0.0.1:8081"}}],
        "survey_whitelist": [ALICE],
        "dns_server": "127.0.0.1",
    },
    "test": {"dmsg_discovery": "http://test.example.invalid"},
}


def run(
    folder: Path, *arguments: str | Path, data: str = "", fails: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, which has this exit code."""
    home = {"XDG_CONFIG_HOME": str(folder / "config"), "XDG_DATA_HOME": str(folder / "data")}
    done = subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        cwd=folder,
        input=data,
        capture_output=True,
        text=True,
        timeout=40,
        env={**CLEAN, **home, "COLUMNS": "200", **environment},
        check=False,
    )
    assert done.returncode == fails, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_gen_writes_for_its_owner_alone(tmp_path: Path) -> None:
    done = run(tmp_path, "gen", "-o", "visor.json", "-j", f"{ALICE},{BOB}", "--loglvl", "debug", "--minsess", "3")
    path = tmp_path / "visor.json"
    config = ConfigFile.load(path).config
    assert done.stdout == f"{config.identity.public}\n"
    assert done.stderr.splitlines() == [
        "the configuration is in visor.json",
        "no dmsg discovery is set: name one with --disc, or services with --services",
    ]
    assert [str(each) for each in config.hypervisors] == [ALICE, BOB]
    assert (config.log_level, config.dmsg.sessions_count, config.local_path) == ("debug", 3, "./local")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().startswith('{\n\t"version": ')
    assert "://" not in path.read_text()
    assert ConfigFile.load(path).warnings == ()


def test_gen_without_a_place_writes_where_all_commands_look(tmp_path: Path) -> None:
    done = run(tmp_path, "gen", "--disc", "http://127.0.0.1:9090", "--json")
    facts = json.loads(done.stdout)
    path = tmp_path / "config" / "skywire" / "skywire-config.json"
    assert facts["config_file"] == str(path)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert ConfigFile.load(path).config.local_path == str(tmp_path / "data" / "skywire")
    assert done.stderr == ""
    assert json.loads(run(tmp_path, "show").stdout)["pk"] == facts["public_key"]
    assert "exists already" in run(tmp_path, "gen", fails=1).stderr


def test_gen_takes_the_key_it_is_given(tmp_path: Path) -> None:
    keyfile.save(tmp_path / "node.key", KEY)
    assert run(tmp_path, "gen", "-o", "a", "--key-file", "node.key").stdout == f"{KEY.public}\n"
    assert run(tmp_path, "gen", "-o", "b", SKYWIRE_SK=KEY.expose_hex()).stdout == f"{KEY.public}\n"
    printed = run(tmp_path, "gen", "-n", SKYWIRE_SK=KEY.expose_hex())
    assert json.loads(printed.stdout)["sk"] == KEY.expose_hex()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "b", "node.key"]


def test_gen_replaces_only_when_told_so(tmp_path: Path) -> None:
    run(tmp_path, "gen", "-o", "visor.json")
    before = (tmp_path / "visor.json").read_text()
    assert "exists already" in run(tmp_path, "gen", "-o", "visor.json", fails=1).stderr
    assert (tmp_path / "visor.json").read_text() == before
    run(tmp_path, "gen", "-o", "visor.json", "--force")
    assert (tmp_path / "visor.json").read_text() != before
    assert (tmp_path / "visor.json.bak").read_text() == before


def test_gen_brings_a_file_of_upstream_up_to_date(tmp_path: Path) -> None:
    path = copied(tmp_path, "go-2024.json")
    before = json.loads(path.read_text())
    run(tmp_path, "gen", "-r", "-o", path, "--loglvl", "warn")
    after = json.loads(path.read_text())
    assert after == {**before, "version": after["version"], "log_level": "warn"}
    assert list(after) == list(before)
    old = put(
        tmp_path / "old.json", {"later": 1, "routing": {"setup_nodes": [ALICE]}, "dmsg": {"discovery": "http://a"}}
    )
    run(tmp_path, "gen", "-r", "-o", old)
    filled = ConfigFile.load(old)
    assert filled.config.identity == KEY
    assert filled.config.dmsg.discovery == "http://a"
    assert filled.document.value["later"] == 1
    assert "uptime_tracker" in filled.document.value
    key = SecKey.generate().expose_hex()
    assert "has a key of its own" in run(tmp_path, "gen", "-r", "-o", old, SKYWIRE_SK=key, fails=1).stderr


def test_services_of_upstream(tmp_path: Path) -> None:
    services = put(tmp_path / "services-config.json", json.dumps(SERVICES, indent=2), 0o644)
    done = run(tmp_path, "gen", "-o", "visor.json", "--services", services)
    config = ConfigFile.load(tmp_path / "visor.json").config
    assert done.stderr == "the configuration is in visor.json\n"
    assert config.dmsg.discovery == "http://dmsgd.example.invalid"
    assert [str(each.static) for each in config.dmsg.servers] == [BOB]
    assert [str(each) for each in config.transport.transport_setup] == [ALICE]
    assert config.uptime_tracker.addr == "http://ut.example.invalid"
    run(tmp_path, "update", "svc", "--services", services, "-t", "-c", "visor.json")
    assert ConfigFile.load(tmp_path / "visor.json").config.dmsg.discovery == "http://test.example.invalid"
    old = put(tmp_path / "old.json", {"routing": {"setup_nodes": []}})
    run(tmp_path, "update", "svc", "--services", services, "-c", old)
    assert ConfigFile.load(old).document.value["routing"] == {"setup_nodes": [BOB]}


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("{", "services.json, line 1: this is no JSON"),
        ("{}", "services.json is no file of services: it has neither prod nor test in it"),
        ('{"test": {}}', "services.json has no services for prod"),
        ('{"prod": {\n"stun_servers": 7}}', "services.json, line 2: prod.stun_servers: a list is expected"),
    ],
)
def test_services_that_are_none(tmp_path: Path, content: str, error: str) -> None:
    put(tmp_path / "services.json", content, 0o644)
    done = run(tmp_path, "gen", "-o", "visor.json", "--services", "services.json", fails=1)
    assert done.stderr.startswith(f"skywire: {error}")
    assert not (tmp_path / "visor.json").exists()


@pytest.mark.parametrize(
    "arguments",
    ["gen -n -r", "gen -n -o x", "gen -t", "gen -j 02", "update", "update hv", "update svc", "update hv -+ 02"],
)
def test_wrong_usage(tmp_path: Path, arguments: str) -> None:
    assert run(tmp_path, *arguments.split(), fails=2).stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_show_hides_secrets(tmp_path: Path) -> None:
    rows = [
        {"name": "a", "args": "--passcode hunter2 --addr :1", "env": ["TOKEN=hunter2", "LANG=C"]},
        {
            "name": "b",
            "args": ["-passcode=hunter2", "--sk", "hunter2"],
            "options": {"password": "hunter2", "addr": ":1"},
        },
    ]
    members = {
        "launcher": {"apps": rows},
        "dmsg": {"discovery": "http://me:hunter2@127.0.0.1"},
        "later": {"api_secret": 7},
    }
    path = put(tmp_path / "visor.json", members)
    done = run(tmp_path, "show", "-c", path)
    shown = json.loads(done.stdout)
    assert KEY.expose_hex() not in done.stdout
    assert "hunter2" not in done.stdout
    assert shown["launcher"]["apps"] == [
        {"name": "a", "args": "--passcode (hidden) --addr :1", "env": ["TOKEN=(hidden)", "LANG=C"]},
        {
            "name": "b",
            "args": ["-passcode=(hidden)", "--sk", "(hidden)"],
            "options": {"password": "(hidden)", "addr": ":1"},
        },
    ]
    assert shown["later"] == {"api_secret": "(hidden)"}


def test_show_effective(tmp_path: Path) -> None:
    path = put(tmp_path / "visor.json", {"log_level": "warn", "hypervisors": [ALICE]})
    done = run(tmp_path, "show", "-c", path, "--effective", "--json", SKYWIRE_LOCAL_PATH="/data")
    facts = json.loads(done.stdout)
    assert facts["identity"] == {"value": str(KEY.public), "source": f"sk in {path}"}
    assert facts["log_level"] == {"value": "warning", "source": f"log_level in {path}"}
    assert facts["local_path"] == {"value": "/data", "source": "SKYWIRE_LOCAL_PATH"}
    assert facts["grants"]["value"] == [f"{ALICE} admin"]
    assert facts["discovery"] == {"value": "", "source": "default"}
    table = run(tmp_path, "show", "-c", path, "--effective").stdout
    assert str(KEY.public) in table
    assert KEY.expose_hex() not in table


def test_check(tmp_path: Path) -> None:
    path = put(tmp_path / "visor.json", {"later": 1})
    done = run(tmp_path, "check", "-c", path)
    assert "warning" in done.stdout
    assert "line 3: later" in done.stdout
    facts = json.loads(run(tmp_path, "check", "-c", path, "--json").stdout)
    assert facts["errors"] == []
    assert facts["warnings"] == [{"place": f"{path}, line 3: later", "text": "it means nothing here, and is kept"}]
    put(path, {})
    assert run(tmp_path, "check", "-c", path).stdout == f"{path} is in order\n"
    put(path, {"stats": 7, "geoip": False})
    facts = json.loads(run(tmp_path, "check", "-c", path, "--json", fails=1).stdout)
    assert [each["place"] for each in facts["errors"]] == [f"{path}, line 3: stats", f"{path}, line 4: geoip"]
    put(path, {"sk": None, "launcher": {"apps": [{"name": "nothing"}]}})
    facts = json.loads(run(tmp_path, "check", "-c", path, "--json", fails=1).stdout)
    assert "there is no secret key" in facts["errors"][0]["text"]
    assert facts["errors"][1]["place"] == f"{path}, line 5: launcher.apps[0]"
    assert "there is no app 'nothing'" in facts["errors"][1]["text"]
    put(path, {"log_level": "loud", "later": 1})
    facts = json.loads(run(tmp_path, "check", "-c", path, "--json", fails=1).stdout)
    assert (len(facts["errors"]), len(facts["warnings"])) == (1, 1)
    path.chmod(0o644)
    assert "run chmod 600" in run(tmp_path, "check", "-c", path, "--json", fails=1).stdout


def test_a_file_of_upstream_is_in_order_though_apps_of_it_are_to_come(tmp_path: Path) -> None:
    path = copied(tmp_path, "go-2026.json")
    facts = json.loads(run(tmp_path, "check", "-c", path, "--json").stdout)
    assert facts["errors"] == []
    to_come = {
        "place": f"{path}, line 127: launcher.apps[0]",
        "text": "this version has no vpn-client yet; the row is kept",
    }
    assert to_come in facts["warnings"]
    path.write_text(path.read_text().replace('"vpn-client"', '"vpn-cleint"'))
    facts = json.loads(run(tmp_path, "check", "-c", path, "--json", fails=1).stdout)
    assert ["launcher.apps[0]" in each["place"] for each in facts["errors"]] == [True]


def test_a_key_that_means_nothing_is_told_when_it_is_set(tmp_path: Path) -> None:
    put(tmp_path / "skywire-config.json", {"later": 1})
    done = run(tmp_path, "update", "set", "log_levl", "debug")
    told, _ = done.stderr.splitlines()
    assert re.fullmatch(
        r"warning: .*line \d+: log_levl: it means nothing here, and is kept; did you mean log_level\?", told
    )
    assert "warning" not in run(tmp_path, "update", "--log-level", "debug").stderr


def test_update(tmp_path: Path) -> None:
    path = put(tmp_path / "skywire-config.json", {"later": [1.50]})
    done = run(tmp_path, "update", "--log-level", "debug")
    assert done.stderr == "skywire-config.json is changed; what was there before is in skywire-config.json.bak\n"
    for key, value in {
        "transport.stcpr_port": "7777",
        "transport.public_autoconnect": "true",
        "reward_address": "123",
        "shutdown_timeout": "3s",
        "stun_servers": "127.0.0.1:1,127.0.0.1:2",
        "x.y": "words",
        "x.z": '{"a": [-1]}',
        "dmsg.relay_max_streams": "-1",
    }.items():
        run(tmp_path, "update", "set", key, value)
    run(tmp_path, "update", "set", "survey_client_sk", "-", data=f"{KEY.expose_hex()}\n")
    run(tmp_path, "update", "control", ALICE, "control")
    run(tmp_path, "update", "control", BOB, "read")
    run(tmp_path, "update", "control", BOB, "none")
    run(tmp_path, "update", "hv", "-+", ALICE)
    run(tmp_path, "update", "hv", "--add", f"{BOB},{ALICE}")
    run(tmp_path, "update", "unset", "transport.public_autoconnect")
    assert json.loads(path.read_text()) == {
        "sk": KEY.expose_hex(),
        "later": [1.5],
        "log_level": "debug",
        "transport": {"stcpr_port": 7777},
        "reward_address": "123",
        "shutdown_timeout": "3s",
        "stun_servers": ["127.0.0.1:1", "127.0.0.1:2"],
        "x": {"y": "words", "z": {"a": [-1]}},
        "dmsg": {"relay_max_streams": -1},
        "survey_client_sk": KEY.expose_hex(),
        "control": {ALICE: "control"},
        "hypervisors": [ALICE, BOB],
    }
    run(tmp_path, "update", "hv", "-r")
    assert ConfigFile.load(path).config.hypervisors == ()


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["set", "log_level", "loud"], 1, "log_level: 'loud' is none of"),
        (["set", "transport.stcpr_port", '"x"'], 1, "a whole number is expected, this is the text 'x'"),
        (["set", "transport.stcpr_port", "x"], 2, "JSON is expected"),
        (["set", "sk", "0" * 64], 2, "a secret is no argument"),
        (["set", "later.password", "x"], 2, "a secret is no argument"),
        (["set", "pk", ALICE], 1, "it does not belong to sk"),
        (["set", "a..b", "x"], 1, "is no path of a key"),
        (["unset", "none.there"], 1, "none.there does not stand there"),
        (["set", "launcher.apps", '[{"name": "nothing"}]'], 1, "nothing could not run any more: there is no app"),
        (["control", ALICE, "root"], 2, "one of none, read, control, admin"),
        (["control", "02", "read"], 2, "a public key is 66"),
    ],
)
def test_what_would_not_load_is_refused(tmp_path: Path, arguments: list[str], code: int, error: str) -> None:
    path = put(tmp_path / "visor.json", {})
    before = path.read_text()
    done = run(tmp_path, "update", *arguments, "-c", path, fails=code)
    assert error in done.stderr
    assert path.read_text() == before


def test_a_row_that_was_bad_before_hinders_nothing(tmp_path: Path) -> None:
    path = put(tmp_path / "visor.json", {"launcher": {"apps": [{"name": "nothing"}]}})
    run(tmp_path, "update", "--log-level", "debug", "-c", path)
    assert ConfigFile.load(path).config.log_level == "debug"


def test_fixtures_name_no_host_of_others() -> None:
    for path in FIXTURES.iterdir():
        for word in path.read_text().split('"'):
            host = word.partition("://")[2]
            assert not host or ".example.invalid" in host or len(host.partition(":")[0]) == 66


def test_what_changes_nothing_says_so(tmp_path: Path) -> None:
    path = put(tmp_path / "visor.json", {"log_level": "debug"})
    done = run(tmp_path, "update", "--log-level", "debug", "-c", "visor.json")
    assert done.stderr == "visor.json says so already\n"
    assert not path.with_name("visor.json.bak").exists()
