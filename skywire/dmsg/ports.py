"""The ports that streams of our own are dialled from.

Source: protocol-dmsg.md section 4.6.
"""

from __future__ import annotations

from typing import Final, final

from skywire.errors import NetworkError
from skywire.wire.objects import MAX_PORT

FIRST_EPHEMERAL: Final = 49152
"""Lowest of the ports that are given out."""


class NoPortLeft(NetworkError):
    """As many streams are open as there are ports."""


@final
class EphemeralPorts:
    """Gives each stream a port that no other has."""

    def __init__(self) -> None:
        self._last = FIRST_EPHEMERAL
        self._taken: set[int] = set()

    def take(self) -> int:
        """The next free port, round robin.

        Raises:
            NoPortLeft: there is none.
        """
        for _ in range(MAX_PORT - FIRST_EPHEMERAL + 1):
            self._last = self._last + 1 if self._last < MAX_PORT else FIRST_EPHEMERAL
            if self._last not in self._taken:
                self._taken.add(self._last)
                return self._last
        raise NoPortLeft(f"{len(self._taken)} streams are open, there is no port for another")

    def free(self, port: int) -> None:
        """Give a port back."""
        self._taken.remove(port)
