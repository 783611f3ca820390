"""What all clients of a discovery do with its answers, whatever carries them.

Source: protocol-dmsg.md section 6.3 and 6.9.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NoReturn

from skywire.dmsg.discovery.contract import DiscoveryBroken
from skywire.keys import PubKey
from skywire.wire.discovery import (
    MAX_LIST_SIZE,
    MAX_MESSAGE_SIZE,
    Action,
    DiscoveryRefused,
    Reason,
    Route,
    check_answer,
    entries_from_json,
)
from skywire.wire.entry import MAX_ENTRY_SIZE, Entry
from skywire.wire.gojson import JsonError


class DiscoveryClient(ABC):
    """A client that asks and reads answers; a :class:`~skywire.dmsg.discovery.contract.Discovery`.

    Entries of servers are unverified: the discovery writes over a part of them.

    Args:
        name: of the discovery, for the texts of errors.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    async def entry(self, key: PubKey) -> Entry | None:
        """See :class:`~skywire.dmsg.discovery.contract.Discovery`; so are all below."""
        try:
            body = await self._checked(Route(Action.GET_ENTRY, key.hex()), limit=MAX_ENTRY_SIZE)
        except DiscoveryRefused as error:
            if error.reason is Reason.KEY_NOT_FOUND:
                return None
            raise
        try:
            entry = Entry.from_json(body)
        except JsonError as error:
            self._broken(error)
        if entry.static != key:
            raise DiscoveryBroken(f"the discovery {self._name} answered with the entry of another key")
        authenticated = entry.authenticated()
        return entry if authenticated is None and entry.server is not None else authenticated

    async def available_servers(self) -> list[Entry]:
        return await self._servers(Action.AVAILABLE_SERVERS)

    async def all_servers(self) -> list[Entry]:
        return await self._servers(Action.ALL_SERVERS)

    async def post(self, entry: Entry) -> None:
        await self._checked(Route(Action.POST_ENTRY), entry.to_json())

    async def delete(self, entry: Entry) -> None:
        await self._checked(Route(Action.DELETE_ENTRY), entry.to_json())

    async def _servers(self, action: Action) -> list[Entry]:
        try:
            body = await self._checked(Route(action), limit=MAX_LIST_SIZE)
        except DiscoveryRefused as error:
            if error.reason is Reason.NO_SERVERS:
                return []
            raise
        try:
            entries = entries_from_json(body)
        except JsonError as error:
            self._broken(error)
        return [entry for entry in entries if entry.static is not None and entry.server is not None]

    async def _checked(self, route: Route, body: bytes = b"", *, limit: int = MAX_MESSAGE_SIZE) -> bytes:
        status, answer = await self._ask(route, body, limit)
        check_answer(status, answer)
        if len(answer) > limit:
            raise DiscoveryBroken(f"the discovery {self._name} answered with more than {limit} bytes")
        return answer

    def _broken(self, error: JsonError) -> NoReturn:
        raise DiscoveryBroken(f"the discovery {self._name} answered with nonsense: {error}") from error

    @abstractmethod
    async def _ask(self, route: Route, body: bytes, limit: int) -> tuple[int, bytes]:
        """Do a request; gives the HTTP status and the body, cut off somewhere beyond ``limit`` bytes.

        Raises:
            DiscoveryUnreachable: no answer, or not in time.
            DiscoveryBroken: what came is no answer.
        """
