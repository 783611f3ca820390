"""The contract of an app: one definition, whatever the mode it runs in."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar, final

from anyio import CancelScope
from anyio.abc import TaskStatus

from skywire.app.command import AnyCommand
from skywire.app.dependency import NOTHING, Dependencies
from skywire.app.instance import AppInstance
from skywire.app.port import PortSpec
from skywire.app.run_mode import RunMode
from skywire.app.status import AppStatus

if TYPE_CHECKING:
    from skywire.app.host import AppHost

API_VERSION: Final = 1
"""Of this contract; a definition says which it was written for."""


@final
@unique
class Isolation(StrEnum):
    """How far an app is kept from the process that supervises it."""

    IN_PROCESS = "in-process"
    """It runs as a task of it."""
    CHILD = "child"
    """It runs as a child process, which may crash or leak alone."""
    ATTACHED = "attached"
    """It runs as a process that others supervise, and attaches with a token."""


@dataclass(frozen=True)
class NoOptions:
    """The options of an app that has none."""


O = TypeVar("O")  # noqa: E741 - short for options, as in the contract's text
O_run = TypeVar("O_run", contravariant=True)


class AppDef(Protocol[O]):
    """What an app is. Stateless and importable, without loading what it needs to run.

    ``O`` is its options: a frozen dataclass with defaults, the one source of configuration, flags and help.
    """

    @property
    def name(self) -> str:
        """Its canonical name, for instance ``skysocks-client``: small letters, digits and single hyphens."""
        ...

    @property
    def cli(self) -> tuple[str, ...]:
        """Its place on a command line, for instance ``("socks", "client")``."""
        ...

    @property
    def summary(self) -> str:
        """What it does, in one line."""
        ...

    @property
    def api_version(self) -> int:
        """The version of this contract that it was written for."""
        ...

    @property
    def modes(self) -> frozenset[RunMode]:
        """The modes that it can run in."""
        ...

    @property
    def ports(self) -> tuple[PortSpec, ...]:
        """What it serves."""
        ...

    @property
    def critical(self) -> bool:
        """Whether losing it can lock the operator out."""
        ...

    @property
    def isolation(self) -> Isolation:
        """How it runs unless the configuration says otherwise."""
        ...

    @property
    def options(self) -> type[O]:
        """The class of its options."""
        ...

    @property
    def commands(self) -> tuple[AnyCommand, ...]:
        """What running instances answer, beside what all apps do."""
        ...

    def depends(self, mode: RunMode, options: O) -> Dependencies:
        """What it needs to run so."""
        ...

    def create(self, host: AppHost, options: O) -> AppInstance:
        """A new instance, for one attempt to run."""
        ...


class Run(Protocol[O_run]):
    """The behaviour of a small app: serve until cancelled, and report once it does."""

    def __call__(self, host: AppHost, options: O_run, *, task_status: TaskStatus[None]) -> Awaitable[None]: ...


@dataclass(frozen=True, kw_only=True)
class App(Generic[O]):
    """An :class:`AppDef` of which only what differs needs to be said.

    Args:
        name: its canonical name.
        summary: what it does, in one line.
        options: the class of its options.
        run: serves until cancelled.
        cli: its place on a command line; its name unless given.
        modes: all modes unless given.
        ports: what it serves.
        critical: whether losing it can lock the operator out.
        isolation: how it runs unless the configuration says otherwise.
        commands: what running instances answer.
        dependencies: what it needs, in every mode.
        api_version: of the contract.
    """

    name: str
    summary: str
    options: type[O]
    run: Run[O]
    cli: tuple[str, ...] = ()
    modes: frozenset[RunMode] = field(default_factory=lambda: frozenset(RunMode))
    ports: tuple[PortSpec, ...] = ()
    critical: bool = False
    isolation: Isolation = Isolation.IN_PROCESS
    commands: tuple[AnyCommand, ...] = ()
    dependencies: Dependencies = NOTHING
    api_version: int = API_VERSION

    def __post_init__(self) -> None:
        if not self.cli:
            object.__setattr__(self, "cli", (self.name,))

    def depends(self, mode: RunMode, options: O) -> Dependencies:
        """See :meth:`AppDef.depends`."""
        return self.dependencies

    def create(self, host: AppHost, options: O) -> AppInstance:
        """See :meth:`AppDef.create`."""
        return _Runner(self.run, host, options)


class _Runner(Generic[O]):
    """Runs a function; to stop it is to cancel it."""

    def __init__(self, run: Run[O], host: AppHost, options: O) -> None:
        self._run = run
        self._host = host
        self._options = options
        self._scope = CancelScope()

    async def start(self, *, task_status: TaskStatus[None]) -> None:
        with self._scope:
            await self._run(self._host, self._options, task_status=task_status)

    async def stop(self) -> None:
        self._scope.cancel()

    def status(self) -> AppStatus:
        return self._host.reported
