"""Changes of a configuration's file: what they touch, what they refuse, and several at a time."""

from __future__ import annotations

import json
import re
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from anyio import create_task_group
from hypothesis import given, settings
from hypothesis import strategies as st

from skywire.app.definition import Isolation
from skywire.app.limits import RestartPolicy
from skywire.app.record import InstanceConfig
from skywire.control.apps import Rows
from skywire.visor.config.errors import ConfigError
from skywire.visor.config.file import ConfigFile, change_file
from skywire.visor.config.locking import locked
from skywire.visor.config.rows import instances
from tests.test_json_document import INDENT, OBJECT
from tests.visor.definitions import ChatOptions, ClientOptions, DebugOptions, LogOptions, catalogue
from tests.visor.files import ALICE, BOB, FIXTURES, copied, made, put

pytestmark = pytest.mark.anyio


def all_of(file: ConfigFile) -> dict[str, InstanceConfig]:
    """The instances that a file means, read anew."""
    found, _ = instances(ConfigFile.load(file.path).config, catalogue(), trust=False)
    return found


def facts(config: InstanceConfig) -> tuple[object, ...]:
    """What can be compared of an instance."""
    app = config.app
    run = (config.auto_start, config.restart, config.ports, config.isolation, config.environment)
    return (config.name, app.definition.name, app.options, app.trouble, *run)


NOTHING_SET = ChatOptions()


def chat(name: str = "skychat", options: ChatOptions = NOTHING_SET) -> InstanceConfig:
    return InstanceConfig(name=name, app=catalogue().get("skychat").bind(options), ports={"chat": 7})


def row(file: ConfigFile, name: str) -> dict[str, object]:
    rows: list[dict[str, object]] = json.loads(file.path.read_text())["launcher"]["apps"]
    (found,) = [each for each in rows if each.get("name") == name]
    return found


async def test_a_key_is_set_and_taken_out(tmp_path: Path) -> None:
    file = ConfigFile.load(copied(tmp_path, "go-2026.json"))
    before = file.path.read_text()
    await file.set("transport.stcpr_port", 7777)
    assert file.config.transport.stcpr_port == 7777
    assert file.path.read_text() == before.replace('"stcpr_port": 0', '"stcpr_port": 7777')
    assert file.path.with_name("go-2026.json.bak").read_text() == before
    await file.set(("control", ALICE), "read")
    await file.unset(f"control.{ALICE}")
    await file.unset("control")
    await file.unset("control")
    await file.set("transport.stcpr_port", 0)
    assert file.path.read_text() == before
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "go-2026.json",
        "go-2026.json.bak",
        "go-2026.json.lock",
    ]


async def test_what_changes_nothing_is_not_written(tmp_path: Path) -> None:
    file = made(tmp_path, log_level="debug")
    was = file.path.stat()
    await file.set("log_level", "debug")
    await file.drop("nobody")
    assert file.path.stat().st_ino == was.st_ino
    assert not file.path.with_name("visor.json.bak").exists()


@pytest.mark.parametrize("name", ["go-2024.json", "go-2026.json"])
async def test_every_key_is_kept_when_a_row_is_written(tmp_path: Path, name: str) -> None:
    file = ConfigFile.load(copied(tmp_path, name))
    before = file.path.read_text()
    rows: Rows = file
    await rows.put(chat("chat-home", ChatOptions(addr=":9")))
    added = {"name": "chat-home", "auto_start": True, "app": "skychat", "port": 7, "options": {"addr": ":9"}}
    text = file.path.read_text()
    expected = json.loads(before)
    expected["launcher"]["apps"].append(added)
    assert json.loads(text) == expected
    assert list(json.loads(text)) == list(expected)
    assert facts(all_of(file)["chat-home"]) == facts(chat("chat-home", ChatOptions(addr=":9")))
    await file.drop("chat-home")
    assert file.path.read_text() == before


async def test_options_of_an_upstream_row(tmp_path: Path) -> None:
    file = ConfigFile.load(copied(tmp_path, "go-2024.json"))
    config = all_of(file)["skysocks-client"]
    app = config.app.definition.bind(ClientOptions(addr=":1081", tries=5))
    await file.put(replace(config, app=app))
    assert row(file, "skysocks-client") == {
        "name": "skysocks-client",
        "binary": "skywire",
        "auto_start": False,
        "port": 13,
        "options": {"addr": ":1081", "tries": 5},
    }
    assert all_of(file)["skysocks-client"].app.options == ClientOptions(addr=":1081", tries=5)
    await file.put(replace(config, app=config.app.definition.defaults()))
    assert "options" not in row(file, "skysocks-client")
    assert all_of(file)["skysocks-client"].app.options == ClientOptions()


async def test_words_of_a_command_line_that_mean_nothing_stay(tmp_path: Path) -> None:
    rows = [{"name": "skychat", "args": "app skychat --voice 'on air' --addr :1 --persist"}]
    file = made(tmp_path, launcher={"apps": rows})
    await file.put(chat(options=ChatOptions(addr=":2")))
    assert row(file, "skychat")["args"] == "app skychat --voice 'on air'"
    assert all_of(file)["skychat"].app.options == ChatOptions(addr=":2")


