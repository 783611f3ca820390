"""The configuration of a visor: what is taken, what is refused and how, and what its writer is told."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skywire.app.interface import Role
from skywire.key_path import show_path
from skywire.keys import PubKey, SecKey
from skywire.visor.config import dmsg_section, schema, sections
from skywire.visor.config.errors import ConfigError, WrongSettings
from skywire.visor.config.file import MAX_FILE, ConfigFile
from skywire.visor.config.kinds import read_duration, write_duration
from skywire.visor.config.reading import hints_of, is_section, members_of
from skywire.visor.config.schema import VisorConfig
from tests.test_json_document import JSON
from tests.visor.files import ALICE, BOB, FIXTURES, KEY, copied, made, put

SECRET = KEY.expose_hex()


def refused(path: Path) -> str:
    """The error of a file, without the folder's name; it is one line and tells no secret."""
    with pytest.raises(ConfigError) as caught:
        ConfigFile.load(path)
    text = str(caught.value)
    assert SECRET not in text
    assert "\n" not in text
    return text.replace(f"{path.parent}/", "")


def problems(folder: Path, **members: object) -> list[str]:
    """All errors of a configuration, without the file's name."""
    with pytest.raises(WrongSettings) as caught:
        made(folder, **members)
    assert SECRET not in repr(caught.value.problems)
    return [f"{each.place.partition(', ')[2]}: {each.text}" for each in caught.value.problems]


def warned(file: ConfigFile) -> list[str]:
    """The warnings of a configuration, without the file's name."""
    return [f"{each.place.partition(', ')[2]}: {each.text}" for each in file.warnings]


CLI_ADDR = (
    "cli_addr: this TCP port is not opened, since any user or web page of the machine could reach it: on this machine"
    " there is a unix socket, and dmsg port 3435 for the keys in hypervisors and control"
)
SERVER_ADDR = (
    "launcher.server_addr: this TCP port is not opened: apps run in the process itself, or over a socket that they"
    " inherit"
)
HTTP_ADDR = "hypervisor.http_addr: no page is served there: this program has no hypervisor yet"
A_SPAN = "a time span is expected, as 10s, 2m0s or a whole number of nanoseconds"
UNKNOWN = "it means nothing here, and is kept"


def test_a_configuration_of_2024(tmp_path: Path) -> None:
    file = ConfigFile.load(copied(tmp_path, "go-2024.json"))
    config = file.config
    raw = json.loads((FIXTURES / "go-2024.json").read_text())
    assert config.identity == SecKey.from_hex(raw["sk"])
    assert config.identity.public == config.pk
    assert (config.dmsg.discovery, config.dmsg.sessions_count) == ("http://dmsgd.example.invalid", 2)
    assert config.pty.dmsg_port == 22
    assert config.transport.log_store.rotation_interval == timedelta(days=7)
    assert config.launcher.apps[0].args == ("app", "vpn-client", "--dns", "1.1.1.1")
    assert config.hypervisor is not None
    assert config.hypervisor.cookies.expires_duration == timedelta(hours=12)
    assert config.persistent_transports == ()
    assert warned(file) == [
        f"line 122: {SERVER_ADDR}",
        f"line 133: {CLI_ADDR}",
        f"line 154: {HTTP_ADDR}",
        f"line 159: restart_on_update: {UNKNOWN}",
    ]


def test_a_configuration_of_2026(tmp_path: Path) -> None:
    file = ConfigFile.load(copied(tmp_path, "go-2026.json"))
    config = file.config
    raw = json.loads((FIXTURES / "go-2026.json").read_text())
    assert config.pty.whitelist == (PubKey.from_hex(raw["pty"]["whitelist"][0]),)
    assert config.resolvers[0].chain is False
    assert config.shutdown_timeout == timedelta(seconds=10)
    assert config.skywire_tcp.pk_table == {
        PubKey.from_hex(key): "127.0.0.1:7777" for key in raw["skywire-tcp"]["pk_table"]
    }
    assert config.persistent_transports[0].type == "stcpr"
    assert config.hypervisor is not None
    assert (config.hypervisor.lan_dmsg_server.pk, config.hypervisor.lan_dmsg_server.sk) == (None, None)
    assert config.launcher.apps[5].auto_start is True
    assert warned(file) == [
        "line 35: pty.ssh_listen: this TCP port is not opened by the visor: run the command `standalone pty`",
        f"line 103: transport.quic_port: {UNKNOWN}",
        f"line 178: {SERVER_ADDR}",
        f"line 200: {CLI_ADDR}",
        f"line 233: {HTTP_ADDR}",
        f"line 246: dht: {UNKNOWN}",
    ]


