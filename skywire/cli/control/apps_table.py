"""The table of app instances."""

from __future__ import annotations

from typing import Final

from rich.text import Text

from skywire.app.record import InstanceInfo
from skywire.cli.control.instance import ports
from skywire.cli.control.nodes import Process, Survey
from skywire.cli.control.tables import STATE_STYLES, Column, text
from skywire.cli.control.words import age

COLUMNS: Final = (
    Column("name"),
    Column("app", rank=2),
    Column("state"),
    Column("port", rank=1),
    Column("autostart", rank=5),
    Column("restart", rank=7),
    Column("mode", rank=4),
    Column("isolation", rank=8),
    Column("node", rank=6),
    Column("since", rank=3),
    Column("reason", folds=True),
)


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
        text(info.reason or info.status.trouble or ""),
    ]
