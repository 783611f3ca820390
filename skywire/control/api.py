"""What a process with apps knows and can be asked to do. The process implements these, and so does the client of it.

Each method names the role that it needs. What a role may not do is refused before anything is looked at.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol, final

from skywire.app.connections import ConnectionInfo
from skywire.app.events import Event
from skywire.app.limits import RestartPolicy
from skywire.app.logs import LogLine
from skywire.app.record import InstanceInfo
from skywire.app.run_mode import RunMode
from skywire.control.interface import Role, needs
from skywire.keys import PubKey

API_VERSION = 1
"""Of these interfaces; it grows when a method changes or goes, not when one is added."""


@final
@dataclass(frozen=True, slots=True)
class Hello:
    """Who answers.

    Args:
        api: version of the interfaces.
        program: what runs, with its version.
        mode: of its apps.
        public: its key.
        pid: of its process.
        started: seconds of Unix time.
        methods: what can be called.
    """

    api: int
    program: str
    mode: RunMode
    public: PubKey
    pid: int
    started: float
    methods: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True)
class DefinitionInfo:
    """A definition that instances can be made of.

    Args:
        name: of the definition.
        summary: what it does.
        source: where it comes from.
        modes: in which it can run.
        critical: whether losing it can lock the operator out.
        trouble: why it cannot be used; empty when it can.
    """

    name: str
    summary: str
    source: str
    modes: tuple[RunMode, ...]
    critical: bool
    trouble: str


class HelloAPI(Protocol):
    """The first thing to ask."""

    @needs(Role.READ)
    async def hello(self) -> Hello:
        """Who answers, and what can be called."""
        ...


class AppsAPI(Protocol):
    """The app instances of a process."""

    @needs(Role.READ)
    async def list(self) -> tuple[InstanceInfo, ...]:
        """All instances, in the order of the configuration."""
        ...

    @needs(Role.READ)
    async def get(self, name: str) -> InstanceInfo:
        """One instance."""
        ...

    @needs(Role.READ)
    async def definitions(self) -> tuple[DefinitionInfo, ...]:
        """What instances can be made of."""
        ...

    @needs(Role.READ)
    async def options(self, name: str) -> Mapping[str, object]:
        """The options of an instance that differ from the defaults, secret ones excepted."""
        ...

    @needs(Role.READ)
    async def connections(self, name: str | None = None) -> tuple[ConnectionInfo, ...]:
        """The connections of an instance, or of all."""
        ...

    @needs(Role.READ)
    async def log(self, name: str, since: float = 0.0, level: int = 0, last: int | None = None) -> tuple[LogLine, ...]:
        """The kept log lines of an instance."""
        ...

    @needs(Role.READ)
    def follow_log(self, name: str, level: int = 0) -> AsyncIterator[LogLine]:
        """The log lines of an instance as they come."""
        ...

    @needs(Role.CONTROL)
    async def start(self, name: str) -> InstanceInfo:
        """Have an instance run, and wait until it does, or cannot."""
        ...

    @needs(Role.CONTROL)
    async def stop(self, name: str, knowing: bool = False, back_in: float | None = None) -> InstanceInfo:
        """Have an instance not run, and wait until it has ended; it may come back by itself after so many seconds."""
        ...

    @needs(Role.CONTROL)
    async def restart(self, name: str, knowing: bool = False) -> InstanceInfo:
        """End an instance, and have it run again."""
        ...

    @needs(Role.CONTROL)
    async def add(
        self,
        definition: str,
        name: str,
        options: Mapping[str, object] = {},
        ports: Mapping[str, int] = {},
        auto_start: bool = True,
        restart: RestartPolicy = RestartPolicy.ON_FAILURE,
    ) -> InstanceInfo:
        """Make another instance."""
        ...

    @needs(Role.CONTROL)
    async def remove(self, name: str, knowing: bool = False) -> None:
        """Stop an instance, and forget it."""
        ...

    @needs(Role.CONTROL)
    async def configure(self, name: str, options: Mapping[str, object], knowing: bool = False) -> InstanceInfo:
        """Give an instance other options; those that are not given keep their values."""
        ...


class EventsAPI(Protocol):
    """What happens in a process."""

    @needs(Role.READ)
    def events(self, kind: str = "") -> AsyncIterator[Event]:
        """What happens from now on, of the kinds that begin so."""
        ...