def test_nothing_shows_a_secret(tmp_path: Path) -> None:
    for name in ("go-2024.json", "go-2026.json"):
        config = ConfigFile.load(copied(tmp_path, name)).config
        shown = repr(config) + str(config)
        assert config.identity.expose_hex() not in shown
        assert "abab" not in shown
        assert "--addr" not in shown


def test_an_empty_configuration_is_off_and_names_no_host(tmp_path: Path) -> None:
    config = made(tmp_path).config
    assert config == VisorConfig(sk=KEY)
    assert "://" not in repr(config)
    assert (config.log_level, config.local_path, config.shutdown_timeout.total_seconds()) == ("info", "./local", 10)


def test_null_is_as_good_as_absent(tmp_path: Path) -> None:
    config = made(tmp_path, **{name: None for name in members_of(VisorConfig) if name != "sk"}).config
    assert config == VisorConfig(sk=KEY)


def test_all_errors_are_told_with_their_lines(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        transport={"stcpr_port": "7777", "sudph_port": 65536, "log_store": {"rotation_interval": "a week"}},
        hypervisors=[ALICE, "02"],
        control={BOB: "root"},
        launcher={"apps": [{"name": "skychat", "auto_start": "yes", "args": [f"--sk={SECRET}", 7]}, 5]},
        skychat=[],
        is_public=1,
        stun_servers="127.0.0.1:3478",
        routing={"route_setup_sk": SECRET[1:]},
        survey_client_sk=[SECRET],
    )
    assert found == [
        "line 4: transport.stcpr_port: a whole number is expected, this is the text '7777'",
        "line 5: transport.sudph_port: 0 to 65535 is expected, this is the number 65536",
        f"line 7: transport.log_store.rotation_interval: {A_SPAN}; this is the text 'a week'",
        "line 12: hypervisors[1]: a public key is 66 hexadecimal characters, this is 2 characters of text",
        f"line 15: control.{BOB}: read, control, admin is expected, this is the text 'root'",
        "line 21: launcher.apps[0].auto_start: true or false is expected, this is the text 'yes'",
        "line 24: launcher.apps[0].args[1]: a text is expected, this is something else",
        "line 27: launcher.apps[1]: an object is expected, this is the number 5",
        "line 30: skychat: an object is expected, this is a list",
        "line 31: is_public: true or false is expected, this is the number 1",
        "line 32: stun_servers: a list is expected, this is the text '127.0.0.1:3478'",
        "line 34: routing.route_setup_sk: a secret key is 64 hexadecimal characters, this is 63 characters of text",
        "line 36: survey_client_sk: a text is expected, this is something else",
    ]


def test_one_error_stands_for_all_in_a_line(tmp_path: Path) -> None:
    path = put(tmp_path / "visor.json", {"log_level": 5, "geoip": 7, "stats": True})
    assert refused(path) == (
        "visor.json, line 3: log_level: a text is expected, this is the number 5"
        " (and 2 more: see skywire cli config check)"
    )


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"sk": SECRET, "pk": ALICE}, f"line 3: pk: it does not belong to sk, whose public key is {KEY.public}"),
        ({"log_level": "loud"}, "line 3: log_level: 'loud' is none of trace, debug, info"),
        ({"shutdown_timeout": "-1s"}, "line 3: shutdown_timeout: a time span that is not negative is expected"),
        ({"dmsg": {"discovery": "me:word@host"}}, "line 4: dmsg.discovery: http://host:port, https://host or dmsg"),
        ({"dmsg": {"sessions_count": -1}}, "line 4: dmsg.sessions_count: the number of servers"),
        ({"dmsg": {"servers": [{"server": {"address": "h:1"}}]}}, "line 5: dmsg.servers[0].static: the public key"),
        (
            {"dmsg": {"servers": [{"static": ALICE, "server": {"address": "h"}}]}},
            "line 8: dmsg.servers[0].server.address: a local address is host:port or [ipv6]:port, this is 'h'",
        ),
    ],
)
def test_values_that_cannot_be(tmp_path: Path, members: dict[str, object], error: str) -> None:
    (found,) = problems(tmp_path, **members)
    assert found.startswith(error)
    assert "word" not in found


