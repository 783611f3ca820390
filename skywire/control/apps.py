"""The app instances of this process, for whoever controls it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Protocol, final

from anyio import CancelScope, Lock

from skywire.app.api import Attachment, DefinitionInfo, OptionDescription
from skywire.app.catalogue import Catalogue
from skywire.app.connections import ConnectionInfo, Connections
from skywire.app.definition import Isolation
from skywire.app.events import Event, EventBus
from skywire.app.launcher import Launcher
from skywire.app.limits import RestartPolicy
from skywire.app.loaded import DefinitionError, check_name, check_ports
from skywire.app.logs import AppLogs, LogLine
from skywire.app.options import OptionInfo, check_names, decode, describe, encode, read_texts
from skywire.app.ownership import on_behalf_of
from skywire.app.record import InstanceConfig, InstanceInfo
from skywire.app.typed_json import encode as encode_value
from skywire.app.typed_json import kind_of
from skywire.errors import SkywireError


class Rows(Protocol):
    """Where the instances of a process are written down."""

    async def put(self, config: InstanceConfig) -> None:
        """Write an instance down; whoever has that name is replaced.

        Raises:
            SkywireError: it cannot be written; nothing has been changed.
        """
        ...

    async def drop(self, name: str) -> None:
        """Strike an instance off.

        Raises:
            SkywireError: it cannot be written; nothing has been changed.
        """
        ...


class FixedInstances(SkywireError):
    """The instances of a process are what they are; the text says why, and what to do instead."""


class NotAttachable(SkywireError):
    """No process can attach to an instance as it is; the text says what to do."""


@final
class Apps:
    """See :class:`skywire.app.api.AppsAPI`.

    Args:
        launcher: runs them.
        catalogue: what they are made of.
        logs: what they say.
        connections: who is connected to them.
        rows: where changes are written down; None where nothing outlives the process.
        attachment: where processes attach that run an instance; None where none can.
        fixed: why there are these instances, as they are, and no others; None where that can be changed.
    """

    def __init__(
        self,
        launcher: Launcher,
        catalogue: Catalogue,
        logs: AppLogs,
        connections: Connections,
        rows: Rows | None,
        attachment: Callable[[str], Attachment] | None = None,
        fixed: str | None = None,
    ) -> None:
        self._launcher = launcher
        self._catalogue = catalogue
        self._logs = logs
        self._connections = connections
        self._rows = rows
        self._attachment = attachment
        self._fixed = fixed
        self._changing = Lock()  # what is written down and what runs must not come apart

    async def list(self) -> tuple[InstanceInfo, ...]:
        """See the protocol."""
        return self._launcher.list()

    async def get(self, name: str) -> InstanceInfo:
        """See the protocol."""
        return self._launcher.get(name)

    async def definitions(self) -> tuple[DefinitionInfo, ...]:
        """See the protocol."""
        self._catalogue.look_again()
        return tuple(self._describe(offer.name, offer.source) for offer in self._catalogue.offers)

    async def options(self, name: str) -> Mapping[str, object]:
        """See the protocol."""
        return encode(self._launcher.config(name).app.options)

    async def describe(self, name: str) -> tuple[OptionDescription, ...]:
        """See the protocol."""
        options = self._launcher.config(name).app.options
        return _describe_options(type(options), options)

    async def connections(self, name: str | None = None) -> tuple[ConnectionInfo, ...]:
        """See the protocol."""
        if name is not None:
            self._launcher.get(name)
        return self._connections.of(name)

    async def log(self, name: str, since: float = 0.0, level: int = 0, last: int | None = None) -> tuple[LogLine, ...]:
        """See the protocol."""
        self._launcher.get(name)
        return tuple(await self._logs.read(name, since=since, level=level, last=last))

    async def follow_log(self, name: str, level: int = 0) -> AsyncIterator[LogLine]:
        """See the protocol."""
        self._launcher.get(name)
        async with aclosing(self._logs.lines(name, level=level)) as lines:
            async for line in lines:
                yield line

    async def start(self, name: str) -> InstanceInfo:
        """See the protocol."""
        return await self._launcher.start(name)

    async def stop(self, name: str, knowing: bool = False, back_in: float | None = None) -> InstanceInfo:
        """See the protocol."""
        return await self._launcher.stop(name, knowing=knowing, back_in=back_in)

    async def restart(self, name: str, knowing: bool = False) -> InstanceInfo:
        """See the protocol."""
        return await self._launcher.restart(name, knowing=knowing)

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
        """See the protocol."""
        async with self._changing:
            self._require_changeable()
            check_name(name)
            loaded = self._catalogue.get(definition)
            check_ports(loaded, ports)
            config = InstanceConfig(
                name=name,
                app=loaded.bind(decode(loaded.options, dict(options) | read_texts(loaded.options, texts))),
                auto_start=auto_start,
                restart=restart,
                ports=dict(ports),
                isolation=loaded.isolation if isolation is None else isolation,
            )
            self._launcher.check_new(config)
            await self._write(config)
            return await self._launcher.add(config)

    async def remove(self, name: str, knowing: bool = False) -> None:
        """See the protocol."""
        async with self._changing:
            self._require_changeable()
            config = self._launcher.config(name)
            self._launcher.guard(f"removing {name}", name, knowing=knowing)
            await self._strike(name)
            try:
                await self._launcher.remove(name, knowing=knowing)
            except BaseException:  # it is still there: it does not end, or who asked has left
                await self._write(config)
                raise

    async def configure(
        self,
        name: str,
        options: Mapping[str, object] = {},
        texts: Mapping[str, str] = {},
        unset: tuple[str, ...] = (),
        knowing: bool = False,
    ) -> InstanceInfo:
        """See the protocol."""
        async with self._changing:
            self._require_changeable()
            config = self._launcher.config(name)
            loaded = config.app.definition
            values = encode(config.app.options, secrets=True) | dict(options) | read_texts(loaded.options, texts)
            for each in check_names(loaded.options, unset):
                values.pop(each, None)
            changed = replace(config, app=loaded.bind(decode(loaded.options, values)))
            self._launcher.check_change(changed, knowing=knowing)
            await self._write(changed)
            return await self._launcher.reconfigure(changed, knowing=knowing)

    async def arrange(
        self,
        name: str,
        auto_start: bool | None = None,
        restart: RestartPolicy | None = None,
        isolation: Isolation | None = None,
        environment: Mapping[str, str] | None = None,
        knowing: bool = False,
    ) -> InstanceInfo:
        """See the protocol."""
        async with self._changing:
            self._require_changeable()
            config = self._launcher.config(name)
            changed = replace(
                config,
                auto_start=config.auto_start if auto_start is None else auto_start,
                restart=config.restart if restart is None else restart,
                isolation=config.isolation if isolation is None else isolation,
                environment=config.environment if environment is None else dict(environment),
            )
            anew = (changed.isolation, changed.environment) != (config.isolation, config.environment)
            self._launcher.check_amend(changed, knowing=knowing)
            if anew:
                self._launcher.check_change(changed, knowing=knowing)
            await self._write(changed)
            if anew:
                return await self._launcher.reconfigure(changed, knowing=knowing)
            return self._launcher.amend(changed, knowing=knowing)

    async def environment(self, name: str) -> Mapping[str, str]:
        """See the protocol."""
        return self._launcher.config(name).environment

    async def app_call(self, name: str, command: str, arguments: Mapping[str, object] = {}) -> object:
        """See the protocol."""
        with self._logs.keeping(), on_behalf_of(name):
            return await self._launcher.answers(name).call(command, arguments)

    async def app_stream(self, name: str, command: str, arguments: Mapping[str, object] = {}) -> AsyncIterator[object]:
        """See the protocol."""
        async with aclosing(self._launcher.answers(name).stream(command, arguments)) as items:
            async for item in items:
                yield item

    async def attachment(self, name: str) -> Attachment:
        """See the protocol."""
        isolation = self._launcher.config(name).isolation
        if isolation is not Isolation.ATTACHED or self._attachment is None:
            raise NotAttachable(
                f"{name} runs as {isolation}; set its isolation to {Isolation.ATTACHED} to attach to it"
            )
        if not self._launcher.get(name).state.serving:
            raise NotAttachable(f"{name} is {self._launcher.get(name).state}; start it before a process attaches to it")
        return self._attachment(name)

    def _require_changeable(self) -> None:
        if self._fixed is not None:
            raise FixedInstances(self._fixed)

    async def _write(self, config: InstanceConfig) -> None:
        if self._rows is not None:
            with CancelScope(shield=True):  # what is written is done next, without a wait in between
                await self._rows.put(config)

    async def _strike(self, name: str) -> None:
        if self._rows is not None:
            with CancelScope(shield=True):
                await self._rows.drop(name)

    def _describe(self, name: str, source: str) -> DefinitionInfo:
        try:
            loaded = self._catalogue.get(name)
            options = _describe_options(loaded.options)
        except (DefinitionError, NameError) as error:  # an option may have a type that is nowhere
            return DefinitionInfo(name, "", source, (), critical=False, trouble=str(error), options=())
        return DefinitionInfo(
            name,
            loaded.summary,
            source,
            tuple(sorted(loaded.modes)),
            critical=loaded.critical,
            trouble="",
            options=options,
        )


def _describe_options(kind: type[object], options: object = None) -> tuple[OptionDescription, ...]:
    """The options of a class, with the values that they have in ``options``, or their defaults."""
    return tuple(_describe_option(each, getattr(options, each.name, each.default)) for each in describe(kind))


def _describe_option(option: OptionInfo, value: object) -> OptionDescription:
    return OptionDescription(
        name=option.name,
        kind=kind_of(option.kind),
        default=None if option.secret else encode_value(option.default),
        value=None if option.secret else encode_value(value),
        is_set=value != option.default,
        secret=option.secret,
        help=option.help,
    )


@final
class Events:
    """See :class:`skywire.app.api.EventsAPI`.

    Args:
        bus: where they come from.
    """

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus

    async def events(self, kind: str = "") -> AsyncIterator[Event]:
        """See the protocol."""
        with self._bus.subscribe() as subscription:
            while True:
                event, dropped = await subscription.next()
                if dropped:
                    yield Event(event.time, "dropped", "", {"count": dropped})
                if event.kind.startswith(kind):
                    yield event
