"""A yamux session on a TCP connection, driven by callbacks: what comes in one read is handled in one go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final, Protocol, final

from anyio import BrokenResourceError, CancelScope, ClosedResourceError, aclose_forcefully

from skywire.errors import NetworkError, SkywireError
from skywire.net.tcp import TcpStream
from skywire.net.waiter import waiters
from skywire.wire.yamux import DEFAULT_CONFIG, Config, Event, Role, Session

clock: Final[Callable[[], float]] = time.monotonic
"""The time of sessions, in seconds."""
LEAST_RATE: Final = 2048
"""Bytes a second that a peer has to take while output waits for it, which is kept in memory meanwhile."""


class EventSink(Protocol):
    """Who uses a :class:`Mux`."""

    def event_received(self, event: Event) -> None:
        """Something happened on the session; SessionEnded or SessionFailed is the last."""
        ...

    def caught_up(self) -> None:
        """All events of one read have been told; this session's output is flushed next."""
        ...

    def output_taken(self) -> None:
        """All output has been taken by the system: whoever waited for that may go on."""
        ...


@final
class Mux:
    """Reads, writes and keeps the time of a yamux session.

    Args:
        stream: carries the session, with nothing else on it; owned and closed by this.
        role: CLIENT for who opened the connection.
        sink: is told of all events.
        config: of the session.
        write_seconds: how long the peer may take less than it has to, see :data:`LEAST_RATE`.
    """

    def __init__(
        self,
        stream: TcpStream,
        role: Role,
        sink: EventSink,
        *,
        config: Config = DEFAULT_CONFIG,
        write_seconds: float = 10.0,
    ) -> None:
        self._stream = stream
        self._sink = sink
        self._write_seconds = write_seconds
        self._stuck_since: float | None = None
        self._stuck_with = 0
        self.new_waiter: Final = waiters()
        """Makes waiters for the event loop that this runs on."""
        self.session: Final = Session(role, now=clock(), config=config)
        """Opens, accepts, sends and ends streams; call :meth:`flush` afterwards."""

    @property
    def stuck(self) -> bool:
        """Whether the system has not taken what was written last, so that output waits."""
        return self._stuck_since is not None

    @property
    def unsent(self) -> int:
        """Bytes that the system has not taken yet."""
        return self.session.queued + self._stream.unsent

    def flush(self) -> None:
        """Write what is queued, unless an earlier write is still under way."""
        session = self.session
        if session.queued and self._stuck_since is None and not self._stream.write(session.data_to_send()):
            self._stuck_since, self._stuck_with = clock(), self._stream.unsent

    async def run(self, received: bytes = b"") -> None:
        """Work until the session is over or the connection ends; then the last event has been told.

        Args:
            received: what came before, behind the handshake.
        """
        error: SkywireError = NetworkError("the session was ended here")
        try:
            if received:
                self.data_received(received)
            await self._stream.deliver(self)
            self._tell(self.session.receive_eof())
        except BrokenResourceError:
            error = NetworkError("the connection broke")
        except ClosedResourceError:
            pass
        finally:
            self._tell(self.session.fail(error))
            with CancelScope(shield=True):
                await aclose_forcefully(self._stream)

    def end(self, error: SkywireError) -> None:
        """End the session now, for a reason of ours; :meth:`run` returns."""
        self._tell(self.session.fail(error))

    def check_time(self, now: float) -> None:
        """Do what is due; to be called every second or so."""
        session = self.session
        deadline = session.next_deadline
        if deadline is not None and deadline <= now:
            self._tell(session.handle_timeout(now))
        if self._stuck_since is not None and now - self._stuck_since > self._write_seconds:
            unsent = self._stream.unsent
            taken = self._stuck_with - unsent
            if taken < LEAST_RATE * self._write_seconds:
                self._tell(session.fail(NetworkError(f"the peer took {taken} bytes in {self._write_seconds:g} s")))
            else:  # a slow peer is still one that reads
                self._stuck_since, self._stuck_with = now, unsent

    def data_received(self, data: bytes) -> None:
        """See :class:`skywire.net.tcp.Sink`."""
        self._tell(self.session.receive(data, clock()))

    def writable(self) -> None:
        """See :class:`skywire.net.tcp.Sink`."""
        self._stuck_since = None
        self.flush()
        if self._stuck_since is None:
            self._sink.output_taken()
            self._sink.caught_up()
            self.flush()

    def _tell(self, events: Iterable[Event]) -> None:
        for event in events:
            self._sink.event_received(event)
        self._sink.caught_up()
        self.flush()
        if self.session.over:
            self._stream.abort()