async def test_how_an_instance_is_run(tmp_path: Path) -> None:
    rows = [{"name": "skychat", "args": ["--addr", ":1"], "launcher_mode": "internal", "work_dir": "x", "port": 1}]
    file = made(tmp_path, launcher={"apps": rows})
    config = all_of(file)["skychat"]
    changed = replace(
        config,
        auto_start=True,
        restart=RestartPolicy.NEVER,
        isolation=Isolation.CHILD,
        environment={"A": "b"},
        ports={"files": 65},
    )
    await file.put(changed)
    assert row(file, "skychat") == {
        "name": "skychat",
        "args": ["--addr", ":1"],
        "launcher_mode": "internal",
        "work_dir": "x",
        "auto_start": True,
        "restart_policy": "never",
        "env": ["A=b"],
        "isolation": "child",
        "ports": {"files": 65},
    }
    assert facts(all_of(file)["skychat"]) == facts(changed)
    await file.put(replace(config, auto_start=True))
    assert all_of(file)["skychat"].environment == {}
    assert all_of(file)["skychat"].restart is RestartPolicy.ON_FAILURE


async def test_a_row_that_cannot_be_used_keeps_what_it_says(tmp_path: Path) -> None:
    rows = [{"name": "skychat", "options": {"adr": 1}, "args": "--x", "isolation": "jail", "port": 5, "later": 1}]
    file = made(tmp_path, launcher={"apps": rows})
    config = all_of(file)["skychat"]
    assert config.app.trouble
    await file.put(replace(config, auto_start=True))
    assert row(file, "skychat") == {**rows[0], "auto_start": True}


async def test_secrets_are_written_into_the_private_file(tmp_path: Path) -> None:
    file = made(tmp_path)
    await file.put(chat(options=ChatOptions(password="word", pin=7)))
    assert row(file, "skychat")["options"] == {"password": "word", "pin": 7}
    assert all_of(file)["skychat"].app.options == ChatOptions(password="word", pin=7)


async def test_what_other_sections_say_is_not_written_into_the_row(tmp_path: Path) -> None:
    file = made(tmp_path, hypervisors=[ALICE])
    await file.put(replace(all_of(file)["log-server"], auto_start=False))
    assert row(file, "log-server") == {"name": "log-server", "auto_start": False}
    await file.set("hypervisors", [BOB])
    config = all_of(file)["log-server"]
    assert isinstance(config.app.options, LogOptions)
    assert [str(each) for each in config.app.options.allow] == [BOB]
    closed = replace(config.app.options, allow=(), lines=7)
    await file.put(replace(config, app=config.app.definition.bind(closed)))
    assert row(file, "log-server")["options"] == {"allow": [], "lines": 7}
    assert all_of(file)["log-server"].app.options == closed


async def test_what_is_there_without_a_row_is_struck_off_by_one(tmp_path: Path) -> None:
    file = made(tmp_path, launcher={"apps": [{"name": "debug", "options": {"allow": [BOB]}}, {"name": "skychat"}]})
    await file.drop("debug")
    await file.drop("log-server")
    assert list(all_of(file)) == ["skychat"]
    assert row(file, "debug") == {"name": "debug", "auto_start": False, "removed": True}
    await file.put(InstanceConfig(name="debug", app=catalogue().get("debug").defaults()))
    assert row(file, "debug") == {"name": "debug", "auto_start": True}
    assert all_of(file)["debug"].app.options == DebugOptions()


async def test_all_rows_of_a_name_go(tmp_path: Path) -> None:
    rows = [{"name": "skychat"}, {"name": "skysocks"}, {"name": "skychat"}, {"name": "Bad one"}]
    file = made(tmp_path, launcher={"apps": rows})
    await file.drop("skychat")
    await file.drop("row-1")
    assert json.loads(file.path.read_text())["launcher"]["apps"] == [{"name": "skysocks"}]


async def test_changes_of_others_are_kept(tmp_path: Path) -> None:
    one = made(tmp_path)
    other = ConfigFile.load(one.path)
    await one.set("log_level", "debug")
    await other.put(chat())
    await one.set("geoip", "x")
    assert one.config.log_level == "debug"
    assert [each.name for each in one.config.launcher.apps] == ["skychat"]


async def test_many_at_a_time_lose_nothing(tmp_path: Path) -> None:
    file = made(tmp_path)
    async with create_task_group() as task_group:
        for number in range(12):
            task_group.start_soon(ConfigFile.load(file.path).put, chat(f"chat-{number}"))
    assert {name for name in all_of(file) if name.startswith("chat-")} == {f"chat-{number}" for number in range(12)}


