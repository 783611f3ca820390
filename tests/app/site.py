"""A process with a launcher, for tests: networks in memory, and apps that do what they are told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from anyio import create_task_group, sleep_forever
from anyio.abc import TaskStatus

from skywire.app.connections import Connections
from skywire.app.definition import App, NoOptions
from skywire.app.dependency import NOTHING, Dependencies
from skywire.app.events import Event, EventBus
from skywire.app.facility import Facilities
from skywire.app.feed import Feed
from skywire.app.host import AppHost, Surroundings
from skywire.app.launcher import Launcher
from skywire.app.limits import LauncherLimits, RestartPolicy
from skywire.app.loaded import Configured, LoadedDef, load
from skywire.app.port import PortSpec
from skywire.app.record import InstanceConfig
from skywire.app.registry import ServiceRegistry
from skywire.app.returns import Returns
from skywire.app.run_mode import RunMode
from skywire.keys import SecKey

QUICK = LauncherLimits(
    start_seconds=0.5, stop_seconds=0.2, cancel_seconds=0.2, drain_seconds=0.1, first_restart=0.01, health_seconds=0.02
)
"""For tests in which something is meant to take too long."""

Behaviour = Callable[[AppHost, TaskStatus[None]], Awaitable[None]]


async def well_behaved(host: AppHost, task_status: TaskStatus[None]) -> None:
    """Serve until cancelled."""
    task_status.started()
    await sleep_forever()


def definition(
    name: str,
    behaviour: Behaviour = well_behaved,
    *,
    depends: Dependencies = NOTHING,
    critical: bool = False,
    ports: Iterable[PortSpec] = (),
    modes: frozenset[RunMode] = frozenset(RunMode),
) -> LoadedDef:
    """An app that behaves so."""

    async def run(host: AppHost, options: NoOptions, *, task_status: TaskStatus[None]) -> None:
        await behaviour(host, task_status)

    return load(
        App(
            name=name,
            summary="For tests.",
            options=NoOptions,
            run=run,
            dependencies=depends,
            critical=critical,
            ports=tuple(ports),
            modes=modes,
        )
    )


def instance(
    definition: LoadedDef,
    name: str | None = None,
    *,
    auto_start: bool = True,
    restart: RestartPolicy = RestartPolicy.NEVER,
    **ports: int,
) -> InstanceConfig:
    """An instance of it, named as the definition unless told otherwise."""
    return InstanceConfig(
        name=name or definition.name, app=definition.defaults(), auto_start=auto_start, restart=restart, ports=ports
    )


@dataclass
class Site:
    """What there is."""

    launcher: Launcher
    surroundings: Surroundings
    registry: ServiceRegistry
    facilities: Facilities
    events: EventBus
    noted: Feed[Event]
    _changes: list[tuple[str, str]] = field(default_factory=list)

    @property
    def changes(self) -> list[tuple[str, str]]:
        """(instance, state), in the order in which they came."""
        self._changes += [
            (each.subject, str(each.facts["state"])) for each in self.noted.take() if each.kind == "app.state"
        ]
        return self._changes

    def states(self) -> dict[str, str]:
        """The state of each instance."""
        return {info.name: info.state.value for info in self.launcher.list()}

    async def until(self, name: str, *states: str) -> str:
        """Wait until an instance has come into one of these states; the reason."""
        with self.events.subscribe() as subscription:
            while (info := self.launcher.get(name)).state.value not in states:
                await subscription.next()
        return info.reason


@asynccontextmanager
async def site(
    folder: Path,
    *configs: InstanceConfig,
    limits: LauncherLimits = LauncherLimits(),
    mode: RunMode = RunMode.VISOR_APP,
    facilities: Facilities | None = None,
    returns: Returns | None = None,
    isolate: Callable[[Surroundings], Callable[[InstanceConfig], Configured]] | None = None,
) -> AsyncIterator[Site]:
    """A launcher that runs these instances while the block runs."""
    identity = SecKey.generate().public
    connections = Connections()
    facilities = Facilities() if facilities is None else facilities
    registry = ServiceRegistry(identity, connections)
    surroundings = Surroundings(
        mode=mode,
        public=identity,
        networks={},
        ports=registry,
        facilities=facilities,
        data=folder,
        connections=connections,
    )
    events = EventBus()
    launcher = Launcher(
        surroundings,
        events=events,
        returns=returns,
        isolate=None if isolate is None else isolate(surroundings),
        limits=limits,
    )
    launcher.boot({config.name: config for config in configs})
    with events.subscribe(100_000) as noted:
        async with create_task_group() as running:
            await running.start(launcher.run)
            yield Site(launcher, surroundings, registry, facilities, events, noted)
            running.cancel_scope.cancel()
