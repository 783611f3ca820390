"""The networks, ports and local listeners of an app whose host is in another process."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Callable, Container, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Final, final

from anyio import TASK_STATUS_IGNORED, CancelScope, EndOfStream, Event, move_on_after
from anyio.abc import TaskGroup, TaskStatus

from skywire.app.registry import Handler, Ports, ServiceRegistry
from skywire.app.typed_json import decode_object
from skywire.control.client import NodeGone, RemoteError
from skywire.errors import ProtocolError
from skywire.isolation.errors import restored, restored_dial
from skywire.isolation.frames import FrameReader
from skywire.isolation.interfaces import FIRST_NUMBER, ConnFacts, HostAPI
from skywire.isolation.link import DescriptorReceiver
from skywire.isolation.passed_conn import PassedConn
from skywire.keys import PubKey
from skywire.net.address import Address, HostPort
from skywire.net.conn import Conn, Owner
from skywire.net.errors import DialTimeout, ListenError, StreamBroken, Unreachable
from skywire.net.local_socket import LocalSocket
from skywire.net.memory import MEMORY
from skywire.net.network import EVERYONE, DialOptions, Dispatcher, Network
from skywire.net.serving import serve_conn
from skywire.net.tcp import SocketAddress

FACTS_SECONDS: Final = 5.0
"""For a connection that was handed over to say what it is."""
GIVE_UP_SECONDS: Final = 30.0
"""For the host to end what the app wants no more."""


@final
class RemoteHost:
    """What this app's process has of its host.

    Args:
        api: of the host.
        receiver: of the connections that it hands over.
        tasks: in which they are served.
    """

    def __init__(self, api: HostAPI, receiver: DescriptorReceiver, tasks: TaskGroup) -> None:
        self.api: Final = api
        self.receiver: Final = receiver
        self.tasks: Final = tasks
        self._numbers = count(FIRST_NUMBER)

    def new_number(self) -> int:
        """A number that was not used before."""
        return next(self._numbers)

    @asynccontextmanager
    async def announced(self, addresses: Sequence[SocketAddress], label: str) -> AsyncIterator[None]:
        """See :class:`skywire.app.local_ports.LocalPorts`."""
        number = self.new_number()
        places = tuple(HostPort(host.partition("%")[0], port) for host, port in addresses)
        try:
            await self.api.listening(number, places, label)
            yield
        except RemoteError as error:
            raise ListenError(f"the host does not take note of {label}: {error}") from error
        finally:
            with move_on_after(GIVE_UP_SECONDS, shield=True), suppress(RemoteError, NodeGone):
                await self.api.not_listening(number)


@final
class RemotePorts(Ports):
    """See :class:`skywire.app.registry.Ports`: registered here, and with the host.

    Args:
        host: see there.
        registry: of this process.
        public: the key that peers see.
    """

    def __init__(self, host: RemoteHost, registry: ServiceRegistry, public: PubKey) -> None:
        self._host = host
        self._registry = registry
        self._public = public

    @asynccontextmanager
    async def serving(
        self,
        port: int,
        handler: Handler,
        *,
        label: str,
        owner: Owner,
        peers: Container[PubKey],
        networks: frozenset[str],
        hidden: bool,
        drain: Callable[[], float],
    ) -> AsyncIterator[None]:
        """See the protocol."""
        registration = self._registry.register(
            port, handler, label=label, owner=owner, peers=peers, networks=networks, hidden=hidden
        )
        number = self._host.new_number()

        def take(sock: socket.socket) -> None:
            self._host.tasks.start_soon(self._serve, sock, port, owner)

        self._host.receiver.expect(number, take)
        try:
            try:
                await self._host.api.serve(number, port, label, _known(peers), hidden)
            except RemoteError as error:
                raise restored(error) from None
            yield
        finally:
            # The host lets no more in, and gives those that are here the time that it gives to all.
            with move_on_after(GIVE_UP_SECONDS, shield=True), suppress(RemoteError, NodeGone):
                await self._host.api.unserve(number)
            self._host.receiver.forget(number)
            await self._registry.unregister(registration, drain=drain())

    async def _serve(self, sock: socket.socket, port: int, owner: Owner) -> None:
        conn = await take_over(sock, owner)
        if conn is None:
            return
        own = conn.network == MEMORY and conn.remote.pk == self._public
        if conn.local.port == port and (own or self._registry.admit(conn.network, port, conn.remote.pk) is owner):
            await serve_conn(self._registry, conn)
        else:
            await conn.aclose()


def _known(peers: Container[PubKey]) -> tuple[PubKey, ...] | None:
    """The keys, where they can be listed and stay the same; the others are looked at when they are here."""
    return tuple(peers) if peers is not EVERYONE and isinstance(peers, frozenset | tuple) else None


@final
class RemoteNetwork(Network):
    """See :class:`skywire.net.network.Network`: dials by the host, on whose behalf the app runs.

    Args:
        name: of the network.
        public: the key that peers see.
        host: see there.
    """

    def __init__(self, name: str, public: PubKey, host: RemoteHost) -> None:
        self._name = name
        self._public = public
        self._host = host

    @property
    def name(self) -> str:
        """See the protocol."""
        return self._name

    @property
    def public(self) -> PubKey:
        """See the protocol."""
        return self._public

    async def dial(self, address: Address, *, owner: Owner, options: DialOptions = DialOptions()) -> Conn:
        """See the protocol."""
        if address.network != self._name:
            raise ValueError(f"the {self._name} network cannot dial {address}")
        number = self._host.new_number()
        arrival = Arrival()
        self._host.receiver.expect(number, arrival.take)
        try:
            await self._host.api.dial(number, address, options.timeout)
            with move_on_after(FACTS_SECONDS):
                conn = await take_over(await arrival.wait(), owner)
                if conn is not None:
                    return conn
        except RemoteError as error:
            raise restored_dial(error, address) from None
        except NodeGone as error:
            raise Unreachable(address, str(error)) from error
        finally:
            self._host.receiver.forget(number)
            arrival.close()
        raise DialTimeout(address, "the host has not handed the connection over")

    async def serve(self, dispatcher: Dispatcher, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """An app serves its ports by its host.

        Raises:
            ListenError: always.
        """
        raise ListenError(f"the {self._name} network is served by another process; serve a port by the host of the app")


@final
class Arrival:
    """A socket that is to come."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._came = Event()

    def take(self, sock: socket.socket) -> None:
        """It is here; a further one is closed."""
        if self._came.is_set():
            sock.close()
        else:
            self._socket = sock
            self._came.set()

    async def wait(self) -> socket.socket:
        """Wait for it; it is the caller's then."""
        await self._came.wait()
        taken, self._socket = self._socket, None
        assert taken is not None
        return taken

    def close(self) -> None:
        """Close it, if nobody has waited for it."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


async def take_over(sock: socket.socket, owner: Owner) -> Conn | None:
    """Make a connection of a socket that was handed over.

    Returns:
        None, and the socket is closed, where it does not say in time what it is.
    """
    stream = LocalSocket(sock)
    reader = FrameReader()
    try:
        facts: ConnFacts | None = None
        with move_on_after(FACTS_SECONDS), suppress(EndOfStream, StreamBroken, ProtocolError):
            facts = await _read_facts(stream, reader)
        if facts is not None:
            return PassedConn(
                stream,
                local=facts.local,
                remote=facts.remote,
                owner=owner,
                half_close=facts.half_close,
                reader=reader,
            )
    except BaseException:
        with CancelScope(shield=True):
            await stream.aclose()
        raise
    await stream.aclose()
    return None


async def _read_facts(stream: LocalSocket, reader: FrameReader) -> ConnFacts:
    while not (record := reader.take_record()):
        if reader.error is not None:
            raise reader.error
        reader.feed(await stream.receive())
    try:
        return decode_object(ConnFacts, json.loads(record), "connection")
    except ValueError as error:
        raise ProtocolError(f"a connection does not say what it is: {error}") from error
