"""A client's session with one server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from anyio import Event, aclose_forcefully, fail_after, move_on_after, sleep

from skywire.dmsg.errors import SessionOver
from skywire.dmsg.limits import Limits
from skywire.dmsg.mux import Mux, clock
from skywire.dmsg.mux_stream import MuxStream
from skywire.dmsg.objects import ObjectSeal
from skywire.errors import SkywireError
from skywire.keys import PubKey, SecKey
from skywire.net.address import HostPort
from skywire.net.handshake import Secured, initiate
from skywire.net.tcp import TcpStream, connect
from skywire.wire import yamux

MIN_QUIET: Final = 0.05
"""Seconds of silence behind message 3 of the handshake. Servers of before 2026 end a session whose first frame they
read together with message 3; a server that answers the post-quantum extension is newer."""


@final
class ClientSession:
    """See :func:`open_session`, which makes it; it works while :meth:`run` does.

    Args:
        stream: the connection behind the handshake.
        secured: what the handshake gave.
        quiet: seconds of silence to begin with.
        take: is given each stream that a peer opens.
        limits: times and counts.
    """

    def __init__(
        self,
        stream: TcpStream,
        secured: Secured,
        *,
        quiet: float,
        take: Callable[[ClientSession, MuxStream], None],
        limits: Limits,
    ) -> None:
        self.server: Final = secured.peer
        self.post_quantum: Final = secured.post_quantum
        self.opened: Final = clock()
        self.seal: Final = ObjectSeal(secured.keys)
        """Of the objects on its streams."""
        self.mux: Final = Mux(stream, yamux.Role.CLIENT, self, config=limits.mux, write_seconds=limits.write_seconds)
        self.used: float = self.opened
        """When a stream was last open, by the clock of sessions."""
        self.over: SkywireError | None = None
        """Why it ended, once it has."""
        self.round_trip: float | None = None
        """Seconds that the server took to answer the last ping, or None before the first."""
        self._received = secured.received
        self.quiet: Final = quiet
        """Seconds of silence that it began with."""
        self._take = take
        self._limits = limits
        self._streams: dict[int, MuxStream] = {}
        self._room: Event | None = None  # while somebody waits for streams to end or to be accepted
        self._pings: dict[int, _Ping] = {}

    @property
    def usable(self) -> bool:
        """Whether streams can be opened on it."""
        return self.over is None and not self.mux.session.leaving

    @property
    def stream_count(self) -> int:
        """Streams that are open."""
        return len(self._streams)

    async def run(self) -> None:
        """Work until the session ends; :attr:`over` then says why."""
        await self.mux.run(self._received)

    async def open_stream(self, closed: Callable[[], None] | None = None) -> MuxStream:
        """Open a stream; the caller closes it.

        Args:
            closed: called when it has been closed.

        Raises:
            SessionOver: the session is over or about to be.
        """
        await self._keep_quiet()
        session = self.mux.session
        while self.usable and not session.open_slots:
            await self._wait_for_room()
        self._require_usable()
        stream_id = session.open(clock())
        self.mux.flush()
        return self._new_stream(stream_id, closed)

    async def ping(self) -> float:
        """Ask the server for an answer; the seconds that it took.

        Raises:
            SessionOver: it did not come, or the session is over.
            LocalProtocolError: 64 pings wait already.
        """
        await self._keep_quiet()
        self._require_usable()
        ping_id = self.mux.session.ping(clock())
        ping = self._pings[ping_id] = _Ping()
        self.mux.flush()
        try:
            await ping.over.wait()
        finally:
            del self._pings[ping_id]
        if ping.round_trip is None:
            raise SessionOver(f"server {self.server} did not answer a ping")
        return ping.round_trip

    async def aclose(self) -> None:
        """End the session and its streams, and give the server time to take all output and to confirm the ends."""
        for stream_id, stream in self._streams.items():
            self.mux.session.finish(stream_id, clock())
            stream.end(SessionOver("we closed the session"))
        self.mux.flush()
        with move_on_after(self._limits.drain_seconds, shield=True):
            while self.over is None and self.mux.session.stream_count:
                unsent = self.mux.unsent
                with move_on_after(self._limits.linger_seconds) as moment:
                    await self._wait_for_room()
                if moment.cancelled_caught and self.mux.unsent == unsent:
                    break
        self.mux.end(SessionOver("we closed the session"))

    def event_received(self, event: yamux.Event) -> None:
        """See :class:`skywire.dmsg.mux.EventSink`."""
        match event:
            case yamux.DataReceived(stream_id, data):
                stream = self._streams.get(stream_id)
                if stream is None:  # we closed it
                    self.mux.session.consumed(stream_id, len(data))
                else:
                    stream.data_received(data)
            case yamux.WindowOpened(stream_id):
                if stream := self._streams.get(stream_id):
                    stream.writable()
            case yamux.StreamFinished(stream_id):
                if stream := self._streams.get(stream_id):
                    stream.end()
                self._make_room()
            case yamux.StreamReset(stream_id, cause):
                if stream := self._streams.get(stream_id):
                    stream.end(SessionOver(cause.value))
                self._make_room()
            case yamux.StreamAccepted():
                self._make_room()
            case yamux.StreamOffered(stream_id):
                self.mux.session.accept(stream_id)
                self._take(self, self._new_stream(stream_id))
            case yamux.PingAnswered(ping_id, round_trip):
                self.round_trip = round_trip
                self._end_ping(ping_id, round_trip)
            case yamux.PingTimedOut(ping_id):
                self.round_trip = None
                self._end_ping(ping_id, None)
            case yamux.GoAwayReceived():
                self._make_room()
            case yamux.SessionEnded():
                self._end(SessionOver("the server closed the session"))
            case yamux.SessionFailed(error):
                self._end(error)

    def caught_up(self) -> None:
        """See :class:`skywire.dmsg.mux.EventSink`."""

    def output_taken(self) -> None:
        """See :class:`skywire.dmsg.mux.EventSink`."""
        for stream in list(self._streams.values()):
            stream.writable()

    def _new_stream(self, stream_id: int, closed: Callable[[], None] | None = None) -> MuxStream:
        def forget() -> None:
            del self._streams[stream_id]
            self.used = clock()
            self._make_room()
            if closed is not None:
                closed()

        stream = self._streams[stream_id] = MuxStream(self.mux, stream_id, forget)
        return stream

    def _end(self, error: SkywireError) -> None:
        self.over = error
        for stream in self._streams.values():
            stream.end(error)
        self._make_room()
        for ping_id in self._pings:
            self._end_ping(ping_id, None)

    def _end_ping(self, ping_id: int, round_trip: float | None) -> None:
        ping = self._pings.get(ping_id)
        if ping is not None and not ping.over.is_set():
            ping.round_trip = round_trip
            ping.over.set()

    async def _wait_for_room(self) -> None:
        if self._room is None:
            self._room = Event()
        await self._room.wait()

    def _make_room(self) -> None:
        """Have all who wait look again."""
        if self._room is not None:
            self._room.set()
            self._room = None

    def _require_usable(self) -> None:
        if not self.usable:
            raise SessionOver(
                f"the session with server {self.server} is over: {self.over or 'it takes no more streams'}"
            )

    async def _keep_quiet(self) -> None:
        # A sleep may be a little too short.
        while (wait := self.opened + self.quiet - clock()) > 0:  # noqa: ASYNC110 - no event tells of time
            await sleep(wait)


class _Ping:
    def __init__(self) -> None:
        self.over = Event()
        self.round_trip: float | None = None


async def open_session(
    server: PubKey,
    where: HostPort,
    identity: SecKey,
    *,
    take: Callable[[ClientSession, MuxStream], None],
    limits: Limits,
    quiet_factor: int = 0,
) -> ClientSession:
    """Connect to a server and prove both keys.

    Args:
        server: its key.
        where: its address.
        identity: our key.
        take: is given each stream that a peer opens.
        limits: times and counts.
        quiet_factor: how often the usual silence behind the handshake is kept; 0: as little as this server needs.

    Raises:
        OSError: nobody answers there (a TimeoutError when not in time).
        HandshakeAborted: the server left.
        ProtocolError: it breaks the rules, or is not the one with that key.
    """
    with fail_after(limits.connect_seconds):
        stream = await connect(where.host, where.port)
    started = clock()
    try:
        with fail_after(limits.session_handshake_seconds):
            secured = await initiate(stream, identity, server)
    except BaseException:
        await aclose_forcefully(stream)
        raise
    # Two round trips of the handshake took less than this.
    quiet = max(MIN_QUIET, 2 * (clock() - started)) * (quiet_factor or not secured.post_quantum)
    return ClientSession(stream, secured, quiet=quiet, take=take, limits=limits)
