"""The contracts of a network, and of what takes its inbound connections."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container
from dataclasses import dataclass
from typing import Final, Protocol, final

from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus

from skywire.keys import PubKey
from skywire.net.address import Address
from skywire.net.conn import CORE, Conn, Owner


@final
@dataclass(frozen=True, slots=True)
class DialOptions:
    """How to make a connection.

    Args:
        timeout: seconds for the whole of it, look-ups and handshakes included; above 0.
    """

    timeout: float = 20.0

    def __post_init__(self) -> None:
        if not self.timeout > 0:
            raise ValueError(f"a time-out is above 0 seconds, this is {self.timeout}")


class Dispatcher(Protocol):
    """What a network hands its inbound connections to."""

    def admit(self, network: str, port: int, peer: PubKey) -> Owner | None:
        """Decide on a connection before it exists; must not block.

        Args:
            network: the name of the network it comes by.
            port: the local port it is for.
            peer: who asks; the key is proven.

        Returns:
            On whose behalf the connection will be handled, or None to refuse it.
        """
        ...

    async def handle(self, conn: Conn) -> None:
        """Serve one admitted connection to its end.

        The network closes the connection afterwards, and contains and logs what is raised.
        """
        ...


class Network(Protocol):
    """Makes and takes connections by public key."""

    @property
    def name(self) -> str:
        """The network of its addresses: dmsg, skynet, tcp or memory."""
        ...

    @property
    def public(self) -> PubKey:
        """The key that this end proves to its peers."""
        ...

    async def dial(self, address: Address, *, owner: Owner, options: DialOptions = DialOptions()) -> Conn:
        """Make a connection.

        Args:
            address: an address of this network.
            owner: on whose behalf.
            options: how.

        Raises:
            ValueError: the address is of another network.
            DialError: one of its subclasses says why.
        """
        ...

    async def serve(self, dispatcher: Dispatcher, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Take inbound connections until cancelled; reports started once it does.

        Raises:
            ListenError: a local address cannot be used.
        """
        ...


class _Everyone(Container[PubKey]):
    def __contains__(self, key: object) -> bool:
        return True

    def __repr__(self) -> str:
        return "EVERYONE"


EVERYONE: Final[Container[PubKey]] = _Everyone()
"""The allow-list that admits any key. Said explicitly, never a default."""


@final
class SingleHandler(Dispatcher):
    """The dispatcher of a program that serves one thing.

    Args:
        handler: serves one connection to its end.
        peers: the keys that are admitted; none unless given.
        port: the only port that is served; every port goes to the handler when None.
        owner: on whose behalf.
    """

    def __init__(
        self,
        handler: Callable[[Conn], Awaitable[None]],
        *,
        peers: Container[PubKey] = frozenset(),
        port: int | None = None,
        owner: Owner = CORE,
    ) -> None:
        self._handler = handler
        self._port = port
        self._peers = peers
        self._owner = owner

    def admit(self, network: str, port: int, peer: PubKey) -> Owner | None:
        """See :meth:`Dispatcher.admit`."""
        return self._owner if peer in self._peers and self._port in {None, port} else None

    async def handle(self, conn: Conn) -> None:
        """See :meth:`Dispatcher.handle`."""
        await self._handler(conn)
