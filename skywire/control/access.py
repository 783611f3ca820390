"""Who may control this process from afar, and as what. Nobody may unless named."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable
from typing import Final, final

from anyio import CancelScope, current_time

from skywire.app.api import Grant
from skywire.app.interface import Role
from skywire.control.server import Endpoint
from skywire.keys import PubKey
from skywire.net.conn import Conn

DRAIN_SECONDS: Final = 3.0
"""That a connection goes on when its key loses a role, so that the answer to who asked for that gets through."""
MOST_OF_ONE: Final = 64
"""Connections of one key at a time; one more is closed at once."""


@final
class Access(Container[PubKey]):
    """The keys that may, asked again for each connection.

    Args:
        own: the key of this node, which may do everything.
        grants: who else may do what; of several for one key, the highest counts.
    """

    def __init__(self, own: PubKey, grants: Iterable[Grant] = ()) -> None:
        self._own = own
        self._grants = list(grants)
        self._live: defaultdict[PubKey, set[CancelScope]] = defaultdict(set)

    @property
    def grants(self) -> tuple[Grant, ...]:
        """Who may do what, the node itself left out."""
        return tuple(self._grants)

    def role(self, key: PubKey) -> Role | None:
        """What a key may do; None when it may nothing."""
        if key == self._own:
            return Role.ADMIN
        return max((grant.role for grant in self._grants if grant.key == key), default=None)

    def replace(self, grants: Iterable[Grant]) -> None:
        """Have others count from now on. Connections of keys whose role changes are ended, soon."""
        before = {key: self.role(key) for key in self._live}
        self._grants = list(grants)
        for key, scopes in self._live.items():
            if self.role(key) != before[key]:
                for scope in scopes:
                    scope.deadline = min(scope.deadline, current_time() + DRAIN_SECONDS)

    async def serve(self, endpoint: Endpoint, conn: Conn) -> None:
        """Answer one caller with what its key may do, until it leaves."""
        key = conn.remote.pk
        role = self.role(key)
        if role is None or len(self._live.get(key, ())) >= MOST_OF_ONE:
            return
        with CancelScope() as scope:
            self._live[key].add(scope)
            try:
                await endpoint.serve(conn, role, str(key))
            finally:
                self._live[key].discard(scope)
                if not self._live[key]:
                    del self._live[key]

    def __contains__(self, key: object) -> bool:
        return isinstance(key, PubKey) and self.role(key) is not None
