"""The program ``standalone``."""

from __future__ import annotations

from skywire.app.run_mode import RunMode
from skywire.cli.lazy import add_key_commands
from skywire.cli.program import new_group, new_program, run
from skywire.cli.standalone import with_apps

app = new_program("standalone", "Apps over key-encrypted TCP, without a visor and without an overlay network.")

_conf = new_group("conf", "Keys.")
app.command(_conf)
add_key_commands(_conf)


def main() -> None:
    """Run the program."""
    run(app, arrange=with_apps(RunMode.TCP_STANDALONE))
