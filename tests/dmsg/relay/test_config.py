"""The configuration of a dmsg server: what is taken, what is refused and how, what is written."""

from __future__ import annotations

import json
import logging
import os
import re
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skywire import HostPort, SecKey, keyfile
from skywire.dmsg.relay.config import (
    DISCOVERY,
    RelayConfig,
    generate,
    load,
    save,
)
from skywire.dmsg.relay.config_file import MAX_FILE, ConfigError, InvalidSetting
from skywire.log_levels import LOG_LEVELS
from skywire.net.listening import listening_places

KEY, OTHER = SecKey(b"\x11" * 32), SecKey(b"\x12" * 32)
SECRET = KEY.expose_hex()
GO = f"""{{
\t"public_key": "{KEY.public}",
\t"secret_key": "{SECRET}",
\t"discovery": "http://dmsgd.example.org",
\t"public_address": "127.0.0.1:8081",
\t"local_address": ":8081",
\t"health_endpoint_address": ":8082",
\t"log_level": "info",
\t"update_interval": 0,
\t"max_sessions": 2048
}}"""
"""As the Go program generates it."""
CONFIG = RelayConfig(identity=KEY, discovery="http://dmsgd.example.org", public_address="127.0.0.1:8081")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server.json"


def put(path: Path, text: str | bytes, mode: int = 0o600) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return path


def changed(key: str, value: str) -> str:
    """The Go program's file with another value, as JSON."""
    text, count = re.subn(rf'("{key}": )[^,\n]*', lambda found: found[1] + value, GO)
    assert count == 1
    return text


def without(*keys: str) -> str:
    members: dict[str, object] = json.loads(GO)
    return json.dumps({key: value for key, value in members.items() if key not in keys}, indent=1)


def refused(path: Path) -> str:
    """The error of a file, without the folder's name; it is one line and tells no secret."""
    with pytest.raises(ConfigError) as caught:
        load(path)
    text = str(caught.value)
    assert SECRET not in text
    assert "\n" not in text
    return text.replace(f"{path.parent}{os.sep}", "")


def test_what_the_go_program_generates_is_taken(path: Path) -> None:
    config = load(put(path, GO))
    assert config == CONFIG
    assert (config.max_sessions, config.update_seconds, config.level) == (2048, 60.0, logging.INFO)
    assert listening_places(config.health_endpoint_address)[0] == HostPort("0.0.0.0", 8082)


def test_what_is_left_out_has_upstreams_default(path: Path) -> None:
    optional = ("local_address", "health_endpoint_address", "log_level", "update_interval", "max_sessions")
    assert load(put(path, without(*optional))) == CONFIG


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("update_interval", "1000000000", {"update_interval": 10**9}),
        ("update_interval", "119999999999", {"update_interval": 119_999_999_999}),
        ("max_sessions", "1", {"max_sessions": 1}),
        ("log_level", '"WARN"', {"log_level": "WARN"}),
        ("local_address", '"[::1]:0"', {"local_address": "[::1]:0"}),
        ("public_address", '"[2001:db8::1]:443"', {"public_address": "[2001:db8::1]:443"}),
        ("public_address", '"dmsg.example.org:8081"', {"public_address": "dmsg.example.org:8081"}),
        ("discovery", '"https://me:word@[::1]:9/path"', {"discovery": "https://me:word@[::1]:9/path"}),
    ],
)
def test_values_are_taken(path: Path, key: str, value: str, expected: dict[str, str | int]) -> None:
    config = load(put(path, changed(key, value)))
    for name, wanted in expected.items():
        assert getattr(config, name) == wanted


def test_the_address_it_listens_on_may_be_announced_when_it_is_one(path: Path) -> None:
    text = changed("public_address", '""').replace('":8081"', '"10.0.0.1:8081"')
    assert load(put(path, text)).public_address == ""


