"""Where a setting comes from: the command line, the environment, the file, or nowhere."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from platformdirs import user_config_path, user_data_path

from skywire.app.interface import Role
from skywire.keys import PubKey, SecKey
from skywire.visor.config.errors import ConfigError
from skywire.visor.config.settings import find_config, resolve
from tests.visor.files import ALICE, BOB, CAROL, KEY, made

OTHER = SecKey(b"\x35" * 32)


def test_all_of_a_file(tmp_path: Path) -> None:
    file = made(
        tmp_path,
        log_level="warn",
        local_path="data",
        shutdown_timeout="3s",
        dmsg={
            "discovery": "http://127.0.0.1:9090",
            "sessions_count": 0,
            "servers": [{"static": CAROL, "server": {"address": "127.0.0.1:8081"}}],
        },
        hypervisors=[ALICE],
        control={ALICE: "read", BOB: "control"},
    )
    settings = resolve(file, {}, {})
    assert settings.identity == KEY
    assert settings.log_level == logging.WARNING
    assert settings.local_path == tmp_path / "data"
    assert settings.discovery == "http://127.0.0.1:9090"
    assert (settings.min_sessions, settings.shutdown_seconds) == (0, 3.0)
    (server,) = settings.servers
    assert server.static == PubKey.from_hex(CAROL)
    assert server.server is not None
    assert server.server.address == "127.0.0.1:8081"
    assert [(str(each.key), each.role, each.source) for each in settings.grants] == [
        (ALICE, Role.ADMIN, "hypervisors"),
        (BOB, Role.CONTROL, "control"),
    ]
    assert settings.sources == {
        "identity": f"sk in {file.path}",
        "log_level": f"log_level in {file.path}",
        "local_path": f"local_path in {file.path}",
        "discovery": f"dmsg.discovery in {file.path}",
        "servers": f"dmsg.servers in {file.path}",
        "min_sessions": f"dmsg.sessions_count in {file.path}",
        "shutdown_seconds": f"shutdown_timeout in {file.path}",
        "grants": f"hypervisors and control in {file.path}",
    }
    assert KEY.expose_hex() not in repr(settings)


def test_the_environment_wins_over_the_file_and_flags_over_both(tmp_path: Path) -> None:
    file = made(tmp_path, log_level="warn", local_path="data", dmsg={"discovery": "http://127.0.0.1:1"})
    environ = {
        "SKYWIRE_SK": OTHER.expose_hex(),
        "SKYWIRE_LOG_LEVEL": "ERROR",
        "SKYWIRE_LOCAL_PATH": "here",
        "SKYWIRE_DMSG_DISC": "http://127.0.0.1:2",
    }
    settings = resolve(file, {}, environ)
    assert (settings.identity, settings.log_level) == (OTHER, logging.ERROR)
    assert (settings.local_path, settings.discovery) == (Path.cwd() / "here", "http://127.0.0.1:2")
    assert settings.sources["local_path"] == "SKYWIRE_LOCAL_PATH"
    flags = {"log_level": "debug", "local_path": "/there", "discovery": "", "min_sessions": "7"}
    settings = resolve(file, flags, environ)
    assert (settings.log_level, settings.local_path) == (logging.DEBUG, Path("/there"))
    assert (settings.discovery, settings.min_sessions) == ("", 7)
    assert settings.sources["min_sessions"] == "--min-sessions"


def test_without_a_file() -> None:
    settings = resolve(None, {}, {"SKYWIRE_SK": f" {KEY.expose_hex()}\n", "SKYWIRE_LOG_LEVEL": ""})
    assert settings.identity == KEY
    assert (settings.log_level, settings.discovery, settings.servers) == (logging.INFO, "", ())
    assert (settings.min_sessions, settings.shutdown_seconds, settings.grants) == (2, 10.0, ())
    assert settings.local_path == user_data_path("skywire")
    assert {source for name, source in settings.sources.items() if name != "identity"} == {"default"}


def test_the_file_of_several_deployments(tmp_path: Path) -> None:
    settings = resolve(made(tmp_path, dmsg=[{"discovery": "http://127.0.0.1:1"}]), {}, {})
    assert settings.sources["discovery"].startswith("dmsg.discovery in ")


@pytest.mark.parametrize(
    ("flags", "environ", "error"),
    [
        ({}, {"SKYWIRE_SK": "12"}, "SKYWIRE_SK: a secret key is 64 hexadecimal characters, this is 2"),
        ({}, {"SKYWIRE_LOG_LEVEL": "loud"}, "SKYWIRE_LOG_LEVEL: 'loud' is none of trace"),
        ({"log_level": "loud"}, {}, "--log-level: 'loud' is none of trace"),
        ({}, {"SKYWIRE_DMSG_DISC": "me:word@host"}, "SKYWIRE_DMSG_DISC: http://host:port, https://host or dmsg"),
        ({"min_sessions": "-1"}, {}, "--min-sessions: a number of servers is expected"),
        ({"min_sessions": "²"}, {}, "--min-sessions: a number of servers is expected"),
    ],
)
def test_what_cannot_be_names_its_source(
    tmp_path: Path, flags: dict[str, str], environ: dict[str, str], error: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(made(tmp_path), flags, environ)
    assert str(caught.value).startswith(error)
    assert "word" not in str(caught.value)


def test_no_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^there is no secret key: set SKYWIRE_SK, or make a configuration"):
        resolve(None, {}, {})
    file = made(tmp_path, sk=None, pk=ALICE)
    with pytest.raises(ConfigError, match=r"visor\.json: sk: there is no secret key"):
        resolve(file, {}, {})
    with pytest.raises(ConfigError, match=f"SKYWIRE_SK is of {KEY.public}, and the configuration is for {ALICE}"):
        resolve(file, {}, {"SKYWIRE_SK": KEY.expose_hex()})
    with pytest.raises(ConfigError, match="no secret key"):
        _ = file.config.identity


def test_a_flag_that_is_none() -> None:
    with pytest.raises(ValueError, match="not sk"):
        resolve(None, {"sk": KEY.expose_hex()[:0]}, {})


def test_where_the_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"SKYWIRE_CONFIG": "/etc/visor.json"}
    assert find_config(None, {}) == user_config_path("skywire") / "skywire-config.json"
    (tmp_path / "skywire-config.json").touch()
    assert find_config(None, {}) == Path("skywire-config.json")
    assert find_config(None, environ) == Path("/etc/visor.json")
    assert find_config(Path("mine"), environ) == Path("mine")
