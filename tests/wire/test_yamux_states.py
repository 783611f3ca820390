"""Every state of a stream against every frame and every local action, in both roles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from skywire.errors import LocalProtocolError
from skywire.wire.yamux import (
    DataReceived,
    Event,
    ResetCause,
    Role,
    Session,
    SessionFailed,
    StreamAccepted,
    StreamFinished,
    StreamOffered,
    StreamReset,
    WindowOpened,
)
from skywire.wire.yamux.frame import ACK, FIN, GO_AWAY, RST, SYN, WINDOW_UPDATE, encode_header
from skywire.wire.yamux.stream import TRANSITIONS, StreamInput, StreamState
from tests.wire.yamux_link import data_frame, sent, sent_frames

TABLE: Final = """
             | O       | O-     | I           | I-          | E       | L      | R       | gone   | new
DATA         | = d     | = d    | = d         | =           | = d     | = d    | =       | -      | -
DATA0        | =       | =      | =           | =           | =       | =      | =       | -      | -
DATA?        | = d     | = d    | = d         | =           | = d     | = d    | =       | -      | -
DATA ACK     | E ad    | L ad   | = d         | =           | = d     | = d    | =       | -      | -
DATA FIN     | R df    | - df   | I- df       | !           | R df    | - df   | !       | -      | -
DATA0 FIN    | R f     | - f    | I- f        | !           | R f     | - f    | !       | -      | -
DATA ACK FIN | R adf   | - adf  | I- df       | !           | R df    | - df   | !       | -      | -
DATA RST     | - r     | - r    | - r         | - r         | - r     | - r    | - r     | -      | -
DATA SYN     | !       | !      | !           | !           | !       | !      | !       | - /rst | I od
SYN          | !       | !      | !           | !           | !       | !      | !       | - /rst | I o
SYN ACK      | !       | !      | !           | !           | !       | !      | !       | - /rst | I o
SYN FIN      | !       | !      | !           | !           | !       | !      | !       | - /rst | I- of
SYN RST      | !       | !      | !           | !           | !       | !      | !       | - /rst | - or
UPDATE       | =       | =      | =           | =           | =       | =      | =       | -      | -
ACK          | E a     | L a    | =           | =           | =       | =      | =       | -      | -
FIN          | R f     | - f    | I- f        | !           | R f     | - f    | !       | -      | -
ACK FIN      | R af    | - af   | I- f        | !           | R f     | - f    | !       | -      | -
RST          | - r     | - r    | - r         | - r         | - r     | - r    | - r     | -      | -
FIN RST      | - r     | - r    | - r         | - r         | - r     | - r    | - r     | -      | -
accept       | =       | =      | E /ack      | R /ack      | =       | =      | =       | -      | -
consumed     | =       | =      | E /ack      | R /ack      | =       | =      | =       | -      | -
send         | = /data | x      | E /ack_data | R /ack_data | = /data | x      | = /data | x      | x
send0        | =       | x      | =           | =           | =       | x      | =       | x      | x
finish       | O- /fin | =      | L /ack_fin  | - /ack_fin  | L /fin  | =      | - /fin  | -      | -
reset        | - /rst  | - /rst | - /rst      | - /rst      | - /rst  | - /rst | - /rst  | -      | -
"""
"""Rows: a frame (upper case) or a local action. Columns: the state before. Cells: the state after, then the events,
then behind a slash what is sent.

