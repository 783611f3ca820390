"""The local TCP ports that apps have open, and for whom."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TypeAlias, final

from anyio import CancelScope

from skywire.net.address import HostPort
from skywire.net.errors import ListenError
from skywire.net.listening import listen_on
from skywire.net.tcp import SocketAddress, TcpListener

Announced: TypeAlias = Callable[[Sequence[SocketAddress], str], AbstractAsyncContextManager[None]]


@final
@dataclass(frozen=True, slots=True)
class LocalPort:
    """A local TCP port.

    Args:
        address: host and port where it listens.
        owner: name of the app instance.
        label: what it is for.
    """

    address: SocketAddress
    owner: str
    label: str


@final
class LocalPorts:
    """The open ones of a process. There is no other way for an app to open one.

    Args:
        announced: is entered beside each listener, with its addresses and label: another process is told that way.
    """

    def __init__(self, announced: Announced | None = None) -> None:
        self._announced = announced
        self._open: dict[SocketAddress, LocalPort] = {}

    def list(self) -> tuple[LocalPort, ...]:
        """All, by address."""
        return tuple(self._open[address] for address in sorted(self._open))

    @asynccontextmanager
    async def listen(self, where: HostPort, *, owner: str, label: str) -> AsyncIterator[TcpListener]:
        """Listen while the block runs.

        Raises:
            ListenError: the address cannot be used; the text names the app that has it, if one has.
        """
        try:
            listener = await listen_on(where)
        except ListenError as error:
            raise self._told(error, where) from error
        try:
            with self.noted(listener.addresses, owner=owner, label=label):
                if self._announced is None:
                    yield listener
                else:
                    async with self._announced(listener.addresses, label):
                        yield listener
        finally:
            with CancelScope(shield=True):
                await listener.aclose()

    def _told(self, error: ListenError, where: HostPort) -> ListenError:
        """The error, with the apps of this process that have that port, if it is so."""
        holders = {
            f"{each.owner} ({each.label})" for each in self.list() if where.port and each.address[1] == where.port
        }
        return ListenError(f"{error}: {', '.join(sorted(holders))} has it") if holders else error

    @contextmanager
    def noted(self, addresses: Sequence[SocketAddress], *, owner: str, label: str) -> Iterator[None]:
        """List what is open elsewhere on behalf of an app, while the block runs; what is listed already stays so."""
        new = {address: LocalPort(address, owner, label) for address in addresses if address not in self._open}
        self._open.update(new)
        try:
            yield
        finally:
            for address in new:
                del self._open[address]
