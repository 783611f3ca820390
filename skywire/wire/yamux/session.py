"""A yamux session: what the peer sends becomes events, what the application does becomes frames.

Source: protocol-dmsg.md section 3.2, upstream-2026.md section 3.2 (5).
"""

from __future__ import annotations

from typing import final

from skywire.errors import LocalProtocolError, ProtocolError, SkywireError
from skywire.wire.yamux.config import DEFAULT_CONFIG, Config
from skywire.wire.yamux.event import (
    DataReceived,
    Event,
    GoAwayReceived,
    PeerGoneAway,
    PeerSilent,
    ResetCause,
    SessionEnded,
    SessionFailed,
    StreamAccepted,
    StreamFinished,
    StreamOffered,
    StreamReset,
    WindowOpened,
)
from skywire.wire.yamux.flow import CREDIT_THRESHOLD
from skywire.wire.yamux.frame import (
    ACK,
    CONTINUED,
    DATA,
    FIN,
    FLAG_BITS,
    GO_AWAY,
    HEADER_SIZE,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    FrameReader,
    GoAwayReason,
)
from skywire.wire.yamux.identifier import Role
from skywire.wire.yamux.keepalive import Keepalive
from skywire.wire.yamux.outbox import Outbox, Output
from skywire.wire.yamux.stream import Stream, StreamInput
from skywire.wire.yamux.table import StreamTable

_NO_STREAM = -1


