"""The command ``show``: what is configured."""

from __future__ import annotations

import logging
import os
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from skywire.cli.config.options import ConfigPath, catalogue, config_path
from skywire.cli.program import Json, show_json
from skywire.visor.config.file import ConfigFile
from skywire.visor.config.hiding import hide
from skywire.visor.config.settings import Settings, resolve


def show(
    *,
    config: ConfigPath = None,
    effective: Annotated[bool, Parameter(negative="")] = False,
    as_json: Json = False,
) -> None:
    """Show a configuration, without its secrets.

    Parameters
    ----------
    effective:
        Show what a visor would go by here and now, and where each setting comes from.
    """
    path = config_path(config)
    file = ConfigFile.load(path)
    if not effective:
        show_json(hide(file.document.value, file.config, catalogue()))
        return
    settings = resolve(file, {}, os.environ)
    rows = {name: (value, settings.sources[name]) for name, value in _values(settings).items()}
    if as_json:
        show_json({name: {"value": value, "source": source} for name, (value, source) in rows.items()})
        return
    table = Table("setting", "value", "source")
    for name, (value, source) in rows.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        table.add_row(*(Text(each, overflow="fold") for each in (name, shown or "none", source)))
    Console().print(table)


def _values(settings: Settings) -> dict[str, object]:
    """The settings as JSON; the identity as its public key."""
    return {
        "identity": str(settings.identity.public),
        "log_level": logging.getLevelName(settings.log_level).lower(),
        "local_path": str(settings.local_path),
        "discovery": settings.discovery,
        "servers": [f"{each.static}@{each.server.address}" for each in settings.servers if each.server is not None],
        "min_sessions": settings.min_sessions,
        "shutdown_seconds": settings.shutdown_seconds,
        "grants": [f"{each.key} {each.role.name.lower()}" for each in settings.grants],
    }