def test_processes_lose_nothing(tmp_path: Path) -> None:
    file = made(tmp_path)
    code = (
        "import sys; from pathlib import Path; from skywire.visor.config.file import change_file\n"
        "for number in range(10):\n"
        "    change_file(Path(sys.argv[1]), lambda document, _: document.put((f'x-{sys.argv[2]}-{number}',), number))\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, file.path, str(each)]) for each in range(3)]
    assert [each.wait(40) for each in running] == [0, 0, 0]
    found = [key for key in json.loads(file.path.read_text()) if key.startswith("x-")]
    assert len(found) == 30


def test_a_lock_that_is_not_given_back(tmp_path: Path) -> None:
    path = put(tmp_path / "visor.json", {})
    with (
        locked(path),
        pytest.raises(ConfigError, match=r"another process has locked it for 0\.05 seconds"),
        locked(path, wait_seconds=0.05),
    ):
        pytest.fail("it was locked twice")
    with locked(path, wait_seconds=0.05):
        assert stat.S_IMODE(path.with_name("visor.json.lock").stat().st_mode) == 0o600
    nowhere = tmp_path / "none" / "visor.json"
    with pytest.raises(ConfigError, match=r"its lock .* cannot be made: No such file or directory"), locked(nowhere):
        pytest.fail("there is no such folder")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"sk": ', "visor.json, line 1: this is no JSON: Expecting value"),
        ("[]", "visor.json, line 1: it is no JSON object"),
        ('{"is_public": 7}', "visor.json, line 1: is_public: true or false is expected, this is the number 7"),
    ],
)
async def test_a_file_that_broke_meanwhile_is_left_alone(tmp_path: Path, text: str, error: str) -> None:
    file = made(tmp_path)
    put(file.path, text)
    with pytest.raises(ConfigError, match=re.escape(error)):
        await file.set("log_level", "debug")
    with pytest.raises(ConfigError, match=r"visor\.json"):
        await file.put(chat())
    assert file.path.read_text() == text
    assert file.config.log_level == "info"


async def test_a_wrong_value_can_be_put_right(tmp_path: Path) -> None:
    path = put(tmp_path / "visor.json", {"is_public": 7})
    assert change_file(path, lambda document, _: document.put(("is_public",), True)).config.is_public


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("log_level", 7, "log_level: a text is expected, this is the number 7"),
        ("log_level.deep", 7, "log_level has no place for deep"),
        ("launcher.apps[3]", {}, r"launcher.apps has no item before \[3\]"),
        ("geoip..x", 7, "'geoip..x' is no path of a key"),
        ("x", float("nan"), "Out of range float values are not JSON compliant"),
        ("x", b"bytes", "bytes is not JSON serializable"),
        ("x", "y" * (4 << 20), "visor.json would have more than 4194304 bytes"),
        ("x", json.loads("[" * 64 + "]" * 64), "there are more than 64 levels"),
        ("pk", ALICE, "pk: it does not belong to sk"),
    ],
)
async def test_what_would_not_load_is_refused(tmp_path: Path, key: str, value: object, error: str) -> None:
    file = made(tmp_path, log_level="info")
    before = file.path.read_text()
    with pytest.raises(ConfigError, match=error):
        await file.set(key, value)
    assert file.path.read_text() == before


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file of this process can become larger, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


async def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    file = ConfigFile.load(copied(tmp_path, "go-2026.json"))
    before = file.path.read_text()
    with full_disk(1000), pytest.raises(ConfigError, match=r"cannot write .*go-2026\.json: File too large"):
        await file.put(chat())
    assert file.path.read_text() == before
    assert sorted(each.name for each in tmp_path.iterdir() if not each.name.endswith(".lock")) in (
        ["go-2026.json"],
        ["go-2026.json", "go-2026.json.bak"],
    )
    await file.put(chat())
    assert row(file, "skychat")["port"] == 7


async def test_a_link_to_the_file_stays_one(tmp_path: Path) -> None:
    target = put(tmp_path / "real.json", {})
    link = tmp_path / "visor.json"
    link.symlink_to("real.json")
    file = ConfigFile.load(link)
    await file.set("log_level", "debug")
    assert link.is_symlink()
    assert ConfigFile.load(target).config.log_level == "debug"


@given(OBJECT, INDENT, st.booleans())
@settings(max_examples=30, deadline=None)
def test_what_is_written_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, others: dict[str, object], indent: int | str | None, ascii_only: bool
) -> None:
    raw = json.loads((FIXTURES / "go-2026.json").read_text())
    members = {**{f"x {name}": value for name, value in others.items()}, **raw, "later": others}
    path = put(
        tmp_path_factory.getbasetemp() / "kept.json", json.dumps(members, indent=indent, ensure_ascii=ascii_only)
    )
    before = ConfigFile.load(path)
    after = change_file(path, lambda document, _: document.put(("geoip",), "x"))
    assert after.config == replace(before.config, geoip="x")
    assert ConfigFile.load(path).config == after.config
    assert json.loads(path.read_text("utf-8")) == {**members, "geoip": "x"}
    assert change_file(path, lambda document, _: document.put(("geoip",), "")).document.text == before.document.text
