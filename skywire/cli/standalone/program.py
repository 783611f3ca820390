"""Runs an app alone in the foreground: what its command line says, made into a process."""

from __future__ import annotations

import json
import logging
import os
import resource
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from anyio import move_on_after
from platformdirs import user_data_path

from skywire import runtime
from skywire.app.catalogue import Catalogue
from skywire.app.loaded import DefinitionError, LoadedDef, check_name
from skywire.app.record import InstanceConfig
from skywire.app.run_mode import MODE_RULES, RunMode
from skywire.apps import BUILT_IN
from skywire.cli.identity import load_identity, take_identity
from skywire.cli.program import UsageError
from skywire.cli.service import Leaving, notify
from skywire.cli.standalone.command import DmsgFlags, ProcessFlags, TcpFlags
from skywire.cli.standalone.ports import listening, port_numbers
from skywire.control.local import runtime_folder
from skywire.keys import SecKey
from skywire.log_levels import LOG_LEVELS
from skywire.net.background import Background
from skywire.standalone.blueprint import Blueprint, OnDmsg, OnTcp
from skywire.standalone.own_key import make_own_key
from skywire.standalone.standalone import Standalone, running

if TYPE_CHECKING:  # with it comes an HTTP client, which key-encrypted TCP has no use for
    from skywire.cli.dmsg.connection import WayIn

KEY_VARIABLES: Final[Mapping[RunMode, str]] = {
    RunMode.DMSG_STANDALONE: "SKYWIRE_DMSG_SK",
    RunMode.TCP_STANDALONE: "SKYWIRE_TCP_SK",
}
"""The environment variable with the secret key, where no file is named."""
LEVEL_VARIABLE: Final = "SKYWIRE_LOG_LEVEL"
SHUTDOWN_SECONDS: Final = 10.0
"""From when the process is told to end to its end."""
CONNECT_SECONDS: Final = 3.0
"""For the network to work before the app is called ready without that."""


def run_alone(loaded: LoadedDef, options: object, network: DmsgFlags | TcpFlags, process: ProcessFlags) -> None:
    """Run an app until it is told to end, or cannot go on.

    Args:
        loaded: its definition.
        options: of its class.
        network: where it is reached.
        process: what else the command line says.

    Raises:
        UsageError: that makes no sense.
        KeyFileError: the key cannot be used.
        CannotRun: the app does not run.
        SkywireError: see :func:`skywire.standalone.standalone.running`.
    """
    os.umask(0o077)  # what it writes is for its owner alone, also what apps write
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it would hold the secret key
    mode = RunMode.DMSG_STANDALONE if isinstance(network, DmsgFlags) else RunMode.TCP_STANDALONE
    name = loaded.name if process.name is None else process.name
    level = _level(process.log_level)
    try:
        check_name(name)
    except DefinitionError as error:
        raise UsageError(str(error)) from None
    ports = port_numbers(loaded, process.port)
    place: _DmsgWay | OnTcp
    if isinstance(network, TcpFlags):
        hosts, ports = listening(loaded, network.listen, ports)
        place = OnTcp(hosts=hosts)
    else:
        place = _dmsg_way(network)
    folder = _usual_folder(mode, name) if process.data is None else process.data
    folder = folder.absolute()
    instance = InstanceConfig(name=name, app=loaded.bind(options), restart=process.restart, ports=ports)
    identity = _identity(mode, network, process, folder)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("skywire").setLevel(level)
    runtime.run(_Program(instance, identity, place, folder, as_json=process.as_json).run)


@dataclass(frozen=True)
class _DmsgWay:
    """The way into dmsg, before it is opened.

    Args:
        way: to where others are looked up.
        sessions: servers to be reachable through.
    """

    way: WayIn
    sessions: int

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[OnDmsg]:
        """Open it while the block runs."""
        async with self.way.discovery() as discovery:
            yield OnDmsg(discovery=discovery, min_sessions=self.sessions)


