"""The program ``skywire``."""

from __future__ import annotations

from cyclopts import App

from skywire.cli.config import add_config_commands
from skywire.cli.dmsg import add_dmsg_commands
from skywire.cli.keys import add_key_commands
from skywire.cli.program import new_program, run

app = new_program("skywire", "An encrypted overlay network addressed by public key.")

app.command("skywire.cli.visor:visor", name="visor", help="Run a node.")

_cli = App(name="cli", help="Configure and control this node.")
_config = App(name="config", help="Keys and configuration.")
app.command(_cli)
_cli.command(_config)
add_key_commands(_config)
add_config_commands(_config)

_dmsg = App(name="dmsg", help="Tools and services of the dmsg network.")
app.command(_dmsg)
add_dmsg_commands(_dmsg)


def main() -> None:
    """Run the program."""
    run(app)
