"""Sealed messages and records against the vectors, and as properties."""

from __future__ import annotations

import hashlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skywire.errors import AuthenticationError, LocalProtocolError, ProtocolError
from skywire.wire.records import (
    MAX_COUNTER,
    MAX_OBJECT_BODY,
    MAX_RECORD,
    MAX_RECORD_BODY,
    WINDOW_BITS,
    RecordReader,
    Sealer,
    WindowOpener,
    frame,
    split_frame,
)
from tests.vectors_io import Vector, load

NOISE = load("noise.json")
KEY = b"k" * 32


def received(reader: RecordReader, data: bytes) -> list[bytes]:
    """All records that ``data`` completes."""
    reader.feed(data)
    return list(iter(reader.take_record, b""))


@pytest.mark.parametrize("case", NOISE.many("handshakes"))
@pytest.mark.parametrize("direction", ["init_to_resp", "resp_to_init"])
def test_recorded_records(case: Vector, direction: str) -> None:
    key = case.data(f"{direction}_key")
    sealer, framer, opener, reader = Sealer(key), Sealer(key), WindowOpener(key), RecordReader(key)
    for recorded in case.many(f"frames_{direction}"):
        plaintext = recorded.data("plaintext")
        assert sealer.seal(plaintext) == recorded.data("ciphertext")
        assert frame(recorded.data("ciphertext")) == recorded.data("frame")
        assert opener.open(recorded.data("ciphertext")) == plaintext
        if plaintext:
            assert framer.seal_records(plaintext) == recorded.data("frame")
        else:
            framer.seal(b"")
        assert received(reader, recorded.data("frame")) == ([plaintext] if plaintext else [])


def test_recorded_writes_are_cut_alike() -> None:
    case = NOISE.one("read_writer")
    sealer, reader = Sealer(case.data("init_to_resp_key")), RecordReader(case.data("init_to_resp_key"))
    for write in case.many("writes_init_to_resp"):
        plaintext = bytes(7 * j % 256 for j in range(write.number("plaintext_len")))
        output = sealer.seal_records(plaintext)
        assert len(output) == write.number("output_len")
        assert hashlib.sha256(output).hexdigest() == write.text("output_sha256")
        assert output.startswith(write.data("output_first_64"))
        records = received(reader, output)
        assert [len(record) + 24 for record in records] == write.numbers("frame_lengths")
        assert b"".join(records) == plaintext


def test_recorded_verdicts_of_a_stream() -> None:
    """Go's reader goes on after a failure, and counts the failed message too. Ours ends, so each step has one of its
    own, brought to where Go's stood.
    """
    case = NOISE.one("transport_verdicts")
    highest = 0
    for step in case.many("steps_decrypt_unsafe"):
        reader = RecordReader(case.data("init_to_resp_key"))
        reader._highest = highest
        records = received(reader, frame(step.data("ciphertext")))
        if step.flag("ok"):
            assert records == [step.data("plaintext")]
            assert reader._highest == step.number("receiver_nonce_after")
        else:
            assert records == []
            assert isinstance(reader.error, ProtocolError)
        highest = step.number("receiver_nonce_after")


def test_recorded_verdicts_of_session_objects_but_replays_are_refused() -> None:
    case = NOISE.one("transport_verdicts")
    opener = WindowOpener(case.data("init_to_resp_key"))
    for step in case.many("steps_decrypt_with_nonce_map"):
        if "again" in step.text("note"):
            with pytest.raises(ProtocolError, match="repeated"):
                opener.open(step.data("ciphertext"))
        else:
            assert opener.open(step.data("ciphertext")) == step.data("plaintext")


def test_objects_of_the_recorded_session() -> None:
    transcript, parsed = load("session_transcript.json"), load("session_parsed.json")
    sessions = {case.text("init_pk"): case for case in transcript.many("handshakes") if case.text("pattern") == "XK"}
    streams = [case for case in transcript.many("handshakes") if case.text("pattern") == "KK"]
    seen = 0
    for client in ("A", "B"):
        keys = sessions[parsed.one(client).text("client_pk")]
        openers = {
            "client_to_server": WindowOpener(keys.data("init_to_resp_key")),
            "server_to_client": WindowOpener(keys.data("resp_to_init_key")),
        }
        for stream in parsed.one(client).many("streams"):
            for direction, opener in openers.items():
                rest = stream.data(direction)
                if not rest:
                    continue
                cut = split_frame(rest, MAX_OBJECT_BODY)
                assert cut is not None
                recorded = stream.one(f"object_{direction}")
                plaintext = opener.open(cut[0])
                assert plaintext == recorded.data("signature") + recorded.data("gob")
                if f"frames_{direction}" in stream:
                    assert opened_by_one_of(streams, cut[1]) == [
                        (frame.number("frame_length"), frame.number("plaintext_length"))
                        for frame in stream.many(f"frames_{direction}")
                    ]
                    seen += 1
    assert seen == 8


