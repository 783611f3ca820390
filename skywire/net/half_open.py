"""Handshakes under way, and which of them makes room when there are too many."""

from __future__ import annotations

import ipaddress
from typing import final

from anyio import CancelScope


@final
class HalfOpen:
    """At most so many handshakes at a time.

    At the limit, the oldest handshake of the host that has most under way is ended. An honest handshake takes
    milliseconds, so a flood must outrun each of them to keep it out, and a flood from one host does not touch those
    from others at all. A network of 64 bits counts as one host: whoever has one address of it has all.

    Args:
        limit: how many, at least 1.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._by_site: dict[str, dict[CancelScope, None]] = {}
        self.count = 0
        """How many are under way."""

    def add(self, host: str, handshake: CancelScope) -> None:
        """One more from ``host``; another one may be cancelled for it."""
        if self.count >= self._limit:
            self._end_one()
        self._by_site.setdefault(_site(host), {})[handshake] = None
        self.count += 1

    def make_room(self) -> None:
        """End a quarter of them, because the system has nothing left for others."""
        for _ in range((self.count + 3) // 4):
            self._end_one()

    def _end_one(self) -> None:
        busiest = max(self._by_site, key=lambda each: len(self._by_site[each]))
        oldest = next(iter(self._by_site[busiest]))
        self._remove(busiest, oldest)
        oldest.cancel()

    def remove(self, host: str, handshake: CancelScope) -> None:
        """It is over; nothing happens when it was made to go before."""
        self._remove(_site(host), handshake)

    def _remove(self, site: str, handshake: CancelScope) -> None:
        of_site = self._by_site.get(site, {})
        if handshake in of_site:
            del of_site[handshake]
            self.count -= 1
            if not of_site:
                del self._by_site[site]


def _site(host: str) -> str:
    """What counts as one host; IPv4 addresses are never written as IPv6 ones here."""
    if ":" not in host:
        return host
    return str(ipaddress.IPv6Network((host.partition("%")[0], 64), strict=False))
