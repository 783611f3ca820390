"""The commands about the configuration of the visor. Each is imported only when it is run."""

from __future__ import annotations

from typing import Final

from cyclopts import App

COMMANDS: Final = {
    "gen": ("generate:gen", "Write a configuration, or bring one up to date."),
    "show": ("show:show", "Show a configuration, without its secrets."),
    "check": ("check:check", "Tell all that is wrong with a configuration; the exit code is 1 when something is."),
    "update": ("update:app", "Change a configuration, and keep all else in it as it is."),
}
"""Where each of them is, and its help."""


def add_config_commands(app: App) -> None:
    """Give ``app`` all of them."""
    for name, (place, text) in COMMANDS.items():
        app.command(f"{__name__}.{place}", name=name, help=text)
