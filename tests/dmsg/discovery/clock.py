"""A clock that is set by hand."""

from __future__ import annotations

from tests.wire.memory_discovery import NOW


class Clock:
    """Unix time, for rules in nanoseconds and for stores in seconds."""

    def __init__(self, ns: int = NOW) -> None:
        self.ns = ns

    def read_ns(self) -> int:
        return self.ns

    def read_seconds(self) -> float:
        return self.ns / 1e9
