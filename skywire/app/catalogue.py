"""The definitions that are there: ours, and those of other packages. Each is loaded only when it is used."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Final, cast, final

from skywire.app.attempt import describe
from skywire.app.definition import AppDef
from skywire.app.loaded import DefinitionError, LoadedDef, check_name, load
from skywire.errors import SkywireError
from skywire.known_names import listed

ENTRY_POINTS: Final = "skywire.apps"
"""The group of entry points by which a package offers definitions, each under its name."""


class NoSuchApp(SkywireError):
    """There is no definition of that name."""


@final
@dataclass(frozen=True, slots=True)
class Offer:
    """A definition that can be loaded.

    Args:
        name: of the definition.
        source: where it comes from, for people.
        place: of the definition, as ``module:attribute``.
        built_in: whether it is one of ours.
        find: imports it; may raise anything.
    """

    name: str
    source: str
    place: str
    built_in: bool
    find: Callable[[], object]


@final
class Catalogue:
    """The definitions by name.

    Args:
        built_in: ours: their names, each with ``module:attribute``.
        offered: of other packages; what is installed unless given.
    """

    def __init__(self, built_in: Mapping[str, str], offered: Iterable[EntryPoint] | None = None) -> None:
        self._offers: dict[str, Offer] = {}
        self._loaded: dict[str, LoadedDef] = {}
        self.refused: dict[str, str] = {}
        """Why an offer is not taken, by its source."""
        for name, place in built_in.items():
            self._offers[name] = Offer(name, "skywire", place, built_in=True, find=_finder(place))
        self._looks = offered is None
        for entry in entry_points(group=ENTRY_POINTS) if offered is None else offered:
            self._offer(entry)

    @property
    def offers(self) -> tuple[Offer, ...]:
        """All, ours first."""
        return tuple(self._offers.values())

    def get(self, name: str) -> LoadedDef:
        """The definition of that name.

        Raises:
            NoSuchApp: there is none.
            DefinitionError: it cannot be imported, or breaks the contract.
        """
        if name not in self._loaded:
            self._loaded[name] = _load(self._find(name))
        return self._loaded[name]

    def place(self, name: str) -> str:
        """Where the definition of that name is, as ``module:attribute``: for another process that loads it.

        Raises:
            NoSuchApp: there is none.
        """
        return self._find(name).place

    def look_again(self) -> None:
        """Find what has been installed meanwhile; what is known stays as it is."""
        if self._looks:
            importlib.invalidate_caches()
            for entry in entry_points(group=ENTRY_POINTS):
                if entry.name not in self._offers:
                    self._offer(entry)

    def _find(self, name: str) -> Offer:
        if name not in self._offers:
            self.look_again()
        offer = self._offers.get(name)
        if offer is None:
            raise NoSuchApp(f"there is no app {name!r}; {listed(name, self._offers)}")
        return offer

    def _offer(self, entry: EntryPoint) -> None:
        source = entry.dist.name if entry.dist is not None else entry.value
        other = self._offers.get(entry.name)
        try:
            check_name(entry.name)
        except DefinitionError as error:
            self.refused[source] = str(error)
            return
        if other is not None:
            self.refused[source] = f"the name {entry.name} is taken by {other.source}"
        else:
            self._offers[entry.name] = Offer(entry.name, source, entry.value, built_in=False, find=entry.load)


def _load(offer: Offer) -> LoadedDef:
    try:
        found = offer.find()
        loaded = load(cast("AppDef[object]", found))  # what it lacks of one becomes an error below
    except DefinitionError:
        raise
    except (Exception, SystemExit) as error:  # what a module does when it is imported is its own affair
        raise DefinitionError(f"app {offer.name} of {offer.source} cannot be loaded: {describe(error)}") from error
    if loaded.name != offer.name:
        raise DefinitionError(f"{offer.source} offers {loaded.name} under the name {offer.name}")
    return loaded


def _finder(place: str) -> Callable[[], object]:
    module, _, attribute = place.partition(":")
    return lambda: getattr(importlib.import_module(module), attribute)
