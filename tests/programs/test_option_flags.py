"""The options of an app as flags of its command."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from cyclopts import App, Group

from skywire import SecKey
from skywire.app.loaded import load
from skywire.app.run_mode import RunMode
from skywire.cli.identity import take_identity
from skywire.cli.program import UsageError, new_group, new_program
from skywire.cli.program import run as run_program
from skywire.cli.standalone import with_apps
from skywire.cli.standalone.option_flags import flags_of, read_options
from skywire.net.address import Address
from tests.programs.placed_apps import MANY, Color, Many

KEYS = tuple(SecKey(bytes([number]) * 32).public for number in (1, 2, 3))
LOADED = load(MANY)
FLAGS = flags_of(LOADED, frozenset({"--name", "--json"}))


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SKYWIRE_MANY_PASSCODE", raising=False)


def read(line: str) -> object:
    """The options that the words of a line give, as a program reads them."""
    app = App(name="tool", help_flags=[], version_flags=[])
    given: dict[str, object] = {}

    def take(**values: object) -> None:
        given.update(values)

    from inspect import Signature

    signature = Signature([flag.argument(Group("Options")) for flag in FLAGS])
    vars(take)["__signature__"] = signature
    take.__annotations__ = {each.name: each.annotation for each in signature.parameters.values()}
    app.default(take)
    app(shlex.split(line), exit_on_error=False, print_error=False, result_action="return_value")
    return read_options(LOADED, FLAGS, given)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", Many()),
        ("--text 'b c'", Many(text="b c")),
        ("--text -5", Many(text="-5")),
        ("--text ''", Many(text="")),
        ("--count -7 --share 2", Many(count=-7, share=2.0)),
        ("--loud --no-quick", Many(loud=True, quick=False)),
        ("--no-loud --quick", Many()),
        ("--color blue", Many(color=Color.BLUE)),
        (f"--keys {KEYS[0]},{KEYS[1]} --keys {KEYS[2]}", Many(keys=KEYS)),
        (f"--peers tcp://{KEYS[0]}@a.example:5", Many(peers=(Address("tcp", KEYS[0], 5, "a.example"),))),
        ("--words one --words two,three", Many(words=("one", "two", "three"))),
        ("--words '[\"with, comma\"]'", Many(words=("with, comma",))),
        ("--limit 5", Many(limit=5)),
        ("--limit none", Many()),
        ("--home /srv", Many(home=Path("/srv"))),
        ("--many-name me", Many(name="me")),
    ],
)
def test_each_kind_of_value(line: str, expected: Many) -> None:
    assert read(line) == expected


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("--count five", "--count: a whole number is expected"),
        ("--count 101", "count is at most 100"),
        ("--count 1.5", "--count: a whole number is expected"),
        ("--color green", "--color: 'green' is not a valid Color; it is one of red, blue"),
        (f"--keys {KEYS[0]} --keys 02", "--keys: a public key is 66"),
        ("--peers nowhere", "--peers: an address is dmsg://"),
        ("--words [", "--words: a list is expected, written as JSON"),
        ("--text '\x1b[2J' --count '\x1b[2J'", "this is the text '"),
    ],
)
def test_what_does_not_fit_is_told_by_its_flag(line: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(line)
    assert reason in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_secret_comes_by_a_file_or_the_environment_and_is_never_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    file.write_text("open sesame\nanother line\n")
    assert read(f"--passcode-file {file}") == Many(passcode="open sesame")
    monkeypatch.setenv("SKYWIRE_MANY_PASSCODE", "from outside")
    assert read("") == Many(passcode="from outside")
    assert read(f"--passcode-file {file}") == Many(passcode="open sesame")
    with pytest.raises(UsageError, match="cannot read"):
        read(f"--passcode-file {tmp_path / 'none'}")
    with pytest.raises(UsageError, match="is not shown, being secret") as caught:
        read(f"--pin-file {file}")
    assert "sesame" not in str(caught.value)


def test_no_flag_takes_a_secret_itself() -> None:
    by_flag: Mapping[str, bool] = {flag.flag: flag.info.secret for flag in FLAGS}
    assert {flag for flag, secret in by_flag.items() if secret} == {"--passcode-file", "--pin-file"}
    assert len(by_flag) == len(FLAGS)


def test_names_that_are_taken_get_that_of_the_app() -> None:
    assert "--many-name" in list(names())
    assert "--name" not in list(names())


def names() -> Iterator[str]:
    yield from (flag.flag for flag in FLAGS)


def test_a_text_that_is_no_utf_8_is_refused() -> None:
    with pytest.raises(UsageError, match="--text: text in UTF-8 is expected"):
        read("--text \udcff")


def test_secrets_of_the_environment_are_not_there_for_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYWIRE_MANY_PASSCODE", "open sesame")
    read("")
    assert "SKYWIRE_MANY_PASSCODE" not in os.environ
    key = SecKey.generate()
    monkeypatch.setenv("SOME_KEY", key.expose_hex())
    assert take_identity(None, None, "SOME_KEY") == key
    assert "SOME_KEY" not in os.environ


def test_no_definition_takes_the_place_of_a_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = tmp_path / "foreign-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1\n")
    (facts / "entry_points.txt").write_text("[skywire.apps]\nkeys = foreign_app:KEYS\n")
    (tmp_path / "foreign_app.py").write_text(
        "from skywire.app import App, NoOptions\n"
        "async def run(host, options, *, task_status): ...\n"
        'KEYS = App(name="keys", summary="Another summary.", options=NoOptions, run=run)\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    tool = new_program("tool", "A tool.")
    tool.command(new_group("keys", "Our summary."))
    with pytest.raises(SystemExit):
        run_program(tool, ["--help"], arrange=with_apps(RunMode.DMSG_STANDALONE))
    shown = capsys.readouterr().out
    assert "Our summary." in shown
    assert "Another summary." not in shown
