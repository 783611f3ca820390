"""The command ``visor``: run a node."""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from skywire import runtime
from skywire.cli.program import Json
from skywire.cli.service import Leaving, notify

if TYPE_CHECKING:  # loaded only by who runs a node
    from skywire.app.catalogue import Catalogue
    from skywire.visor.config.file import ConfigFile
    from skywire.visor.config.settings import Settings


def visor(
    *,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
    log_level: Annotated[str | None, Parameter(name=["--log-level", "-s"])] = None,
    local_path: Path | None = None,
    disc: Annotated[str | None, Parameter(name=["--disc", "-D"])] = None,
    min_sessions: int | None = None,
    trust: Annotated[bool, Parameter(negative="")] = False,
    as_json: Json = False,
) -> None:
    """Run a node until Ctrl-C, SIGTERM, or `skywire cli visor halt`.

    One line is written when its core works and its apps are on their way. What is said here wins over the environment,
    that over the file.

    Parameters
    ----------
    config:
        The configuration; `skywire cli config gen` makes one. Or set SKYWIRE_CONFIG.
    log_level:
        Tell this much: debug, info, warning, error. Or set SKYWIRE_LOG_LEVEL.
    local_path:
        The folder of the node's data. Or set SKYWIRE_LOCAL_PATH.
    disc:
        The dmsg discovery, as http://HOST:PORT. Or set SKYWIRE_DMSG_DISC.
    min_sessions:
        dmsg servers to be reachable through; 0 for all.
    trust:
        Execute programs that the configuration names.
    """
    from skywire.app.catalogue import Catalogue
    from skywire.apps import BUILT_IN
    from skywire.visor.config.errors import ConfigError
    from skywire.visor.config.file import ConfigFile
    from skywire.visor.config.settings import find_config, resolve

    flags = {
        "log_level": log_level,
        "local_path": None if local_path is None else str(local_path),
        "discovery": disc,
        "min_sessions": None if min_sessions is None else str(min_sessions),
    }
    os.umask(0o077)  # what it writes is for its owner alone, also what apps write
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it would hold the secret key
    path = find_config(config, os.environ)
    if not path.exists():
        raise ConfigError(f"there is no configuration {path}; make one with: skywire cli config gen -o {path}")
    file = ConfigFile.load(path)
    settings = resolve(file, {name: value for name, value in flags.items() if value is not None}, os.environ)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("skywire").setLevel(settings.log_level)
    for warning in file.warnings:
        logging.getLogger("skywire.config").warning("%s: %s", warning.place, warning.text)
    program = _Program(file, settings, Catalogue(BUILT_IN), trust=trust, as_json=as_json)
    runtime.run(program.run)


@dataclass(frozen=True)
class _Program:
    file: ConfigFile
    settings: Settings
    catalogue: Catalogue
    trust: bool
    as_json: bool

    async def run(self) -> None:
        """Run the node to its end."""
        from skywire.control.local import runtime_folder
        from skywire.visor.assembly import assemble, way_in
        from skywire.visor.visor import running

        async with Leaving(self.settings.shutdown_seconds) as leaving, way_in(self.settings) as discovery:
            blueprint = assemble(
                self.settings,
                discovery,
                file=self.file,
                catalogue=self.catalogue,
                sockets=runtime_folder(),
                trust=self.trust,
            )
            async with running(blueprint) as node:
                leaving.hold_ups = lambda: node.launcher.places
                self._show(node.public.hex())
                notify("READY=1")
                await leaving.told(node.halted)
                notify("STOPPING=1")

    def _show(self, key: str) -> None:
        if self.as_json:
            print(json.dumps({"public_key": key, "config": str(self.file.path)}), flush=True)
        else:
            print(f"the visor {key} runs; see: skywire cli visor info", flush=True)
        sys.stdout.flush()
