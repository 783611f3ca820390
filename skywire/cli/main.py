"""The program ``skywire``."""

from __future__ import annotations

from collections.abc import Sequence

from cyclopts import App

from skywire.app.run_mode import RunMode
from skywire.cli.config import add_config_commands
from skywire.cli.control import add_app_commands, add_visor_commands
from skywire.cli.control.arguments import arrange
from skywire.cli.dmsg import add_dmsg_commands
from skywire.cli.lazy import add_key_commands
from skywire.cli.program import new_group, new_program, run
from skywire.cli.standalone import with_apps

app = new_program(
    "skywire",
    """An encrypted overlay network addressed by public key.

Before or behind the commands app and cli visor: --node NAME and --via dmsg://KEY say which node is meant, --timeout how
long each answer may take.""",
)

app.command("skywire.cli.visor:visor", name="visor", help="Run a node.")

app.command(
    "skywire.cli.demo:demo",
    name="demo",
    help="""See what this is: a private network, and two visors that chat over it.

A discovery, a relay and the visors alice and bob run in this one process, on loopback. Nothing of them is left behind,
and nobody else is asked for anything.""",
)

_apps = new_group(
    "app",
    """The app instances of this machine, in whatever process they run.

skywire app NAME controls the instance of that name: start, stop, restart, status, log, conns, config, and what its app
can do; skywire app NAME --help lists it.""",
)
app.command(_apps)
add_app_commands(_apps)

_cli = new_group("cli", "Configure and control this node.")
_config = new_group("config", "Keys and configuration.")
_visor = new_group("visor", "Control a running visor.")
app.command(_cli)
_cli.command(_config)
_cli.command(_visor)
add_key_commands(_config)
add_config_commands(_config)
add_visor_commands(_visor)

_dmsg = new_group("dmsg", "Tools and services of the dmsg network.")
app.command(_dmsg)
add_dmsg_commands(_dmsg)

app.command(
    "skywire.cli.completion:completion",
    name="completion",
    help="""Write the script by which a shell completes commands.

For bash: skywire completion bash > ~/.local/share/bash-completion/completions/skywire. The app instances that run
now are completed, too: nothing is asked while somebody types, so make the script again when they have changed.""",
)


_dmsg_apps = with_apps(RunMode.DMSG_STANDALONE, listed=False)


def _arrange(program: App, words: Sequence[str]) -> Sequence[str]:
    """Make the apps that are named commands: those that run, and below ``dmsg`` those to be run alone."""
    if words[:1] == ["dmsg"]:
        _dmsg_apps(program["dmsg"], words[1:])
        return words
    return arrange(program, words)


def main() -> None:
    """Run the program."""
    run(app, arrange=_arrange)
