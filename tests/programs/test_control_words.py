"""What commands about nodes read and write, without a node."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from skywire.cli.control import arguments, reach
from skywire.cli.control.arguments import arrange
from skywire.cli.control.settings import pairs
from skywire.cli.control.tables import Column, made_table
from skywire.cli.control.words import (
    age,
    clock_time,
    duration,
    level,
    level_name,
    moment,
    size,
    visible,
    visible_lines,
)
from skywire.cli.main import app
from skywire.cli.program import UsageError


@pytest.mark.parametrize(
    ("line", "arranged"),
    [
        ("app ls -L", "app ls -L"),
        ("--node x app ls -L", "app ls --node x -L"),
        ("app --node=x ls", "app ls --node=x"),
        (
            "--via a cli --timeout 3 visor app arg pk x y --disc z",
            "cli visor app arg pk --via a --timeout 3 x y --disc z",
        ),
        ("app talker --node x stop --for 1s", "app talker stop --node x --for 1s"),
        ("--timeout 5 dmsg curl --timeout 7 x", "dmsg curl --timeout 5 --timeout 7 x"),
        ("--version", "--version"),
        ("--node", "--node"),
        ("app --node x", "app"),
        ("--node x cli bogus", "cli bogus"),
        ("--bogus app", "--bogus app"),
        ("", ""),
    ],
)
def test_options_may_stand_before_commands(line: str, arranged: str) -> None:
    assert " ".join(arrange(app, line.split())) == arranged


def test_all_options_of_every_command_may_stand_before_it() -> None:
    names = {each for name in reach.Reach.__dataclass_fields__ for each in (f"--{name.replace('_', '-')}",)}
    assert names | {"-D"} == set(reach.VALUED)
    assert arguments.INSTANCES in app


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86400), ("1.5m", 90)])
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds
    assert abs(moment(text) - (time.time() - seconds)) < 5


@pytest.mark.parametrize("text", ["", "10", "m", "-1s", "0s", "1w", "1e3s", "9" * 400 + "d", "1 m", "١m", "\x1b"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match="a duration is for instance"):
        duration(text)
    with pytest.raises(UsageError):
        moment(text)


def test_moments() -> None:
    assert moment("beginning") == 0.0
    assert moment("2026-11-23T18:00:00+00:00") == datetime(2026, 11, 23, 18, tzinfo=UTC).timestamp()
    assert clock_time(0) == "1970-01-01 00:00:00"
    assert clock_time(1e300) == "at no time"


@given(st.text())
def test_nothing_that_is_shown_commands_a_terminal(text: str) -> None:
    assert visible(text).isprintable()
    assert visible_lines(text).count("\n") == text.count("\n")
    assert visible_lines(text).replace("\n", "").isprintable()


def test_levels_ages_and_sizes() -> None:
    assert [level(name) for name in ("debug", "INFO", "critical")] == [10, 20, 50]
    assert [level_name(number) for number in (0, 10, 25, 30, 99)] == ["debug", "debug", "info", "warning", "critical"]
    assert [age(0, now) for now in (-5, 0.5, 59, 61, 3600, 90061)] == ["0s", "0s", "59s", "1m1s", "1h0m", "1d1h"]
    assert [size(number) for number in (0, 1023, 1024, 5 << 20, 3 << 40)] == [
        *("0 B", "1023 B", "1.0 KiB", "5.0 MiB", "3.0 TiB"),
    ]


def test_settings() -> None:
    assert pairs(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}
    for wrong in (["a"], ["=1"], ["a=1", "a=2"]):
        with pytest.raises(UsageError, match="settings are NAME=VALUE"):
            pairs(wrong)


@given(st.integers(20, 250), st.lists(st.text(max_size=60), min_size=1, max_size=6))
def test_a_table_is_never_wider_than_the_terminal(width: int, cells: list[str]) -> None:
    columns = [
        Column("name"),
        *(Column(f"c{rank}", rank=rank) for rank in range(1, len(cells))),
        Column("why", folds=True),
    ]
    row = [Text(visible(cell)) for cell in [*cells, "x" * 30]]
    table, left_out = made_table(columns, [row], width)
    console = Console(width=width, file=None)
    with console.capture() as shown:
        console.print(table)
    assert max(cell_len(line) for line in shown.get().splitlines()) <= width
    assert not set(left_out) & {"name", "why"}
