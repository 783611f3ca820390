"""The table of app instances."""

from __future__ import annotations

from typing import Final

from rich.text import Text

from skywire.app.record import InstanceInfo
from skywire.cli.control.instance import ports, why
from skywire.cli.control.nodes import Process, Survey
from skywire.cli.control.tables import STATE_STYLES, Column, text
from skywire.cli.control.words import age

_RANKS: Final = {
    "name": 0,
    "app": 5,
    "state": 0,
    "port": 2,
    "autostart": 3,
    "restart": 8,
    "mode": 7,
    "isolation": 9,
    "node": 6,
    "since": 4,
    "reason": 0,
}


def columns_of(found: Survey) -> list[Column]:
    """The columns: where there are several nodes, which of them an instance is in is among what matters most."""
    ranks = _RANKS if len(found.processes) < 2 else {**_RANKS, "node": 1}
    return [Column(title, rank, folds=title == "reason") for title, rank in ranks.items()]


def rows_of(found: Survey) -> list[list[Text]]:
    """All instances of all processes."""
    return [_row(process, info) for process in found.processes.values() for info in process.apps]


def _row(process: Process, info: InstanceInfo) -> list[Text]:
    return [
        text(info.name, "bold"),
        text(info.definition),
        text(info.state.value, STATE_STYLES[info.state]),
        text(ports(info)),
        text("on" if info.auto_start else "off"),
        text(info.restart.value),
        text(process.hello.mode.value),
        text(info.isolation.value),
        text(process.found.name),
        text(age(info.since)),
        text(why(info)),
    ]
