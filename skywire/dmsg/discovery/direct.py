"""A discovery that is written down beforehand, for who has to do without one.

Source: protocol-dmsg.md section 5.2, "Direct" client.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from skywire.keys import PubKey
from skywire.wire.entry import ClientPart, Entry


@final
class DirectDiscovery:
    """Fixed entries, and what is posted here; a :class:`~skywire.dmsg.discovery.contract.Discovery`.

    Every key that is not known is taken for that of a client on all known servers. Nothing is checked or signed, and
    nobody else sees it.

    Args:
        servers: entries of servers, each with a key.
        clients: entries of clients, each with a key.

    Raises:
        ValueError: an entry has no key.
    """

    def __init__(self, servers: Iterable[Entry], clients: Iterable[Entry] = ()) -> None:
        self._entries: dict[PubKey, Entry] = {}
        for entry in (*servers, *clients):
            self._keep(entry)

    async def entry(self, key: PubKey) -> Entry | None:
        """See :class:`~skywire.dmsg.discovery.contract.Discovery`; so are all below."""
        known = self._entries.get(key)
        if known is not None:
            return known
        servers = tuple([server for server, entry in self._entries.items() if entry.server is not None])
        return Entry(key, client=ClientPart(servers))

    async def available_servers(self) -> list[Entry]:
        return await self.all_servers()

    async def all_servers(self) -> list[Entry]:
        return [entry for entry in self._entries.values() if entry.server is not None]

    async def post(self, entry: Entry) -> None:
        self._keep(entry)

    async def delete(self, entry: Entry) -> None:
        if entry.static is not None:
            self._entries.pop(entry.static, None)

    def _keep(self, entry: Entry) -> None:
        if entry.static is None:
            raise ValueError("an entry of a directory has a key")
        self._entries[entry.static] = entry
