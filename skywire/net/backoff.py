"""How long to wait before something is tried again."""

from __future__ import annotations

import random
from typing import final


@final
class Backoff:
    """Waits that grow with each failure in a row, and vary so that many nodes do not come at once.

    Args:
        first: seconds after the first failure.
        factor: by which each is longer than the one before.
        longest: seconds that none exceeds.
    """

    __slots__ = ("_factor", "_first", "_longest", "_next")

    def __init__(self, first: float, factor: float, longest: float) -> None:
        self._first = self._next = first
        self._factor = factor
        self._longest = longest

    def failed(self) -> float:
        """Count a failure; the seconds to wait now."""
        wait, self._next = self._next, min(self._next * self._factor, self._longest)
        return wait * random.uniform(0.75, 1.0)  # noqa: S311 - not for secrets

    def succeeded(self) -> None:
        """Begin again with the shortest wait."""
        self._next = self._first
