"""How an app instance is: what the launcher knows of its life, and what the app itself says of its health."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum, unique
from types import MappingProxyType
from typing import Final, TypeAlias, final

Fact: TypeAlias = str | int | float | bool | None
"""A value of a status that people and programs can read."""

_NO_FACTS: Final[Mapping[str, Fact]] = MappingProxyType({})


@final
@unique
class State(StrEnum):
    """Where an instance is in its life; the launcher alone decides."""

    STOPPED = "stopped"
    """It is not meant to run."""
    STARTING = "starting"
    """It waits for what it depends on, or has not reported yet that it serves."""
    RUNNING = "running"
    """It serves."""
    DEGRADED = "degraded"
    """It serves, but something that it needs does not work; the reason says what."""
    ERRORED = "errored"
    """It failed, or is not fit to be started; the reason says why, and when it is tried again."""
    BLOCKED = "blocked"
    """It is meant to run, and what it requires does not; the reason says what."""
    STUCK = "stuck"
    """It was told to stop, then cancelled, and has not ended; the reason says where it stands."""

    @property
    def serving(self) -> bool:
        """Whether peers can use it."""
        return self in {State.RUNNING, State.DEGRADED}


@final
@dataclass(frozen=True, slots=True)
class AppStatus:
    """What an app says of itself, from evidence: the last byte, the last probe, its peers. Never from a flag.

    Args:
        trouble: what does not work, in one line; None when all does.
        facts: what else is worth knowing, for instance ``{"peers": 3}``.
    """

    trouble: str | None = None
    facts: Mapping[str, Fact] = field(default_factory=lambda: _NO_FACTS)


def check_status(status: object) -> str | None:
    """What is wrong with what an app gives as its status; None when it is one."""
    if not isinstance(status, AppStatus):
        return f"its status is {type(status).__name__}, and no AppStatus"
    trouble: object = status.trouble
    facts: object = status.facts
    if not isinstance(trouble, str | None):
        return f"its trouble is {type(trouble).__name__}, and no text"
    if not isinstance(facts, Mapping):
        return f"its facts are {type(facts).__name__}, and no mapping"
    for name, value in facts.items():
        if not (isinstance(name, str) and isinstance(value, Fact)):
            return f"its fact {name!r} is {type(value).__name__}, which nobody else can read"
    return None


@final
@dataclass(frozen=True, slots=True)
class Change:
    """One step in the life of an instance.

    Args:
        time: seconds of Unix time.
        state: what it became.
        reason: why; empty when that goes without saying.
    """

    time: float
    state: State
    reason: str
