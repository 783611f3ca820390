"""A discovery for tests: a real one in this process, which can be made to fail."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable

from anyio import Event

from skywire import PubKey, SecKey
from skywire.dmsg.discovery.contract import Discovery, DiscoveryUnreachable
from skywire.dmsg.discovery.directory import Directory
from skywire.dmsg.discovery.local import LocalDiscovery
from skywire.dmsg.discovery.memory import MemoryStore
from skywire.wire.discovery import Rules
from skywire.wire.entry import Entry, client_update
from tests.pktcp.attacker import until


class Registry(Discovery):
    """Counts what it is asked, and fails as it is told.

    Args:
        ahead: seconds by which its clock is wrong.
        passphrase: of official servers.
    """

    def __init__(self, *, ahead: float = 0.0, passphrase: str = "") -> None:
        self.calls: Counter[str] = Counter()
        """By the names of the methods."""
        self.failures: dict[str, Exception] = {}
        """What is raised, by the names of the methods."""
        self.held: Event | None = None
        """While there is one, each call waits for it."""
        self.before_post: Callable[[], Awaitable[None]] | None = None
        """Is called before the next post is carried out."""
        self.loses_answers = False
        """Whether posts are carried out, but not answered."""
        self._ahead = ahead
        self._passphrase = passphrase
        self.forget()

    def forget(self) -> None:
        """Lose all entries, as by a restart."""
        rules = Rules(allow_loopback=True, passphrase=self._passphrase)
        directory = Directory(MemoryStore(), rules, clock_ns=lambda: time.time_ns() + int(self._ahead * 1e9))
        self._discovery: Discovery = LocalDiscovery(directory)

    async def entry(self, key: PubKey) -> Entry | None:
        await self._begin("entry")
        return await self._discovery.entry(key)

    async def available_servers(self) -> list[Entry]:
        await self._begin("available_servers")
        return await self._discovery.available_servers()

    async def all_servers(self) -> list[Entry]:
        await self._begin("all_servers")
        return await self._discovery.all_servers()

    async def post(self, entry: Entry) -> None:
        await self._begin("post")
        if self.before_post is not None:
            callback, self.before_post = self.before_post, None
            await callback()
        await self._discovery.post(entry)
        if self.loses_answers:
            raise DiscoveryUnreachable("the answer was lost")

    async def delete(self, entry: Entry) -> None:
        await self._begin("delete")
        await self._discovery.delete(entry)

    async def stored(self, key: PubKey) -> Entry | None:
        """The entry of a key, without a call that counts or fails."""
        return await self._discovery.entry(key)

    async def register(self, identity: SecKey, servers: Iterable[PubKey], *, timestamp_ns: int = 0) -> Entry:
        """Post the entry of a client, likewise."""
        entry = client_update(
            await self.stored(identity.public),
            static=identity.public,
            servers=servers,
            client_type="",
            now_ns=timestamp_ns or time.time_ns(),
        ).sign(identity)
        await self._discovery.post(entry)
        return entry

    async def servers_of(self, key: PubKey) -> set[PubKey] | None:
        """Those that the entry of a client names; None when it has no entry."""
        entry = await self.stored(key)
        return None if entry is None or entry.client is None else set(entry.client.delegated_servers or ())

    async def asked(self, times: int) -> None:
        """Wait until somebody has asked so often for an entry."""
        enough = self.calls["entry"] + times
        await until(lambda: self.calls["entry"] >= enough)

    async def _begin(self, name: str) -> None:
        self.calls[name] += 1
        if self.held is not None:
            await self.held.wait()
        if name in self.failures:
            raise self.failures[name]
