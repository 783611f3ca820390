"""What happens in a process, as one stream for everybody who wants to know."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, final

from anyio import Event as Signal

from skywire.app.status import Fact

BUFFER: Final = 1024
"""Events that wait for a subscriber before the oldest are dropped."""


@final
@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Args:
        time: seconds of Unix time.
        kind: what it is, for instance ``app.state``.
        subject: whom it is about, for instance the name of an instance.
        facts: the rest.
    """

    time: float
    kind: str
    subject: str
    facts: Mapping[str, Fact]


@final
class Subscription:
    """What one subscriber has not taken yet. A slow one loses the oldest events, and is told how many."""

    def __init__(self, buffer: int) -> None:
        self._events: deque[Event] = deque(maxlen=buffer)
        self._came = Signal()
        self._dropped = 0

    async def next(self) -> tuple[Event, int]:
        """The next event, and how many were dropped before it."""
        while not self._events:
            self._came = Signal()
            await self._came.wait()
        dropped, self._dropped = self._dropped, 0
        return self._events.popleft(), dropped

    def take(self) -> list[Event]:
        """All that waits now, without waiting for more."""
        events = list(self._events)
        self._events.clear()
        return events

    def put(self, event: Event) -> None:
        """Add an event."""
        self._dropped += len(self._events) == self._events.maxlen
        self._events.append(event)
        self._came.set()


@final
class EventBus:
    """Hands each event to all subscribers, without waiting for any."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()

    def publish(self, kind: str, subject: str, **facts: Fact) -> None:
        """Tell what happened."""
        event = Event(time.time(), kind, subject, facts)
        for subscription in self._subscriptions:
            subscription.put(event)

    @contextmanager
    def subscribe(self, buffer: int = BUFFER) -> Iterator[Subscription]:
        """Collect what happens while the block runs.

        Args:
            buffer: events that are kept for who is slow.
        """
        subscription = Subscription(buffer)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
