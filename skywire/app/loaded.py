"""Definitions of any options, as one type: loading closes over the class of the options."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar, final

from skywire.app.command import AnyCommand
from skywire.app.definition import API_VERSION, AppDef, Isolation, NoOptions
from skywire.app.dependency import NOTHING, Dependencies
from skywire.app.facility import FACILITIES
from skywire.app.host import AppHost
from skywire.app.instance import AppInstance
from skywire.app.port import PortSpec
from skywire.app.run_mode import RunMode
from skywire.errors import SkywireError
from skywire.known_names import listed
from skywire.net.address import MAX_PORT
from skywire.net.conn import CORE

O = TypeVar("O")  # noqa: E741 - short for options, as in the contract's text

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
LONGEST_NAME: Final = 64
"""Characters of a name: it is part of file names and of every message about the app."""


RESERVED: Final = frozenset(
    {CORE.name, *(facility.name for facility in FACILITIES), "ls", "add", "rm", "attach", "definitions"}
)
"""Names that no app can have: of facilities, of the owner of what the process opens for itself, and of what a command
line takes in the place of a name."""


COMMON_VERBS: Final = frozenset({"start", "stop", "restart", "status", "log", "conns", "config", "call"})
"""What every app can be told on a command line, so that no command of its own is called so."""


class DefinitionError(SkywireError):
    """A definition breaks the contract; the text says where."""


@final
@dataclass(frozen=True, slots=True)
class Configured:
    """A definition with its options: what the launcher needs to run it, whatever their class.

    Args:
        definition: what it is.
        options: of its class.
        depends: what it needs in a mode; may raise what the definition raises.
        create: makes an instance; may raise what the definition raises.
        trouble: why it cannot run at all; see :func:`broken`.
    """

    definition: LoadedDef
    options: object
    depends: Callable[[RunMode], Dependencies]
    create: Callable[[AppHost], AppInstance]
    trouble: str | None = None


@final
@dataclass(frozen=True, slots=True)
class LoadedDef:
    """A checked definition; see :class:`skywire.app.definition.AppDef` for what the facts mean.

    Args:
        commands: what running instances answer.
        bind: gives it options, which must be of its class.
        defaults: gives it its default options.
    """

    name: str
    cli: tuple[str, ...]
    summary: str
    modes: frozenset[RunMode]
    ports: tuple[PortSpec, ...]
    critical: bool
    isolation: Isolation
    options: type[object]
    commands: tuple[AnyCommand, ...]
    bind: Callable[[object], Configured]

    def defaults(self) -> Configured:
        """With its default options."""
        return self.bind(self.options())


def load(definition: AppDef[O]) -> LoadedDef:
    """Check a definition, and close over its options.

    Raises:
        DefinitionError: it breaks the contract.
    """
    _check(definition)
    kind = definition.options

    def bind(options: object) -> Configured:
        if not isinstance(options, kind):
            raise DefinitionError(f"{definition.name} takes {kind.__name__}, not {type(options).__name__}")
        return Configured(
            loaded,
            options,
            depends=lambda mode: definition.depends(mode, options),
            create=lambda host: definition.create(host, options),
        )

    loaded = LoadedDef(
        name=definition.name,
        cli=definition.cli,
        summary=definition.summary,
        modes=definition.modes,
        ports=definition.ports,
        critical=definition.critical,
        isolation=definition.isolation,
        options=kind,
        commands=definition.commands,
        bind=bind,
    )
    return loaded


def broken(name: str, reason: str) -> Configured:
    """What stands in the place of an app that cannot be loaded or configured, so that people see that, and why.

    Args:
        name: of the definition that was asked for.
        reason: why there is none, or why it does not take its options.
    """

    def refuse(host: AppHost) -> AppInstance:
        raise DefinitionError(reason)

    def bind(options: object) -> Configured:
        raise DefinitionError(reason)

    loaded = LoadedDef(
        name=name,
        cli=(name,),
        summary="",
        modes=frozenset(RunMode),
        ports=(),
        critical=False,
        isolation=Isolation.IN_PROCESS,
        options=NoOptions,
        commands=(),
        bind=bind,
    )
    return Configured(loaded, NoOptions(), depends=lambda _: NOTHING, create=refuse, trouble=reason)


def check_name(name: str) -> None:
    """Accept the name of a definition or instance.

    Raises:
        DefinitionError: it is none, or means something else wherever instances are named.
    """
    if name in RESERVED:
        raise DefinitionError(f"the name {name!r} is taken by the process itself; choose another")
    if len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        raise DefinitionError(
            f"a name is up to {LONGEST_NAME} small letters, digits and single hyphens, this is {name[:100]!r}"
        )


def check_ports(definition: LoadedDef, ports: Mapping[str, int]) -> None:
    """Accept the numbers that an instance is to have for its ports.

    Raises:
        DefinitionError: there is no such port, or it is no number of one.
    """
    names = [port.name for port in definition.ports]
    for name, number in ports.items():
        if name not in names:
            raise DefinitionError(f"{definition.name} has no port {name[:100]!r}; {listed(name, names)}")
        if not 1 <= number <= MAX_PORT:
            raise DefinitionError(f"port {name}: 1 to {MAX_PORT} is expected, this is {number}")


def _check(definition: AppDef[O]) -> None:
    name = definition.name
    check_name(name)
    if definition.api_version > API_VERSION:
        raise DefinitionError(
            f"{name} is written for version {definition.api_version} of the contract, this is {API_VERSION}: "
            "install a newer skywire"
        )
    if not definition.modes:
        raise DefinitionError(f"{name} names no mode that it can run in")
    options = definition.options
    parameters = getattr(options, "__dataclass_params__", None)
    if not dataclasses.is_dataclass(options) or parameters is None or not parameters.frozen:
        raise DefinitionError(f"the options of {name} are not a frozen dataclass")
    for each in dataclasses.fields(options):
        if each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING:
            raise DefinitionError(f"option {each.name!r} of {name} has no default, so {name} cannot be tried out")
    names = [port.name for port in definition.ports]
    if len(set(names)) < len(names):
        raise DefinitionError(f"{name} has several ports of one name")
    verbs = [command.name for command in definition.commands]
    if len(set(verbs)) < len(verbs) or not COMMON_VERBS.isdisjoint(verbs):
        raise DefinitionError(f"{name} has a command twice, or one that every app has: {', '.join(verbs)}")