def test_unknown_keys_at_any_depth(tmp_path: Path) -> None:
    file = made(tmp_path, Transport={}, dmsg={"server": {"tls": {"on": 1}}}, launcher={"apps": [{"later": 1}]})
    assert warned(file) == [
        f"line 3: Transport: {UNKNOWN}; it is written transport here",
        f"line 6: dmsg.server.tls: {UNKNOWN}",
        f"line 14: launcher.apps[0].later: {UNKNOWN}",
    ]


def test_names_that_no_terminal_shows(tmp_path: Path) -> None:
    file = made(tmp_path, **{"\ud800\n\x1b[31m": 1})
    assert warned(file) == [f'line 3: "\\ud800\\n\\u001b[31m": {UNKNOWN}']


def test_older_names(tmp_path: Path) -> None:
    file = made(tmp_path, dmsgpty={"port": 23}, stcp={"local_address": ":1"}, routing={"setup_nodes": [ALICE]})
    assert (file.config.pty.dmsg_port, file.config.skywire_tcp.listening_address) == (23, ":1")
    assert file.config.routing.route_setup_nodes == (PubKey.from_hex(ALICE),)
    assert file.warnings == ()
    both = made(tmp_path, pty={"dmsg_port": 22}, dmsgpty={"dmsg_port": 23})
    assert both.config.pty.dmsg_port == 22
    assert warned(both) == ["line 6: dmsgpty: it stands there twice: pty is the one that counts"]


def test_several_deployments_of_dmsg(tmp_path: Path) -> None:
    file = made(tmp_path, dmsg=[{"discovery": "http://a"}, {"discovery": "http://b"}])
    assert file.config.dmsg.discovery == "http://a"
    assert warned(file) == ["line 3: dmsg: there are 2 of them, and only the first one is used"]
    assert made(tmp_path, dmsg=[]).config.dmsg == VisorConfig().dmsg
    assert problems(tmp_path, dmsg=[{"discovery": 7}]) == [
        "line 5: dmsg[0].discovery: a text is expected, this is the number 7"
    ]


@pytest.mark.parametrize(
    ("version", "is_told"),
    [("v1.3.29", False), ("0.9", False), ("unknown", False), ("", False), ("v2.0.0", True), ("10.1", True)],
)
def test_versions(tmp_path: Path, version: str, is_told: bool) -> None:
    assert bool(made(tmp_path, version=version).warnings) is is_told


def test_control(tmp_path: Path) -> None:
    file = made(tmp_path, control={ALICE: "read", BOB: "admin"}, hypervisors=[ALICE, BOB])
    assert file.config.control == {PubKey.from_hex(ALICE): Role.READ, PubKey.from_hex(BOB): Role.ADMIN}
    assert warned(file) == [f"line 4: control.{ALICE}: it is among the hypervisors too, who may do everything"]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("10s", 10),
        ("2m0s", 120),
        ("168h0m0s", 604800),
        ("1h15m30.5s", 4530.5),
        (".5s", 0.5),
        ("1.s", 1),
        ("300ms", 0.3),
        ("20us", 0.00002),
        ("20µs", 0.00002),
        ("-1m", -60),
        ("+1m", 60),
        ("0", 0),
        (10_000_000_000, 10),
        (0, 0),
        (-1000, -0.000001),
    ],
)
def test_time_spans(value: object, seconds: float) -> None:
    assert read_duration(value).total_seconds() == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value",
    ["", "10", "s", ".s", "1 s", "1s ", "1d", "1S", "--1s", "-", "1m-1s", 1.5, True, None, [], 2**70, "3000000h"],
)
def test_no_time_spans(value: object) -> None:
    with pytest.raises(ValueError, match="time span"):
        read_duration(value)


