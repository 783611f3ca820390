"""What chats say: by hand from upstream-2026.md section 2.5, and as properties."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skywire.errors import LocalProtocolError, ProtocolError
from skywire.wire.records import MAX_RECORD
from skywire.wire.skychat import (
    MAX_PAYLOAD,
    Acked,
    BareText,
    Deleted,
    Event,
    Form,
    Reader,
    Seen,
    Written,
    bare_records,
    decode,
    encode,
    frame,
)

ID = "00112233445566ff"
BY_HAND: list[tuple[bytes, Event]] = [
    (
        b'\0\0\0\x45{"type":"chat-msg","id":"00112233445566ff","body":"hello","ack":true}',
        Written(ID, "hello"),
    ),
    (
        b'\0\0\0\x62{"type":"chat-msg","id":"00112233445566ff","body":"h\xc3\xa9","ack":false,"reply_to":"ffffffffffffffff"}',
        Written(ID, "hé", ack=False, reply_to="f" * 16),
    ),
    (b'\0\0\0\x2b{"type":"chat-ack","id":"00112233445566ff"}', Acked(ID)),
    (b'\0\0\0\x37{"type":"chat-read","id":"00112233445566ff","ack":true}', Seen(ID)),
    (b'\0\0\0\x3a{"type":"chat-delete","id":"00112233445566ff","ack":false}', Deleted(ID, ack=False)),
    (b"\0\0\0\x05hello", BareText("hello")),
]
IDS = st.text("0123456789abcdef", min_size=16, max_size=16)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
ENVELOPES = st.one_of(
    st.builds(Written, IDS, WORDS, st.booleans(), st.one_of(IDS, st.just(""))),
    st.builds(Acked, IDS),
    st.builds(Seen, IDS, st.booleans()),
    st.builds(Deleted, IDS, st.booleans()),
)


@pytest.mark.parametrize(("wire", "event"), BY_HAND)
def test_frames_written_by_hand(wire: bytes, event: Event) -> None:
    assert encode(event) == wire
    reader = Reader()
    assert reader.feed(wire) == [event]
    assert reader.form is Form.FRAMED


@given(st.lists(ENVELOPES, max_size=8), st.lists(st.integers(1, 60), min_size=1))
def test_frames_come_through_however_they_are_cut(events: list[Event], cuts: list[int]) -> None:
    data = b"".join(encode(event) for event in events)
    reader, found, at, turn = Reader(), list[Event](), 0, 0
    while at < len(data):
        size = cuts[turn % len(cuts)]
        found += reader.feed(data[at : at + size])
        at, turn = at + size, turn + 1
    assert found == events


@given(st.lists(st.binary(min_size=1, max_size=100), min_size=1))
def test_no_bytes_do_harm(records: list[bytes]) -> None:
    reader = Reader()
    try:
        for record in records:
            for event in reader.feed(record):
                assert encode(event)
    except ProtocolError:
        assert reader.form is Form.FRAMED


@given(st.text(min_size=1).filter(lambda text: text[0] != "\0" and "\ud800" not in text))
def test_the_first_byte_tells_the_form_of_all_that_follows(text: str) -> None:
    data = text.encode("utf-8", "replace")
    reader = Reader()
    assert (reader.feed(b""), reader.form) == ([], None)
    assert reader.feed(data) == [BareText(data.decode())]
    assert reader.form is Form.BARE
    assert reader.feed(b"\0\0\0\1x") == [BareText("\0\0\0\1x")]
    assert reader.feed(b"") == []


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=5000))
def test_long_texts_are_cut_between_characters(text: str) -> None:
    records = bare_records(text)
    assert "".join(record.decode() for record in records) == text
    assert all(1 <= len(record) <= MAX_RECORD for record in records)


def test_a_text_at_the_edge_of_a_record() -> None:
    assert [len(record) for record in bare_records("a" * (MAX_RECORD - 1) + "é" + "b")] == [MAX_RECORD - 1, 3]


@pytest.mark.parametrize("size", [0, MAX_PAYLOAD + 1, 0x00FFFFFF])
def test_lengths_that_cannot_be(size: int) -> None:
    with pytest.raises(ProtocolError, match=f"announces {size} bytes"):
        Reader().feed(size.to_bytes(4))


def test_the_longest_frame() -> None:
    text = "x" * MAX_PAYLOAD
    data = encode(BareText(text))
    reader = Reader()
    assert reader.feed(data[:-1]) == []
    assert reader.feed(data[-1:]) == [BareText(text)]
    for payload in (b"", b"x" * (MAX_PAYLOAD + 1)):
        with pytest.raises(LocalProtocolError, match="1 to 65536"):
            frame(payload)


def envelope(**members: object) -> bytes:
    return json.dumps(members).encode()


def test_what_is_not_known_is_passed_over() -> None:
    assert decode(envelope(type="chat-typing", id=5)) is None
    assert Reader().feed(frame(envelope(type="chat-later"))) == []
    more = envelope(type="chat-msg", id=ID, body="x", later=[1], ack="yes", reply_to="nothing")
    assert decode(more) == Written(ID, "x", ack=False)
    assert decode(envelope(type="chat-msg", body="x", reply_to=ID)) == Written("", "x", ack=False, reply_to=ID)
    assert decode(envelope(type="chat-msg", id=ID, body="\ud800!")) == Written(ID, "\ufffd!", ack=False)


@pytest.mark.parametrize(
    "text", ['{"a":1}', '{"type":"note"}', '{"type":7}', "{", "[" * 60000, "{" * 60000, '{"a":' * 12000, "5" * 5000]
)
def test_what_only_looks_like_an_envelope_is_text(text: str) -> None:
    assert decode(text.encode()) == BareText(text)


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (envelope(type="chat-msg", id=ID), "no body"),
        (envelope(type="chat-msg", id=ID, body=5), "no body"),
        (envelope(type="chat-msg", id=ID.upper(), body=""), "16 hexadecimal digits"),
        (envelope(type="chat-ack"), "16 hexadecimal digits"),
        (envelope(type="chat-read", id=7), "16 hexadecimal digits"),
        (envelope(type="chat-delete", id="../../etc/passwd"), "16 hexadecimal digits"),
    ],
)
def test_envelopes_that_break_the_form(payload: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=re.escape(words)):
        decode(payload)
