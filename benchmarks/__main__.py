"""``python -m benchmarks [--quick] [--json FILE|-] [--only NAME]``"""

from __future__ import annotations

import json
import statistics
import sys
from math import isnan, nan
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.measurements import FULL, MEASUREMENTS, QUICK, TARGETS

ROUNDS: Final = 5
app = App(
    name="benchmarks",
    help="Measure each path against its floor, each role in a process of its own.",
    version_flags=[],
)


@app.default
def run(
    *,
    quick: Annotated[bool, Parameter(negative="")] = False,
    json_file: Annotated[str | None, Parameter(name="--json", allow_leading_hyphen=True)] = None,
    only: Annotated[tuple[str, ...], Parameter(negative="")] = (),
) -> None:
    """Take samples of each row in five rounds, and show the medians.

    Parameters
    ----------
    quick:
        Small samples: the whole run ends within 60 seconds.
    json_file:
        Write the rows as JSON to this file, or to the standard output for ``-``, instead of a table.
    only:
        Only the measurements that give this row; may be repeated.
    """
    known = [row for measurement in MEASUREMENTS for row in measurement.units]
    for name in only:
        if name not in known:
            print(f"there is no row {name}; there are: {', '.join(known)}", file=sys.stderr)
            sys.exit(2)
    chosen = [each for each in MEASUREMENTS if not only or not set(only).isdisjoint(each.units)]
    size = QUICK if quick else FULL
    samples: dict[str, list[float]] = {row: [] for measurement in chosen for row in measurement.units}
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("measuring", total=ROUNDS * len(chosen))
        for _ in range(ROUNDS):
            # Rows in turn, so that a change of the machine's speed meets all of them alike.
            for measurement in chosen:
                for _ in range(measurement.times(size)):
                    for row, value in measurement.sample(size).items():
                        samples[row].append(value)
                progress.advance(task)
    medians = {row: statistics.median(values) for row, values in samples.items()}
    units = {row: unit for measurement in chosen for row, unit in measurement.units.items()}
    if json_file is None:
        _show(medians, units, samples)
        return
    rows = [
        {"name": row, "value": None if isnan(value) else value, "unit": units[row]} for row, value in medians.items()
    ]
    text = json.dumps({"rows": rows}, indent=1)
    if json_file == "-":
        print(text)
    else:
        Path(json_file).write_text(text + "\n", "utf-8")


def _show(medians: dict[str, float], units: dict[str, str], samples: dict[str, list[float]]) -> None:
    table = Table(box=SIMPLE_HEAD, title=f"medians of {ROUNDS} rounds", title_justify="left")
    for column in ("row", "median", "min", "max", "unit", "of floor", "to reach"):
        table.add_column(
            column, no_wrap=True, justify="right" if column in {"median", "min", "max", "of floor"} else "left"
        )
    targets = {target.row: target for target in TARGETS}
    for row, value in medians.items():
        ratio = reach = ""
        target = targets.get(row)
        if target is not None and not isnan(medians.get(target.floor or row, nan)):
            reached = value / medians[target.floor] if target.floor else value
            met = reached >= target.bound if target.at_least else reached <= target.bound
            ratio = f"{reached:.2f}" if target.floor else ""
            reach = f"{'>=' if target.at_least else '<='} {target.bound:g} {'met' if met else 'MISSED'}"
        if isnan(value):
            table.add_row(row, "missing")
            continue
        low, high = min(samples[row]), max(samples[row])
        table.add_row(row, f"{value:.1f}", f"{low:.1f}", f"{high:.1f}", units[row], ratio, reach)
    # A pipe has no width of its own; a table that is cut short is of no use to anybody.
    Console(width=None if sys.stdout.isatty() else 100).print(table)


if __name__ == "__main__":
    app()
