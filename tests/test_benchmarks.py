"""The benchmarks run, and say what they measured in the form they promise. What they measure is not looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from math import isnan
from pathlib import Path

import pytest

from benchmarks.measurements import MEASUREMENTS, QUICK, TARGETS, Measurement, Size

ROOT = Path(__file__).parent.parent
MAY_BE_MISSING = {"floor.ssh_echo.rtt_p50_us"}
TINY = Size(bulk_bytes=1 << 20, round_trips=100, connects=2, operations=2, echoes=1, apps=3)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_rows_as_json(tmp_path: Path) -> None:
    done = run("--quick", "--only", "import_skywire_ms", "--json", "-")
    (row,) = json.loads(done.stdout)["rows"]
    assert (row["name"], row["unit"]) == ("import_skywire_ms", "ms")
    assert row["value"] > 0
    assert run("--quick", "--only", "import_skywire_ms", "--json", str(tmp_path / "rows")).stdout == ""
    assert json.loads((tmp_path / "rows").read_text())["rows"][0]["name"] == "import_skywire_ms"


def test_rows_as_a_table() -> None:
    done = run("--quick", "--only", "import_skywire_ms")
    assert "import_skywire_ms" in done.stdout
    assert "<= 150" in done.stdout


def test_an_unknown_row_is_refused() -> None:
    done = run("--only", "nothing")
    assert done.returncode == 2
    assert "pktcp.bulk.1" in done.stderr


@pytest.mark.parametrize("measurement", MEASUREMENTS, ids=lambda measurement: next(iter(measurement.units)))
def test_each_measurement_gives_its_rows(measurement: Measurement, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    values = measurement.sample(TINY)
    assert set(values) == set(measurement.units)
    for row, value in values.items():
        assert value > 0 or (isnan(value) and row in MAY_BE_MISSING)


def test_targets_name_rows_that_exist() -> None:
    rows = {row for measurement in MEASUREMENTS for row in measurement.units}
    assert {target.row for target in TARGETS} <= rows
    assert {target.floor for target in TARGETS} <= rows | {None}
    assert QUICK.bulk_bytes % 65536 == 0
