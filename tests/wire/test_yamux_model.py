"""Two sessions over a slow link against a model of byte strings and counters."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from skywire.errors import LocalProtocolError
from skywire.wire.yamux import (
    WINDOW,
    Config,
    DataReceived,
    Event,
    Role,
    Session,
    StreamAccepted,
    StreamFinished,
    StreamOffered,
    StreamReset,
    WindowOpened,
)
from skywire.wire.yamux.frame import CONTINUED, DATA, FLAG_BITS, HEADER_SIZE, WINDOW_UPDATE, FrameReader
from tests.wire.yamux_link import frames_of, sent

CONFIG: Final = Config(accept_backlog=2, open_backlog=3, max_streams=5, max_held=2 * WINDOW)
SIZES: Final = st.sampled_from([0, 1, 1000, 65536, WINDOW // 2, WINDOW // 2 + 1, WINDOW, WINDOW + 1])
PIECES: Final = st.sampled_from([1, 5, HEADER_SIZE, 100, 70000, 1 << 22])
NOISE: Final = random.Random("yamux").randbytes(2 * WINDOW)
PICK: Final = st.integers(0, 9)
SIDE: Final = st.integers(0, 1)


@dataclass
class Lane:
    """One direction of one stream, as it should be."""

    written: bytearray = field(default_factory=bytearray)
    finished: bool = False
    on_wire: int = 0
    granted: int = 0
    """What the sender has been told that it may send beyond the first window."""
    received: bytearray = field(default_factory=bytearray)
    consumed: int = 0
    credited: int = 0
    """What the receiver has put on the wire of what was consumed."""
    end_seen: bool = False

    @property
    def window(self) -> int:
        return WINDOW - len(self.written) + self.granted

    def next_bytes(self, size: int) -> bytes:
        start = len(self.written) % WINDOW
        return NOISE[start : start + size]


class Side:
    """One session, what it has put on the wire, and the lanes it sends on."""

    def __init__(self, role: Role) -> None:
        self.session = Session(role, now=0.0, config=CONFIG)
        self.wire = bytearray()
        self.reader = FrameReader()
        self.lanes: dict[int, Lane] = {}
        self.offered: set[int] = set()
        self.gone: set[int] = set()

    def pick(self, number: int) -> int:
        ids = sorted(self.lanes)
        return ids[number % len(ids)]


class TwoSessions(RuleBasedStateMachine):
    """Applications at both ends do whatever is allowed, and now and then what is not."""

    def __init__(self) -> None:
        super().__init__()
        self.sides = (Side(Role.CLIENT), Side(Role.SERVER))

    def some_streams(self) -> bool:
        return all(side.lanes for side in self.sides)

    @rule(side=SIDE)
    def open(self, side: int) -> None:
        here = self.sides[side]
        if here.session.open_slots:
            here.lanes[here.session.open(0.0)] = Lane()
        else:
            with pytest.raises(LocalProtocolError):
                here.session.open(0.0)

    @precondition(some_streams)
    @rule(side=SIDE, number=PICK, size=SIZES)
    def write(self, side: int, number: int, size: int) -> None:
        here = self.sides[side]
        stream_id = here.pick(number)
        lane = here.lanes[stream_id]
        data = lane.next_bytes(size)
        if lane.finished or stream_id in here.gone:
            with pytest.raises(LocalProtocolError):
                here.session.send(stream_id, data)
            return
        assert here.session.send_window(stream_id) == lane.window
        taken = here.session.send(stream_id, memoryview(data))
        assert taken == min(len(data), lane.window)
        lane.written += data[:taken]
        if taken:
            here.offered.discard(stream_id)

    @precondition(some_streams)
    @rule(side=SIDE, number=PICK, share=st.sampled_from([0.0, 0.3, 0.5, 1.0, 1.0]))
    def consume(self, side: int, number: int, share: float) -> None:
        here, there = self.sides[side], self.sides[1 - side]
        stream_id = here.pick(number)
        if (lane := there.lanes.get(stream_id)) is None:
            return
        unread = len(lane.received) - lane.consumed
        if stream_id in here.gone or (lane.end_seen and here.lanes[stream_id].finished):
            here.session.consumed(stream_id, unread + 1)
            return
        with pytest.raises(LocalProtocolError):
            here.session.consumed(stream_id, unread + 1)
        size = int(unread * share)
        here.session.consumed(stream_id, size)
        lane.consumed += size
        here.offered.discard(stream_id)

    @precondition(some_streams)
    @rule(side=SIDE, number=PICK)
    def accept(self, side: int, number: int) -> None:
        here = self.sides[side]
        stream_id = here.pick(number)
        here.session.accept(stream_id)
        here.offered.discard(stream_id)

    @precondition(some_streams)
    @rule(side=SIDE, number=PICK)
    def finish(self, side: int, number: int) -> None:
        here = self.sides[side]
        stream_id = here.pick(number)
        here.session.finish(stream_id, 0.0)
        here.lanes[stream_id].finished = True
        here.offered.discard(stream_id)

    @precondition(some_streams)
    @rule(side=SIDE, number=PICK, sure=st.integers(0, 5))
    def reset(self, side: int, number: int, sure: int) -> None:
        if not sure:
            here = self.sides[side]
            stream_id = here.pick(number)
            here.session.reset(stream_id)
            here.gone.add(stream_id)
            here.offered.discard(stream_id)

    @rule(side=SIDE)
    def flush(self, side: int) -> None:
        here, there = self.sides[side], self.sides[1 - side]
        data = sent(here.session)
        for frame in frames_of(data):
            kind = frame.word & ~FLAG_BITS
            if kind == DATA:
                lane = here.lanes[frame.stream_id]
                lane.on_wire += frame.length
                assert lane.on_wire <= WINDOW + lane.granted
            elif frame.length:
                lane = there.lanes[frame.stream_id]
                lane.credited += frame.length
                assert lane.credited <= lane.consumed, "nothing is credited that was not consumed"
        here.wire += data

    @rule(side=SIDE, size=PIECES)
    def carry(self, side: int, size: int) -> None:
        here, there = self.sides[side], self.sides[1 - side]
        piece = bytes(here.wire[:size])
        del here.wire[:size]
        for word, stream_id, length, _, _ in there.reader.cut(piece):
            if word != CONTINUED and word & ~FLAG_BITS == WINDOW_UPDATE and stream_id in there.lanes:
                there.lanes[stream_id].granted += length
        for event in there.session.receive(piece, 0.0):
            self.happened(there, here, event)

    @rule()
    def exchange(self) -> None:
        for side in (0, 1):
            self.flush(side)
            self.carry(side, 1 << 30)

    def happened(self, here: Side, there: Side, event: Event) -> None:
        match event:
            case StreamOffered(stream_id):
                assert stream_id not in here.lanes
                here.lanes[stream_id] = Lane()
                here.offered.add(stream_id)
            case StreamAccepted(stream_id):
                assert stream_id not in there.offered
            case DataReceived(stream_id, data):
                lane = there.lanes[stream_id]
                assert data
                assert lane.written[len(lane.received) :].startswith(data), "all bytes, in order"
                assert not lane.end_seen
                assert stream_id not in here.gone
                lane.received += data
            case StreamFinished(stream_id):
                lane = there.lanes[stream_id]
                assert lane.finished
                assert not lane.end_seen
                assert lane.received == lane.written
                lane.end_seen = True
            case StreamReset(stream_id):
                assert stream_id not in here.gone
                here.gone.add(stream_id)
                here.offered.discard(stream_id)
            case WindowOpened(stream_id):
                # The same input may have had it reset here, which is told next.
                is_over = stream_id not in here.session._table.by_id
                assert is_over or here.session.send_window(stream_id) > 0
            case _:
                raise AssertionError(event)

    @invariant()
    def windows_are_in_bounds(self) -> None:
        for side in self.sides:
            assert not side.session.over
            table = side.session._table
            assert len(table.by_id) <= CONFIG.max_streams
            assert table._unacknowledged <= CONFIG.open_backlog
            assert table._waiting == len(side.offered) <= CONFIG.accept_backlog
            assert table.room == CONFIG.max_held - sum(stream.receive_window.held for stream in table.by_id.values())
            for stream in table.by_id.values():
                window = stream.receive_window
                assert min(window.left, window.unread, window.uncredited, stream.send_window.left, table.room) >= 0
                assert window.left + window.unread + window.uncredited <= WINDOW

    def teardown(self) -> None:
        for _ in range(3):
            self.exchange()
            self.exchange()
            for side in (0, 1):
                for number in range(len(self.sides[side].lanes)):
                    if self.some_streams():
                        self.consume(side, number, 1.0)
        for here, there in (self.sides, self.sides[::-1]):
            assert not here.wire
            for stream_id, lane in here.lanes.items():
                if stream_id in here.gone | there.gone:
                    continue
                assert lane.received == lane.written
                assert lane.end_seen == lane.finished
                if not lane.finished:
                    assert here.session.send_window(stream_id) == WINDOW - len(lane.written) + lane.credited
                elif there.lanes[stream_id].finished:
                    assert stream_id not in here.session._table.by_id


TwoSessions.TestCase.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
TestTwoSessions = TwoSessions.TestCase
