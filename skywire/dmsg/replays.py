"""Requests that were answered, so that a recorded one cannot be played again.

Source: protocol-dmsg.md section 8.3.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import final

from skywire.dmsg.limits import MAX_REQUESTS, REQUEST_MEMORY


@final
class ReplayMemory:
    """Remembers hashes for ten minutes, the newest of them when they are too many."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, float] = OrderedDict()

    def first_time(self, request_hash: bytes, now: float) -> bool:
        """Whether a request is new; it is remembered.

        Args:
            request_hash: of the signed object, 32 bytes.
            now: seconds, monotonic.
        """
        seen = self._seen
        while seen and (len(seen) > MAX_REQUESTS or next(iter(seen.values())) < now - REQUEST_MEMORY):
            seen.popitem(last=False)
        if request_hash in seen:
            return False
        seen[request_hash] = now
        return True
