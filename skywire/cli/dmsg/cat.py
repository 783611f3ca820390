"""The command ``cat``: the standard input and output as one end of a stream to a peer."""

from __future__ import annotations

import math
from typing import Annotated, Final, final

from anyio import CancelScope, EndOfStream, Event, create_task_group, current_time
from cyclopts import Parameter

from skywire.cli.dmsg import pipes
from skywire.cli.dmsg.connection import DEFAULTS, Connection, Options, peer_address, run, settle
from skywire.cli.dmsg.serving import SERVE_DEFAULTS, Ports, ServeOptions, check_port, reachable
from skywire.cli.program import UsageError, reason_of
from skywire.cli.service import until_terminated
from skywire.dmsg.network import DMSG, DmsgNetwork
from skywire.errors import SkywireError
from skywire.net.address import Address
from skywire.net.conn import Conn, Owner
from skywire.net.errors import StreamBroken

OWNER: Final = Owner("cat")
LINGER: Final = 3.0
"""Seconds of silence behind the end of the input after which the stream is closed."""


def cat(
    peer: str | None = None,
    /,
    *,
    listen: Annotated[int | None, Parameter(name=["--listen", "-l"])] = None,
    keep: Annotated[bool, Parameter(name=["--keep", "-k"], negative="")] = False,
    linger: float | None = None,
    serve: ServeOptions = SERVE_DEFAULTS,
    options: Options = DEFAULTS,
) -> None:
    """Connect the standard input and output to a peer.

    Parameters
    ----------
    peer:
        Whom to connect to, as KEY:PORT or dmsg://KEY:PORT.
    listen:
        Wait for a peer at this port instead.
    keep:
        Serve one peer after another, not only the first. It ends by Ctrl-C or SIGTERM.
    linger:
        Seconds for which the peer may be silent once the input has ended: 3, or without limit if there was no input.
    """
    if (peer is None) == (listen is None):
        raise UsageError("either name a peer, as <public key>:<port>, or wait for one with --listen <port>")
    if linger is not None and not 0 <= linger < math.inf:
        raise UsageError("--linger is 0 or more seconds")
    if listen is not None:
        check_port(listen)
        listener = _Listener(listen, serve, keep=keep, linger=linger)
        run(options, (lambda connection: until_terminated(lambda: listener.run(connection))) if keep else listener.run)
        return
    if keep or serve != SERVE_DEFAULTS:
        raise UsageError("--keep, --allow, --allow-all and --sessions are about who may come: use them with --listen")
    address = peer_address(peer or "")

    async def dial(connection: Connection) -> None:
        async with connection.network() as network:
            conn = await network.dial(address, owner=OWNER, options=connection.dial_options)
            async with conn:
                await _Exchange(network, conn, linger).run()

    run(options, dial)


@final
class _Listener:
    """Takes one peer at a time."""

    def __init__(self, port: int, serve: ServeOptions, *, keep: bool, linger: float | None) -> None:
        self._port = port
        self._peers = serve.peers()
        self._sessions = serve.sessions
        self._keep = keep
        self._linger = linger
        self._is_busy = False
        self._finished = Event()
        self._failure: Exception | None = None

    async def run(self, connection: Connection) -> None:
        """Wait for peers, until there is nobody to wait for any more.

        Raises: see :meth:`_Exchange.run`; NotReached: nobody could come.
        """
        async with connection.network(sessions=self._sessions) as network:

            async def handle(conn: Conn) -> None:
                if not self._is_busy:  # else two were admitted at the same time
                    await self._serve(connection, network, conn)

            ports = Ports({self._port: handle}, peers=self._peers, owner=OWNER, connections=1)
            async with reachable(connection, network, ports):
                connection.tell(f"waiting at {Address(DMSG, network.public, self._port)}")
                await self._finished.wait()
        if self._failure is not None:
            raise self._failure

    async def _serve(self, connection: Connection, network: DmsgNetwork, conn: Conn) -> None:
        self._is_busy = True
        connection.tell(f"{conn.remote} is there")
        try:
            await _Exchange(network, conn, self._linger).run()
            await conn.aclose()
        except Exception as error:
            reason = reason_of(error)
            if self._keep and isinstance(reason, SkywireError):
                connection.tell(str(reason))
            else:
                self._failure = reason
        finally:
            self._is_busy = False
        if not self._keep or self._failure is not None:
            self._finished.set()


@final
class _Exchange:
    """Both directions of one stream.

    Args:
        network: what carries it.
        conn: the stream; the caller closes it.
        linger: see :func:`cat`.
    """

    def __init__(self, network: DmsgNetwork, conn: Conn, linger: float | None) -> None:
        self._network = network
        self._conn = conn
        self._linger = linger
        self._silence = math.inf
        """Seconds for which the peer may be silent now."""
        self._waiting = CancelScope()
        self._is_sending = False

    async def run(self) -> None:
        """Go on until the peer ends the stream, or our input has ended and the peer is silent.

        Raises: as one of a group,
            StreamBroken: the stream failed, or was ended while there was something to send.
            NotReached: what was sent is perhaps not with the servers.
            OSError: the standard input or output failed.
        """
        async with create_task_group() as task_group:
            task_group.start_soon(self._send)
            await self._receive()
            task_group.cancel_scope.cancel()

    async def _receive(self) -> None:
        output = pipes.Output()
        while True:
            try:
                with CancelScope(deadline=current_time() + self._silence) as self._waiting:
                    data = await self._conn.receive()
            except EndOfStream:
                if self._is_sending or pipes.input_waits():
                    raise StreamBroken(f"{self._conn.remote} ended the stream before it had everything") from None
                return
            if self._waiting.cancelled_caught:
                return
            await output.write(data)

    async def _send(self) -> None:
        is_empty = True
        while piece := await pipes.read_input():
            is_empty = False
            self._is_sending = True
            await self._conn.send(piece)
            self._is_sending = False
        if not is_empty:
            await settle(self._network)
        if self._linger is not None or not is_empty:
            self._silence = LINGER if self._linger is None else self._linger
            self._waiting.deadline = current_time() + self._silence
