"""What a discovery needs of a store: entries by key with a life time, sets of keys, deleted entries remembered.

A store decides nothing. It lets a *judge* see what is stored of a key and does what the verdict says, with nobody in
between: neither another request of this process nor another process on the same store.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final, Generic, Protocol, TypeAlias, TypeVar, final

from skywire.errors import SkywireError
from skywire.keys import PubKey
from skywire.wire.discovery import MAX_LIST_SIZE, Answer, Index, Tombstone, Verdict
from skywire.wire.entry import Entry
from skywire.wire.gojson import JsonError

MAX_LISTED_SERVERS: Final = 2048
"""Most servers in one answer; of more, a random choice. Upstream has some dozens."""
MAX_LISTED_SIZE: Final = 4096
"""Most bytes of an entry that is listed: servers need 300 to 800. With unknown keys one may have 64 KiB, and 17 of
these would make every list longer than clients read."""
MAX_LISTING: Final = MAX_LIST_SIZE - 2
"""Most bytes of all listed entries, each with a comma, so that with its brackets the list is one that clients read."""

MAX_LISTED_KEYS: Final = 1 << 16
"""Most keys of a set in one answer; of more, a random choice."""

T = TypeVar("T")
Judge: TypeAlias = Callable[[Entry | None, Tombstone | None], Verdict]
"""Decides by what is stored of a key and what is remembered of its deletion. May be asked several times."""


class StoreFailed(SkywireError):
    """The store did not do it, or did not say so in time; of a change it is not known whether it was made."""


class StoreFull(StoreFailed):
    """A limit of the store is reached; nothing was changed."""


class Store(Protocol):
    """Where a discovery keeps its entries.

    Every call ends within a limit and raises StoreFailed when the store does not do its part.
    """

    async def entry(self, key: PubKey) -> bytes | None:
        """The canonical JSON of a key's entry, or None when there is none, or no longer."""
        ...

    async def change(self, key: PubKey, judge: Judge) -> Answer:
        """Do what ``judge`` says about a key, and give the answer of its verdict.

        Storing adds the key to the sets of :func:`~skywire.wire.discovery.indexes_of`. Removing (this key is the only
        one that the verdict may name) takes it out of all and leaves a tombstone of what was stored.

        Raises:
            StoreFull: there is no room for this entry.
        """
        ...

    async def remove(self, keys: Collection[PubKey]) -> None:
        """Remove the entries of all these keys, as :meth:`change` does; each by itself, not all or none."""
        ...

    async def servers(self) -> list[Entry]:
        """Entries of the set of servers, in random order: as many as MAX_LISTED_SERVERS, MAX_LISTED_SIZE and
        MAX_LISTING let through."""
        ...

    async def keys(self, index: Index) -> list[PubKey]:
        """Members of a set, up to MAX_LISTED_KEYS, in no order. They may have no entry any more."""
        ...

    async def count(self, index: Index) -> int:
        """How many members a set has."""
        ...

    async def sweep(self) -> None:
        """Forget what expired; to be called every few seconds."""
        ...

    async def aclose(self) -> None:
        """Let go of everything that the store holds."""
        ...


def read_stored(text: bytes | None) -> Entry | None:
    """Read what is stored; what is no entry counts as nothing, so that its owner can register over it."""
    if text is None:
        return None
    try:
        return Entry.from_json(text)
    except JsonError:
        return None


@final
class Listed(Generic[T]):
    """Reads the items of a listing, each but once for as long as it stays listed: reading costs more than all the rest.

    Args:
        read: gives None for what cannot be read.
    """

    def __init__(self, read: Callable[[bytes], T | None]) -> None:
        self._read_one = read
        self._read: dict[bytes, T | None] = {}

    def read(self, texts: Sequence[bytes]) -> list[T]:
        """The items of these texts, in this order; what cannot be read is left out."""
        known, read = self._read, self._read_one
        self._read = {text: known[text] if text in known else read(text) for text in texts}
        return [item for item in self._read.values() if item is not None]
