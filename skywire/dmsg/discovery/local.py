"""A discovery in the same process."""

from __future__ import annotations

from typing import final

from skywire.dmsg.discovery.client import DiscoveryClient
from skywire.dmsg.discovery.directory import Directory, Request
from skywire.wire.discovery import Route


@final
class LocalDiscovery(DiscoveryClient):
    """A client of a directory in the same process, by the same rules and without HTTP.

    Args:
        directory: what is asked.
    """

    def __init__(self, directory: Directory) -> None:
        super().__init__("of this process")
        self._directory = directory

    async def _ask(self, route: Route, body: bytes, limit: int) -> tuple[int, bytes]:
        answer = await self._directory.answer(Request(route, body=body))
        return answer.status, answer.body