States: as ``LETTERS``; ``=`` the same one, ``-`` no stream, ``!`` the session fails, ``x`` the caller gets an error.
Events: o offered, a accepted, d data, f finished, r reset. A stream that is gone is one that the peer opened."""

LETTERS: Final = {
    "O": "opening",
    "O-": "opening_finished",
    "I": "offered",
    "I-": "offered_finished",
    "E": "open",
    "L": "local_finished",
    "R": "remote_finished",
}

FRAMES: Final[dict[str, Callable[[int], bytes]]] = {
    "DATA": lambda stream_id: data_frame(stream_id, b"body"),
    "DATA0": lambda stream_id: data_frame(stream_id, b""),
    "DATA?": lambda stream_id: data_frame(stream_id, b"body", 0xFFF0),
    "DATA ACK": lambda stream_id: data_frame(stream_id, b"body", ACK),
    "DATA FIN": lambda stream_id: data_frame(stream_id, b"body", FIN),
    "DATA0 FIN": lambda stream_id: data_frame(stream_id, b"", FIN),
    "DATA ACK FIN": lambda stream_id: data_frame(stream_id, b"body", ACK | FIN),
    "DATA RST": lambda stream_id: data_frame(stream_id, b"body", RST),
    "DATA SYN": lambda stream_id: data_frame(stream_id, b"body", SYN),
    "SYN": lambda stream_id: encode_header(WINDOW_UPDATE | SYN, stream_id, 0),
    "SYN ACK": lambda stream_id: encode_header(WINDOW_UPDATE | SYN | ACK, stream_id, 0),
    "SYN FIN": lambda stream_id: encode_header(WINDOW_UPDATE | SYN | FIN, stream_id, 0),
    "SYN RST": lambda stream_id: encode_header(WINDOW_UPDATE | SYN | RST, stream_id, 0),
    "UPDATE": lambda stream_id: encode_header(WINDOW_UPDATE, stream_id, 1000),
    "ACK": lambda stream_id: encode_header(WINDOW_UPDATE | ACK, stream_id, 0),
    "FIN": lambda stream_id: encode_header(WINDOW_UPDATE | FIN, stream_id, 0),
    "ACK FIN": lambda stream_id: encode_header(WINDOW_UPDATE | ACK | FIN, stream_id, 0),
    "RST": lambda stream_id: encode_header(WINDOW_UPDATE | RST, stream_id, 0),
    "FIN RST": lambda stream_id: encode_header(WINDOW_UPDATE | FIN | RST, stream_id, 0),
}

ACTIONS: Final[dict[str, Callable[[Session, int], object]]] = {
    "accept": lambda session, stream_id: session.accept(stream_id),
    "consumed": lambda session, stream_id: session.consumed(stream_id, 0),
    "send": lambda session, stream_id: session.send(stream_id, b"body"),
    "send0": lambda session, stream_id: session.send(stream_id, b""),
    "finish": lambda session, stream_id: session.finish(stream_id, 0.0),
    "reset": lambda session, stream_id: session.reset(stream_id),
}

OUTPUT: Final[dict[str, Callable[[int], bytes]]] = {
    "": lambda _: b"",
    "ack": FRAMES["ACK"],
    "fin": FRAMES["FIN"],
    "ack_fin": FRAMES["ACK FIN"],
    "rst": FRAMES["RST"],
    "data": FRAMES["DATA"],
    "ack_data": FRAMES["DATA ACK"],
}

EVENTS: Final[dict[str, Callable[[int], Event]]] = {
    "o": StreamOffered,
    "a": StreamAccepted,
    "d": lambda stream_id: DataReceived(stream_id, b"body"),
    "f": StreamFinished,
    "r": lambda stream_id: StreamReset(stream_id, ResetCause.PEER),
}

HOW_TO_REACH: Final = {
    "opening": ["open"],
    "opening_finished": ["open", "finish"],
    "offered": ["SYN"],
    "offered_finished": ["SYN", "FIN"],
    "open": ["open", "ACK"],
    "local_finished": ["SYN", "accept", "finish"],
    "remote_finished": ["open", "FIN"],
    "gone": ["SYN", "FIN", "accept", "finish"],
    "new": [],
}


def cells() -> list[tuple[str, str, str]]:
    head, *rows = [[cell.strip() for cell in line.split("|")] for line in TABLE.strip("\n").splitlines()]
    return [
        (row[0], LETTERS.get(state, state), cell) for row in rows for state, cell in zip(head[1:], row[1:], strict=True)
    ]


def reach(state: str, role: Role) -> tuple[Session, int]:
    """A session with one stream in ``state``, and the id of the stream."""
    session = Session(role, now=0.0)
    stream_id = 3 - role.value
    for step in HOW_TO_REACH[state]:
        if step == "open":
            stream_id = session.open(0.0)
        elif step in FRAMES:
            session.receive(FRAMES[step](stream_id), 0.0)
        else:
            ACTIONS[step](session, stream_id)
    sent(session)
    return session, stream_id


def state_of(session: Session, stream_id: int) -> str:
    stream = session._table.by_id.get(stream_id)
    return "-" if stream is None else stream.state.name.lower()


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(("cause", "state", "cell"), cells())
def test_every_state_against_every_input(role: Role, cause: str, state: str, cell: str) -> None:
    session, stream_id = reach(state, role)
    before = state_of(session, stream_id)
    assert before == ("-" if state in {"gone", "new"} else state)
    expected, _, output = cell.partition("/")
    after, _, letters = expected.strip().partition(" ")
    if after == "x":
        with pytest.raises(LocalProtocolError):
            ACTIONS[cause](session, stream_id)
    elif cause in ACTIONS:
        ACTIONS[cause](session, stream_id)
    else:
        events = session.receive(FRAMES[cause](stream_id), 0.0)
        if after == "!":
            assert len(events) == 1
            assert isinstance(events[0], SessionFailed)
            assert [frame[:3] for frame in sent_frames(session)] == [(GO_AWAY, 0, 1)]
            assert session.over
            return
        assert events == [EVENTS[letter](stream_id) for letter in letters]
    assert sent(session) == OUTPUT[output](stream_id)
    assert state_of(session, stream_id) == (before if after in {"=", "x"} else LETTERS.get(after, "-"))
    assert session.stream_count == (state_of(session, stream_id) != "-")
    check_counts(session)


def check_counts(session: Session) -> None:
    """Whatever is counted or timed belongs to a stream in the right state."""
    table = session._table
    states = {stream_id: stream.state for stream_id, stream in table.by_id.items()}
    assert table._unacknowledged == sum(state.unacknowledged for state in states.values())
    assert table._waiting == sum(state.waiting for state in states.values())
    assert set(table._opening._armed) == {number for number, state in states.items() if state is StreamState.OPENING}
    assert set(table._closing._armed) == {number for number, state in states.items() if state.lingering}
    assert table.room == session._config.max_held - sum(stream.receive_window.held for stream in table.by_id.values())


@pytest.mark.parametrize("state", HOW_TO_REACH)
@pytest.mark.parametrize("role", Role)
def test_a_dry_window_opens_only_for_who_may_send(role: Role, state: str) -> None:
    session, stream_id = reach(state, role)
    stream = session._table.by_id.get(stream_id)
    if stream is not None:
        stream.send_window.left = 0
    events = session.receive(FRAMES["UPDATE"](stream_id), 0.0)
    sending = stream is not None and stream.state.sending
    assert events == ([WindowOpened(stream_id)] if sending else [])
    assert session.send_window(stream_id) == (1000 if sending else 0)


@pytest.mark.parametrize("state", StreamState)
def test_the_table_agrees_with_what_the_states_say(state: StreamState) -> None:
    row = TRANSITIONS[state]
    alive = state is not StreamState.CLOSED
    assert (StreamInput.REMOTE_FIN in row) == state.receiving
    assert (StreamInput.REMOTE_ACK in row) == state.unacknowledged
    assert (StreamInput.LOCAL_ACK in row) == state.waiting
    assert (StreamInput.LOCAL_FIN in row) == (state.sending and not state.waiting)
    assert (StreamInput.REMOTE_RST in row) == (StreamInput.LOCAL_RST in row) == alive
    for cause, after in row.items():
        assert after is not state, "an input that changes nothing is not in the table"
        assert (after is StreamState.CLOSED) == (not after.receiving and not after.sending)
        assert not (after.sending and not state.sending), cause
        assert not (after.receiving and not state.receiving), cause


def test_every_state_is_reached() -> None:
    reached = {after for row in TRANSITIONS.values() for after in row.values()}
    assert reached | {StreamState.OPENING, StreamState.OFFERED} == set(StreamState)
