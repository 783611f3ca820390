"""How long the life of an app instance may take at each step, and how often it may fail."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum, unique
from typing import final


@final
@unique
class RestartPolicy(StrEnum):
    """What happens after an instance has failed."""

    NEVER = "never"
    """It stays down."""
    ON_FAILURE = "on-failure"
    """It is started again after a while, until it has failed too often."""
    ALWAYS = "always"
    """It is started again after a while, however often it fails: for what must not stay away."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LauncherLimits:
    """Times in seconds, and counts.

    Raises:
        ValueError: a number is not above 0.
    """

    start_seconds: float = 30.0
    """Until an instance has to report that it serves."""
    stop_seconds: float = 10.0
    """That an instance which was told to stop has to end by itself."""
    cancel_seconds: float = 5.0
    """That a cancelled one has to clean up before it counts as stuck."""
    drain_seconds: float = 3.0
    """That connections have to end by themselves when their app stops."""
    first_restart: float = 1.0
    """Before the first restart; each further one takes twice as long."""
    longest_restart: float = 60.0
    """Before any restart, at most."""
    stable_seconds: float = 60.0
    """Of serving after which earlier failures are forgotten."""
    most_failures: int = 8
    """In a row, after which ON_FAILURE gives up."""
    health_seconds: float = 2.0
    """Between two looks at how the instances are."""
    history: int = 50
    """Changes of state that are remembered of each instance."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise ValueError(f"{field.name} is {getattr(self, field.name)}, it must be above 0")
