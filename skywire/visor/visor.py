"""One node: its core in a fixed order, then its apps by the launcher.

The core (phase 1) is logging, the folder of its data, identity, the dmsg client, transport manager, router, control,
and dmsgctrl. It is always on and holds no app; what it cannot have is an absent facility with a reason. The apps
(phase 2) start as their dependencies allow, and what is wrong with one of them costs no other.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, final

from skywire.app.api import ConfigAPI, Finding, NetworkAPI, VisorAPI
from skywire.app.facility import DISCOVERY, DMSG, RPC, SKYNET, TRANSPORTS, VISOR_API
from skywire.app.launcher import Launcher
from skywire.app.logs import AppLogs
from skywire.app.returns import Returns
from skywire.app.run_mode import RunMode
from skywire.control import passage
from skywire.control.access import Access
from skywire.control.apps import Apps, Events
from skywire.control.local import SUFFIX, LocalControlError
from skywire.control.over_dmsg import CONTROL_PORT
from skywire.control.passage import giving_passage
from skywire.control.process import Process
from skywire.core.core import Core, keeping_logs
from skywire.core.dmsg import on_dmsg
from skywire.core.folder import owning
from skywire.dmsg.control import CONTROL_PORT as DMSGCTRL_PORT
from skywire.dmsg.control import serve_control
from skywire.dmsg.network import DmsgNetwork
from skywire.isolation.processes import Processes
from skywire.keys import PubKey
from skywire.net.background import Background
from skywire.net.conn import CORE, Conn
from skywire.net.network import EVERYONE, Network
from skywire.version import __version__
from skywire.visor.blueprint import Blueprint
from skywire.visor.configuration import Configuration
from skywire.visor.doctor import examine
from skywire.visor.network import NodeNetwork, NodeParts

NO_OVERLAY: Final = "this version has no routed overlay: no transports, no router"
SECOND: Final = "a configuration of its own, with another key and another local_path"
"""What a second visor needs."""
NO_WAY_IN: Final = "no discovery and no servers are configured: set dmsg.discovery"

_log: Final = logging.getLogger("skywire.visor")


def socket_name(public: PubKey) -> str:
    """How a visor is called in the folder of sockets."""
    return f"visor-{public.hex()[:10]}"


@final
class Visor:
    """A running node; made by :func:`running`."""

    def __init__(self, blueprint: Blueprint, dmsg: DmsgNetwork | None, logs: AppLogs) -> None:
        networks: dict[str, Network] = {} if dmsg is None else {dmsg.name: dmsg}
        core = Core(
            blueprint.identity.public, RunMode.VISOR_APP, networks=networks, folder=blueprint.local_path, logs=logs
        )
        self.core: Final = core
        self.public: Final = core.public
        self.events: Final = core.events
        self.facilities: Final = core.facilities
        self.registry: Final = core.registry
        self.halted: Final = core.ended
        """Set when somebody has asked for the end of the process."""
        self.access: Final = Access(self.public, blueprint.grants)
        processes = Processes(core.surroundings, blueprint.catalogue, folder=_attach_folder(blueprint))
        self.launcher: Final = Launcher(
            core.surroundings,
            events=core.events,
            returns=Returns(blueprint.local_path),
            isolate=processes.isolate,
            limits=blueprint.launcher_limits,
        )
        apps = Apps(
            self.launcher,
            blueprint.catalogue,
            logs,
            core.connections,
            blueprint.book,
            attachment=processes.attachment,
        )
        self.api: Final = self._make_api(blueprint, dmsg, apps)

    def _make_api(self, blueprint: Blueprint, dmsg: DmsgNetwork | None, apps: Apps) -> VisorAPI:
        core = self.core
        parts = NodeParts(
            public=self.public,
            registry=core.registry,
            facilities=core.facilities,
            local_ports=core.local_ports,
            dmsg=dmsg,
            config_file=None if blueprint.book is None else blueprint.book.path.absolute(),
            local_path=blueprint.local_path,
        )

        async def look() -> tuple[Finding, ...]:
            return await examine(
                presence=core.facilities.presence().items(),
                instances=self.launcher.list(),
                warnings=blueprint.warnings,
                folder=blueprint.local_path,
            )

        def guard(action: str, taken: tuple[str, ...], knowing: bool) -> None:
            self.launcher.guard(action, *taken, knowing=knowing)

        process = Process(
            f"skywire visor {__version__}",
            core.mode,
            self.public,
            endpoint=core.endpoint,
            logs=core.logs,
            halt=self._halt,
        )
        events = Events(core.events)
        api = VisorAPI(
            process=process,
            apps=apps,
            network=NodeNetwork(parts, look),
            config=Configuration(blueprint.book, blueprint.shown, self.access, blueprint.warnings, guard),
            events=events,
        )
        core.offer(process, apps, events)
        core.endpoint.offer("network", NetworkAPI, api.network)
        core.endpoint.offer("config", ConfigAPI, api.config)
        return api

    async def answer(self, conn: Conn) -> None:
        """Serve one caller from afar."""
        await self.access.serve(self.core.endpoint, conn)

    def _halt(self, knowing: bool) -> None:
        everything = (DMSG.name, RPC.name, *(info.name for info in self.launcher.list()))
        self.launcher.guard("halting this node", *everything, knowing=knowing)
        _log.warning("this node was told to halt")
        self.halted.set()


@asynccontextmanager
async def running(blueprint: Blueprint) -> AsyncIterator[Visor]:
    """Run a node while the block runs, which begins when its core works and its apps are on their way.

    An app that is stuck keeps this from ending: a program has to leave without it, see :attr:`Launcher.stuck`.

    Raises:
        FolderTaken: another visor uses the folder of its data.
        FolderError: that folder cannot be used.
    """
    async with AsyncExitStack() as stack:
        stack.enter_context(owning(blueprint.local_path, "visor", SECOND))
        logs = stack.enter_context(keeping_logs(blueprint.local_path / "log"))
        with logs.keeping():
            visor = await _start(blueprint, logs, stack)
            _log.info("the visor %s runs", visor.public)
        try:
            yield visor
        finally:
            with logs.keeping():
                _log.info("the visor %s ends", visor.public)


async def _start(blueprint: Blueprint, logs: AppLogs, stack: AsyncExitStack) -> Visor:
    dmsg = await _open_dmsg(blueprint, stack)
    visor = Visor(blueprint, dmsg, logs)
    if dmsg is None or blueprint.discovery is None:
        visor.facilities.withdraw(DMSG, NO_WAY_IN)
        visor.facilities.withdraw(DISCOVERY, NO_WAY_IN)
    else:
        await stack.enter_async_context(on_dmsg(visor.core, dmsg, blueprint.discovery))
    visor.facilities.withdraw(TRANSPORTS, NO_OVERLAY)
    visor.facilities.withdraw(SKYNET, NO_OVERLAY)
    await stack.enter_async_context(_controlled(visor, blueprint.sockets, dmsg))
    await stack.enter_async_context(
        visor.registry.serving(DMSGCTRL_PORT, serve_control, label="dmsgctrl", owner=CORE, peers=EVERYONE)
    )
    visor.facilities.provide(VISOR_API, visor.api)
    visor.launcher.boot(blueprint.instances)
    apps = await stack.enter_async_context(Background())
    await apps.start(visor.launcher.run)
    return visor


@asynccontextmanager
async def _controlled(visor: Visor, sockets: Path | None, dmsg: DmsgNetwork | None) -> AsyncIterator[None]:
    """Let the node be controlled, from this machine and from afar, and others elsewhere through it."""
    async with AsyncExitStack() as stack:
        if sockets is not None:
            name = socket_name(visor.public)
            await stack.enter_async_context(visor.core.controlled(sockets / f"{name}{SUFFIX}"))
            try:
                if dmsg is not None:
                    await stack.enter_async_context(giving_passage(dmsg, sockets / f"{name}{passage.SUFFIX}"))
            except LocalControlError as error:
                _log.error("no way to others through this node from this machine: %s", error)
        await stack.enter_async_context(
            visor.registry.serving(
                CONTROL_PORT, visor.answer, label="control", owner=CORE, peers=visor.access, hidden=True
            )
        )
        visor.facilities.provide(RPC, visor.core.endpoint)
        yield


async def _open_dmsg(blueprint: Blueprint, stack: AsyncExitStack) -> DmsgNetwork | None:
    if blueprint.discovery is None:
        return None
    return await stack.enter_async_context(
        DmsgNetwork(
            blueprint.identity,
            blueprint.discovery,
            min_sessions=blueprint.min_sessions,
            client_type="visor",
            limits=blueprint.dmsg_limits,
        )
    )


def _attach_folder(blueprint: Blueprint) -> Path:
    """Where processes attach: a folder of this visor's own, as others of this user may have apps of the same names."""
    return (blueprint.sockets or blueprint.local_path) / socket_name(blueprint.identity.public)
