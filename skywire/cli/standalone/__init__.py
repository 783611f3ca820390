"""Apps that run alone: commands made from their definitions, once for all programs that have them.

A definition is imported when its name is on the command line, and all of them only to list them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from cyclopts import App

from skywire.app.run_mode import RunMode
from skywire.cli.program import Arranging, UsageError
from skywire.errors import SkywireError

if TYPE_CHECKING:  # who only asks for the version loads none of it
    from skywire.app.catalogue import Catalogue
    from skywire.app.loaded import LoadedDef

HELP: Final = frozenset({"--help", "-h"})


def with_apps(mode: RunMode, *, listed: bool = True) -> Arranging:
    """What makes commands of the apps that a command line is about.

    Args:
        mode: in which they run.
        listed: whether the help lists all that can run so.
    """
    return partial(_arrange, mode=mode, listed=listed)


def _arrange(app: App, words: Sequence[str], *, mode: RunMode, listed: bool) -> Sequence[str]:
    word = words[0] if words else ""
    if word.startswith("-") and word not in app:
        raise UsageError(f"options come behind the name of a command, as in: {app.name[0]} APP {_name_of(word)} ...")
    if not word or word in HELP:
        if listed:
            _Commands(app, mode).add_all()
    elif not word.startswith("-") and word not in app:
        _Commands(app, mode).add_meant(words)
    return words


def _name_of(option: str) -> str:
    """Only the name: its value may be secret."""
    return option.partition("=")[0][:100]


def _listed(ports: Mapping[str, int]) -> str:
    return ", ".join(f"{name} on {number}" for name, number in ports.items())


class _Commands:
    """The commands of apps, below one command line."""

    def __init__(self, app: App, mode: RunMode) -> None:
        from skywire.app.catalogue import Catalogue
        from skywire.apps import BUILT_IN

        self._app = app
        self._mode = mode
        self._own = frozenset(app)
        self._catalogue: Catalogue = Catalogue(BUILT_IN)

    def add_all(self) -> None:
        """Those of all definitions that can run in this mode."""
        for name, found in self._load_all().items():
            if isinstance(found, SkywireError):
                self._add((name,), _failing(found), f"It cannot be loaded: {found}")
            elif self._mode in found.modes:
                self._add_definition(found.cli, found)

    def add_meant(self, words: Sequence[str]) -> None:
        """That of the definition which the first words name.

        Raises:
            UsageError: there is none, or it does not run in this mode.
            DefinitionError: it cannot be loaded.
        """
        name = words[0]
        if name in {offer.name for offer in self._catalogue.offers}:
            loaded = self._catalogue.get(name)
            self._require_mode(loaded)
            self._add_definition((name,), loaded)
            return
        below = [
            each for each in self._load_all().values() if not isinstance(each, SkywireError) and each.cli[0] == name
        ]
        if not below:
            raise UsageError(self._unknown(name))
        exact = [each for each in below if tuple(words[: len(each.cli)]) == each.cli]
        if exact:
            self._require_mode(max(exact, key=lambda each: len(each.cli)))
        for each in below:
            if self._mode in each.modes:
                self._add_definition(each.cli, each)

    def _load_all(self) -> dict[str, LoadedDef | SkywireError]:
        from skywire.app.loaded import DefinitionError

        found: dict[str, LoadedDef | SkywireError] = {}
        for offer in self._catalogue.offers:
            try:
                found[offer.name] = self._catalogue.get(offer.name)
            except DefinitionError as error:
                found[offer.name] = error
        return found

    def _require_mode(self, loaded: LoadedDef) -> None:
        from skywire.app.run_mode import MODE_RULES

        if self._mode in loaded.modes:
            return
        ways = " or ".join(
            f"{MODE_RULES[mode].command} {loaded.name} ({mode})" for mode in RunMode if mode in loaded.modes
        )
        raise UsageError(f"{loaded.name} does not run as {self._mode}: its definition does not allow it; use {ways}")

    def _unknown(self, name: str) -> str:
        from skywire.known_names import listed

        names = [*self._app, *(offer.name for offer in self._catalogue.offers)]
        return f"there is no command {name[:100]!r}; {listed(name, [each for each in names if each[0] != '-'])}"

    def _add_definition(self, path: tuple[str, ...], loaded: LoadedDef) -> None:
        from skywire.app.record import InstanceConfig, ports_of
        from skywire.cli.standalone.command import command_of

        ports = ports_of(InstanceConfig(name=loaded.name, app=loaded.defaults()), self._mode)
        more = f"Served unless --port says otherwise: {_listed(ports)}." if ports else ""
        self._add(path, command_of(loaded, self._mode), loaded.summary, more)

    def _add(self, path: tuple[str, ...], function: Callable[..., None], summary: str, more: str = "") -> None:
        """Make a command at a path; what the program has there already stays.

        Args:
            path: its words.
            function: what it does.
            summary: of it, for lists of commands as well.
            more: for its own help.
        """
        from skywire.cli.standalone.option_flags import as_written

        if path[0] in self._own:  # a tool of the program, which no definition changes
            return
        here = self._app
        for word in path[:-1]:
            if word not in here:
                here.command(App(name=word, version_flags=[]))
            here = here[word]
        if path[-1] not in here:
            here.command(App(name=path[-1], help=as_written(summary), version_flags=[]))
        leaf = here[path[-1]]
        if leaf.default_command is None:
            leaf.help = f"{as_written(summary)}\n\n{as_written(more)}".strip()
            leaf.default(function)


def _failing(error: SkywireError) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail
