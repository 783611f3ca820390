"""The app instances of a configuration: its rows, upstream's and ours, and what is there without a row.

What cannot be loaded or configured costs itself alone: it is an instance that says why it does not run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn, final

from skywire.app.api import Warned
from skywire.app.catalogue import Catalogue, NoSuchApp
from skywire.app.definition import Isolation
from skywire.app.limits import RestartPolicy
from skywire.app.loaded import Configured, DefinitionError, LoadedDef, broken, check_name
from skywire.app.options import OptionError, decode, describe, read_texts
from skywire.app.record import InstanceConfig
from skywire.errors import SkywireError
from skywire.known_names import listed
from skywire.visor.config.args import MappedArgs, head_of, map_args, split_args
from skywire.visor.config.built_in import BUILT_IN, ports_said_elsewhere, said_elsewhere
from skywire.visor.config.schema import AppRow, VisorConfig

OWN_PROGRAMS: Final = frozenset({"", "skywire"})
"""What upstream's ``binary`` says of an app that is part of the program itself."""

_MODES: Final[Mapping[str, Isolation | None]] = {
    "": None,
    "internal": Isolation.IN_PROCESS,
    "external": Isolation.CHILD,
}
_UNUSED: Final = ("user", "group", "work_dir")
_UPSTREAMS: Final = frozenset(
    {
        *("skychat", "skysocks", "skysocks-client", "vpn-server", "vpn-client", "vpn-router"),
        *("skynet-srv", "skynet-client", "pty", "skydex-market", "skydex-client"),
    }
)
"""Apps that stand in files of upstream."""


@final
class RowError(SkywireError):
    """A row cannot be configured.

    Args:
        key: of the row, with what is below it.
        reason: why; never quotes a secret.
    """

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key}: {reason}")


def instances(
    config: VisorConfig, catalogue: Catalogue, *, trust: bool
) -> tuple[dict[str, InstanceConfig], tuple[Warned, ...]]:
    """The instances that a visor has, by their names, in the order of the rows; then those that have no row.

    Args:
        config: with the rows.
        catalogue: what they are made of.
        trust: whether programs that a row names may be executed.

    Returns:
        the instances, and what the writer of the rows should know; places are paths such as ``launcher.apps[2].args``.
    """
    found: dict[str, InstanceConfig] = {}
    warnings: list[Warned] = []
    struck: set[str] = set()
    for at, (name, row) in enumerate(zip(row_names(config.launcher.apps), config.launcher.apps, strict=True)):
        place = f"launcher.apps[{at}]"
        if name in found or name in struck:
            warnings.append(Warned(place, f"a row before it has the name {name} too, and is the one that counts"))
        elif row.removed:
            struck.add(name)
        else:
            found[name] = _Row(name, row, place, config, catalogue, warnings).instance(trust=trust)
    offered = {offer.name for offer in catalogue.offers}
    for name in BUILT_IN:
        if name in offered and name not in found and name not in struck:
            found[name] = _Row(name, AppRow(name=name), name, config, catalogue, warnings).instance(trust=trust)
    return found, tuple(warnings)


def is_yet_to_come(config: InstanceConfig) -> bool:
    """Whether nothing is wrong with a row but that it asks for an app of upstream that this version does not have."""
    return config.app.trouble == _yet_to_come(config.app.definition.name)


def row_names(rows: Sequence[AppRow]) -> list[str]:
    """What the instances of rows are called: ``row-3`` and the like where the row has no name that can be."""
    taken = {row.name for row in rows}
    names: list[str] = []
    for at, row in enumerate(rows):
        name = row.name
        try:
            check_name(name)
        except DefinitionError:
            name = f"row-{at}"
            while name in taken:
                name += "-x"
        names.append(name)
    return names


def environment_of(row: AppRow) -> dict[str, str]:
    """The variables of a row; what is none is left out."""
    pairs = [each.partition("=") for each in row.env]
    return {name: value for name, equals, value in pairs if name and equals}


def isolation_of(row: AppRow, definition: LoadedDef) -> Isolation:
    """How far an instance is kept from the process.

    Raises:
        RowError: the row says something that nobody knows.
    """
    if row.isolation:
        try:
            return Isolation(row.isolation)
        except ValueError:
            _refuse("isolation", row.isolation, list(Isolation))
    if row.launcher_mode not in _MODES:
        _refuse("launcher_mode", row.launcher_mode, [each for each in _MODES if each])
    return _MODES[row.launcher_mode] or definition.isolation


def restart_of(row: AppRow, definition: LoadedDef) -> RestartPolicy:
    """What happens after the instance has failed: what the row says, or else what is critical comes back always.

    Raises:
        RowError: the row says something that nobody knows.
    """
    if row.restart_policy is None:
        return RestartPolicy.ALWAYS if definition.critical else RestartPolicy.ON_FAILURE
    try:
        return RestartPolicy(row.restart_policy or RestartPolicy.NEVER)
    except ValueError:
        _refuse("restart_policy", row.restart_policy, list(RestartPolicy))