def opened_by_one_of(streams: list[Vector], data: bytes) -> list[tuple[int, int]]:
    for stream in streams:
        for name in ("init_to_resp_key", "resp_to_init_key"):
            reader = RecordReader(stream.data(name))
            records = received(reader, data)
            if reader.error is None:
                assert not reader.partial
                return [(len(record) + 24, len(record)) for record in records]
    raise AssertionError("no recorded stream key opens these records")


@given(st.binary(max_size=3 * MAX_RECORD + 5))
def test_what_is_sealed_is_opened(data: bytes) -> None:
    sealed = Sealer(KEY).seal_records(data)
    assert Sealer(KEY).seal_records(memoryview(data)) == sealed
    reader = RecordReader(KEY)
    records = received(reader, sealed)
    assert b"".join(records) == data
    assert all(len(record) == MAX_RECORD for record in records[:-1])
    assert not reader.partial
    assert reader.error is None


def some_stream(draw: st.DataObject) -> bytes:
    """Records, empty ones among them, and perhaps one altered byte or garbage behind."""
    sealer = Sealer(KEY)
    stream = bytearray()
    for size in draw.draw(st.lists(st.sampled_from([0, 1, 2, 100, MAX_RECORD]), max_size=4)):
        stream += frame(sealer.seal(bytes(size)))
    if stream and draw.draw(st.booleans()):
        stream[draw.draw(st.integers(0, len(stream) - 1))] ^= draw.draw(st.integers(1, 255))
    return bytes(stream) + draw.draw(st.binary(max_size=4))


@given(st.data())
def test_whole_input_equals_input_in_pieces(data: st.DataObject) -> None:
    stream = some_stream(data)
    whole, pieces = RecordReader(KEY), RecordReader(KEY)
    expected = received(whole, stream)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    records = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        records += received(pieces, stream[start:end])
    assert records == expected
    assert str(pieces.error) == str(whole.error)
    assert pieces.partial == whole.partial


@given(st.data(), st.lists(st.integers(0, 2 * MAX_RECORD), min_size=1))
def test_bytes_are_taken_as_asked_for(data: st.DataObject, asked: list[int]) -> None:
    """Taking some bytes, or a record (0), in any order, neither loses nor reorders anything."""
    stream = some_stream(data)
    cut = data.draw(st.integers(0, len(stream)))
    reader = RecordReader(KEY)
    sizes = itertools.cycle(asked)
    taken = b""
    for part in (stream[:cut], stream[cut:]):
        reader.feed(part)
        while True:
            size = next(sizes)
            piece = reader.take(size) if size else reader.take_record()
            if not piece:
                break
            assert len(piece) <= (size or MAX_RECORD)
            taken += piece
        assert not reader.waiting
    assert taken == b"".join(received(RecordReader(KEY), stream))


def test_whole_records_are_taken_where_they_fit() -> None:
    reader = RecordReader(KEY)
    sealer = Sealer(KEY)
    reader.feed(b"".join(sealer.seal_records(record) for record in (b"aa", b"bbb", b"c", b"dd")))
    assert reader.take(4) == b"aa"
    assert reader.take(1) == b"b"
    assert reader.take_record() == b"bb"
    assert reader.take(3) == b"cdd"
    assert reader.take(9) == b""


def test_byte_by_byte() -> None:
    sealer = Sealer(KEY)
    stream = sealer.seal_records(b"a" * 5000) + frame(sealer.seal(b"")) + sealer.seal_records(b"z")
    reader = RecordReader(KEY)
    records = [record for byte in stream for record in received(reader, bytes([byte]))]
    assert records == [b"a" * MAX_RECORD, b"a" * (5000 - MAX_RECORD), b"z"]


