"""What a process with apps knows and can be asked to do. The process implements these, and so does the client of it.

Each method names the role that it needs. What a role may not do is refused before anything is looked at.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from pathlib import Path
from typing import Protocol, final

from skywire.app.connections import ConnectionInfo
from skywire.app.definition import Isolation
from skywire.app.events import Event
from skywire.app.interface import Role, needs
from skywire.app.limits import RestartPolicy
from skywire.app.log_line import LogLine
from skywire.app.record import InstanceInfo
from skywire.app.run_mode import RunMode
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
class OptionDescription:
    """One option of an instance, or of those that can be made.

    Args:
        name: of the option.
        kind: its type, in words.
        default: its value unless set, as JSON; None where it is secret.
        value: its value now, as JSON; None where it is secret.
        is_set: whether it differs from the default.
        secret: whether it is never shown.
        help: what it does.
    """

    name: str
    kind: str
    default: object
    value: object
    is_set: bool
    secret: bool
    help: str


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
        options: that an instance of it has; they have their defaults.
    """

    name: str
    summary: str
    source: str
    modes: tuple[RunMode, ...]
    critical: bool
    trouble: str
    options: tuple[OptionDescription, ...] = ()


@final
@unique
class Severity(StrEnum):
    """How bad a finding is."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


@final
@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a self-check.

    Args:
        subject: what was looked at.
        severity: how bad it is.
        text: what was found.
        hint: what to do about it; empty when there is nothing to do.
    """

    subject: str
    severity: Severity
    text: str
    hint: str


@final
@dataclass(frozen=True, slots=True)
class FacilityInfo:
    """What a process offers its apps.

    Args:
        name: of the facility.
        summary: what it is.
        absent: why it is absent; None when it is present.
        offline: why it does not work just now; None when it does.
    """

    name: str
    summary: str
    absent: str | None
    offline: str | None


@final
@dataclass(frozen=True, slots=True)
class NodeInfo:
    """The node as a whole.

    Args:
        public: its key.
        version: of the program.
        started: seconds of Unix time.
        config_file: where it is configured; empty where it is not.
        local_path: the folder of its data.
        facilities: what it offers its apps.
        servers: the keys of the dmsg servers that it is reachable through.
        memory: bytes that the process occupies.
    """

    public: PubKey
    version: str
    started: float
    config_file: str
    local_path: str
    facilities: tuple[FacilityInfo, ...]
    servers: tuple[PubKey, ...]
    memory: int


@final
@dataclass(frozen=True, slots=True)
class ServedPort:
    """A port of the node on its networks.

    Args:
        networks: where it is served.
        port: its number.
        label: what it is, for people.
        owner: the app instance that serves it, or ``core``.
        hidden: whether it is left out of public lists.
        connections: that are being served.
    """

    networks: tuple[str, ...]
    port: int
    label: str
    owner: str
    hidden: bool
    connections: int


@final
@dataclass(frozen=True, slots=True)
class ListeningPort:
    """A local TCP port of the node.

    Args:
        host: where it listens.
        port: its number.
        label: what it is, for people.
        owner: the app instance that has it.
    """

    host: str
    port: int
    label: str
    owner: str


@final
@dataclass(frozen=True, slots=True)
class Grant:
    """What a key may do from afar.

    Args:
        key: whose.
        role: read, control or admin.
        source: which part of the configuration says so.
    """

    key: PubKey
    role: Role
    source: str


@final
@dataclass(frozen=True, slots=True)
class Attachment:
    """Where a process attaches that runs an app for this one.

    Args:
        name: of the instance.
        socket: path of the socket to connect to.
        token_file: path of the file with the token to show there; there while no process is attached.
    """

    name: str
    socket: Path
    token_file: Path


@final
@dataclass(frozen=True, slots=True)
class Warned:
    """Something in the configuration that is not as its writer may think.

    Args:
        place: file, line and key.
        text: what it is.
    """

    place: str
    text: str


class ProcessAPI(Protocol):
    """The process itself. ``hello`` is the first thing to ask."""

    @needs(Role.READ)
    async def hello(self) -> Hello:
        """Who answers, and what can be called."""
        ...

    @needs(Role.READ)
    async def log(self, since: float = 0.0, level: int = 0, last: int | None = None) -> tuple[LogLine, ...]:
        """The kept log lines of the process itself; those of apps are in the logs of the apps."""
        ...

    @needs(Role.READ)
    def follow_log(self, level: int = 0) -> AsyncIterator[LogLine]:
        """The log lines of the process itself as they come."""
        ...

    @needs(Role.READ)
    async def tasks(self) -> tuple[str, ...]:
        """What runs: the tasks of the process, each with the place where it waits."""
        ...

    @needs(Role.ADMIN)
    async def halt(self, knowing: bool = False) -> None:
        """End the process, as SIGTERM does; the answer comes before it has ended."""
        ...


