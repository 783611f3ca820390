"""Deadlines of things that all wait equally long."""

from __future__ import annotations

from collections import OrderedDict
from math import inf
from typing import final


@final
class Deadlines:
    """Things by number, each with the time at which it was armed; the oldest is due first, so nothing is searched.

    Args:
        timeout: seconds from arming to the deadline.
    """

    __slots__ = ("_armed", "_timeout")

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._armed: OrderedDict[int, float] = OrderedDict()  # a plain dict scans over what was deleted at its front

    def __len__(self) -> int:
        return len(self._armed)

    @property
    def next(self) -> float:
        """The earliest deadline, infinity when nothing is armed."""
        for since in self._armed.values():
            return since + self._timeout
        return inf

    def arm(self, number: int, now: float) -> None:
        """Begin to wait; ``number`` is not armed, ``now`` is not before that of an earlier call."""
        self._armed[number] = now

    def disarm(self, number: int) -> float | None:
        """Stop waiting; the time at which it was armed, or None when it was not."""
        return self._armed.pop(number, None)

    def take_due(self, now: float) -> list[tuple[int, float]]:
        """Remove what is due, each with the time at which it was armed."""
        due: list[tuple[int, float]] = []
        while self.next <= now:
            due.append(self._armed.popitem(last=False))
        return due
