"""What the launcher knows of one instance."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, final

from skywire.app.definition import Isolation
from skywire.app.dependency import NOTHING, Dependencies
from skywire.app.limits import LauncherLimits, RestartPolicy
from skywire.app.plan import Node, Phase
from skywire.app.run_mode import RunMode
from skywire.app.status import AppStatus, Change, State
from skywire.net.backoff import Backoff

if TYPE_CHECKING:  # who only asks how instances are does not wait for what runs them
    from skywire.app.attempt import Attempt
    from skywire.app.loaded import Configured


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceConfig:
    """How an instance is to be.

    Args:
        name: of the instance, unique in the process.
        app: its definition with its options.
        auto_start: whether it starts with the process.
        restart: what happens after a failure.
        ports: numbers that replace those of the definition, by the name of the port.
        band: a coarse order of starting beside the dependencies; see :class:`skywire.app.plan.Node`.
        isolation: how far it is kept from this process.
        environment: variables for a process of its own.
    """

    name: str
    app: Configured
    auto_start: bool = True
    restart: RestartPolicy = RestartPolicy.ON_FAILURE
    ports: Mapping[str, int] = field(default_factory=dict)
    band: int = 0
    isolation: Isolation = Isolation.IN_PROCESS
    environment: Mapping[str, str] = field(default_factory=dict)


@final
@dataclass(frozen=True, slots=True)
class InstanceInfo:
    """How an instance is, for people and programs.

    Args:
        name: of the instance.
        definition: name of its definition.
        state: where it is in its life.
        reason: why; empty when that goes without saying.
        since: seconds of Unix time.
        wave: in which wave it starts when all goes well; 0 when it never can.
        auto_start: whether it starts with the process.
        restart: what happens after a failure.
        critical: whether losing it can lock the operator out.
        failures: in a row.
        status: what it says of itself.
        history: its last changes of state, the oldest first.
        isolation: how far it is kept from the process.
        ports: the numbers that it serves in this mode, by the name of the port.
        restarts: how often it was started again, whoever or whatever asked for it.
        returns: seconds of Unix time when it comes back by itself; None unless it was stopped for a while.
    """

    name: str
    definition: str
    state: State
    reason: str
    since: float
    wave: int
    auto_start: bool
    restart: RestartPolicy
    critical: bool
    failures: int
    status: AppStatus
    history: tuple[Change, ...]
    isolation: Isolation
    ports: Mapping[str, int]
    restarts: int = 0
    returns: float | None = None


@final
class Record:
    """One instance: how it is to be, and how it is.

    Args:
        config: how it is to be.
        mode: of the process.
        limits: times and counts.
        isolates: whether the process can run it in another one.
    """

    def __init__(self, config: InstanceConfig, mode: RunMode, limits: LauncherLimits, *, isolates: bool) -> None:
        self.config = config
        self.wanted = False
        """Whether it is meant to run."""
        self.phase = Phase.DOWN
        self.attempt: Attempt | None = None
        self.held: str | None = None
        """Why it is not started, though it is wanted."""
        self.recycle = False
        """Whether it is to end once, and then to go on as it is wanted."""
        self.failures = 0
        """In a row."""
        self.retries = False
        """Whether it is tried again by itself after its last failure."""
        self.starts = 0
        """Since it has been here."""
        self.backoff: Final = Backoff(limits.first_restart, 2.0, limits.longest_restart)
        self.generation = 0
        """Counts what people asked for, so that a timer from before does nothing."""
        self.up_since = 0.0
        self.last: Change = Change(time.time(), State.STOPPED, "")
        self.history: Final[deque[Change]] = deque([self.last], limits.history)
        self._mode = mode
        self._isolates = isolates
        self._depends, self._unfit = self._look_at_definition()

    def become(self, state: State, reason: str) -> bool:
        """Change the state; whether anything is new."""
        if (state, reason) == (self.last.state, self.last.reason):
            return False
        self.last = Change(time.time(), state, reason)
        self.history.append(self.last)
        return True

    def replace(self, config: InstanceConfig) -> None:
        """Take another configuration, for the next attempt."""
        self.config = config
        self._depends, self._unfit = self._look_at_definition()

    @property
    def depends(self) -> Dependencies:
        """What it needs."""
        return self._depends

    def forgive(self) -> None:
        """Forget earlier failures: somebody asked for it anew."""
        self.generation += 1
        self.held = None
        self.failures = 0
        self.backoff.succeeded()

    def node(self) -> Node:
        """What the plan has to know."""
        config = self.config
        return Node(
            name=config.name,
            definition=config.app.definition.name,
            phase=self.phase,
            wanted=self.wanted,
            recycle=self.recycle,
            held=self.held,
            unfit=self._unfit,
            critical=config.app.definition.critical,
            claims=frozenset((self._mode.value, number) for number in ports_of(config, self._mode).values()),
            band=config.band,
            depends=self._depends,
        )

    def info(self, wave: int, returns: float | None) -> InstanceInfo:
        """For people and programs."""
        config = self.config
        return InstanceInfo(
            name=config.name,
            definition=config.app.definition.name,
            state=self.last.state,
            reason=self.last.reason,
            since=self.last.time,
            wave=wave,
            auto_start=config.auto_start,
            restart=config.restart,
            critical=config.app.definition.critical,
            failures=self.failures,
            status=AppStatus() if self.attempt is None else self.attempt.status(),
            history=tuple(self.history),
            isolation=config.isolation,
            ports=ports_of(config, self._mode),
            restarts=max(0, self.starts - 1),
            returns=returns,
        )

    def _look_at_definition(self) -> tuple[Dependencies, str | None]:
        app = self.config.app
        if app.trouble is not None:
            return NOTHING, app.trouble
        if self.config.isolation is not Isolation.IN_PROCESS and not self._isolates:
            return (
                NOTHING,
                f"this process runs no apps in other processes, and it is configured as {self.config.isolation}",
            )
        if self._mode not in app.definition.modes:
            others = ", ".join(sorted(app.definition.modes))
            return NOTHING, f"{app.definition.name} cannot run as {self._mode}, only as {others}"
        try:
            return app.depends(self._mode), None
        except Exception as error:
            from skywire.app.attempt import describe

            return NOTHING, f"it cannot say what it depends on: {describe(error)}"


def ports_of(config: InstanceConfig, mode: RunMode) -> dict[str, int]:
    """The numbers that an instance serves in a mode, by the name of the port."""
    found: dict[str, int] = {}
    for spec in config.app.definition.ports:
        default = spec.tcp if mode is RunMode.TCP_STANDALONE else spec.overlay
        if (number := config.ports.get(spec.name, default)) is not None:
            found[spec.name] = number
    return found
