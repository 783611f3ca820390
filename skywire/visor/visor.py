"""One node: its core in a fixed order, then its apps by the launcher.

The core (phase 1) is logging, the folder of its data, identity, the dmsg client, transport manager, router, control,
and dmsgctrl. It is always on and holds no app; what it cannot have is an absent facility with a reason. The apps
(phase 2) start as their dependencies allow, and what is wrong with one of them costs no other.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, final

from anyio import Event, sleep

from skywire.app.api import AppsAPI, ConfigAPI, EventsAPI, Finding, NetworkAPI, ProcessAPI, VisorAPI
from skywire.app.connections import Connections
from skywire.app.events import EventBus
from skywire.app.facility import DISCOVERY, DMSG, RPC, SKYNET, TRANSPORTS, VISOR_API, Facilities
from skywire.app.host import Surroundings
from skywire.app.launcher import Launcher
from skywire.app.local_ports import LocalPorts
from skywire.app.logs import AppLogs
from skywire.app.registry import ServiceRegistry
from skywire.app.returns import Returns
from skywire.app.run_mode import RunMode
from skywire.control import passage
from skywire.control.access import Access
from skywire.control.apps import Apps, Events
from skywire.control.local import SUFFIX, LocalControlError, serving_locally
from skywire.control.over_dmsg import CONTROL_PORT
from skywire.control.passage import giving_passage
from skywire.control.process import Process
from skywire.control.server import Endpoint
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
from skywire.visor.folder import owning
from skywire.visor.network import NodeNetwork, NodeParts

LOOK_SECONDS: Final = 0.5
"""Between two looks at whether the network works."""
CONNECTING: Final = "it is being connected"
NO_OVERLAY: Final = "this version has no routed overlay: no transports, no router"
NO_WAY_IN: Final = "no discovery and no servers are configured: set dmsg.discovery"

_log: Final = logging.getLogger("skywire.visor")


def socket_name(public: PubKey) -> str:
    """How a visor is called in the folder of sockets."""
    return f"visor-{public.hex()[:10]}"


@final
class Visor:
    """A running node; made by :func:`running`."""

    def __init__(self, blueprint: Blueprint, dmsg: DmsgNetwork | None, logs: AppLogs) -> None:
        self.public: Final = blueprint.identity.public
        self.events: Final = EventBus()
        self.facilities: Final = Facilities()
        self.connections: Final = Connections()
        self.local_ports: Final = LocalPorts()
        self.registry: Final = ServiceRegistry(self.public, self.connections)
        self.endpoint: Final = Endpoint()
        self.access: Final = Access(self.public, blueprint.grants)
        self.halted: Final = Event()
        """Set when somebody has asked for the end of the process."""
        networks: dict[str, Network] = {} if dmsg is None else {dmsg.name: dmsg}
        surroundings = Surroundings(
            mode=RunMode.VISOR_APP,
            public=self.public,
            networks=networks,
            ports=self.registry,
            facilities=self.facilities,
            data=blueprint.local_path / "apps",
            connections=self.connections,
            local_ports=self.local_ports,
        )
        processes = Processes(surroundings, blueprint.catalogue, folder=_attach_folder(blueprint))
        self.launcher: Final = Launcher(
            surroundings,
            events=self.events,
            returns=Returns(blueprint.local_path),
            isolate=processes.isolate,
            limits=blueprint.launcher_limits,
        )
        apps = Apps(
            self.launcher,
            blueprint.catalogue,
            logs,
            self.connections,
            blueprint.book,
            attachment=processes.attachment,
        )
        self.api: Final = self._make_api(blueprint, dmsg, logs, apps)

    def _make_api(self, blueprint: Blueprint, dmsg: DmsgNetwork | None, logs: AppLogs, apps: Apps) -> VisorAPI:
        parts = NodeParts(
            public=self.public,
            registry=self.registry,
            facilities=self.facilities,
            local_ports=self.local_ports,
            dmsg=dmsg,
            config_file=None if blueprint.book is None else blueprint.book.path.absolute(),
            local_path=blueprint.local_path,
        )

        async def look() -> tuple[Finding, ...]:
            return await examine(
                presence=self.facilities.presence().items(),
                instances=self.launcher.list(),
                warnings=blueprint.warnings,
                folder=blueprint.local_path,
            )

        def guard(action: str, taken: tuple[str, ...], knowing: bool) -> None:
            self.launcher.guard(action, *taken, knowing=knowing)

        return VisorAPI(
            process=Process(
                f"skywire visor {__version__}",
                RunMode.VISOR_APP,
                self.public,
                endpoint=self.endpoint,
                logs=logs,
                halt=self._halt,
            ),
            apps=apps,
            network=NodeNetwork(parts, look),
            config=Configuration(blueprint.book, blueprint.shown, self.access, blueprint.warnings, guard),
            events=Events(self.events),
        )

    def offer(self) -> None:
        """Let everything be called that the node can be asked."""
        self.endpoint.offer("process", ProcessAPI, self.api.process)
        self.endpoint.offer("apps", AppsAPI, self.api.apps)
        self.endpoint.offer("network", NetworkAPI, self.api.network)
        self.endpoint.offer("config", ConfigAPI, self.api.config)
        self.endpoint.offer("events", EventsAPI, self.api.events)

    async def answer(self, conn: Conn) -> None:
        """Serve one caller from afar."""
        await self.access.serve(self.endpoint, conn)

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
        stack.enter_context(owning(blueprint.local_path))
        logs = stack.enter_context(_logging(blueprint.local_path / "log"))
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
    visor.offer()
    core = await stack.enter_async_context(Background())
    if dmsg is None:
        visor.facilities.withdraw(DMSG, NO_WAY_IN)
        visor.facilities.withdraw(DISCOVERY, NO_WAY_IN)
    else:
        visor.facilities.provide(DMSG, dmsg, offline=CONNECTING)
        visor.facilities.provide(DISCOVERY, blueprint.discovery)
        core.start_soon(dmsg.serve, visor.registry)
        core.start_soon(_watch, visor, dmsg)
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
            try:
                await stack.enter_async_context(serving_locally(visor.endpoint, sockets / f"{name}{SUFFIX}"))
                if dmsg is not None:
                    await stack.enter_async_context(giving_passage(dmsg, sockets / f"{name}{passage.SUFFIX}"))
            except LocalControlError as error:
                _log.error("no control from this machine: %s", error)
        await stack.enter_async_context(
            visor.registry.serving(
                CONTROL_PORT, visor.answer, label="control", owner=CORE, peers=visor.access, hidden=True
            )
        )
        visor.facilities.provide(RPC, visor.endpoint)
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


async def _watch(visor: Visor, dmsg: DmsgNetwork) -> None:
    """Tell whether the network works, as long as the node runs."""
    known: str | None = CONNECTING
    while True:
        await sleep(LOOK_SECONDS)
        trouble = dmsg.trouble
        if trouble != known:
            known = trouble
            visor.facilities.report(DMSG, trouble)
            visor.events.publish("facility", DMSG.name, offline=trouble)


def _attach_folder(blueprint: Blueprint) -> Path:
    """Where processes attach: a folder of this visor's own, as others of this user may have apps of the same names."""
    return (blueprint.sockets or blueprint.local_path) / socket_name(blueprint.identity.public)


@contextmanager
def _logging(folder: Path) -> Iterator[AppLogs]:
    """Keep the log of each app, and of the node itself, while the block runs."""
    logs = AppLogs(folder)
    root = logging.getLogger()
    root.addHandler(logs)
    try:
        yield logs
    finally:
        root.removeHandler(logs)
        logs.close()
