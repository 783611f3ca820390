"""Who may write, and how fast those may whom nobody has named."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Container, Iterable
from typing import Final, final

from anyio import sleep

from skywire.keys import PubKey

_REMEMBERED: Final = 4096
"""Strangers whose pace is remembered."""


@final
class Access(Container[PubKey]):
    """The keys that are admitted.

    Args:
        known: the keys that are allowed by themselves.
        everyone: whether any key is.
    """

    def __init__(self, known: Iterable[PubKey], *, everyone: bool) -> None:
        self.known: Final[set[PubKey]] = set(known)
        """Who is allowed by itself; writing to a key adds it."""
        self._everyone = everyone

    def __contains__(self, key: object) -> bool:
        return self._everyone or key in self.known


@final
class Pace:
    """How much strangers may send: so many at once, and as many more in each minute.

    Args:
        per_minute: of one key.
        now: seconds of a clock that never goes back.
    """

    def __init__(self, per_minute: int, now: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._now = now
        self._debts: OrderedDict[PubKey, tuple[float, float]] = OrderedDict()

    def delay(self, peer: PubKey) -> float:
        """Count one; the seconds to wait before it is taken."""
        now = self._now()
        debt, since = self._debts.pop(peer, (0.0, now))
        debt = max(0.0, debt - (now - since) * self._per_minute / 60) + 1
        self._debts[peer] = debt, now
        if len(self._debts) > _REMEMBERED:
            self._debts.popitem(last=False)
        return max(0.0, debt - self._per_minute) * 60 / self._per_minute

    async def wait(self, peer: PubKey) -> None:
        """Wait until one more may be taken."""
        if delay := self.delay(peer):
            await sleep(delay)
