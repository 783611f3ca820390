"""Takes TCP connections in: handshake, allow-list, limits, then the dispatcher."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, final

from anyio import BrokenResourceError, aclose_forcefully, fail_after

from skywire.errors import ProtocolError
from skywire.keys import PubKey, SecKey
from skywire.net.address import TCP, Address, join_host_port
from skywire.net.errors import (
    AcceptError,
    HandshakeAborted,
    HandshakeRefused,
    HandshakeTimeout,
    NotAdmitted,
    TooManyConnections,
)
from skywire.net.half_open import HalfOpen
from skywire.net.handshake import Secured, respond
from skywire.net.network import Dispatcher
from skywire.net.record_conn import RecordConn
from skywire.net.serving import serve_conn
from skywire.net.tcp import TcpStream
from skywire.pktcp.limits import Limits

_log: Final = logging.getLogger("skywire.pktcp")


@dataclass(slots=True)
class AcceptStats:
    """Counts of inbound connections since the network was made.

    Args:
        half_open: handshakes under way now.
        live: established connections now.
        admitted: connections that were handed to the dispatcher so far.
        refused: connections that were turned away so far, by the name of the error class.
    """

    half_open: int = 0
    live: int = 0
    admitted: int = 0
    refused: Counter[str] = field(default_factory=Counter)


@final
class Acceptor:
    """Serves any number of TCP listeners with one identity, one dispatcher and one set of limits."""

    def __init__(
        self,
        identity: SecKey,
        dispatcher: Dispatcher,
        *,
        limits: Limits,
        require_post_quantum: bool,
        stats: AcceptStats,
    ) -> None:
        self._identity = identity
        self._dispatcher = dispatcher
        self._limits = limits
        self._require_post_quantum = require_post_quantum
        self._stats = stats
        self._half_open = HalfOpen(limits.half_open)
        self._live_by_peer: Counter[PubKey] = Counter()

    async def serve(self, stream: TcpStream) -> None:
        """Take one connection to its end."""
        try:
            conn = await self._establish(stream)
        except Exception as error:
            # Counted before the peer can see its end.
            self._note_refusal(error)
            await aclose_forcefully(stream)
            return
        except BaseException:
            await aclose_forcefully(stream)
            raise
        peer = conn.remote.pk
        self._stats.admitted += 1
        self._stats.live += 1
        self._live_by_peer[peer] += 1
        try:
            await serve_conn(self._dispatcher, conn)
        finally:
            self._stats.live -= 1
            self._live_by_peer[peer] -= 1
            if not self._live_by_peer[peer]:
                del self._live_by_peer[peer]

    def make_room(self) -> None:
        """The system has nothing left for another connection: unfinished ones make room."""
        self._half_open.make_room()

    def _note_refusal(self, error: Exception) -> None:
        self._stats.refused[type(error).__name__] += 1
        if isinstance(error, NotAdmitted):
            _log.info("turned away: %s", error)
        elif isinstance(error, AcceptError | ProtocolError):
            _log.debug("turned away: %s", error)
        else:
            _log.error("a connection could not be taken", exc_info=error)

    async def _establish(self, stream: TcpStream) -> RecordConn:
        """Prove both keys and apply all limits."""
        try:
            (local_host, local_port), (remote_host, remote_port) = stream.local, stream.remote
        except BrokenResourceError:
            raise HandshakeAborted("the peer left before its handshake") from None
        secured = await self._shake_hands(stream, remote_host)
        peer = secured.peer
        # Right behind message 3, before a byte of the application is looked at.
        owner = self._dispatcher.admit(TCP, local_port, peer)
        if owner is None:
            raise NotAdmitted(
                f"{peer} at {join_host_port(remote_host, remote_port)} is not admitted to TCP port {local_port}"
            )
        if self._require_post_quantum and not secured.post_quantum:
            raise HandshakeRefused(f"{peer} does not know the post-quantum extension that is required here")
        if self._stats.live >= self._limits.connections:
            raise TooManyConnections(f"there are {self._limits.connections} connections already")
        if self._live_by_peer[peer] >= self._limits.connections_per_peer:
            raise TooManyConnections(f"{peer} holds {self._limits.connections_per_peer} connections already")
        return RecordConn(
            stream,
            secured.keys,
            local=Address(TCP, self._identity.public, local_port, local_host),
            remote=Address(TCP, peer, remote_port, remote_host),
            owner=owner,
            half_close=True,
            received=secured.received,
            post_quantum=secured.post_quantum,
        )

    async def _shake_hands(self, stream: TcpStream, host: str) -> Secured:
        try:
            with fail_after(self._limits.handshake_seconds) as handshake:
                self._half_open.add(host, handshake)
                self._stats.half_open += 1
                try:
                    return await respond(stream, self._identity)
                finally:
                    self._stats.half_open -= 1
                    self._half_open.remove(host, handshake)
        except TimeoutError:
            raise HandshakeTimeout(f"a handshake was not finished in {self._limits.handshake_seconds:g} s") from None
        raise TooManyConnections(f"a handshake made room: {self._limits.half_open} were under way")