@pytest.mark.parametrize("level", LOG_LEVELS)
def test_levels(level: str) -> None:
    assert replace(CONFIG, log_level=level.upper()).level == LOG_LEVELS[level]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "server.json, line 1: this is no JSON: Expecting value"),
        (GO[:-1], "server.json, line 11: this is no JSON: Expecting ',' delimiter"),
        (GO.replace(",", "", 1), "server.json, line 3: this is no JSON: Expecting ',' delimiter"),
        (GO + "{}", "server.json, line 11: this is no JSON: Extra data"),
        (f"[{GO}]", "server.json, line 1: it is no JSON object"),
        ("null", "server.json, line 1: it is no JSON object"),
        ("{}", "server.json: public_key: it is missing"),
        ("\ufeff" + GO, "server.json, line 1: this is no JSON: Unexpected UTF-8 BOM (decode using utf-8-sig)"),
        (GO.encode("utf-16"), "server.json is no configuration: it is not plain text"),
        (" " * (MAX_FILE + 1), "server.json is no configuration: it has more than 65536 bytes"),
        ('{"x": ' + "[" * 30_000, "server.json, line 1: there are more than 64 levels"),
        (
            changed("max_sessions", "9" * 5000),
            "server.json, line 10: a number is beyond measure",
        ),
        (changed("max_sessions", "NaN"), "server.json, line 10: NaN is no number of JSON"),
        (GO.replace("}", ',\n"max_sessions": 1}'), "server.json, line 12: 'max_sessions' stands there twice"),
        (GO.replace("}", ',\n"x": 1, "\\u0078": 1}'), "server.json, line 12: 'x' stands there twice"),
        *[
            (without(key), f"server.json: {key}: it is missing")
            for key in ("public_key", "secret_key", "discovery", "public_address")
        ],
        *[
            (changed("max_sessions", value), f"server.json, line 10: max_sessions: a whole number is expected, {kind}")
            for value, kind in {
                '"2048"': "this is text",
                "2048.0": "this is a number with a fraction",
                "1e3": "this is a number with a fraction",
                "true": "this is true or false",
                "null": "this is null",
            }.items()
        ],
        *[
            (changed("discovery", value), f"server.json, line 4: discovery: text is expected, {kind}")
            for value, kind in {
                "{}": "this is an object",
                '["http://a"]': "this is a list",
                "9090": "this is a number",
                "null": "this is null",
            }.items()
        ],
        *[
            (changed("max_sessions", value), "server.json, line 10: max_sessions: 1 to 1048576 is expected")
            for value in ("0", "-1", "1048577")
        ],
        *[
            (
                changed("update_interval", value),
                (
                    "server.json, line 9: update_interval: nanoseconds are expected, from 1000000000 (1 s) to below "
                    "120000000000, after which the discovery forgets the server; 0 stands for 60 s"
                ),
            )
            for value in ("60", "-1", "120000000000")
        ],
        (
            changed("update_interval", '"1m"'),
            "server.json, line 9: update_interval: a whole number is expected, this is text",
        ),
        (
            changed("log_level", '"loud"'),
            (
                "server.json, line 8: log_level: 'loud' is none of trace, debug, info, notice, warn, warning, error,"
                " fatal, critical, panic"
            ),
        ),
        (
            changed("public_key", '"02"'),
            "server.json, line 2: public_key: a public key is 66 hexadecimal characters, this is 2 characters of text",
        ),
        (
            changed("public_key", f'"{OTHER.public}"'),
            f"server.json, line 2: public_key: it does not belong to the secret_key, whose public key is {KEY.public}",
        ),
        (
            changed("secret_key", f'"{SECRET}0"'),
            "server.json, line 3: secret_key: a secret key is 64 hexadecimal characters, this is 65 characters of text",
        ),
        (
            changed("secret_key", f'"{"0" * 64}"'),
            "server.json, line 3: secret_key: not a secret key: the number is zero or not below the order of the curve",
        ),
        *[
            (
                changed("discovery", value),
                "server.json, line 4: discovery: http://host:port or https://host is expected, perhaps with a path",
            )
            for value in (
                '""',
                '"dmsgd.example.org"',
                '"dmsg://key:80"',
                '"http://:9090"',
                '"http://host:99999"',
                '"http://host:0"',
                '"http://[::1"',
                '"http://host/?x"',
                '"http://host/#x"',
                '"http://ho st"',
                '"http://h\\u00f6st"',
                '"http://host\\n"',
            )
        ],
        (
            changed("local_address", '"8081"'),
            "server.json, line 6: local_address: a local address is host:port or [ipv6]:port, this is '8081'",
        ),
        (
            changed("local_address", '":65536"'),
            "server.json, line 6: local_address: a local port is 0 to 65535, this is 65536",
        ),
        (
            changed("health_endpoint_address", '"ho st:1"'),
            "server.json, line 7: health_endpoint_address: 'ho st' is neither an IP address nor a host name",
        ),
        *[
            (
                changed("public_address", f'"{value}"'),
                f"server.json, line 5: public_address: '{value}' is no host:port that clients could connect to",
            )
            for value in (":8081", "1.2.3.4", "1.2.3.4:0", "0.0.0.0:8081", "[::]:8081", "ho st:1", "1.2.3.4:70000")
        ],
        (
            changed("public_address", '""'),
            (
                "server.json, line 5: public_address: it is empty, and local_address (:8081) does not tell where "
                "clients find the server"
            ),
        ),
        (
            changed("public_address", '""').replace('":8081"', '"[::]:8081"'),
            (
                "server.json, line 5: public_address: it is empty, and local_address ([::]:8081) does not tell where "
                "clients find the server"
            ),
        ),
        (
            GO.replace("}", ',\n"secret_key_file": "key"}'),
            "server.json, line 3: secret_key: there is a secret_key_file as well, and only one of them can be right",
        ),
    ],
)
def test_what_is_refused_is_told_exactly(path: Path, text: str | bytes, error: str) -> None:
    assert refused(put(path, text)) == error


