"""A dmsg server: clients hold sessions with it, and it relays streams between them without being able to read them.

Source: protocol-dmsg.md section 5.1.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import Final, final

from anyio import (
    TASK_STATUS_IGNORED,
    BrokenResourceError,
    Event,
    aclose_forcefully,
    create_task_group,
    fail_after,
    sleep,
    sleep_forever,
)
from anyio.abc import TaskStatus

from skywire.dmsg.discovery.contract import Discovery
from skywire.dmsg.limits import Limits
from skywire.dmsg.mux import clock
from skywire.dmsg.relay.registration import UPDATE_SECONDS, ServerRegistration
from skywire.dmsg.relay.session import RelaySession
from skywire.dmsg.relay.switch import RelayStats, Switch
from skywire.errors import NetworkError, ProtocolError
from skywire.keys import PubKey, SecKey
from skywire.net.address import HostPort
from skywire.net.errors import AcceptError, HandshakeAborted, HandshakeTimeout, TooManyConnections
from skywire.net.half_open import HalfOpen
from skywire.net.handshake import Secured, respond
from skywire.net.listening import listen_on
from skywire.net.tcp import TcpStream

_log: Final = logging.getLogger("skywire.dmsg.relay")

MAX_SESSIONS: Final = 2048
"""Upstream's default for generated configurations."""
HALF_OPEN: Final = 256
"""Handshakes under way; see :class:`skywire.net.half_open.HalfOpen` for who makes room."""


@final
class Relay:
    """Takes sessions while :meth:`serve` runs.

    Args:
        identity: its key.
        listen: where clients connect to.
        discovery: where it announces itself; nowhere when None.
        public_address: host:port to announce; where it listens first when empty.
        max_sessions: how many clients it takes; more are turned away.
        passphrase: makes it an official server where the discovery knows it.
        update_seconds: between two announcements that change nothing; an entry lives for two minutes.
        limits: times and counts.
    """

    def __init__(
        self,
        identity: SecKey,
        *,
        listen: Iterable[HostPort],
        discovery: Discovery | None = None,
        public_address: str = "",
        max_sessions: int = MAX_SESSIONS,
        passphrase: str = "",
        update_seconds: float = UPDATE_SECONDS,
        limits: Limits = Limits(),
    ) -> None:
        if max_sessions < 1:
            raise ValueError(f"a relay takes at least 1 session, not {max_sessions}")
        self.public: Final[PubKey] = identity.public
        self.stats: Final = RelayStats()
        """Counts, live."""
        self._identity = identity
        self._listen = tuple(listen)
        self._discovery = discovery
        self._public_address = public_address
        self._max_sessions = max_sessions
        self._passphrase = passphrase
        self._update_seconds = update_seconds
        self._limits = limits
        self._half_open = HalfOpen(HALF_OPEN)
        self._switch = Switch(identity, limits, self.stats, self._sessions_changed)
        self._registration: ServerRegistration | None = None
        self._addresses: tuple[HostPort, ...] = ()
        self._announced = Event()

    async def announced(self) -> None:
        """Wait until clients can find it: until its discovery, if it has one, has taken its entry."""
        await self._announced.wait()

    @property
    def addresses(self) -> tuple[HostPort, ...]:
        """Where it listens, with the ports that the system chose; empty while it does not serve."""
        return self._addresses

    async def serve(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Take sessions until cancelled; started once it listens.

        Raises:
            ListenError: a local address cannot be used.
        """
        async with AsyncExitStack() as stack:
            listeners = [await stack.enter_async_context(await listen_on(where)) for where in self._listen]
            self._addresses = tuple(HostPort(host, port) for one in listeners for host, port in one.addresses)
            stack.callback(self._forget)
            async with create_task_group() as task_group:
                task_group.start_soon(self._keep_time)
                for listener in listeners:
                    task_group.start_soon(listener.serve, self._serve_connection, task_group, self._half_open.make_room)
                if self._discovery is None:
                    self._announced.set()
                else:
                    self._registration = ServerRegistration(
                        self._identity,
                        self._discovery,
                        self._public_address or str(self._addresses[0]),
                        self._free_sessions,
                        passphrase=self._passphrase,
                        update_seconds=self._update_seconds,
                    )
                    task_group.start_soon(self._registration.run, self._announced.set)
                try:
                    task_status.started()
                    await sleep_forever()
                finally:
                    self._registration = None
                    self._switch.end(NetworkError("the relay stops"))

    def _forget(self) -> None:
        self._addresses = ()
        self._announced = Event()

    def _free_sessions(self) -> int:
        return self._max_sessions - self._switch.session_count

    def _sessions_changed(self) -> None:
        if self._registration is not None:
            self._registration.changed()

    async def _keep_time(self) -> None:
        while True:
            await sleep(self._limits.tick_seconds)
            self._switch.check_time(clock())

    async def _serve_connection(self, stream: TcpStream) -> None:
        try:
            session = await self._establish(stream)
        except Exception as error:
            self.stats.sessions_refused[type(error).__name__] += 1
            if isinstance(error, AcceptError | ProtocolError):
                _log.debug("a connection was turned away: %s", error)
            else:
                _log.error("a connection could not be taken", exc_info=error)
            await aclose_forcefully(stream)
            return
        except BaseException:
            await aclose_forcefully(stream)
            raise
        self._switch.add(session)
        try:
            await session.run()
        except Exception:
            _log.exception("the session of %s at %s failed", session.peer, session.host)

    async def _establish(self, stream: TcpStream) -> RelaySession:
        try:
            host, _ = stream.remote
        except BrokenResourceError:
            raise HandshakeAborted("the client left before its handshake") from None
        secured = await self._shake_hands(stream, host)
        if self._free_sessions() <= 0 and not self._switch.session_of(secured.peer):
            raise TooManyConnections(f"there are {self._max_sessions} sessions already")
        return RelaySession(stream, secured, host, self._switch, self._limits)

    async def _shake_hands(self, stream: TcpStream, host: str) -> Secured:
        try:
            with fail_after(self._limits.session_handshake_seconds) as handshake:
                self._half_open.add(host, handshake)
                self.stats.half_open += 1
                try:
                    return await respond(stream, self._identity)
                finally:
                    self.stats.half_open -= 1
                    self._half_open.remove(host, handshake)
        except TimeoutError:
            raise HandshakeTimeout("a handshake was not finished in time") from None
        raise TooManyConnections("a handshake made room for another one")
