"""What a host does for programs of its own machine, over a local socket: its own terminal, terminals of other hosts by
its key, and the list of keys that may use it.

Source: protocol-dmsg.md section 7.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from logging import Logger
from typing import Final, Protocol, TypeAlias, final

from anyio import BrokenResourceError, ClosedResourceError, EndOfStream, create_task_group
from anyio.abc import ByteStream

from skywire.errors import InvalidAddress, InvalidKey, NetworkError, ProtocolError
from skywire.keys import PubKey
from skywire.net.address import Address
from skywire.net.errors import PeerRefused
from skywire.netrpc import Service, serve_calls
from skywire.pty.errors import PtyError, Refused
from skywire.pty.host import PtyHost, attend
from skywire.pty.opening import ask, refuse
from skywire.wire.pty import whitelist
from skywire.wire.pty.opening import ACCEPTED, PROXY, PTY, REJECTED, UNREACHABLE, WHITELIST, Request

_PIECE: Final = 1 << 18
_PORT_DIGITS: Final = 5

Dial: TypeAlias = Callable[[Address], AbstractAsyncContextManager[ByteStream]]
"""Connects to a host, as this one, while a block runs."""


class AllowList(Protocol):
    """The keys that may use the host."""

    def keys(self) -> tuple[PubKey, ...]:
        """All of them."""
        ...

    async def add(self, keys: Iterable[PubKey]) -> None:
        """Let these use it, too; raises :class:`PtyError`, having added the others, when some may already."""
        ...

    async def remove(self, keys: Iterable[PubKey]) -> None:
        """Let these not use it any more."""
        ...


@final
class Gateway:
    """Serves programs of this machine.

    Args:
        host: whose sessions they may use.
        public: the key of this node, whose their sessions are.
        dial: connects to other hosts.
        network: of addresses that do not say one.
        allowed: who may use the host.
        log: for what an operator wants to know.
    """

    def __init__(
        self, host: PtyHost, public: PubKey, dial: Dial, network: str, allowed: AllowList, log: Logger
    ) -> None:
        self._log = log
        self._host = host
        self._public = public
        self._dial = dial
        self._network = network
        self._allowed = allowed

    async def serve(self, stream: ByteStream) -> None:
        """Serve one program to the end of its connection."""

        async def give(request: Request) -> None:
            if request.path == PTY:
                await self._host.serve_pty(stream, self._public, "its local socket")
            elif request.path == PROXY:
                await self._pass_on(stream, request)
            elif request.path == WHITELIST:
                await stream.send(ACCEPTED)
                await serve_calls(stream, self._whitelist())
            else:
                await refuse(stream, REJECTED, f"this socket does not have {request.path}")

        async with stream:
            await attend(stream, give, "a program of this machine", self._log)

    async def _pass_on(self, stream: ByteStream, request: Request) -> None:
        try:
            address = self._wanted(request)
            wish = Request.parse(request.query.get("path", PTY).encode())
        except (InvalidAddress, InvalidKey, ProtocolError) as error:
            await refuse(stream, REJECTED, str(error))
            return
        try:
            async with self._dial(address) as far:
                await ask(far, wish)
                await stream.send(ACCEPTED)
                await _join(stream, far)
        except (Refused, PeerRefused) as error:
            await refuse(stream, REJECTED, str(error))
        except (NetworkError, PtyError) as error:
            await refuse(stream, UNREACHABLE, str(error))

    def _wanted(self, request: Request) -> Address:
        if "address" in request.query:
            return Address.parse(request.query["address"])
        public, port = PubKey.from_hex(request.query.get("pk", "")), request.query.get("port", "")
        if not (port.isascii() and port.isdigit() and len(port) <= _PORT_DIGITS):
            raise InvalidAddress(f"a port is 1 to 65535, this is {port!r}")
        return Address(self._network, public, int(port))

    def _whitelist(self) -> Service:
        service = Service()

        async def listed(_: None) -> tuple[PubKey, ...]:
            return self._allowed.keys()

        service.add(whitelist.LIST, listed)
        service.add(whitelist.ADD, self._allowed.add)
        service.add(whitelist.REMOVE, self._allowed.remove)
        return service


async def _join(one: ByteStream, other: ByteStream) -> None:
    """Pass bytes on in both directions until one of the ends ends."""
    async with create_task_group() as tasks:

        async def pump(source: ByteStream, target: ByteStream) -> None:
            try:
                while True:
                    await target.send(await source.receive(_PIECE))
            except (EndOfStream, BrokenResourceError, ClosedResourceError):
                tasks.cancel_scope.cancel()

        tasks.start_soon(pump, one, other)
        await pump(other, one)