@given(st.text(alphabet='{}[]":,\\0123456789.eE-+ \n\tux', max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_clear_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    refused(put(tmp_path_factory.getbasetemp() / "any.json", '{"discovery":' + text))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=5), st.sampled_from([None, 0, 1, "\t"]), st.booleans())
@settings(max_examples=100, deadline=None)
def test_what_is_not_ours_is_kept(
    tmp_path_factory: pytest.TempPathFactory, others: dict[str, object], indent: int | str | None, ascii_only: bool
) -> None:
    members = {**others, **json.loads(GO)}
    path = tmp_path_factory.getbasetemp() / "kept.json"
    put(path, json.dumps(members, indent=indent, ensure_ascii=ascii_only))
    config = load(path)
    assert [name for name, _ in config.unknown] == [name for name in others if name not in json.loads(GO)]
    save(path, replace(config, max_sessions=7), replace=True)
    assert json.loads(path.read_text("utf-8")) == {**members, "max_sessions": 7}
    assert load(path) == replace(config, max_sessions=7)


def test_numbers_that_are_not_ours_keep_their_form(path: Path) -> None:
    put(path, GO.replace("{", '{ "later" : 1.50e+400 , "more":[1,\n 2] ,', 1))
    config = load(path)
    assert config.unknown == (("later", "1.50e+400"), ("more", "[1,\n 2]"))
    save(path, config, replace=True)
    assert '"later": 1.50e+400,\n\t"more": [1,\n 2]\n}' in path.read_text()


def test_a_key_file_instead_of_the_key(tmp_path: Path) -> None:
    keyfile.save(tmp_path / "node.key", KEY)
    (tmp_path / "etc").mkdir()
    path = tmp_path / "etc" / "server.json"
    text = GO.replace("secret_key", "secret_key_file")
    config = load(put(path, text.replace(SECRET, "../node.key")))
    assert (config.identity, config.secret_key_file) == (KEY, "../node.key")
    assert load(put(path, text.replace(SECRET, str(tmp_path / "node.key")))).identity == KEY
    save(path, config, replace=True)
    assert SECRET not in path.read_text()
    assert load(path) == config


