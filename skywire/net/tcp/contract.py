"""What a TCP stream and a TCP listener are, whichever event loop makes them."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import logging
import socket
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from typing import Final, Protocol, TypeAlias

from anyio.abc import AsyncResource, ByteStream, TaskGroup

ACCEPT_PAUSE: Final = 0.1
"""Seconds to wait when the system has no descriptor or memory for another connection."""
SHORTAGES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""The system's words for that."""

log: Final = logging.getLogger("skywire.net")

SocketAddress: TypeAlias = tuple[str, int]
"""Host, without brackets, and port."""


class Sink(Protocol):
    """What a connection is handed to that nobody waits for: see :meth:`TcpStream.deliver`."""

    def data_received(self, data: bytes) -> None:
        """Bytes came, at least one."""
        ...

    def writable(self) -> None:
        """The system has taken all that was written."""
        ...


class TcpStream(ByteStream):
    """A TCP connection. Errors are those of anyio's streams.

    A send that the system takes at once does not let other tasks run; every so often it does all the same.

    It is used in one of two ways: ``receive`` and ``send``, or ``deliver`` and ``write``, which go without a task for
    each direction; from the first to the second way there is one step and none back.
    """

    @property
    @abstractmethod
    def local(self) -> SocketAddress:
        """This end."""

    @property
    @abstractmethod
    def remote(self) -> SocketAddress:
        """The other end."""

    @abstractmethod
    async def deliver(self, sink: Sink) -> None:
        """Call ``sink`` with all that comes, until the peer ends it; what the sink raises ends it, too.

        Raises:
            BrokenResourceError: the connection failed.
            ClosedResourceError: we closed or aborted it.
        """

    @abstractmethod
    def write(self, parts: Sequence[bytes | memoryview]) -> bool:
        """Hand bytes to the system without waiting, while :meth:`deliver` runs; nothing happens when it is over.

        Args:
            parts: what to send, in order; not copied, so it must not change.

        Returns:
            Whether the system has taken all of it. If not, write no more until ``writable`` is called.
        """

    @property
    @abstractmethod
    def unsent(self) -> int:
        """Bytes of the last :meth:`write` that the system has not taken yet; while they grow fewer, the peer reads."""

    @abstractmethod
    def abort(self) -> None:
        """Close both directions at once, without waiting; what the system has not taken yet is lost. Idempotent."""


Handler: TypeAlias = Callable[[TcpStream], Coroutine[object, object, None]]
"""Serves one connection and closes it."""


class TcpListener(AsyncResource):
    """Listening TCP sockets, for all addresses that one host name stands for."""

    @property
    @abstractmethod
    def addresses(self) -> list[SocketAddress]:
        """Where it listens, with the ports that the system chose."""

    @abstractmethod
    async def serve(self, handler: Handler, task_group: TaskGroup, shortage: Callable[[], None]) -> None:
        """Take connections until cancelled.

        Args:
            handler: serves one and closes it.
            task_group: whose tasks the handlers run in.
            shortage: called when the system has no descriptor or memory for another one, which is then waited out.
        """


def keep_alive(sock: socket.socket) -> None:
    """Have the system notice a peer that is gone without a word: in two minutes instead of never."""
    with contextlib.suppress(OSError):  # it is gone already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
            if hasattr(socket, option):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def plain_address(socket_address: tuple[str, int] | tuple[str, int, int, int] | str) -> SocketAddress:
    """Host and port of a socket's address; an IPv4 address mapped into IPv6 is given as what it is.

    Raises:
        ValueError: the address is of no TCP socket.
    """
    if isinstance(socket_address, str):
        raise ValueError(f"{socket_address!r} is no TCP address")
    host, port = socket_address[:2]
    if ":" in host and (mapped := ipaddress.IPv6Address(host).ipv4_mapped):
        host = str(mapped)
    return host, port