@given(st.binary(max_size=200))
def test_arbitrary_bytes_end_in_the_protocol_error_or_wait_for_more(data: bytes) -> None:
    reader = RecordReader(KEY)
    assert received(reader, data) == []
    assert isinstance(reader.error, ProtocolError) or len(data) < 2 + max(24, int.from_bytes(data[:2], "big"))
    with pytest.raises(ProtocolError):
        WindowOpener(KEY).open(data)


@pytest.mark.parametrize("length", [0, 7, 8, 23, MAX_RECORD_BODY + 1, 0xFFFF])
def test_a_bad_length_is_fatal_as_soon_as_it_is_there(length: int) -> None:
    reader = RecordReader(KEY)
    sealer = Sealer(KEY)
    assert received(reader, sealer.seal_records(b"good") + length.to_bytes(2, "big")) == [b"good"]
    assert isinstance(reader.error, ProtocolError)
    assert received(reader, sealer.seal_records(b"more")) == []


@pytest.mark.parametrize("order", [[1, 1], [2, 1], [3, 3]])
def test_a_stream_refuses_repeated_and_late_counters(order: list[int]) -> None:
    sealer = Sealer(KEY)
    messages = {counter: frame(sealer.seal(b"x")) for counter in range(1, 4)}
    reader = RecordReader(KEY)
    assert received(reader, b"".join(messages[counter] for counter in order)) == [b"x"]
    assert "repeated" in str(reader.error)


def test_gaps_are_allowed_in_a_stream() -> None:
    sealer = Sealer(KEY)
    messages = [frame(sealer.seal(bytes([n]))) for n in range(9)]
    reader = RecordReader(KEY)
    assert received(reader, messages[0] + messages[4] + messages[8]) == [b"\x00", b"\x04", b"\x08"]


def test_a_forged_record_is_named_as_such() -> None:
    reader = RecordReader(KEY)
    received(reader, Sealer(b"x" * 32).seal_records(b"hello"))
    assert isinstance(reader.error, AuthenticationError)


@given(st.lists(st.integers(1, 3 * WINDOW_BITS), max_size=40))
def test_the_window_takes_each_counter_once_in_any_order(counters: list[int]) -> None:
    opener = WindowOpener(KEY)
    taken: set[int] = set()
    for counter in counters:
        sealed = sealed_with(counter)
        highest = max(taken, default=0)
        if counter in taken or counter <= highest - WINDOW_BITS:
            with pytest.raises(ProtocolError, match="repeated"):
                opener.open(sealed)
        else:
            assert opener.open(sealed) == b"x"
            taken.add(counter)


def test_a_forged_counter_does_not_move_the_window() -> None:
    opener = WindowOpener(KEY)
    forged = (2**63).to_bytes(8, "big") + sealed_with(1)[8:]
    with pytest.raises(AuthenticationError):
        opener.open(forged)
    assert opener.open(sealed_with(1)) == b"x"
    with pytest.raises(ProtocolError):
        opener.open(sealed_with(0))


def sealed_with(counter: int) -> bytes:
    sealer = Sealer(KEY)
    sealer._counter = counter - 1
    return sealer.seal(b"x")


def test_the_counter_never_wraps() -> None:
    sealer = Sealer(KEY)
    sealer._counter = MAX_COUNTER - 2
    with pytest.raises(LocalProtocolError, match="as many messages"):
        sealer.seal_records(bytes(3 * MAX_RECORD))
    sealer.seal(b"last but one")
    sealer.seal_records(b"last")
    with pytest.raises(LocalProtocolError):
        sealer.seal(b"")


@given(st.binary(max_size=300), st.binary(max_size=5))
def test_frames_are_split_where_they_were_joined(body: bytes, rest: bytes) -> None:
    data = frame(body) + rest
    assert split_frame(data) == (body, rest)
    assert all(split_frame(data[:size]) is None for size in range(2 + len(body)))


def test_frame_limits() -> None:
    with pytest.raises(ProtocolError, match="limit is 4094"):
        split_frame(b"\x0f\xff")
    assert split_frame(b"\x0f\xff", MAX_OBJECT_BODY) is None
    assert frame(bytes(MAX_OBJECT_BODY))[:2] == b"\xff\xff"
    with pytest.raises(LocalProtocolError):
        frame(bytes(MAX_OBJECT_BODY + 1))