@final
class Session:
    """One side of a yamux connection.

    After each call: write :meth:`data_to_send`, then wait for input, for :attr:`next_deadline`, or for the application.
    While a write is stuck, leave new output where it is: what the peer makes us queue is counted, and a peer that does
    not read ends the session. So does the first broken rule: nothing is raised, :class:`SessionFailed` is the last
    event, and later input is ignored.

    A stream that is over is forgotten, and its id never comes again. To accept, finish, reset or consume it then does
    nothing, so that the application may lag behind.

    Args:
        role: the side that opened the connection is the client.
        now: seconds, monotonic; so is every ``now``.
        config: limits and times.
    """

    def __init__(self, role: Role, *, now: float, config: Config = DEFAULT_CONFIG) -> None:
        self._config = config
        self._reader = FrameReader()
        self._outbox = Outbox()
        self._keepalive = Keepalive(config, self._outbox, now)
        self._table = StreamTable(role, config)
        self._body: Stream | None = None  # whose body the last input ended in; None: it is discarded
        self._fin_after_body = False
        self._go_away_sent = False
        self._go_away_received = False
        self._over = False
        self._discarded = 0

    @property
    def over(self) -> bool:
        """Whether the session has ended or failed."""
        return self._over

    @property
    def leaving(self) -> bool:
        """Whether no stream can be opened any more: it is over, a go-away came or went, or the ids are used up."""
        return self._over or self._go_away_sent or self._go_away_received or self._table.exhausted

    @property
    def open_slots(self) -> int:
        """How many streams may be opened now; grows with StreamAccepted, StreamFinished and StreamReset events."""
        return 0 if self.leaving else self._table.open_slots

    @property
    def stream_count(self) -> int:
        """Streams of both sides that are not closed."""
        return len(self._table.by_id)

    @property
    def queued(self) -> int:
        """Bytes that wait in :meth:`data_to_send`; whoever sends bulk data pauses while this is high."""
        return self._outbox.queued

    @property
    def discarded(self) -> int:
        """Bytes of bodies that were read and dropped, because their stream was over or never was."""
        return self._discarded

    @property
    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is due, None when the session is over."""
        if self._over:
            return None
        keepalive, table = self._keepalive, self._table
        return min(keepalive.next_deadline, table.next_deadline, keepalive.hurry_at(table.oldest_open))

    def send_window(self, stream_id: int) -> int:
        """Bytes that :meth:`send` would take now; 0 for a stream that we finished or that is over."""
        stream = self._table.by_id.get(stream_id)
        return stream.send_window.left if stream is not None and stream.state.sending else 0

    def data_to_send(self) -> list[Output]:
        """Take everything that is queued, in order; join it, or write it as it is."""
        return self._outbox.take()

    def open(self, now: float) -> int:
        """Open a stream: SYN is queued, and bytes may follow at once.

        Returns:
            Its id.

        Raises:
            LocalProtocolError: :attr:`open_slots` is 0.
        """
        if self.leaving:
            raise LocalProtocolError("no stream can be opened any more: the session is over, or about to be")
        stream_id = self._table.open(now)
        self._outbox.put(WINDOW_UPDATE | SYN, stream_id, 0)
        return stream_id

    def accept(self, stream_id: int) -> None:
        """Acknowledge an offered stream, unless bytes or credit sent on it have done so already."""
        stream = self._table.by_id.get(stream_id)
        if stream is not None and stream.state.waiting:
            self._outbox.put(WINDOW_UPDATE | self._acknowledge(stream), stream_id, 0)

    def send(self, stream_id: int, data: Output) -> int:
        """Queue one data frame with as many bytes as the send window lets through.

        Args:
            stream_id: of a stream that we have not finished.
            data: flat bytes; they are not copied, so they must not change until they have been written.

        Returns:
            How many bytes were taken. If fewer than given, :class:`WindowOpened` tells when to go on.

        Raises:
            LocalProtocolError: we finished the stream, or it is over.
        """
        stream = self._table.by_id.get(stream_id)
        if stream is None or not stream.state.sending:
            raise LocalProtocolError(f"nothing can be sent on stream {stream_id}: we finished it, or it is over")
        size = len(data)
        window = stream.send_window
        if size > window.left:
            size = window.left
            data = memoryview(data)[:size]
        if size:
            window.left -= size
            self._outbox.put_data(self._acknowledge(stream) if stream.state.waiting else DATA, stream_id, data, size)
        return size

    def consumed(self, stream_id: int, size: int) -> None:
        """The application took ``size`` of the bytes it was handed; the peer is told in steps of half a window.

        Raises:
            LocalProtocolError: it was not handed as many.
        """
        stream = self._table.by_id.get(stream_id)
        if stream is None:
            return
        window = stream.receive_window
        window.consume(size)
        self._table.room += size
        if stream.state.waiting:
            self._outbox.put(WINDOW_UPDATE | self._acknowledge(stream), stream_id, window.take_credit())
        elif window.uncredited >= CREDIT_THRESHOLD and stream.state.receiving:
            self._outbox.put(WINDOW_UPDATE, stream_id, window.take_credit())

    def finish(self, stream_id: int, now: float) -> None:
        """Tell the peer that we send no more (FIN); what it sends still comes. A second time does nothing."""
        stream = self._table.by_id.get(stream_id)
        if stream is not None and stream.state.sending:
            ack = self._acknowledge(stream) if stream.state.waiting else 0
            self._outbox.put(WINDOW_UPDATE | FIN | ack, stream_id, 0)
            self._table.finish(stream, now)

    def reset(self, stream_id: int) -> None:
        """End a stream in both directions at once (RST); also how an offered stream is refused."""
        stream = self._table.by_id.get(stream_id)
        if stream is not None:
            self._outbox.put(WINDOW_UPDATE | RST, stream_id, 0)
            self._table.move(stream, StreamInput.LOCAL_RST)

    def ping(self, now: float) -> int:
        """Ask the peer for an answer: :class:`PingAnswered` or :class:`PingTimedOut` follows.

        Returns:
            The id that the event will carry.

        Raises:
            LocalProtocolError: the session is over, or too many pings wait.
        """
        if self._over:
            raise LocalProtocolError("the session is over")
        return self._keepalive.ping(now)

    def go_away(self, reason: GoAwayReason = GoAwayReason.NORMAL) -> None:
        """Tell the peer that we take no more streams. Any reason but NORMAL ends the session, without an event."""
        if not self._over and (reason or not self._go_away_sent):
            self._go_away_sent = True
            self._outbox.put(GO_AWAY, 0, reason)
            if reason:
                self._end()

    def handle_timeout(self, now: float) -> list[Event]:
        """Do what is due: keepalive pings, and the time limits of pings, opens and closes.

        A stream whose open or close takes too long is reset. Upstream ends the whole session when an open is not
        acknowledged; but a peer that answers pings is alive, so the other streams stay.
        """
        events: list[Event] = []
        if self._over:
            return events
        self._keepalive.hurry(self._table.oldest_open, now)
        try:
            self._keepalive.handle_timeout(now, events)
        except PeerSilent as error:
            self._end()
            events.append(SessionFailed(error))
            return events
        for stream, cause in self._table.take_overdue(now):
            self._abort(stream, cause, events)
        return events

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Take what came from the peer, in pieces of any size; large ones are cheaper.

        Bodies are handed out as they come, those of adjacent frames of one stream in one event.
        """
        events: list[Event] = []
        if self._over or not data:
            return events
        self._keepalive.heard_at = now
        try:
            if self._outbox.controls:
                self._limit_control()
            stream = self._table.by_id.get(self._reader.lone_body(data))
            if stream is not None and stream.state.receiving and len(data) <= self._table.room:
                self._read_body(stream, data[HEADER_SIZE:], events)
            else:
                self._read(data, now, events)
        except ProtocolError as error:
            if not isinstance(error, PeerGoneAway):
                self._outbox.put(GO_AWAY, 0, GoAwayReason.PROTOCOL_ERROR)
            self._end()
            events.append(SessionFailed(error))
        return events

    def receive_eof(self) -> list[Event]:
        """The connection ended; inside a frame this is a failure."""
        if self._over:
            return []
        self._end()
        if self._reader.partial:
            return [SessionFailed(ProtocolError("the connection ended inside a frame"))]
        return [SessionEnded()]

    def fail(self, error: SkywireError) -> list[Event]:
        """The connection failed, or we give the session up."""
        if self._over:
            return []
        self._end()
        return [SessionFailed(error)]

    def _read_body(self, stream: Stream, body: bytes, events: list[Event]) -> None:
        """What :meth:`_read` does with a lone data frame, in a third of the time: of small messages each is one."""
        window = stream.receive_window
        window.reserve(len(body))
        self._table.room -= len(body)
        window.unread += len(body)
        stream.heard = True
        events.append(DataReceived(stream.stream_id, body))

    def _read(self, data: bytes, now: float, events: list[Event]) -> None:
        table = self._table
        stream = self._body
        if stream is not None and not stream.state.receiving:
            stream = None
        run_id = _NO_STREAM if stream is None else stream.stream_id
        spans: list[tuple[int, int]] = []  # pieces of adjacent bodies of `stream`, to be handed out together
        try:
            for word, stream_id, length, start, stop in self._reader.cut(data):
                if word > DATA:
                    _hand_out(stream, data, spans, events)
                    stream, run_id = self._handle(word, stream_id, length, now, events), _NO_STREAM
                elif stream_id != run_id and word == DATA:
                    _hand_out(stream, data, spans, events)
                    stream, run_id = table.by_id.get(stream_id), stream_id
                    if stream is not None and not stream.state.receiving:
                        stream = None
                if stream is not None and word != CONTINUED:
                    stream.receive_window.reserve(length)
                    table.room -= length
                    if table.room < 0:
                        _hand_out(stream, data, spans, events)
                        self._abort(stream, ResetCause.MEMORY, events)
                        stream = None
                if stream is None:
                    self._discarded += stop - start
                elif start < stop:
                    spans.append((start, stop))
                if self._fin_after_body and stop - start == length:
                    self._fin_after_body = False
                    _hand_out(stream, data, spans, events)
                    if stream is not None:
                        self._finished(stream, events)
                        stream, run_id = None, _NO_STREAM
        finally:
            _hand_out(stream, data, spans, events)
        self._body = stream

    def _handle(self, word: int, stream_id: int, length: int, now: float, events: list[Event]) -> Stream | None:
        """Take a header that is not that of a plain data frame; the stream that its body, if any, is for."""
        kind, flags = word & ~FLAG_BITS, word & FLAG_BITS
        if kind == PING:
            if flags & SYN:
                self._limit_control()
                self._outbox.put_ping(ACK, length)
            else:
                events += self._keepalive.answered(length, now)
            return None
        if kind == GO_AWAY:
            if length != GoAwayReason.NORMAL:
                raise PeerGoneAway(length)
            if not self._go_away_received:
                self._go_away_received = True
                events.append(GoAwayReceived())
            return None
        stream = self._offered(stream_id, events) if flags & SYN else self._table.by_id.get(stream_id)
        if stream is None:
            return None
        if flags & RST:
            self._table.move(stream, StreamInput.REMOTE_RST)
            events.append(StreamReset(stream_id, ResetCause.PEER))
            return None
        if flags & ACK and stream.state.unacknowledged:
            self._table.move(stream, StreamInput.REMOTE_ACK)
            events.append(StreamAccepted(stream_id))
        if flags & FIN and not stream.state.receiving:
            raise ProtocolError(f"the peer finished stream {stream_id} twice")
        if kind == DATA:
            self._fin_after_body = bool(flags & FIN)
            return stream if stream.state.receiving else None
        if stream.send_window.grant(length) and stream.state.sending:
            events.append(WindowOpened(stream_id))
        if flags & FIN:
            self._finished(stream, events)
        return None

    def _offered(self, stream_id: int, events: list[Event]) -> Stream | None:
        stream = None if self._go_away_sent else self._table.offer(stream_id)
        if stream is None:
            self._limit_control()
            self._outbox.put(WINDOW_UPDATE | RST, stream_id, 0)
        else:
            events.append(StreamOffered(stream_id))
        return stream

    def _finished(self, stream: Stream, events: list[Event]) -> None:
        self._table.move(stream, StreamInput.REMOTE_FIN)
        events.append(StreamFinished(stream.stream_id))

    def _acknowledge(self, stream: Stream) -> int:
        """Move a waiting stream on; the flag that is to ride on its next frame."""
        self._table.move(stream, StreamInput.LOCAL_ACK)
        return ACK

    def _abort(self, stream: Stream, cause: ResetCause, events: list[Event]) -> None:
        self.reset(stream.stream_id)
        events.append(StreamReset(stream.stream_id, cause))

    def _limit_control(self) -> None:
        """Refuse to answer a peer that makes us queue frames and does not read them."""
        waiting = self._outbox.controls
        if waiting >= self._config.max_control:
            raise ProtocolError(f"the peer does not read: {waiting} frames without body wait for it")

    def _end(self) -> None:
        self._over = True
        self._table.by_id.clear()
        self._body = None


def _hand_out(stream: Stream | None, data: bytes, spans: list[tuple[int, int]], events: list[Event]) -> None:
    """Report the pieces of ``data`` that ``spans`` tells, and empty it."""
    if stream is None or not spans:
        return
    if len(spans) == 1:
        start, stop = spans[0]
        body = data[start:stop]
    else:
        view = memoryview(data)
        body = b"".join([view[start:stop] for start, stop in spans])
    spans.clear()
    stream.receive_window.unread += len(body)
    stream.heard = True
    events.append(DataReceived(stream.stream_id, body))
