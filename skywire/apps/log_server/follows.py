"""How many may follow at a time, and their common end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, final

from anyio import CancelScope

from skywire.keys import PubKey

FOLLOW_SECONDS: Final = 900.0
"""After which who follows has to ask again."""
MOST_OF_ONE: Final = 3
"""Streams of one peer at a time."""
MOST: Final = 48
"""Streams at a time."""


@final
class Follows:
    """The streams that are open."""

    def __init__(self) -> None:
        self._peers: Counter[PubKey] = Counter()
        self._scopes: set[CancelScope] = set()
        self._over = False

    def __len__(self) -> int:
        return self._peers.total()

    @contextmanager
    def room(self, peer: PubKey) -> Iterator[bool]:
        """Count a stream of a peer while the block runs; gives False, and counts nothing, where there is no room."""
        if self._over or len(self) >= MOST or self._peers[peer] >= MOST_OF_ONE:
            yield False
            return
        self._peers[peer] += 1
        try:
            yield True
        finally:
            self._peers[peer] -= 1
            self._peers += Counter()  # who has none is forgotten

    @contextmanager
    def until_end(self) -> Iterator[None]:
        """Run the block until it is over, or until all streams end."""
        with CancelScope() as scope:
            self._scopes.add(scope)
            try:
                yield
            finally:
                self._scopes.discard(scope)

    def end(self) -> None:
        """End all, and have no more."""
        self._over = True
        for scope in list(self._scopes):
            scope.cancel()
