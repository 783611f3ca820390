"""Tables for people, as wide as the terminal is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from skywire.app.api import Severity
from skywire.app.status import State
from skywire.cli.control.words import visible

STATE_STYLES: Final = {
    State.RUNNING: "green",
    State.DEGRADED: "yellow",
    State.STARTING: "cyan",
    State.STOPPED: "dim",
    State.BLOCKED: "yellow",
    State.ERRORED: "red",
    State.STUCK: "bold red",
}
"""Colours, beside the words: nobody has to see colours."""
SEVERITY_STYLES: Final = {Severity.GREEN: "green", Severity.YELLOW: "yellow", Severity.RED: "bold red"}
_NARROWEST: Final = 20
"""Characters that a column of sentences is given before columns are left out."""
_GAP: Final = 3
"""Characters between two columns."""


@final
@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        title: its head.
        rank: columns of the highest rank are left out first where there is no room; those of 0 never are.
        folds: whether its cells are sentences, which may take several lines.
    """

    title: str
    rank: int = 0
    folds: bool = False


def text(words: str, style: str = "") -> Text:
    """A cell, with what could command a terminal made visible."""
    return Text(visible(words), style)


def show_table(columns: Sequence[Column], rows: Sequence[Sequence[Text]], *, empty: str) -> None:
    """Write a table to the standard output.

    Args:
        columns: at least one.
        rows: each with a cell for every column.
        empty: what is said on the standard error when there are no rows.
    """
    if not rows:
        print(empty, file=sys.stderr)
        return
    console = Console()
    table, left_out = made_table(columns, rows, console.width)
    console.print(table)
    if left_out:
        print(f"no room for: {', '.join(left_out)}; --json tells all", file=sys.stderr)


def made_table(
    columns: Sequence[Column], rows: Sequence[Sequence[Text]], width: int
) -> tuple[RenderableType, tuple[str, ...]]:
    """A table, and the titles of the columns that there is no room for."""
    widths = [
        max(cell_len(column.title), *(cell_len(row[number].plain) for row in rows), 0)
        for number, column in enumerate(columns)
    ]
    shown = [number for number, column in enumerate(columns) if not column.rank or any(row[number] for row in rows)]

    def needed() -> int:
        return sum(
            min(widths[number], _NARROWEST) if columns[number].folds else widths[number] for number in shown
        ) + _GAP * (len(shown) - 1)

    left_out: list[str] = []
    while needed() > width and (ranks := [columns[number].rank for number in shown]) and max(ranks) > 0:
        worst = next(number for number in shown if columns[number].rank == max(ranks))
        shown.remove(worst)
        left_out.append(columns[worst].title)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for number in shown:
        table.add_column(
            columns[number].title,
            overflow="fold",
            no_wrap=not columns[number].folds and needed() <= width,
        )
    for row in rows:
        table.add_row(*(row[number] for number in shown))
    return table, tuple(reversed(left_out))
