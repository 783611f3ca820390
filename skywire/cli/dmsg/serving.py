"""What the dmsg tools share that wait for peers: whom they admit, and how they are started and stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias, final

from anyio import fail_after, sleep_forever
from cyclopts import Parameter

from skywire.cli.dmsg.connection import Connection, Options, public_key, run
from skywire.cli.program import NotReached, UsageError
from skywire.cli.service import until_terminated
from skywire.dmsg.control import CONTROL_PORT, serve_control
from skywire.dmsg.network import DmsgNetwork
from skywire.keys import PubKey
from skywire.net.address import MAX_PORT
from skywire.net.background import Background
from skywire.net.conn import Conn, Owner
from skywire.net.network import EVERYONE, Dispatcher

MAX_CONNECTIONS: Final = 256
"""Connections to one port at a time, so that peers cannot use up this machine."""

Handler: TypeAlias = Callable[[Conn], Awaitable[None]]


@Parameter(name="*")
@dataclass(frozen=True)
class ServeOptions:
    """The options of every tool that waits for peers.

    Parameters
    ----------
    allow:
        The public key of a peer to admit. May be repeated.
    allow_all:
        Admit everyone.
    sessions:
        Servers to be reachable through; 0 for all. Without it one that the discovery knows, or all of --server.
    """

    allow: Annotated[tuple[str, ...], Parameter(name="--allow", negative="", show_default=False)] = ()
    allow_all: Annotated[bool, Parameter(name="--allow-all", negative="")] = False
    sessions: int | None = None

    def peers(self) -> Container[PubKey]:
        """Who is admitted.

        Raises:
            UsageError: nobody, or that is not clear.
        """
        if self.sessions is not None and self.sessions < 0:
            raise UsageError("--sessions is 0 for all servers, or more")
        if self.allow_all and self.allow:
            raise UsageError("either everyone is admitted or those who are named: use --allow-all or --allow, not both")
        if self.allow_all:
            return EVERYONE
        if not self.allow:
            raise UsageError(
                "nobody would be admitted: name who may come with --allow <public key>, or let everyone in with "
                "--allow-all"
            )
        return frozenset(public_key(text) for text in self.allow)


SERVE_DEFAULTS: Final = ServeOptions()
"""No option given."""


def check_port(port: int) -> None:
    """Refuse a port that cannot be listened on.

    Raises:
        UsageError: it is out of range, or taken.
    """
    if not 1 <= port <= MAX_PORT:
        raise UsageError(f"a port is 1 to {MAX_PORT}, not {port}")
    if port == CONTROL_PORT:
        raise UsageError(f"port {port} is where pings are answered")


@final
class Ports(Dispatcher):
    """Serves ports, and answers pings beside them.

    Args:
        handlers: by port.
        peers: who is admitted to all of them.
        owner: on whose behalf.
        connections: to one port at a time.
    """

    def __init__(
        self,
        handlers: Mapping[int, Handler],
        *,
        peers: Container[PubKey],
        owner: Owner,
        connections: int = MAX_CONNECTIONS,
    ) -> None:
        self._handlers = {CONTROL_PORT: serve_control, **handlers}
        self._peers = peers
        self._owner = owner
        self._connections = connections
        self._live: Counter[int] = Counter()

    def admit(self, network: str, port: int, peer: PubKey) -> Owner | None:
        """See :meth:`Dispatcher.admit`."""
        is_full = self._live[port] >= (MAX_CONNECTIONS if port == CONTROL_PORT else self._connections)
        return self._owner if port in self._handlers and peer in self._peers and not is_full else None

    async def handle(self, conn: Conn) -> None:
        """See :meth:`Dispatcher.handle`."""
        port = conn.local.port
        self._live[port] += 1
        try:
            await self._handlers[port](conn)
        finally:
            self._live[port] -= 1


@asynccontextmanager
async def reachable(connection: Connection, network: DmsgNetwork, dispatcher: Dispatcher) -> AsyncIterator[None]:
    """Serve while the block runs, which begins when peers can come.

    Raises:
        NotReached: not in the time that the user gave; without one there is no limit.
    """
    async with Background() as task_group:
        try:
            with fail_after(connection.timeout):
                await task_group.start(network.serve, dispatcher)
        except TimeoutError:
            raise NotReached("no server that peers could come through was found in time") from None
        yield


def serve_until_stopped(
    options: Options, serve: ServeOptions, dispatcher: Dispatcher, ready: Callable[[PubKey], None]
) -> None:
    """Run a tool that only serves, until Ctrl-C or SIGTERM.

    Args:
        options: of the way into the network.
        serve: of serving.
        dispatcher: what peers get.
        ready: called with our key when they can come.
    """

    async def tool(connection: Connection) -> None:
        async def run_network() -> None:
            async with (
                connection.network(sessions=serve.sessions) as network,
                reachable(connection, network, dispatcher),
            ):
                ready(network.public)
                await sleep_forever()

        await until_terminated(run_network)

    run(options, tool)
