"""Commands that are imported when they are run, and not before: starting a program is not to cost what it could do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cyclopts import App

KEY_COMMANDS: Final = {
    "gen-keys": """Make a new key pair.

Without --out both keys are printed, the public one first. With it the secret key goes to that file alone (readable
by you only) and the public key is printed.""",
    "check-pk": "Check a public key: 66 hexadecimal characters that are a point of secp256k1.",
}
"""What ``add_key_commands`` adds, with the help of each, which has to be here."""


def add_commands(app: App, module: str, commands: Mapping[str, str]) -> None:
    """Give ``app`` commands that are functions of a module.

    Args:
        app: the command line.
        module: the name of the module.
        commands: the help of each command. Its function has the same name, with underscores.
    """
    for name, text in commands.items():
        app.command(f"{module}:{name.replace('-', '_')}", name=name, help=text)


def add_key_commands(app: App) -> None:
    """Give ``app`` the commands gen-keys and check-pk."""
    add_commands(app, "skywire.cli.keys", KEY_COMMANDS)
