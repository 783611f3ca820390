"""The program ``dmsg``."""

from __future__ import annotations

from cyclopts import App

from skywire.cli.dmsg import add_dmsg_commands
from skywire.cli.keys import add_key_commands
from skywire.cli.program import new_program, run

app = new_program("dmsg", "Tools of the dmsg network, and apps that run on it without a visor.")

_conf = App(name="conf", help="Keys.")
app.command(_conf)
add_key_commands(_conf)
add_dmsg_commands(app)


def main() -> None:
    """Run the program."""
    run(app)
