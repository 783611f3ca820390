"""Messages and pieces of file transfers: what is written is read, in whatever pieces it comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skywire.errors import LocalProtocolError, ProtocolError
from skywire.wire.transfer import (
    HEAD_SIZE,
    MAX_MESSAGE,
    MAX_NAME,
    MAX_PIECE,
    MAX_REASON,
    MAX_SIZE,
    MAX_TEXT,
    Announcement,
    End,
    Failed,
    FailureCode,
    Fetch,
    FileHead,
    Message,
    Preparing,
    Received,
    Taken,
    TransferReader,
    decode_message,
    encode_message,
    piece_head,
)

SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

checksums = st.binary(min_size=32, max_size=32).map(bytes.hex)
sizes = st.integers(0, MAX_SIZE)
ids = st.from_regex(r"[0-9A-Za-z_-]{1,64}", fullmatch=True)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Fetch, ids, sizes, checksums),
    st.builds(
        Announcement, ids, st.text("aé/\n\U00020000", min_size=1, max_size=255), sizes, checksums, st.text(max_size=500)
    ),
    st.builds(FileHead, sizes, checksums),
    st.builds(Failed, st.sampled_from(FailureCode), st.text(max_size=300)),
    st.sampled_from([Preparing(), End(), Received(), Taken()]),
)


def as_frame(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def joined(events: list[Message | bytes]) -> list[Message | bytes]:
    """Pieces that follow each other as one, since their borders mean nothing."""
    result: list[Message | bytes] = []
    for event in events:
        if isinstance(event, bytes) and result and isinstance(result[-1], bytes):
            result[-1] += event
        else:
            result.append(event)
    return result


@given(st.lists(st.one_of(messages, st.binary(min_size=1, max_size=600)), max_size=8), st.data())
def test_what_is_written_is_read_in_whatever_pieces_it_comes(sent: list[Message | bytes], data: st.DataObject) -> None:
    stream = b"".join(
        piece_head(len(each)) + each if isinstance(each, bytes) else encode_message(each) for each in sent
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    reader = TransferReader()
    found: list[Message | bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += reader.receive(stream[start:end])
    assert joined(found) == joined(sent)
    assert reader.error is None
    assert not reader.partial


def test_the_bytes_of_the_documented_example() -> None:
    request = b'\x00\x00\x00\x4b{"type":"fetch","version":1,"id":"5f0c8d21a4b7e390","offset":0,"sha256":""}'
    assert encode_message(Fetch("5f0c8d21a4b7e390")) == request
    assert TransferReader().receive(request) == [Fetch("5f0c8d21a4b7e390")]
    assert piece_head(2) == b"\x80\x00\x00\x02"


@given(st.binary(max_size=400))
def test_any_bytes_give_an_error_or_wait_for_more(data: bytes) -> None:
    reader = TransferReader()
    found = reader.receive(data)
    assert sum(len(each) for each in found if isinstance(each, bytes)) <= len(data)
    assert reader.error is not None or reader.partial or found or not data


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b"[" * 4000,
        b"[]",
        b"{}",
        b'{"type":"else"}',
        b'{"type":5}',
        b'{"type":"fetch","id":"a","offset":0,"sha256":""}',
        b'{"type":"fetch","version":true,"id":"a","offset":0,"sha256":""}',
        b'{"type":"fetch","version":2,"id":"a","offset":0,"sha256":""}',
        b'{"type":"fetch","version":1,"id":"","offset":0,"sha256":""}',
        b'{"type":"fetch","version":1,"id":"../a","offset":0,"sha256":""}',
        b'{"type":"fetch","version":1,"id":"a","offset":true,"sha256":""}',
        b'{"type":"fetch","version":1,"id":"a","offset":-1,"sha256":""}',
        b'{"type":"fetch","version":1,"id":"a","offset":1,"sha256":""}',
        b'{"type":"fetch","version":1,"id":"a","offset":0,"sha256":"AB"}',
        b'{"type":"file","size":9223372036854775808,"sha256":"%b"}' % SHA256.encode(),
        b'{"type":"file","size":1.5,"sha256":"%b"}' % SHA256.encode(),
        b'{"type":"file","size":1,"sha256":""}',
        b'{"type":"failed","code":"busy"}',
        b'{"type":"offer","version":2,"id":"a","name":"b","size":1,"sha256":"%b","text":""}' % SHA256.encode(),
        b'{"type":"offer","version":1,"id":"a","name":"","size":1,"sha256":"%b","text":""}' % SHA256.encode(),
        b'{"type":"offer","version":1,"id":"a","name":"b","size":true,"sha256":"%b","text":""}' % SHA256.encode(),
        b'{"type":"offer","version":1,"id":"/","name":"b","size":1,"sha256":"%b","text":""}' % SHA256.encode(),
        b'{"type":"offer","version":1,"id":"a","name":"\\ud800","size":1,"sha256":"%b","text":""}' % SHA256.encode(),
        b'{"type":"offer","version":1,"id":"a","name":"b","size":1,"sha256":"%b","text":"%b"}'
        % (SHA256.encode(), b"x" * 4097),
    ],
)
def test_what_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_message(body)
    reader = TransferReader()
    found = reader.receive(encode_message(Preparing()) + as_frame(body) + encode_message(End()))
    assert found == [Preparing()]
    assert reader.error is not None
    assert reader.receive(encode_message(End())) == []


@pytest.mark.parametrize(
    "message",
    [
        Fetch("1", 2, SHA256),
        Announcement("1", "name", 2, SHA256, "words"),
        FileHead(2, SHA256),
        Failed(FailureCode.BUSY, "later"),
        Preparing(),
        End(),
        Taken(),
        Received(),
    ],
    ids=lambda message: type(message).__name__,
)
def test_each_message_is_read_as_it_was_written(message: Message) -> None:
    assert decode_message(encode_message(message)[HEAD_SIZE:]) == message


def test_the_longest_offer_fits_into_a_message() -> None:
    offer = Announcement("a" * 64, "\x01" * MAX_NAME, MAX_SIZE, SHA256, "\x01" * MAX_TEXT)
    assert TransferReader().receive(encode_message(offer)) == [offer]


def test_members_and_codes_of_later_versions_are_no_error() -> None:
    assert decode_message(b'{"type":"end","more":[1]}') == End()
    assert decode_message(b'{"type":"failed","code":"moon","reason":"full"}') == Failed(FailureCode.OTHER, "full")


def test_a_reason_is_cut_and_holds_nothing_that_commands_a_terminal() -> None:
    failed = decode_message(encode_message(Failed(FailureCode.BUSY, "\x1b[2Jno\n" + "x" * 4000))[HEAD_SIZE:])
    assert isinstance(failed, Failed)
    assert failed.reason.startswith("[2Jnox")
    assert len(failed.reason) <= MAX_REASON
    longest = encode_message(Failed(FailureCode.OTHER, "\U00020000" * 4000))
    assert len(longest) < MAX_MESSAGE


@pytest.mark.parametrize("head", [0, MAX_MESSAGE + 1, 1 << 31, (1 << 31) + MAX_PIECE + 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_frame_of_a_forbidden_length_is_refused_at_its_head(head: int) -> None:
    reader = TransferReader()
    assert reader.receive(head.to_bytes(4, "big")) == []
    assert reader.error is not None


def test_what_is_incomplete_is_known() -> None:
    for begin in (b"\x00\x00", encode_message(End())[:-1], piece_head(2), piece_head(2) + b"a"):
        reader = TransferReader()
        reader.receive(begin)
        assert reader.partial


@pytest.mark.parametrize("size", [0, MAX_PIECE + 1])
def test_a_piece_of_a_forbidden_length_is_not_written(size: int) -> None:
    with pytest.raises(LocalProtocolError):
        piece_head(size)
