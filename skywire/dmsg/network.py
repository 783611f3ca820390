"""The dmsg network: connections by public key, through relays that cannot read them.

Source: protocol-dmsg.md section 4 and 5.2.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, final

from anyio import (
    TASK_STATUS_IGNORED,
    CancelScope,
    Event,
    aclose_forcefully,
    create_task_group,
    fail_after,
)
from anyio.abc import TaskGroup, TaskStatus

from skywire.dmsg.dialler import Dialler
from skywire.dmsg.discovery.contract import Discovery
from skywire.dmsg.entries import EntryCache
from skywire.dmsg.errors import DmsgUnreachable
from skywire.dmsg.keeper import Keeper
from skywire.dmsg.limits import Limits
from skywire.dmsg.mux import clock
from skywire.dmsg.mux_stream import MuxStream
from skywire.dmsg.pool import SessionPool
from skywire.dmsg.registration import Registration
from skywire.dmsg.replays import ReplayMemory
from skywire.dmsg.session import ClientSession
from skywire.dmsg.stream_handshake import IPAddress, accept_request, read_request, reject_request
from skywire.errors import LocalProtocolError, NetworkError, ProtocolError
from skywire.keys import PubKey, SecKey
from skywire.net.address import Address
from skywire.net.background import Background
from skywire.net.conn import Owner
from skywire.net.errors import DialTimeout, HandshakeTimeout, NotAdmitted, TooManyConnections
from skywire.net.network import DialOptions, Dispatcher
from skywire.net.record_conn import RecordConn
from skywire.net.serving import serve_conn
from skywire.wire.dmsg_errors import ErrorCode

_log: Final = logging.getLogger("skywire.dmsg")

DMSG: Final = "dmsg"
"""The name of this network in addresses."""


@final
class DmsgNetwork:
    """See :class:`skywire.net.network.Network`; to be entered as an asynchronous context before use.

    Dialling makes sessions with servers as they are needed. While it serves, it also holds ``min_sessions`` of them and
    has an entry in the discovery, so that peers find it.

    Args:
        identity: what is proven to servers and peers.
        discovery: where entries are.
        min_sessions: servers to be reachable through; 0 for all there are.
        client_type: free text of the entry; ``visor`` for visors.
        server_type: of servers to be reachable through: ``official``, ``community``, or empty for any.
        limits: times and counts.
    """

    name: Final = DMSG

    def __init__(
        self,
        identity: SecKey,
        discovery: Discovery,
        *,
        min_sessions: int = 1,
        client_type: str = "",
        server_type: str = "",
        limits: Limits = Limits(),
    ) -> None:
        if min_sessions < 0:
            raise ValueError(f"min_sessions is 0 for all servers, or more, not {min_sessions}")
        self.public: Final[PubKey] = identity.public
        self._identity = identity
        self._discovery = discovery
        self._min_sessions = min_sessions
        self._client_type = client_type
        self._server_type = server_type
        self._limits = limits
        self._replays = ReplayMemory()
        self._live_by_peer: Counter[PubKey] = Counter()
        self._running: _Running | None = None
        self._serving: _Serving | None = None

    async def __aenter__(self) -> Self:
        if self._running is not None:
            raise LocalProtocolError("this network was entered already")
        background = Background()
        async with AsyncExitStack() as stack:
            task_group = await stack.enter_async_context(background)
            pool = SessionPool(self._identity, self._limits, self._take, task_group)
            entries = EntryCache(self._discovery, self._limits.entry_seconds, task_group)
            dialler = Dialler(self._identity, self._discovery, entries, pool, self._limits)
            task_group.start_soon(pool.keep_time, lambda: self._serving is not None and not self.evicted)
            self._running = _Running(background, pool, dialler)
            stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        running = self._require_running()
        self._running = None
        if self._serving is not None:
            self._serving.scope.cancel()
        try:
            with CancelScope(
                shield=True
            ):  # it has limits of its own, and a second exception would be tied to the first
                await running.pool.aclose()
        finally:
            ended = await running.background.__aexit__(kind, error, traceback)
        return ended

    @property
    def sessions(self) -> tuple[ClientSession, ...]:
        """The sessions with servers now."""
        return tuple(self._require_running().pool)

    async def servers(self) -> AsyncIterator[tuple[PubKey, ...]]:
        """The servers with which there are sessions: those of now, and again whenever they change, until we leave."""
        running = self._require_running()
        pool = running.pool
        while self._running is running:
            changed = pool.changed
            yield tuple(session.server for session in pool)
            await changed.wait()

    @property
    def evicted(self) -> bool:
        """Whether another process with our key is served instead of us; see docs/protocol/dmsg.md."""
        return self._serving is not None and self._serving.registration.evicted

    @property
    def trouble(self) -> str | None:
        """Why peers may not reach us just now, in one line; None when they can."""
        serving = self._serving
        if serving is None:
            return "it is not served"
        if self.evicted:
            return "another process is connected with our key"
        if not self.sessions:
            return serving.keeper.trouble or "no server has been reached yet"
        return serving.registration.trouble

    async def dial(self, address: Address, *, owner: Owner, options: DialOptions = DialOptions()) -> RecordConn:
        """See :meth:`skywire.net.network.Network.dial`.

        Raises:
            DmsgUnreachable, DmsgRefused: with upstream's code.
            DialTimeout: not in time.
        """
        if address.network != DMSG:
            raise ValueError(f"dmsg cannot dial {address}")
        dialler = self._require_running().dialler
        if self.evicted:
            raise DmsgUnreachable(
                address,
                ErrorCode.NO_SERVER_REACHABLE,
                "another process is connected with our key, and would be cut off: stop it, or use a key of its own",
            )
        try:
            with fail_after(options.timeout):
                return await dialler.dial(address, owner)
        except TimeoutError as error:
            if isinstance(error, DialTimeout):
                raise
            raise DialTimeout(address, "no answer in time") from error

    async def public_ip(self, servers: Iterable[PubKey] = ()) -> IPAddress:
        """The address from which a server sees us.

        Args:
            servers: those to ask, one after the other; any when empty.

        Raises:
            NetworkError: none could tell.
            ProtocolError: the discovery makes no sense.
        """
        return await self._require_running().dialler.public_ip(servers)

    async def serve(self, dispatcher: Dispatcher, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """See :meth:`skywire.net.network.Network.serve`; started once peers can find us. Ends when the network is left.

        Without a server or a discovery it waits for one as long as it takes.
        """
        pool = self._require_running().pool
        if self._serving is not None:
            raise LocalProtocolError("this network is being served already")
        registration = Registration(self._identity, self._discovery, self._client_type, pool, self._limits)
        keeper = Keeper(
            pool,
            self._discovery,
            registration,
            min_sessions=self._min_sessions,
            server_type=self._server_type,
            limits=self._limits,
        )
        registered = Event()
        async with create_task_group() as task_group:
            self._serving = serving = _Serving([], Event(), registration, keeper, task_group.cancel_scope)
            try:
                task_group.start_soon(registration.run, registered.set)
                task_group.start_soon(keeper.run)
                task_group.start_soon(self._serve_offered, dispatcher, serving, task_group)
                await registered.wait()
                task_status.started()
                await Event().wait()
            finally:
                self._serving = None
                for _, stream in serving.offered:
                    stream.reset()
                serving.offered.clear()  # some task may already be about to serve them

    def _require_running(self) -> _Running:
        if self._running is None:
            raise LocalProtocolError("enter the network first: async with DmsgNetwork(...) as network")
        return self._running

    def _take(self, session: ClientSession, stream: MuxStream) -> None:
        """A peer has opened a stream. Called by the event loop, and only a task may start others."""
        if self._serving is None or self.evicted:
            stream.reset()
        else:
            self._serving.offered.append((session, stream))
            self._serving.arrived.set()

    async def _serve_offered(self, dispatcher: Dispatcher, serving: _Serving, task_group: TaskGroup) -> None:
        while True:
            await serving.arrived.wait()
            serving.arrived = Event()
            for session, stream in serving.offered:
                task_group.start_soon(self._serve_stream, dispatcher, session, stream)
            serving.offered.clear()

    async def _serve_stream(self, dispatcher: Dispatcher, session: ClientSession, stream: MuxStream) -> None:
        try:
            conn = await self._establish(dispatcher, session, stream)
        except (NetworkError, ProtocolError) as error:
            _log.debug("a stream from server %s was turned away: %s", session.server, error)
            await aclose_forcefully(stream)
        except Exception:
            _log.exception("a stream from server %s could not be taken", session.server)
            await aclose_forcefully(stream)
        except BaseException:
            await aclose_forcefully(stream)
            raise
        else:
            peer = conn.remote.pk
            self._live_by_peer[peer] += 1
            try:
                await serve_conn(dispatcher, conn)
            finally:
                self._live_by_peer[peer] -= 1
                if not self._live_by_peer[peer]:
                    del self._live_by_peer[peer]

    async def _establish(self, dispatcher: Dispatcher, session: ClientSession, stream: MuxStream) -> RecordConn:
        try:
            with fail_after(self._limits.stream_handshake_seconds):
                asked = await read_request(stream, session.seal, self.public)
                port, peer = asked.request.destination.port, asked.peer
                if not self._replays.first_time(asked.signed.hash, clock()):
                    raise NotAdmitted(f"a request of {peer} came a second time")
                owner = dispatcher.admit(DMSG, port, peer)
                if owner is None:
                    # The same word for a closed port and for one that is closed to this peer.
                    await reject_request(stream, session.seal, self._identity, asked, ErrorCode.NO_LISTENER)
                    raise NotAdmitted(f"{peer} is not admitted to port {port}, or nothing listens there")
                if self._live_by_peer[peer] >= self._limits.streams_per_peer:
                    await reject_request(stream, session.seal, self._identity, asked, ErrorCode.REJECTED)
                    raise TooManyConnections(f"{peer} holds {self._limits.streams_per_peer} streams already")
                agreed = await accept_request(stream, session.seal, self._identity, asked)
        except TimeoutError:
            raise HandshakeTimeout("a request did not come in time") from None
        return RecordConn(
            stream,
            agreed.keys,
            local=Address(DMSG, self.public, port),
            remote=Address(DMSG, peer, asked.request.source.port),
            owner=owner,
            half_close=False,
            received=agreed.received,
            post_quantum=agreed.post_quantum,
        )


@dataclass(frozen=True, slots=True)
class _Running:
    """What there is while the network is entered."""

    background: Background
    pool: SessionPool
    dialler: Dialler


@dataclass(slots=True)
class _Serving:
    """What there is while it serves."""

    offered: list[tuple[ClientSession, MuxStream]]
    arrived: Event
    registration: Registration
    keeper: Keeper
    scope: CancelScope
