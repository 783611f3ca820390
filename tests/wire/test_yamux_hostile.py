"""Arbitrary input: nothing is raised, and it does not matter how it is cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skywire.wire.yamux import WINDOW, Config, Role, Session, SessionFailed
from skywire.wire.yamux.frame import DATA, GO_AWAY, HEADER_SIZE, PING, WINDOW_UPDATE, encode_header
from tests.wire.yamux_link import bytewise, described, feed, pieces_of, sent

CONFIG = Config(accept_backlog=2, max_streams=4, max_held=60, max_control=6)

STREAM_IDS = st.one_of(st.integers(0, 7), st.sampled_from([0xFFFFFFFE, 0xFFFFFFFF]))
FLAGS = st.sampled_from([0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 8, 9, 12, 15, 0x10, 0xFFFF])
LENGTHS = st.sampled_from([0, 1, 7, WINDOW, WINDOW + 1, 0xFFFFFFFF])
FRAME = st.one_of(
    st.builds(
        lambda flags, stream_id, body: encode_header(DATA | flags, stream_id, len(body)) + body,
        FLAGS,
        STREAM_IDS,
        st.binary(max_size=30),
    ),
    st.builds(
        lambda kind, flags, stream_id, length: encode_header(kind | flags, stream_id, length),
        st.sampled_from([WINDOW_UPDATE] * 4 + [PING, GO_AWAY, DATA]),
        FLAGS,
        STREAM_IDS,
        LENGTHS,
    ),
    st.binary(max_size=HEADER_SIZE),
)
INPUT = st.one_of(st.lists(FRAME, max_size=12).map(b"".join), st.binary(max_size=60))


def prepared(role: Role) -> Session:
    """A session with three streams of its own: open, finished by us, and not acknowledged."""
    session = Session(role, now=0.0, config=CONFIG)
    first, second, _ = session.open(0.0), session.open(0.0), session.open(0.0)
    session.receive(encode_header(WINDOW_UPDATE | 2, first, 0), 0.0)
    session.finish(second, 0.0)
    sent(session)
    return session


@given(st.sampled_from(Role), INPUT, st.lists(st.integers(0, 20), max_size=12))
def test_any_input_in_any_pieces(role: Role, data: bytes, sizes: list[int]) -> None:
    results = []
    for pieces in ([data], bytewise(data), pieces_of(data, sizes)):
        session = prepared(role)
        events = feed(session, pieces)
        failed = [isinstance(event, SessionFailed) for event in events]
        assert session.over == any(failed)
        assert not any(failed[:-1])
        assert session.queued <= (CONFIG.max_control + 2) * HEADER_SIZE
        results.append((described(events), session.over, session.discarded, session.stream_count, sent(session)))
    assert results[0] == results[1] == results[2]


@given(st.sampled_from(Role), INPUT)
def test_whatever_came_the_session_can_be_used_and_ended(role: Role, data: bytes) -> None:
    session = prepared(role)
    session.receive(data, 1.0)
    for stream_id in range(9):
        session.accept(stream_id)
        session.consumed(stream_id, 0)
        if session.send_window(stream_id):
            assert session.send(stream_id, b"x") == 1
        session.finish(stream_id, 1.0)
    while (deadline := session.next_deadline) is not None:
        session.handle_timeout(deadline)
    assert session.over
    assert session.stream_count == 0
    assert session.receive(data, 1e9) == []
