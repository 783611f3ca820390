"""The program ``dmsg``."""

from __future__ import annotations

from skywire.app.run_mode import RunMode
from skywire.cli.dmsg import add_dmsg_commands
from skywire.cli.lazy import add_key_commands
from skywire.cli.program import new_group, new_program, run
from skywire.cli.standalone import with_apps

app = new_program("dmsg", "Tools of the dmsg network, and apps that run on it without a visor.")

_conf = new_group("conf", "Keys.")
app.command(_conf)
add_key_commands(_conf)
add_dmsg_commands(app)


def main() -> None:
    """Run the program."""
    run(app, arrange=with_apps(RunMode.DMSG_STANDALONE))
