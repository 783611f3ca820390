"""A process with a launcher whose apps run in this process, as children, or attached."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from anyio import create_task_group, fail_after, sleep
from anyio.abc import TaskGroup

from skywire import MemoryHub, MemoryNetwork, SecKey
from skywire.app.catalogue import Catalogue
from skywire.app.connections import Connections
from skywire.app.definition import Isolation
from skywire.app.events import EventBus
from skywire.app.facility import Facilities
from skywire.app.host import Surroundings
from skywire.app.launcher import Launcher
from skywire.app.limits import LauncherLimits, RestartPolicy
from skywire.app.logs import AppLogs
from skywire.app.options import decode
from skywire.app.ownership import on_behalf_of
from skywire.app.record import InstanceConfig, InstanceInfo
from skywire.app.registry import ServiceRegistry
from skywire.app.run_mode import RunMode
from skywire.app.status import State
from skywire.isolation.child import ChildLimits
from skywire.isolation.inside import attach
from skywire.isolation.processes import Processes
from skywire.net.serving import serving

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "hello_app"
BUILT_IN = {
    "hello": "hello_app:HELLO",
    "everything": "tests.isolation.apps:EVERYTHING",
    "manners": "tests.isolation.apps:MANNERS",
}
PATH = f"{ROOT}:{EXAMPLE}"
PATIENCE = 40.0
IMPATIENT = LauncherLimits(start_seconds=20, stop_seconds=0.5, cancel_seconds=5, drain_seconds=0.2, health_seconds=0.05)


async def become(condition: Callable[[], bool]) -> None:
    """Wait until it is so: what another process does sets no event here."""
    with fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await sleep(0.01)


def hello_options(greeting: str) -> object:
    """Options of the example's class."""
    return decode(Catalogue(BUILT_IN, []).get("hello").options, {"greeting": greeting})


@dataclass
class Place:
    """What there is."""

    launcher: Launcher
    processes: Processes
    surroundings: Surroundings
    registry: ServiceRegistry
    events: EventBus
    logs: AppLogs
    hub: MemoryHub
    network: MemoryNetwork
    catalogue: Catalogue
    tasks: TaskGroup
    attached: dict[str, str] = field(default_factory=dict)

    def config(
        self,
        definition: str,
        isolation: Isolation,
        options: object = None,
        *,
        restart: RestartPolicy = RestartPolicy.NEVER,
        path: str = PATH,
    ) -> InstanceConfig:
        loaded = self.catalogue.get(definition)
        return InstanceConfig(
            name=definition,
            app=loaded.defaults() if options is None else loaded.bind(options),
            restart=restart,
            isolation=isolation,
            environment={"PYTHONPATH": path, "A_VARIABLE": "of its own"},
        )

    async def run(self, config: InstanceConfig) -> InstanceInfo:
        """Have it run, and where it is to be attached, attach a process of our own making."""
        info = await self.launcher.add(config)
        if config.isolation is Isolation.ATTACHED:
            await self.until(config.name, lambda info: info.state is State.DEGRADED)
            self.attach(config.name)
            return await self.until(config.name, lambda info: info.state is State.RUNNING)
        return info

    def attach(self, name: str) -> None:
        where = self.processes.attachment(name)
        self.tasks.start_soon(self._attach, name, where.socket, where.token_file)

    async def _attach(self, name: str, socket: Path, token_file: Path) -> None:
        """A task that plays the other process; ends of processes are tested with real ones."""
        try:
            await attach(socket, token_file)
        except Exception as error:
            self.attached[name] = str(error)
        else:
            self.attached[name] = ""

    async def until(self, name: str, condition: Callable[[InstanceInfo], bool]) -> InstanceInfo:
        await become(lambda: condition(self.launcher.get(name)))
        return self.launcher.get(name)

    def set_level(self, level: str) -> None:
        logging.getLogger().setLevel(level)

    async def call(self, name: str, command: str, **arguments: object) -> dict[str, object]:
        with on_behalf_of(name):
            answer = await self.launcher.answers(name).call(command, arguments)
        assert isinstance(answer, dict)
        return answer


@asynccontextmanager
async def place(
    folder: Path, limits: LauncherLimits = LauncherLimits(health_seconds=0.05), token_seconds: float = 5.0
) -> AsyncIterator[Place]:
    """A launcher while the block runs."""
    if str(EXAMPLE) not in sys.path:
        sys.path.append(str(EXAMPLE))
    identity, hub = SecKey.generate(), MemoryHub()
    network = MemoryNetwork(identity, hub)
    connections = Connections()
    registry = ServiceRegistry(identity.public, connections)
    catalogue = Catalogue(BUILT_IN, [])
    surroundings = Surroundings(
        mode=RunMode.VISOR_APP,
        public=identity.public,
        networks={"memory": network},
        ports=registry,
        facilities=Facilities(),
        data=folder / "data",
        connections=connections,
    )
    processes = Processes(
        surroundings,
        catalogue,
        folder=folder / "run",
        limits=ChildLimits(leave_seconds=5, term_seconds=0.5),
        token_seconds=token_seconds,
    )
    events = EventBus()
    launcher = Launcher(surroundings, events=events, isolate=processes.isolate, limits=limits)
    logs = AppLogs(folder / "log")
    root = logging.getLogger()
    level = root.level
    root.addHandler(logs)
    try:
        async with create_task_group() as tasks, serving(network, registry), create_task_group() as running:
            await running.start(launcher.run)
            yield Place(launcher, processes, surroundings, registry, events, logs, hub, network, catalogue, tasks)
            running.cancel_scope.cancel()
    finally:
        root.removeHandler(logs)
        root.setLevel(level)
        logs.close()