def ports_of(row: AppRow, definition: LoadedDef, said: Mapping[str, int]) -> dict[str, int]:
    """The ports that are set, by name.

    Args:
        row: which wins.
        definition: says what there are.
        said: what other sections of the configuration say.

    Raises:
        RowError: the app has no such port, or it is none.
    """
    names = [spec.name for spec in definition.ports]
    found = {**said, **({names[0]: row.port} if row.port and names else {})}
    for name, number in row.ports.items():
        if name not in names:
            raise RowError(f"ports.{name[:100]}", f"{definition.name} has no such port; {listed(name, names)}")
        if not number:
            raise RowError(f"ports.{name}", "1 to 65535 is expected")
        found[name] = number
    return found


def args_of(row: AppRow, definition: LoadedDef) -> tuple[MappedArgs, tuple[str, ...]]:
    """What the command line of a row says, and the words in it that name the app.

    Raises:
        RowError: it is no command line.
    """
    try:
        words = split_args(row.args)
    except ValueError as error:
        raise RowError("args", f"it is no command line: {error}") from None
    _, size = head_of(words, (definition.name, row.name, row.binary))
    return map_args(definition.options, words[size:]), tuple(words[:size])


def options_of(row: AppRow, definition: LoadedDef, said: Mapping[str, object]) -> object:
    """The options of a row.

    Args:
        row: with options, which win, and args.
        definition: says what there are.
        said: what other sections of the configuration say.

    Raises:
        RowError: they do not fit.
    """
    mapped, _ = args_of(row, definition)
    if mapped.missing:
        raise RowError("args", f"{mapped.missing} needs a value")
    try:
        texts = read_texts(definition.options, mapped.texts, "args")
        return decode(definition.options, {**said, **texts, **row.options}, "options")
    except OptionError as error:
        key, _, reason = str(error).partition(": ")
        secret = {each.name for each in describe(definition.options) if each.secret}
        if not secret.isdisjoint(re.findall(r"\w+", key)):
            reason = "it does not fit, and is not shown, being secret"
        raise RowError(key, reason) from None


@final
class _Row:
    """One row on its way to an instance."""

    def __init__(
        self,
        name: str,
        row: AppRow,
        place: str,
        config: VisorConfig,
        catalogue: Catalogue,
        warnings: list[Warned],
    ) -> None:
        self._name = name
        self._row = row
        self._place = place
        self._config = config
        self._catalogue = catalogue
        self._warnings = warnings

    def instance(self, *, trust: bool) -> InstanceConfig:
        """What it makes."""
        row = self._row
        wanted = self._definition_name()
        auto_start = self._name in BUILT_IN if row.auto_start is None else row.auto_start
        environment = environment_of(row)
        try:
            definition, app = self._app(wanted, trust=trust)
            return InstanceConfig(
                name=self._name,
                app=app,
                auto_start=auto_start,
                restart=restart_of(row, definition),
                ports=ports_of(row, definition, ports_said_elsewhere(self._name, wanted, self._config)),
                isolation=isolation_of(row, definition),
                environment=environment,
            )
        except RowError as error:
            reason = f"{self._place}.{error}"
        except NoSuchApp as error:
            reason = _yet_to_come(wanted) if wanted in _UPSTREAMS else str(error)
        except DefinitionError as error:
            reason = str(error)
        app = broken(wanted, reason)
        return InstanceConfig(name=self._name, app=app, auto_start=auto_start, environment=environment)

    def _app(self, wanted: str, *, trust: bool) -> tuple[LoadedDef, Configured]:
        """The definition with its options.

        Raises:
            RowError: the row does not fit.
            NoSuchApp: there is no such app.
            DefinitionError: it cannot be loaded, or is no app of this program.
        """
        row = self._row
        if self._name != row.name:
            check_name(row.name)
        if row.binary not in OWN_PROGRAMS and row.binary not in {wanted, row.name}:
            raise DefinitionError(_program_reason(row.binary, trust=trust))
        definition = self._catalogue.get(wanted)
        options = options_of(row, definition, said_elsewhere(self._name, wanted, self._config))
        self._warn(definition)
        return definition, definition.bind(options)

    def _warn(self, definition: LoadedDef) -> None:
        row, place = self._row, self._place
        mapped, _ = args_of(row, definition)
        notices = [(f"{place}.args", f"{each} means nothing to {definition.name}") for each in mapped.unknown]
        notices += [(f"{place}.{each}", "it means nothing here, and is kept") for each in _UNUSED if getattr(row, each)]
        notices += [
            (f"{place}.env[{at}]", "NAME=value is expected, and it is left out")
            for at, each in enumerate(row.env)
            if not each.partition("=")[0] or "=" not in each
        ]
        self._warnings += [Warned(*each) for each in notices]

    def _definition_name(self) -> str:
        """The app that a row asks for: what it says, its own name, what its command line begins with, its program."""
        row = self._row
        offered = {offer.name for offer in self._catalogue.offers}
        if row.app:
            return row.app
        try:
            head, _ = head_of(split_args(row.args), (row.name, row.binary))
        except ValueError:
            head = ""
        named = (row.name, head, row.binary)
        return next((each for each in named if each in offered), head or row.name or self._name)


def _yet_to_come(app: str) -> str:
    return f"this version has no {app} yet; the row is kept"


def _program_reason(program: str, *, trust: bool) -> str:
    """Why a program that a row names is not executed."""
    if trust:
        return "programs of other languages are started by `isolation: attached`"
    return f"it names the program {program[:100]}, which is executed only when the visor is started with --trust"


def _refuse(key: str, value: str, known: Sequence[str]) -> NoReturn:
    raise RowError(key, f"{value[:100]!r} is none of {', '.join(known)}")
