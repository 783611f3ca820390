"""The streams of a session that are not closed, with everything that counts or limits them.

Source: protocol-dmsg.md section 3.2.
"""

from __future__ import annotations

from typing import final

from skywire.errors import LocalProtocolError, ProtocolError
from skywire.wire.yamux.config import Config
from skywire.wire.yamux.deadline import Deadlines
from skywire.wire.yamux.event import ResetCause
from skywire.wire.yamux.identifier import LocalIds, RemoteIds, Role
from skywire.wire.yamux.stream import TRANSITIONS, Stream, StreamInput, StreamState


@final
class StreamTable:
    """Streams by id.

    Args:
        role: our own.
        config: limits and times.
    """

    __slots__ = (
        "_closing",
        "_config",
        "_local_ids",
        "_opening",
        "_remote_ids",
        "_unacknowledged",
        "_waiting",
        "by_id",
        "room",
    )

    def __init__(self, role: Role, config: Config) -> None:
        self._config = config
        self._local_ids = LocalIds(role)
        self._remote_ids = RemoteIds(role)
        self._opening = Deadlines(config.open_timeout)
        self._closing = Deadlines(config.close_timeout)
        self._unacknowledged = 0
        self._waiting = 0
        self.by_id: dict[int, Stream] = {}
        """The streams; their state changes by :meth:`move` alone."""
        self.room = config.max_held
        """Bytes that the peer may still announce, over all streams, until some are consumed."""

    @property
    def exhausted(self) -> bool:
        """Whether our ids are used up."""
        return self._local_ids.exhausted

    @property
    def open_slots(self) -> int:
        """How many streams we may open now."""
        if self.exhausted:
            return 0
        config = self._config
        return min(config.open_backlog - self._unacknowledged, config.max_streams - len(self.by_id))

    @property
    def next_deadline(self) -> float:
        """When :meth:`take_overdue` is due."""
        return min(self._opening.next, self._closing.next)

    @property
    def oldest_open(self) -> float:
        """When the open was made that has waited longest for its ACK; infinity when none waits."""
        return self._opening.next - self._config.open_timeout

    def open(self, now: float) -> int:
        """A new stream of ours; its id.

        Raises:
            LocalProtocolError: :attr:`open_slots` is 0.
        """
        if not self.open_slots:
            raise LocalProtocolError(
                f"no stream can be opened: {self._unacknowledged} wait for the peer, {len(self.by_id)} are there"
            )
        stream_id = self._local_ids.take()
        self.by_id[stream_id] = Stream(stream_id, StreamState.OPENING)
        self._unacknowledged += 1
        self._opening.arm(stream_id, now)
        return stream_id

    def offer(self, stream_id: int) -> Stream | None:
        """A new stream of the peer; None when it is to be refused.

        Raises:
            ProtocolError: the stream exists, or the id is not the peer's to open.
        """
        if stream_id in self.by_id:
            raise ProtocolError(f"the peer opened stream {stream_id}, which is there already")
        config = self._config
        if (
            not self._remote_ids.first_time(stream_id)
            or self._waiting >= config.accept_backlog
            or len(self.by_id) >= config.max_streams
        ):
            return None
        stream = self.by_id[stream_id] = Stream(stream_id, StreamState.OFFERED)
        self._waiting += 1
        return stream

    def move(self, stream: Stream, cause: StreamInput) -> None:
        """Let ``cause``, which is in the table for the state, happen to a stream; one that is closed is forgotten."""
        before = stream.state
        after = stream.state = TRANSITIONS[before][cause]
        self._unacknowledged -= before.unacknowledged - after.unacknowledged
        self._waiting -= before.waiting - after.waiting
        if before is StreamState.OPENING:
            self._opening.disarm(stream.stream_id)
        if after is StreamState.CLOSED:
            del self.by_id[stream.stream_id]
            self.room += stream.receive_window.held
            if before.lingering:
                self._closing.disarm(stream.stream_id)

    def finish(self, stream: Stream, now: float) -> None:
        """Move a stream by our FIN, and begin to wait for the peer's."""
        self.move(stream, StreamInput.LOCAL_FIN)
        if stream.state.lingering:
            self._closing.arm(stream.stream_id, now)

    def take_overdue(self, now: float) -> list[tuple[Stream, ResetCause]]:
        """The streams whose time is up, with the reason; each is still to be reset."""
        overdue = [(self.by_id[stream_id], ResetCause.OPEN_TIMEOUT) for stream_id, _ in self._opening.take_due(now)]
        for stream_id, _ in self._closing.take_due(now):
            stream = self.by_id[stream_id]
            if stream.heard:
                # A download over a half-closed stream may last; only silence ends it.
                stream.heard = False
                self._closing.arm(stream_id, now)
            else:
                overdue.append((stream, ResetCause.CLOSE_TIMEOUT))
        return overdue
