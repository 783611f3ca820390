"""What a process offers its apps beside networks and ports: a closed list, each present or absent with a reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Generic, TypeVar, cast, final

from skywire.errors import SkywireError

if TYPE_CHECKING:
    from skywire.app.api import VisorAPI
    from skywire.net.network import Network

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class FacilityAbsent(SkywireError):
    """An app asked for a facility that is absent, or that it does not name in its dependencies."""


@final
class Facility(Generic[T_co]):
    """One entry of the list: what it is called, and the type of what it gives.

    Args:
        name: as in dependencies and messages.
        summary: what it is.
    """

    __slots__ = ("name", "summary")

    def __init__(self, name: str, summary: str) -> None:
        self.name: Final = name
        self.summary: Final = summary

    def __repr__(self) -> str:
        return f"Facility({self.name!r})"

    def __str__(self) -> str:
        return self.name


DMSG: Final[Facility[Network]] = Facility("dmsg", "the dmsg network")
SKYNET: Final[Facility[Network]] = Facility("skynet", "connections over routes")
TRANSPORTS: Final[Facility[object]] = Facility("transports", "direct links to other visors")
DISCOVERY: Final[Facility[object]] = Facility("discovery", "looking up other nodes")
RPC: Final[Facility[object]] = Facility("rpc", "control of this process from outside")
VISOR_API: Final[Facility[VisorAPI]] = Facility("visor-api", "what the visor knows, and what it can be asked to do")
FACILITIES: Final[tuple[Facility[object], ...]] = (DMSG, SKYNET, TRANSPORTS, DISCOVERY, RPC, VISOR_API)
"""The list. Another process may lack any of them."""

_NEVER_PROVIDED: Final = "this process does not have it"


@final
@dataclass(slots=True)
class Presence:
    """What is known of a facility.

    Args:
        absent: why it is absent; None when it is present, which is all that a dependency asks for.
        offline: why it does not work just now, for instance because there is no internet; None when it does. It
            degrades what uses it, and never blocks anything.
    """

    absent: str | None
    offline: str | None = None


@final
class Facilities:
    """The facilities of one process."""

    def __init__(self) -> None:
        self._values: dict[str, object] = {}
        self._presence = {facility.name: Presence(_NEVER_PROVIDED) for facility in FACILITIES}
        self._watchers: list[Callable[[], None]] = []

    def presence(self) -> Mapping[str, Presence]:
        """What is known of each, by its name."""
        return MappingProxyType(self._presence)

    def provide(self, facility: Facility[T], value: T, *, offline: str | None = None) -> None:
        """Make a facility present.

        Args:
            facility: which.
            value: what apps get.
            offline: why it does not work yet.
        """
        self._values[facility.name] = value
        self._set(facility, Presence(None, offline))

    def withdraw(self, facility: Facility[object], reason: str) -> None:
        """Make a facility absent; what requires it is stopped."""
        self._values.pop(facility.name, None)
        self._set(facility, Presence(reason))

    def report(self, facility: Facility[object], offline: str | None) -> None:
        """Say that a present facility works (None), or why it does not just now."""
        if self._presence[facility.name].absent is None:
            self._set(facility, Presence(None, offline))

    def get(self, facility: Facility[T]) -> T:
        """What a facility gives.

        Raises:
            FacilityAbsent: it is not here.
        """
        if (reason := self._presence[facility.name].absent) is not None:
            raise FacilityAbsent(f"{facility} is absent: {reason}")
        return cast("T", self._values[facility.name])  # `provide` has seen to the type

    def watch(self, watcher: Callable[[], None]) -> None:
        """Have ``watcher`` called after each change."""
        self._watchers.append(watcher)

    def _set(self, facility: Facility[object], presence: Presence) -> None:
        if self._presence[facility.name] != presence:
            self._presence[facility.name] = presence
            for watcher in self._watchers:
                watcher()