@given(st.timedeltas(timedelta(days=-30_000), timedelta(days=30_000)))
def test_time_spans_are_written_as_they_are_read(span: timedelta) -> None:
    assert abs(read_duration(write_duration(span)) - span) < timedelta(microseconds=2)


def test_time_spans_look_as_upstream_writes_them() -> None:
    assert [write_duration(timedelta(seconds=each)) for each in (10, 120, 604800, 0.5, -61)] == [
        "10s",
        "2m0s",
        "168h0m0s",
        "0.5s",
        "-1m1s",
    ]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "visor.json, line 1: this is no JSON: Expecting value"),
        ('{"sk": 1,\n}', "visor.json, line 2: this is no JSON: Expecting property name enclosed in double quotes"),
        ("[]", "visor.json, line 1: it is no JSON object"),
        ('{"sk": "",\n"sk": ""}', "visor.json, line 2: 'sk' stands there twice"),
        (" " * (MAX_FILE + 1), f"visor.json is no configuration: it has more than {MAX_FILE} bytes"),
    ],
)
def test_files_that_are_none(tmp_path: Path, text: str, error: str) -> None:
    found = refused(put(tmp_path / "visor.json", text))
    assert found.startswith(error)


def test_a_file_that_others_can_read(tmp_path: Path) -> None:
    path = put(tmp_path / "visor.json", {}, 0o644)
    assert refused(path) == (
        "visor.json is open to others (mode 0644), and it holds a secret key: run chmod 600 visor.json, or make a new"
        " one. Upstream's programs write it with mode 0644"
    )
    assert refused(tmp_path / "none.json") == "cannot read the configuration none.json: No such file or directory"


def known_paths() -> list[tuple[str | int, ...]]:
    """Every key that there is, as a path; an index where there is a list of objects."""
    found: list[tuple[str | int, ...]] = []

    def walk(kind: type[object], path: tuple[str | int, ...]) -> None:
        for name, field in members_of(kind).items():
            found.append((*path, name))
            text = str(hints_of(kind)[field.name])
            for inner in kinds:
                if f"{inner.__module__}.{inner.__name__}" in text or hints_of(kind)[field.name] is inner:
                    walk(inner, (*path, name, 0) if "tuple" in text else (*path, name))

    modules = (dmsg_section, schema, sections)
    kinds = [each for module in modules for each in vars(module).values() if is_section(each)]
    walk(VisorConfig, ())
    return found


PATHS = known_paths()


def test_the_keys_are_found() -> None:
    shown = {show_path(path) for path in PATHS}
    assert len(shown) > 200
    assert {
        "skywire-tcp.pk_table",
        "launcher.apps[0].args",
        "hypervisor.cookies.hash_key",
        "dmsgpty.whitelist",
    } <= shown


@given(st.sampled_from(PATHS), JSON)
@settings(max_examples=250, deadline=None)
def test_any_value_at_any_key_loads_or_is_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, path: tuple[str | int, ...], value: object
) -> None:
    members: object = value
    for step in reversed(path):
        members = [members] if isinstance(step, int) else {step: members}
    assert isinstance(members, dict)
    file = put(tmp_path_factory.getbasetemp() / "any.json", json.dumps(members, indent="\t"))
    try:
        ConfigFile.load(file)
    except WrongSettings as error:
        found = error.problems
    else:
        found = ()
    for each in found:
        assert each.place.startswith(f"{file}, line ")
        assert f": {show_path(path[:1])}" in each.place
        assert each.text


@pytest.mark.parametrize("name", ["go-2024.json", "go-2026.json"])
def test_half_a_file_is_a_clear_error(tmp_path: Path, name: str) -> None:
    content = (FIXTURES / name).read_bytes()
    path = tmp_path / "half.json"
    path.touch(0o600)
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(ConfigError, match=r"half\.json, line [0-9]+: this is no JSON"):
            ConfigFile.load(path)