class NetworkAPI(Protocol):
    """The node among others."""

    @needs(Role.READ)
    async def info(self) -> NodeInfo:
        """The node as a whole."""
        ...

    @needs(Role.READ)
    async def ports(self) -> tuple[ServedPort, ...]:
        """What it serves on its networks, by port."""
        ...

    @needs(Role.READ)
    async def listeners(self) -> tuple[ListeningPort, ...]:
        """The local TCP ports that it has open."""
        ...

    @needs(Role.READ)
    async def doctor(self) -> tuple[Finding, ...]:
        """Look for what is wrong with the node."""
        ...

    @needs(Role.CONTROL)
    async def ping(self, key: PubKey) -> float:
        """Seconds of a round trip to another node, over dmsg."""
        ...

    @needs(Role.CONTROL)
    async def public_ip(self) -> str:
        """The address from which a dmsg server sees the node."""
        ...


class ConfigAPI(Protocol):
    """The configuration of the node, and who may control it."""

    @needs(Role.READ)
    async def show(self) -> Mapping[str, object]:
        """All of it, secrets left out."""
        ...

    @needs(Role.READ)
    async def warnings(self) -> tuple[Warned, ...]:
        """What in it is not as its writer may think."""
        ...

    @needs(Role.READ)
    async def grants(self) -> tuple[Grant, ...]:
        """Who may control the node from afar."""
        ...

    @needs(Role.ADMIN)
    async def grant(self, key: PubKey, role: Role, knowing: bool = False) -> None:
        """Let a key control the node from afar from now on; less than it may do now is what the gate is asked about."""
        ...

    @needs(Role.ADMIN)
    async def revoke(self, key: PubKey, knowing: bool = False) -> None:
        """Let a key control the node no more."""
        ...

    @needs(Role.ADMIN)
    async def set_log_level(self, level: str) -> None:
        """Log from this level on, now and after a restart."""
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
    async def describe(self, name: str) -> tuple[OptionDescription, ...]:
        """The options that an instance has, with their values."""
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

    @needs(Role.ADMIN)
    async def add(
        self,
        definition: str,
        name: str,
        options: Mapping[str, object] = {},
        ports: Mapping[str, int] = {},
        auto_start: bool = True,
        restart: RestartPolicy = RestartPolicy.ON_FAILURE,
        isolation: Isolation | None = None,
        texts: Mapping[str, str] = {},
    ) -> InstanceInfo:
        """Make another instance.

        Args:
            definition: what it is made of.
            name: of the instance.
            options: values as JSON.
            ports: numbers that replace those of the definition, by the name of the port.
            auto_start: whether it starts now, and with the process.
            restart: what happens after a failure.
            isolation: how far it is kept from the process; as its definition says unless given.
            texts: values of options as people write them, for instance ``on``.
        """
        ...

    @needs(Role.ADMIN)
    async def remove(self, name: str, knowing: bool = False) -> None:
        """Stop an instance, and forget it."""
        ...

    @needs(Role.ADMIN)
    async def configure(
        self,
        name: str,
        options: Mapping[str, object] = {},
        texts: Mapping[str, str] = {},
        unset: tuple[str, ...] = (),
        knowing: bool = False,
    ) -> InstanceInfo:
        """Give an instance other options; those that are not named keep their values.

        Args:
            name: of the instance.
            options: values as JSON.
            texts: values as people write them, for instance ``on``.
            unset: options that take their defaults again.
            knowing: whether the operator has said that they know what it may cost them.
        """
        ...

    @needs(Role.ADMIN)
    async def arrange(
        self,
        name: str,
        auto_start: bool | None = None,
        restart: RestartPolicy | None = None,
        isolation: Isolation | None = None,
        environment: Mapping[str, str] | None = None,
        knowing: bool = False,
    ) -> InstanceInfo:
        """Change how an instance is run; what is not given stays. It goes on running where that can be."""
        ...

    @needs(Role.ADMIN)
    async def environment(self, name: str) -> Mapping[str, str]:
        """The variables that an instance has been given for a process of its own; some may be secret."""
        ...

    @needs(Role.CONTROL)
    async def app_call(self, name: str, command: str, arguments: Mapping[str, object] = {}) -> object:
        """Ask a running instance, by a command of its own."""
        ...

    @needs(Role.CONTROL)
    def app_stream(self, name: str, command: str, arguments: Mapping[str, object] = {}) -> AsyncIterator[object]:
        """Ask a running instance for answers as they come, by a command of its own."""
        ...

    @needs(Role.CONTROL)
    async def attachment(self, name: str) -> Attachment:
        """Where a process attaches to run an instance that is configured so."""
        ...


class EventsAPI(Protocol):
    """What happens in a process."""

    @needs(Role.READ)
    def events(self, kind: str = "") -> AsyncIterator[Event]:
        """What happens from now on, of the kinds that begin so."""
        ...


@final
@dataclass(frozen=True, slots=True)
class VisorAPI:
    """All that a visor can be asked, in this process or from afar."""

    process: ProcessAPI
    apps: AppsAPI
    network: NetworkAPI
    config: ConfigAPI
    events: EventsAPI