def _dmsg_way(flags: DmsgFlags) -> _DmsgWay:
    from skywire.cli.dmsg.connection import way_in

    way = way_in(flags.disc, flags.server)
    if flags.min_sessions is not None and flags.min_sessions < 0:
        raise UsageError("--min-sessions is 0 for all servers, or more")
    return _DmsgWay(way, way.sessions if flags.min_sessions is None else flags.min_sessions)


@dataclass(frozen=True)
class _Program:
    instance: InstanceConfig
    identity: SecKey = field(repr=False)
    place: _DmsgWay | OnTcp
    folder: Path
    as_json: bool

    async def run(self) -> None:
        """Run the app to its end."""
        async with Leaving(SHUTDOWN_SECONDS) as leaving:
            match self.place:
                case OnTcp() as tcp:
                    await self._serve(tcp, leaving)
                case _DmsgWay() as way:
                    async with way.opened() as dmsg:
                        await self._serve(dmsg, leaving)

    async def _serve(self, place: OnDmsg | OnTcp, leaving: Leaving) -> None:
        blueprint = Blueprint(
            identity=self.identity,
            place=place,
            instance=self.instance,
            folder=self.folder,
            catalogue=Catalogue(BUILT_IN),
            sockets=runtime_folder(),
        )
        async with running(blueprint) as node:
            leaving.hold_ups = lambda: node.launcher.places
            async with Background() as tasks:
                tasks.start_soon(self._announce, node)
                await leaving.told(node.ended)
            notify("STOPPING=1")
            node.check()

    async def _announce(self, node: Standalone) -> None:
        await node.serving.wait()
        with move_on_after(CONNECT_SECONDS):
            await node.reachable()
        self._show(node)
        notify("READY=1")

    def _show(self, node: Standalone) -> None:
        public, addresses = node.core.public.hex(), [str(each) for each in node.addresses]
        if self.as_json:
            facts = {
                "name": node.name,
                "app": self.instance.app.definition.name,
                "mode": node.core.mode.value,
                "public_key": public,
                "addresses": addresses,
                "data": str(self.folder),
            }
            print(json.dumps(facts), flush=True)
        else:
            where = f" and is reached at {' and '.join(addresses)}" if addresses else ""
            print(f"{node.name} runs as {public}{where}; see: skywire app {node.name} status", flush=True)


def _usual_folder(mode: RunMode, name: str) -> Path:
    try:
        return user_data_path("skywire") / MODE_RULES[mode].command / name
    except RuntimeError as error:
        raise UsageError(f"there is no folder for its data: {error}; or name one with --data") from error


def _level(flag: str | None) -> int:
    text = flag or os.environ.get(LEVEL_VARIABLE) or "info"
    if (number := LOG_LEVELS.get(text.lower())) is None:
        source = "--log-level" if flag else LEVEL_VARIABLE
        raise UsageError(f"{source}: {text[:100]!r} is none of {', '.join(LOG_LEVELS)}")
    return number


def _identity(mode: RunMode, network: DmsgFlags | TcpFlags, process: ProcessFlags, folder: Path) -> SecKey:
    """The key: of the visor, of a file, of the environment, or the one that is kept with the data."""
    if isinstance(network, TcpFlags):
        if network.visor_key:
            if process.key_file is not None or process.passphrase_file is not None:
                raise UsageError("either the visor's key or another one: use --visor-key or --key-file, not both")
            return _visor_key(network.config)
        if network.config is not None:
            raise UsageError("--config names the configuration of a visor, for its key: use it with --visor-key")
    identity = take_identity(process.key_file, process.passphrase_file, KEY_VARIABLES[mode])
    return load_identity(make_own_key(folder), None) if identity is None else identity


def _visor_key(config: Path | None) -> SecKey:
    from skywire.visor.config.errors import ConfigError
    from skywire.visor.config.file import ConfigFile
    from skywire.visor.config.settings import find_config, resolve

    path = find_config(config, os.environ)
    if not path.exists():
        raise ConfigError(f"there is no configuration {path} of a visor; name it with --config")
    return resolve(ConfigFile.load(path), {}, os.environ).identity
