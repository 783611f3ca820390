"""How often somebody is told of something that goes on all the time."""

from __future__ import annotations

import time
from typing import Final, final

PROGRESS_SECONDS: Final = 0.2
"""Between two words on how far a file is."""


@final
class Pace:
    """Says when the next time is; the first is so many seconds from now.

    Args:
        seconds: between two times.
    """

    def __init__(self, seconds: float = PROGRESS_SECONDS) -> None:
        self._seconds = seconds
        self._next = time.monotonic() + seconds

    def is_due(self) -> bool:
        """Whether it is time; then the next is so many seconds later."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True
