"""A store in Redis, in upstream's form: several discoveries, ours and Go's, can share one database.

The entry of a key is a string under the key's 66 hexadecimal characters, the sets of keys are ``servers``, ``clients``
and ``visorClients``. Deleted entries are remembered under names of their own, which upstream's programs do not read.

A change is made by a script that first compares what is stored with what was judged, and does nothing when somebody was
faster; then it is judged anew. Upstream's programs read and write in two steps and can still overwrite.

Source: protocol-dmsg.md section 6.7.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Collection, Sequence
from secrets import SystemRandom
from typing import Final, Self, TypeVar, final
from urllib.parse import urlsplit

import anyio
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from skywire.dmsg.discovery.store import (
    MAX_LISTED_KEYS,
    MAX_LISTED_SERVERS,
    MAX_LISTED_SIZE,
    MAX_LISTING,
    Judge,
    Listed,
    StoreFailed,
    read_stored,
)
from skywire.errors import InvalidKey
from skywire.keys import PubKey
from skywire.wire.discovery import TOMBSTONE_TTL_S, Answer, Index, Tombstone, indexes_of, tombstone_of
from skywire.wire.entry import Entry

PASSWORD_VARIABLE: Final = "REDIS_PASSWORD"  # noqa: S105 - the name of a variable
"""The environment variable with the password, as upstream's."""
CONNECTIONS: Final = 16
"""Most connections to the database; each carries thousands of requests a second."""
WAIT_SECONDS: Final = 2.0
"""Limit for each: a free connection, connecting, an answer."""
MAX_ATTEMPTS: Final = 32
"""How often a change is judged. An attempt fails only when another one succeeded in between."""
REMOVE_BATCH: Final = 64
"""Keys removed by one script: of entries of at most 64 KiB, some megabytes."""
SWEEP_BATCH: Final = 512
"""Keys looked at by one script, so that the database is held up for less than a millisecond."""

_INDEX_NAMES: Final = ",".join(f"'{index.value}'" for index in Index)
_TOMBSTONE: Final = re.compile(rb"([0-9]{1,20}) (-?[0-9]{1,19})")
T = TypeVar("T")

_STORE: Final = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] or (redis.call('GET', KEYS[2]) or '') ~= ARGV[2] then
  return 0
end
if ARGV[4] == '' then
  redis.call('SET', KEYS[1], ARGV[3])
else
  redis.call('SET', KEYS[1], ARGV[3], 'EX', ARGV[4])
end
for i = 3, #KEYS do
  redis.call('SADD', KEYS[i], KEYS[1])
