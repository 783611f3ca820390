"""``skywire completion``: the script by which a shell completes this program's commands."""

from __future__ import annotations

import sys
from typing import Literal

from skywire.errors import SkywireError


def completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Write the script by which a shell completes commands.

    For bash: skywire completion bash > ~/.local/share/bash-completion/completions/skywire. The app instances that run
    now are completed, too: nothing is asked while somebody types, so make the script again when they have changed.

    Parameters
    ----------
    shell:
        bash, zsh or fish.
    """
    from skywire.cli.control.arguments import INSTANCES, add_instance
    from skywire.cli.control.nodes import run, survey
    from skywire.cli.control.own import installed
    from skywire.cli.control.reach import LOCAL
    from skywire.cli.main import app

    try:
        found = run(lambda: survey(LOCAL))
    except SkywireError as error:
        print(f"skywire: the app instances are left out: {error}", file=sys.stderr)
    else:
        apps = app[INSTANCES]
        for process in found.processes.values():
            for info in process.apps:
                if info.name not in apps:
                    add_instance(apps, info.name, installed(info.definition))
    print(app.generate_completion(shell=shell))
