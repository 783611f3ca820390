"""A store in memory: for one process, gone with it."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from secrets import SystemRandom
from typing import Final, final

from skywire.dmsg.discovery.store import (
    MAX_LISTED_KEYS,
    MAX_LISTED_SERVERS,
    MAX_LISTED_SIZE,
    MAX_LISTING,
    Judge,
    Listed,
    StoreFull,
    read_stored,
)
from skywire.keys import PubKey
from skywire.wire.discovery import TOMBSTONE_TTL_S, Answer, Index, Tombstone, indexes_of, tombstone_of
from skywire.wire.entry import Entry

MAX_CLIENTS: Final = 1 << 16
"""Most entries without a server part."""
MAX_SERVERS: Final = 1 << 12
"""Most keys in the set of servers; counted by itself, so that clients cannot keep servers out."""
MAX_SIZE: Final = 1 << 28
"""Most bytes of JSON of all entries: 65,536 clients of 400 bytes need a tenth of it."""
STALE_SECONDS: Final = 900.0
"""Without an update for so long, an entry may be forgotten when there is no room: three of a client's update intervals.
Whoever is there after all registers anew at his next update."""
MAX_TOMBSTONES: Final = 1 << 16
"""Most deleted entries that are remembered; then the oldest is forgotten. Refusing to delete instead would let whoever
fills this keep others in the list against their will."""


@final
@dataclass(frozen=True, slots=True)
class _Kept:
    text: bytes
    expires: float | None


@final
class MemoryStore:
    """Entries in memory, on any event loop; a :class:`~skywire.dmsg.discovery.store.Store`.

    Expired entries leave all sets at the next :meth:`sweep`. When a limit is reached, the entries that were not updated
    for the longest time are forgotten as if they had expired, if they are stale. Where none is, new entries are refused
    (StoreFull), while those that are stored can still be updated and removed.

    Args:
        clock: seconds, monotonic.
        max_clients: see MAX_CLIENTS.
        max_servers: see MAX_SERVERS.
        max_size: see MAX_SIZE, in bytes.
        max_tombstones: see MAX_TOMBSTONES.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        max_clients: int = MAX_CLIENTS,
        max_servers: int = MAX_SERVERS,
        max_size: int = MAX_SIZE,
        max_tombstones: int = MAX_TOMBSTONES,
    ) -> None:
        self._clock = clock
        self._max_clients = max_clients
        self._max_servers = max_servers
        self._max_size = max_size
        self._max_tombstones = max_tombstones
        self._entries: dict[PubKey, _Kept] = {}
        self._size = 0
        # When each was updated, the longest ago first. A server's key stays one, as in the set, whatever it becomes.
        self._clients: dict[PubKey, float] = {}
        self._servers: dict[PubKey, float] = {}
        self._indexes: dict[Index, set[PubKey]] = {index: set() for index in Index}
        self._tombstones: OrderedDict[PubKey, tuple[Tombstone, float]] = OrderedDict()
        self._listed = Listed(read_stored)
        self._random = SystemRandom()

    async def entry(self, key: PubKey) -> bytes | None:
        """See :class:`~skywire.dmsg.discovery.store.Store`; so are all below."""
        return self._text(key)

    async def change(self, key: PubKey, judge: Judge) -> Answer:
        verdict = judge(read_stored(self._text(key)), self._tombstone(key))
        if verdict.store is not None:
            self._store(key, verdict.store, verdict.ttl_s)
        if verdict.remove:
            self._remove(key)
        return verdict.answer

    async def remove(self, keys: Collection[PubKey]) -> None:
        for key in keys:
            self._remove(key)

    async def servers(self) -> list[Entry]:
        members = self._indexes[Index.SERVERS]
        chosen = self._random.sample(tuple(members), min(len(members), MAX_LISTED_SERVERS))
        texts: list[bytes] = []
        room = MAX_LISTING
        for key in chosen:
            text = self._text(key)
            if text is not None and len(text) <= MAX_LISTED_SIZE and len(text) < room:
                room -= len(text) + 1
                texts.append(text)
        return self._listed.read(texts)

    async def keys(self, index: Index) -> list[PubKey]:
        return list(self._indexes[index])[:MAX_LISTED_KEYS]

    async def count(self, index: Index) -> int:
        return len(self._indexes[index])

    async def sweep(self) -> None:
        now = self._clock()
        for key in [key for key, kept in self._entries.items() if kept.expires is not None and kept.expires <= now]:
            self._drop(key)
        while self._tombstones:
            key, (_, expires) = next(iter(self._tombstones.items()))
            if expires > now:
                break
            del self._tombstones[key]

    async def aclose(self) -> None:
        pass

    def _text(self, key: PubKey) -> bytes | None:
        kept = self._entries.get(key)
        if kept is None or (kept.expires is not None and kept.expires <= self._clock()):
            return None
        return kept.text

    def _tombstone(self, key: PubKey) -> Tombstone | None:
        tombstone, expires = self._tombstones.get(key, (None, 0.0))
        return tombstone if expires > self._clock() else None

    def _store(self, key: PubKey, entry: Entry, ttl_s: int | None) -> None:
        now = self._clock()
        text = entry.to_json()
        before = self._entries.get(key)
        growth = len(text) - (0 if before is None else len(before.text))
        is_server = entry.server is not None or key in self._servers
        group, limit = (self._servers, self._max_servers) if is_server else (self._clients, self._max_clients)
        while key not in group and len(group) >= limit:
            self._forget_stale([group], key, now)
        while growth > 0 and self._size + growth > self._max_size:
            self._forget_stale([self._clients, self._servers], key, now)
        self._size += growth
        self._entries[key] = _Kept(text, None if ttl_s is None else now + ttl_s)
        for each in (self._clients, self._servers):
            each.pop(key, None)
        group[key] = now
        for index in indexes_of(entry):
            self._indexes[index].add(key)

    def _forget_stale(self, groups: Sequence[dict[PubKey, float]], spared: PubKey, now: float) -> None:
        """Forget the stale entry that was updated the longest time ago in the first group that has one."""
        for group in groups:
            oldest = next((key for key in group if key != spared), None)
            if oldest is not None and now - group[oldest] >= STALE_SECONDS:
                self._drop(oldest)
                return
        raise StoreFull("the discovery is full")

    def _remove(self, key: PubKey) -> None:
        removed = read_stored(self._text(key))
        if removed is not None:
            self._tombstones.pop(key, None)
            self._tombstones[key] = (tombstone_of(removed), self._clock() + TOMBSTONE_TTL_S)
            if len(self._tombstones) > self._max_tombstones:
                self._tombstones.popitem(last=False)
        self._drop(key)

    def _drop(self, key: PubKey) -> None:
        kept = self._entries.pop(key, None)
        if kept is not None:
            self._size -= len(kept.text)
        for group in (self._clients, self._servers):
            group.pop(key, None)
        for members in self._indexes.values():
            members.discard(key)
