"""Headers, and the reader that cuts a byte stream into them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skywire.errors import ProtocolError
from skywire.wire.yamux.frame import (
    ACK,
    CONTINUED,
    DATA,
    FIN,
    GO_AWAY,
    HEADER_SIZE,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    FrameReader,
    encode_header,
)
from tests.wire.yamux_link import Frame, frames_of, pieces_of

UINT32 = st.integers(0, 0xFFFFFFFF)


@pytest.mark.parametrize(
    ("word", "stream_id", "length", "expected"),
    [
        (DATA, 1, 383, "00000000000000010000017f"),
        (DATA | SYN | ACK, 0xFFFFFFFD, 0, "00000003fffffffd00000000"),
        (WINDOW_UPDATE | SYN, 1, 0, "000100010000000100000000"),
        (WINDOW_UPDATE | ACK, 2, 131072, "000100020000000200020000"),
        (WINDOW_UPDATE | FIN, 3, 0, "000100040000000300000000"),
        (WINDOW_UPDATE | RST, 3, 0, "000100080000000300000000"),
        (PING | SYN, 0, 7, "000200010000000000000007"),
        (PING | ACK, 0, 7, "000200020000000000000007"),
        (GO_AWAY, 0, 1, "000300000000000000000001"),
    ],
)
def test_headers(word: int, stream_id: int, length: int, expected: str) -> None:
    header = encode_header(word, stream_id, length)
    assert header.hex() == expected
    assert len(header) == HEADER_SIZE
    assert next(FrameReader().cut(header))[:3] == (word, stream_id, length)


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("010000000000000100000000", "version 1"),
        ("ff0300000000000100000000", "version 255"),
        ("000400000000000100000000", "type 4"),
        ("00ffffff0000000100000000", "type 255"),
    ],
)
def test_unknown_version_and_type(header: str, problem: str) -> None:
    before = encode_header(PING | SYN, 0, 1)
    reader = FrameReader()
    pieces = reader.cut(before + bytes.fromhex(header))
    assert next(pieces)[0] == PING | SYN
    with pytest.raises(ProtocolError, match=problem):
        next(pieces)


def test_a_body_that_spans_three_inputs() -> None:
    reader = FrameReader()
    data = encode_header(DATA, 5, 10) + b"0123456789" + encode_header(PING | SYN, 0, 9)
    assert list(reader.cut(data[:14])) == [(DATA, 5, 10, 12, 14)]
    assert reader.partial
    assert list(reader.cut(b"")) == []
    assert list(reader.cut(data[14:18])) == [(CONTINUED, 5, 8, 0, 4)]
    assert list(reader.cut(data[18:])) == [(CONTINUED, 5, 4, 0, 4), (PING | SYN, 0, 9, 16, 16)]
    assert not reader.partial


SOME_FRAMES = st.lists(
    st.one_of(
        st.builds(
            lambda flags, stream_id, body: Frame(DATA | flags, stream_id, len(body), body),
            st.integers(0, 0xFFFF),
            UINT32,
            st.binary(max_size=40),
        ),
        st.builds(
            lambda kind, flags, stream_id, length: Frame(kind | flags, stream_id, length),
            st.sampled_from([WINDOW_UPDATE, PING, GO_AWAY]),
            st.integers(0, 0xFFFF),
            UINT32,
            UINT32,
        ),
    ),
    max_size=6,
)


@given(SOME_FRAMES, st.lists(st.integers(0, 30), min_size=1))
def test_any_cut_gives_the_same_frames(frames: list[Frame], sizes: list[int]) -> None:
    data = b"".join(frame.encoded for frame in frames)
    assert frames_of(data) == frames
    reader = FrameReader()
    found: list[Frame] = []
    for piece in pieces_of(data, sizes):
        for word, stream_id, length, start, stop in reader.cut(piece):
            last = found.pop() if word == CONTINUED else Frame(word, stream_id, length)
            assert (last.stream_id, last.length - len(last.body)) == (stream_id, length)
            found.append(last._replace(body=last.body + piece[start:stop]))
    assert found == frames
    assert not reader.partial