def test_a_key_file_that_cannot_be_used(path: Path) -> None:
    put(path, GO.replace("secret_key", "secret_key_file").replace(SECRET, "node.key"))
    key_file = path.with_name("node.key")
    start = "server.json, line 3: secret_key_file: "
    assert refused(path) == f"{start}cannot read the key file node.key: No such file or directory"
    keyfile.save(key_file, KEY, passphrase="secret")
    assert refused(path) == f"{start}the key is sealed, and nobody is there to give its passphrase when a server starts"
    keyfile.save(key_file, OTHER, replace=True)
    assert refused(path) == (
        "server.json, line 2: public_key: it does not belong to the secret_key_file, whose public key is "
        f"{OTHER.public}"
    )
    key_file.chmod(0o640)
    assert refused(path).startswith(f"{start}node.key is open to others (mode 0640)")
    put(path, GO.replace("secret_key", "secret_key_file").replace(f'"{SECRET}"', "7"))
    assert refused(path) == f"{start}text is expected, this is a number"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o604, 0o602])
def test_a_file_that_is_open_to_others(path: Path, mode: int) -> None:
    assert refused(put(path, GO, mode)) == (
        f"server.json is open to others (mode {mode:04o}), and it holds a secret key: run chmod 600 server.json, or "
        "make a new one"
    )


def test_a_file_that_is_not_there(path: Path) -> None:
    assert refused(path) == "cannot read the configuration server.json: No such file or directory"
    with pytest.raises(ConfigError, match=r"^'a\\x00b' is no name of a file$"):
        load(Path("a\0b"))


def test_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert refused(tmp_path / "pipe") == "pipe is no regular file"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_a_file_of_somebody_else(path: Path) -> None:
    os.chown(put(path, GO), 12345, 12345)
    assert refused(path) == "server.json belongs to another user (uid 12345)"


def test_nothing_shows_the_secret() -> None:
    config = replace(CONFIG, discovery="http://me:word@host", unknown=(("Secret_Key", f'"{SECRET}"'),))
    assert SECRET not in repr(config) + str(config)
    assert "word" not in repr(config)


@pytest.mark.parametrize(
    ("key", "make"),
    [
        ("discovery", lambda: replace(CONFIG, discovery="host")),
        ("public_address", lambda: replace(CONFIG, public_address="x")),
        ("local_address", lambda: replace(CONFIG, local_address="")),
        ("log_level", lambda: replace(CONFIG, log_level="")),
        ("max_sessions", lambda: replace(CONFIG, max_sessions=0)),
    ],
)
def test_a_configuration_made_in_a_program_is_checked(key: str, make: Callable[[], RelayConfig]) -> None:
    with pytest.raises(InvalidSetting) as caught:
        make()
    assert caught.value.key == key


def test_generated_configurations(path: Path) -> None:
    public, loopback = generate(), generate(loopback=True)
    assert public.identity != generate().identity
    assert (public.discovery, public.local_address) == (DISCOVERY, ":8081")
    assert (loopback.discovery, loopback.local_address) == ("http://127.0.0.1:9090", "127.0.0.1:8081")
    for config in (public, loopback):
        save(path, config, replace=True)
        assert load(path) == config
        assert list(json.loads(path.read_text())) == list(json.loads(GO))


def test_a_file_is_written_for_its_owner_alone(path: Path) -> None:
    previous = os.umask(0)
    try:
        save(path, CONFIG)
    finally:
        os.umask(previous)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == GO + "\n"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_is_replaced_only_when_told_so_and_kept(path: Path) -> None:
    save(path, CONFIG)
    newer = replace(CONFIG, identity=OTHER)
    with pytest.raises(ConfigError, match=r"server\.json exists already; it is not replaced unless told so$"):
        save(path, newer)
    assert load(path) == CONFIG
    save(path, newer, replace=True)
    assert load(path) == newer
    backup = path.with_name("server.json.bak")
    assert load(backup) == CONFIG
    save(path, CONFIG, replace=True)
    assert load(backup) == newer
    assert sorted(path.parent.iterdir()) == [path, backup]


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^cannot write .*/server\.json: No such file or directory$"):
        save(tmp_path / "none" / "server.json", CONFIG)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match=r"^cannot write .*/folder: "):
        save(tmp_path / "folder", CONFIG, replace=True)
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]
