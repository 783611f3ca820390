"""A relay's session with one client.

Nobody waits here: whatever a client sends is handled in the callback of the read that brought it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final, Protocol, final

from skywire.dmsg.limits import SESSION_OUTPUT, Limits
from skywire.dmsg.mux import Mux, clock
from skywire.dmsg.objects import ObjectSeal
from skywire.errors import LocalProtocolError, NetworkError, SkywireError
from skywire.net.handshake import Secured
from skywire.net.tcp import TcpStream
from skywire.wire import yamux
from skywire.wire.objects import SignedObject


class StreamUser(Protocol):
    """What a stream of a session is used for at the moment."""

    def data_received(self, data: bytes) -> None:
        """Bytes came; they are to be ``consumed`` once they have gone on."""
        ...

    def writable(self) -> None:
        """The session may take again what it did not take before."""
        ...

    def ended(self, *, broken: bool) -> None:
        """The client ended the stream, or (``broken``) reset it or is gone; no more is told of it."""
        ...


class SessionOwner(Protocol):
    """Who is told what concerns more than one stream; see :class:`skywire.dmsg.relay.switch.Switch`."""

    def stream_offered(self, session: RelaySession, stream_id: int) -> StreamUser:
        """A client opened a stream; what it is used for."""
        ...

    def session_over(self, session: RelaySession, error: SkywireError) -> None:
        """A session has ended; the users of its streams are told after this."""
        ...

    def touched(self, session: RelaySession) -> None:
        """A session has output, to be written at the next :meth:`flush`."""
        ...

    def flush(self) -> None:
        """Write the output of all touched sessions."""
        ...


@final
class RelaySession:
    """Works while :meth:`run` does.

    Args:
        stream: the connection behind the handshake.
        secured: what the handshake gave.
        host: IP address of the client.
        owner: is told what happens.
        limits: times and counts.
    """

    __slots__ = ("_owner", "_received", "_starved", "host", "mux", "opened", "peer", "seal", "users")

    def __init__(self, stream: TcpStream, secured: Secured, host: str, owner: SessionOwner, limits: Limits) -> None:
        self.peer: Final = secured.peer
        """Key of the client."""
        self.host: Final = host
        self.opened: Final = clock()
        self.seal: Final = ObjectSeal(secured.keys)
        """Of the objects on its streams."""
        self.mux: Final = Mux(stream, yamux.Role.SERVER, self, config=limits.mux, write_seconds=limits.write_seconds)
        self.users: Final[dict[int, StreamUser]] = {}
        """What its streams are used for, by their ids."""
        self._received = secured.received
        self._owner = owner
        self._starved: set[StreamUser] = set()

    async def run(self) -> None:
        """Work until the session ends."""
        await self.mux.run(self._received)

    def open(self, user: StreamUser) -> int | None:
        """Open a stream to the client; its id, or None when the client has too many."""
        session = self.mux.session
        if not session.open_slots:
            return None
        stream_id = session.open(clock())
        self.users[stream_id] = user
        self._owner.touched(self)
        return stream_id

    def send(self, stream_id: int, data: bytes | memoryview) -> int:
        """Queue as much as the stream's window and our memory let through; the user is told when there is room again.

        Returns:
            How many bytes were taken.
        """
        mux = self.mux
        if mux.stuck and mux.session.queued >= SESSION_OUTPUT:
            self._starved.add(self.users[stream_id])
            return 0
        self._owner.touched(self)
        try:
            return mux.session.send(stream_id, data)
        except LocalProtocolError:  # it is over, as one of the events of the same read is about to tell
            return 0

    def send_object(self, stream_id: int, signed: SignedObject) -> None:
        """Queue a request or a response on a stream that has carried nothing yet in this direction, so that it fits."""
        with suppress(LocalProtocolError):  # see send
            self.mux.session.send(stream_id, self.seal.seal(signed))
        self._owner.touched(self)

    def consumed(self, stream_id: int, size: int) -> None:
        """What came on a stream has gone on."""
        session = self.mux.session
        session.consumed(stream_id, size)
        if session.queued:
            self._owner.touched(self)

    def finish(self, stream_id: int) -> None:
        """End a stream; what still comes on it is dropped."""
        self.users.pop(stream_id, None)
        self.mux.session.finish(stream_id, clock())
        self._owner.touched(self)

    def reset(self, stream_id: int) -> None:
        """End a stream so that its user cannot take it for a proper end."""
        self.users.pop(stream_id, None)
        self.mux.session.reset(stream_id)
        self._owner.touched(self)

    def event_received(self, event: yamux.Event) -> None:
        """See :class:`skywire.dmsg.mux.EventSink`."""
        match event:
            case yamux.DataReceived(stream_id, data):
                user = self.users.get(stream_id)
                if user is None:  # it is over for us
                    self.mux.session.consumed(stream_id, len(data))
                else:
                    user.data_received(data)
            case yamux.WindowOpened(stream_id):
                if user := self.users.get(stream_id):
                    user.writable()
            case yamux.StreamOffered(stream_id):
                self.mux.session.accept(stream_id)
                self.users[stream_id] = self._owner.stream_offered(self, stream_id)
            case yamux.StreamFinished(stream_id):
                if user := self.users.get(stream_id):
                    user.ended(broken=False)
            case yamux.StreamReset(stream_id):
                if user := self.users.pop(stream_id, None):
                    user.ended(broken=True)
            case yamux.SessionEnded():
                self._over(NetworkError("the client closed the session"))
            case yamux.SessionFailed(error):
                self._over(error)
            case _:
                pass

    def caught_up(self) -> None:
        """See :class:`skywire.dmsg.mux.EventSink`."""
        self._owner.flush()

    def output_taken(self) -> None:
        """See :class:`skywire.dmsg.mux.EventSink`."""
        starved, self._starved = self._starved, set()
        for user in starved:
            user.writable()

    def _over(self, error: SkywireError) -> None:
        self._owner.session_over(self, error)
        users = list(self.users.values())
        self.users.clear()
        for user in users:
            user.ended(broken=True)