end
return 1
"""
"""KEYS: key, its tombstone, sets. ARGV: what is stored, what is remembered, what to store, seconds or nothing."""

_REMOVE: Final = f"""
local lost = {{}}
for i = 1, #KEYS, 2 do
  if (redis.call('GET', KEYS[i]) or '') ~= ARGV[i + 1] then
    lost[#lost + 1] = (i - 1) / 2
  else
    redis.call('DEL', KEYS[i])
    for _, index in ipairs({{{_INDEX_NAMES}}}) do
      redis.call('SREM', index, KEYS[i])
    end
    if ARGV[i + 2] ~= '' then
      redis.call('SET', KEYS[i + 1], ARGV[i + 2], 'EX', ARGV[1])
    end
  end
end
return lost
"""
"""KEYS: pairs of a key and its tombstone. ARGV: seconds to remember, then pairs of what is stored and what to remember.

Gives the positions of those keys that somebody changed meanwhile."""

_LIST: Final = """
local found, room = {}, tonumber(ARGV[3])
for _, key in ipairs(redis.call('SRANDMEMBER', KEYS[1], ARGV[1])) do
  local size = redis.call('STRLEN', key)
  if size > 0 and size <= tonumber(ARGV[2]) and size < room then
    room = room - size - 1
    found[#found + 1] = redis.call('GET', key)
  end
end
return found
"""
"""KEYS: a set. ARGV: most keys, most bytes of one, most of all."""

_PICK: Final = "return redis.call('SRANDMEMBER', KEYS[1], ARGV[1])"
"""KEYS: a set. ARGV: most keys."""

_SWEEP: Final = """
for i = 2, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 0 then
    redis.call('SREM', KEYS[1], KEYS[i])
  end
end
"""
"""KEYS: a set, some of its members."""


@final
class RedisStore:
    """Entries in Redis, on asyncio; a :class:`~skywire.dmsg.discovery.store.Store`.

    It connects when it is first asked, and anew whenever the database was away. Nothing is tried twice: who asked
    gets StoreFailed, and knows best whether to ask again.

    Args:
        url: ``redis://host:6379``, ``rediss://…`` or ``unix://…``, perhaps with ``/number`` of the database.
        password: None for that of the environment variable REDIS_PASSWORD, if it is set.
        wait_seconds: see WAIT_SECONDS.

    Raises:
        ValueError: that is no URL of a Redis, or has options that are none.
    """

    def __init__(self, url: str, *, password: str | None = None, wait_seconds: float = WAIT_SECONDS) -> None:
        self._name = urlsplit(url).netloc.rpartition("@")[2] or url.partition("?")[0].rpartition("@")[2]
        pool = BlockingConnectionPool.from_url(
            url,
            password=os.environ.get(PASSWORD_VARIABLE) if password is None else password,
            max_connections=CONNECTIONS,
            timeout=wait_seconds,
            socket_timeout=wait_seconds,
            socket_connect_timeout=wait_seconds,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            pool.connection_class(**pool.connection_kwargs)
        except (TypeError, RedisError) as error:
            raise ValueError("an option of the URL is none of a connection to Redis") from error
        self._redis = Redis.from_pool(pool)
        self._store = self._redis.register_script(_STORE)
        self._remove = self._redis.register_script(_REMOVE)
        self._list = self._redis.register_script(_LIST)
        self._sweep = self._redis.register_script(_SWEEP)
        self._pick = self._redis.register_script(_PICK)
        self._entries = Listed(read_stored)
        self._keys = {index: Listed(_key_from) for index in Index}
        self._random = SystemRandom()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def entry(self, key: PubKey) -> bytes | None:
        """See :class:`~skywire.dmsg.discovery.store.Store`; so are all below."""
        return _bytes(await self._wait(self._redis.get(key.hex())))

    async def change(self, key: PubKey, judge: Judge) -> Answer:
        name, tombstone_name = _names(key)
        for _ in range(MAX_ATTEMPTS):
            stored, remembered = map(_bytes, await self._wait(self._redis.mget([name, tombstone_name])))
            entry = read_stored(stored)
            verdict = judge(entry, _tombstone_from(remembered))
            done = True
            if verdict.store is not None:
                indexes = [index.value for index in indexes_of(verdict.store)]
                ttl = "" if verdict.ttl_s is None else str(verdict.ttl_s)
                done = await self._wait(
                    self._store(
                        [name, tombstone_name, *indexes],
                        [stored or b"", remembered or b"", verdict.store.to_json(), ttl],
                    )
                )
            if verdict.remove:
                done = not await self._try_to_remove([key], [stored])
            if done:
                return verdict.answer
        raise StoreFailed(f"the entry of {key} is being changed by too many at once")

    async def remove(self, keys: Collection[PubKey]) -> None:
        waiting = list(dict.fromkeys(keys))
        for _ in range(MAX_ATTEMPTS):
            lost: list[PubKey] = []
            for start in range(0, len(waiting), REMOVE_BATCH):
                batch = waiting[start : start + REMOVE_BATCH]
                stored = await self._wait(self._redis.mget([key.hex() for key in batch]))
                lost += await self._try_to_remove(batch, [_bytes(text) for text in stored])
            if not lost:
                return
            waiting = lost
        raise StoreFailed(f"entries of {len(waiting)} keys are being changed by too many at once")

    async def servers(self) -> list[Entry]:
        limits = [MAX_LISTED_SERVERS, MAX_LISTED_SIZE, MAX_LISTING]
        texts: list[bytes] = await self._wait(self._list([Index.SERVERS.value], limits))
        self._random.shuffle(texts)
        return self._entries.read(texts)

    async def keys(self, index: Index) -> list[PubKey]:
        return self._keys[index].read(await self._members(index))

    async def count(self, index: Index) -> int:
        return await self._wait(self._redis.scard(index.value))

    async def sweep(self) -> None:
        """Take servers whose entries expired out of the set of servers, as upstream's programs do.

        Clients stay in their sets, likewise as upstream's.
        """
        members = await self._members(Index.SERVERS)
        for start in range(0, len(members), SWEEP_BATCH):
            await self._wait(self._sweep([Index.SERVERS.value, *members[start : start + SWEEP_BATCH]]))

    async def aclose(self) -> None:
        await self._redis.aclose()

    async def _try_to_remove(self, keys: Sequence[PubKey], stored: Sequence[bytes | None]) -> list[PubKey]:
        """Remove entries that are still what they were; gives the keys of the others."""
        names: list[str] = []
        values: list[bytes | int] = [TOMBSTONE_TTL_S]
        for key, text in zip(keys, stored, strict=True):
            entry = read_stored(text)
            names += _names(key)
            values += (text or b"", b"" if entry is None else _tombstone_to(tombstone_of(entry)))
        lost: list[int] = await self._wait(self._remove(names, values))
        return [keys[position] for position in lost]

    async def _members(self, index: Index) -> list[bytes]:
        members: list[bytes] = await self._wait(self._pick([index.value], [MAX_LISTED_KEYS]))
        return members

    async def _wait(self, operation: Awaitable[T]) -> T:
        """Wait for the database. Not to be cancelled: the library then loses count of its connections. It ends soon."""
        with anyio.CancelScope(shield=True):
            try:
                result = await operation
            except (RedisError, OSError) as error:
                raise StoreFailed(f"the Redis at {self._name} failed: {_reason(error)}") from error
        return result


def _names(key: PubKey) -> tuple[str, str]:
    name = key.hex()
    return name, f"skywire:tombstone:{name}"


def _bytes(value: object) -> bytes | None:
    return value if isinstance(value, bytes) else None


def _key_from(member: bytes) -> PubKey | None:
    try:
        return PubKey.from_hex(member.decode("ascii", "replace"))
    except InvalidKey:
        return None


def _tombstone_to(tombstone: Tombstone) -> bytes:
    return f"{tombstone.sequence} {tombstone.timestamp}".encode()


def _tombstone_from(text: bytes | None) -> Tombstone | None:
    found = None if text is None else _TOMBSTONE.fullmatch(text)
    return None if found is None else Tombstone(int(found[1]), int(found[2]))


def _reason(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__
