"""What an app needs before it can run, as in systemd.

*Requires* X: starts after X, does not start when X is absent, failed or disabled, and stops when X stops.
*Wants* X: starts after X if X is going to run, and is otherwise indifferent to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias, final

from skywire.app.facility import Facility


@final
@dataclass(frozen=True, slots=True)
class Instance:
    """The app instance of that name."""

    name: str

    def __str__(self) -> str:
        return self.name


@final
@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one instance of the definition of that name."""

    definition: str

    def __str__(self) -> str:
        return f"any {self.definition}"


Dependency: TypeAlias = Instance | AnyOf | Facility[object]


@final
@dataclass(frozen=True, slots=True)
class Dependencies:
    """What an app requires, and what it wants.

    Args:
        requires: without these it does not run.
        wants: it starts after these, if they are going to run.
    """

    requires: tuple[Dependency, ...] = ()
    wants: tuple[Dependency, ...] = ()


NOTHING: Final = Dependencies()
"""Depends on nothing."""
