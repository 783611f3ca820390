"""What waits for one reader who may be slow: bounded, the oldest is dropped, and how much that was is told."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar, final

from anyio import Event

T = TypeVar("T")


@final
class Feed(Generic[T]):
    """One reader's queue.

    Args:
        buffer: how many items wait at most.
    """

    def __init__(self, buffer: int) -> None:
        self._items: deque[T] = deque(maxlen=buffer)
        self._came = Event()
        self._dropped = 0

    async def next(self) -> tuple[T, int]:
        """The next item, and how many were dropped before it."""
        while not self._items:
            self._came = Event()
            await self._came.wait()
        dropped, self._dropped = self._dropped, 0
        return self._items.popleft(), dropped

    def take(self) -> list[T]:
        """All that waits now, without waiting for more."""
        items = list(self._items)
        self._items.clear()
        return items

    def put(self, item: T) -> None:
        """Add an item, without waiting."""
        self._dropped += len(self._items) == self._items.maxlen
        self._items.append(item)
        self._came.set()
