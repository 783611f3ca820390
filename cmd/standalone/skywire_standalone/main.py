"""The program ``standalone``."""

from __future__ import annotations

from cyclopts import App

from skywire.cli.keys import add_key_commands
from skywire.cli.program import new_program, run

app = new_program("standalone", "Apps over key-encrypted TCP, without a visor and without an overlay network.")

_conf = App(name="conf", help="Keys.")
app.command(_conf)
add_key_commands(_conf)


def main() -> None:
    """Run the program."""
    run(app)
