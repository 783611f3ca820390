"""What waits for one reader who may be slow: bounded, the oldest is dropped, and how much that was is told."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final, Generic, TypeVar, final

from anyio import Event, move_on_after

T = TypeVar("T")

LOOK_SECONDS: Final = 0.5
"""Between two looks for items of other threads, which wake nobody."""


@final
class Feed(Generic[T]):
    """One reader's queue; made in the thread of the reader.

    Args:
        buffer: how many items wait at most.
    """

    def __init__(self, buffer: int) -> None:
        self._items: deque[T] = deque(maxlen=buffer)
        self._came = Event()
        self._dropped = 0
        self._thread = threading.get_ident()

    async def next(self) -> tuple[T, int]:
        """The next item, and how many were dropped before it."""
        while not self._items:
            self._came = Event()
            with move_on_after(LOOK_SECONDS):
                await self._came.wait()
        dropped, self._dropped = self._dropped, 0
        return self._items.popleft(), dropped

    def take(self) -> list[T]:
        """All that waits now, without waiting for more."""
        items = list(self._items)
        self._items.clear()
        return items

    def put(self, item: T) -> None:
        """Add an item, without waiting; from any thread."""
        self._dropped += len(self._items) == self._items.maxlen
        self._items.append(item)
        if threading.get_ident() == self._thread:
            self._came.set()
