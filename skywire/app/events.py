"""What happens in a process, as one stream for everybody who wants to know."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, final

from skywire.app.feed import Feed
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
class EventBus:
    """Hands each event to all subscribers, without waiting for any."""

    def __init__(self) -> None:
        self._subscriptions: set[Feed[Event]] = set()

    def publish(self, kind: str, subject: str, **facts: Fact) -> None:
        """Tell what happened."""
        event = Event(time.time(), kind, subject, facts)
        for subscription in self._subscriptions:
            subscription.put(event)

    @contextmanager
    def subscribe(self, buffer: int = BUFFER) -> Iterator[Feed[Event]]:
        """Collect what happens while the block runs.

        Args:
            buffer: events that are kept for who is slow.
        """
        subscription = Feed[Event](buffer)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
