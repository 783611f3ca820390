"""The streams of a session: their life, bodies that come in pieces, windows."""

from __future__ import annotations

import pytest

from skywire.errors import LocalProtocolError, NetworkError
from skywire.wire.yamux import (
    WINDOW,
    DataReceived,
    GoAwayReason,
    Role,
    Session,
    SessionFailed,
    StreamAccepted,
    StreamFinished,
    StreamOffered,
    WindowOpened,
)
from skywire.wire.yamux.frame import ACK, DATA, FIN, GO_AWAY, RST, SYN, WINDOW_UPDATE, encode_header
from tests.wire.yamux_link import (
    Cut,
    Frame,
    assert_dead,
    bytewise,
    data_frame,
    described,
    failure,
    feed,
    opened,
    pair,
    sent,
    sent_frames,
    transfer,
    whole,
)

HALF = WINDOW // 2


@pytest.mark.parametrize("cut", [1, 5, 1 << 20])
@pytest.mark.parametrize("opener", Role)
def test_the_life_of_a_stream(opener: Role, cut: int) -> None:
    client, server = pair()
    ours, theirs = (client, server) if opener is Role.CLIENT else (server, client)
    stream_id = ours.open(0.0)
    assert stream_id == opener.value
    assert ours.send(stream_id, b"question") == 8
    assert described(transfer(ours, theirs, cut=cut)) == described(
        [StreamOffered(stream_id), DataReceived(stream_id, b"question")]
    )
    theirs.accept(stream_id)
    theirs.consumed(stream_id, 8)
    assert transfer(theirs, ours, cut=cut) == [StreamAccepted(stream_id)]
    ours.finish(stream_id, 0.0)
    assert transfer(ours, theirs, cut=cut) == [StreamFinished(stream_id)]
    assert theirs.send(stream_id, memoryview(b"an answer")[3:]) == 6
    theirs.finish(stream_id, 0.0)
    assert theirs.stream_count == 0
    assert described(transfer(theirs, ours, cut=cut)) == described(
        [DataReceived(stream_id, b"answer"), StreamFinished(stream_id)]
    )
    assert ours.stream_count == 0
    ours.consumed(stream_id, 6)
    assert sent(ours) == b""


def test_finish_is_sent_once() -> None:
    client, _, stream_id = opened()
    client.finish(stream_id, 0.0)
    client.finish(stream_id, 0.0)
    assert sent_frames(client) == [Frame(WINDOW_UPDATE | FIN, stream_id, 0)]


def test_a_stream_that_was_never_accepted_may_be_answered() -> None:
    client, server = pair()
    stream_id = client.open(0.0)
    transfer(client, server)
    assert server.send(stream_id, b"answer") == 6
    server.accept(stream_id)
    assert transfer(server, client) == [StreamAccepted(stream_id), DataReceived(stream_id, b"answer")]


def test_data_that_races_with_fin_is_dropped() -> None:
    """Upstream may queue bytes behind its own FIN, when it writes and closes at the same time."""
    client, _, stream_id = opened()
    late = encode_header(WINDOW_UPDATE | FIN, stream_id, 0) + data_frame(stream_id, b"late")
    assert client.receive(late, 0.0) == [StreamFinished(stream_id)]
    assert client.discarded == 4
    assert client.send(stream_id, b"still open") == 10


def test_bodies_of_adjacent_frames_come_as_one_event() -> None:
    client, _, first = opened()
    second = client.open(0.0)
    data = b"".join(data_frame(first, bytes([65 + index])) for index in range(5))
    data += data_frame(second, b"x") + data_frame(first, b"F") + encode_header(WINDOW_UPDATE, first, 1)
    data += data_frame(first, b"G") + data_frame(first, b"") + data_frame(first, b"H") + data_frame(first, b"I")[:-1]
    assert client.receive(data, 0.0) == [
        DataReceived(first, b"ABCDE"),
        DataReceived(second, b"x"),
        DataReceived(first, b"F"),
        DataReceived(first, b"GH"),
    ]
    assert client.receive(b"I" + data_frame(first, b"J"), 0.0) == [DataReceived(first, b"IJ")]


def test_a_body_is_handed_out_as_it_comes_and_not_copied_when_it_fills_the_input() -> None:
    client, _, stream_id = opened()
    assert client.receive(encode_header(DATA, stream_id, WINDOW), 0.0) == []
    piece = b"x" * HALF
    (event,) = client.receive(piece, 0.0)
    assert isinstance(event, DataReceived)
    assert event.data is piece
    with pytest.raises(LocalProtocolError):
        client.consumed(stream_id, HALF + 1)
    client.consumed(stream_id, HALF)
    assert sent_frames(client) == [Frame(WINDOW_UPDATE, stream_id, HALF)]
    assert client.receive(piece, 0.0) == [DataReceived(stream_id, piece)]


def test_fin_on_a_data_frame_counts_when_its_body_is_complete() -> None:
    client, _, stream_id = opened()
    data = data_frame(stream_id, b"last words", FIN)
    assert client.receive(data[:15], 0.0) == [DataReceived(stream_id, b"las")]
    assert client.receive(data[15:], 0.0) == [DataReceived(stream_id, b"t words"), StreamFinished(stream_id)]


def test_bytes_behind_a_body_with_fin_are_dropped() -> None:
    client, _, stream_id = opened()
    data = data_frame(stream_id, b"last", FIN) + data_frame(stream_id, b"late")
    assert client.receive(data[:14], 0.0) == [DataReceived(stream_id, b"la")]
    assert client.receive(data[14:], 0.0) == [DataReceived(stream_id, b"st"), StreamFinished(stream_id)]
    assert client.discarded == 4


def test_a_stream_that_is_reset_inside_a_body() -> None:
    client, _, stream_id = opened()
    data = data_frame(stream_id, b"0123456789", FIN) + data_frame(stream_id, b"more")
    assert client.receive(data[:14], 0.0) == [DataReceived(stream_id, b"01")]
    client.reset(stream_id)
    assert client.receive(data[14:], 0.0) == []
    assert client.discarded == 12
    client.consumed(stream_id, 2)
    assert sent_frames(client) == [Frame(WINDOW_UPDATE | RST, stream_id, 0)]


def test_a_stream_that_is_opened_inside_a_body_for_its_id() -> None:
    client, server = pair()
    data = data_frame(1, b"0123456789") + data_frame(1, b"abc")
    assert client.receive(data[:14], 0.0) == []
    assert client.open(0.0) == 1
    assert client.receive(data[14:], 0.0) == [DataReceived(1, b"abc")]
    assert client.discarded == 10
    client.consumed(1, 3)
    with pytest.raises(LocalProtocolError):
        client.consumed(1, 1)
    assert transfer(client, server) == [StreamOffered(1)]


@pytest.mark.parametrize("pieces", [whole, bytewise])
def test_data_for_streams_that_do_not_exist(pieces: Cut) -> None:
    client, _, stream_id = opened()
    client.reset(stream_id)
    sent(client)
    data = data_frame(stream_id, b"abc") + data_frame(77, b"de") + data_frame(0, b"f", ACK) + data_frame(8, b"g", FIN)
    data += encode_header(WINDOW_UPDATE | RST, 9, 0) + encode_header(WINDOW_UPDATE, 9, 0xFFFFFFFF)
    assert feed(client, pieces(data)) == []
    assert client.discarded == 7
    assert sent(client) == b""
    assert not client.over


def test_a_window_runs_dry_and_opens() -> None:
    client, server, stream_id = opened()
    assert client.send(stream_id, bytes(WINDOW - 1)) == WINDOW - 1
    assert client.send(stream_id, b"ab") == 1
    assert client.send(stream_id, b"b") == 0
    assert client.send_window(stream_id) == 0
    events = transfer(client, server)
    assert events == [DataReceived(stream_id, bytes(WINDOW - 1) + b"a")]
    server.consumed(stream_id, HALF - 1)
    assert sent(server) == b""
    server.consumed(stream_id, 1)
    assert transfer(server, client) == [WindowOpened(stream_id)]
    assert client.send_window(stream_id) == HALF
    server.consumed(stream_id, HALF)
    assert transfer(server, client) == [], "it was open already"
    assert client.send_window(stream_id) == WINDOW


def test_one_frame_holds_what_the_window_lets_through_and_the_body_is_not_copied() -> None:
    client, _, stream_id = opened()
    data = bytes(WINDOW + 5)
    assert client.send(stream_id, data) == WINDOW
    header, body = client.data_to_send()
    assert header == encode_header(DATA, stream_id, WINDOW)
    assert isinstance(body, memoryview)
    assert body.obj is data
    assert body.nbytes == WINDOW


@pytest.mark.parametrize("excess", [0, 1])
@pytest.mark.parametrize("pieces", [whole, lambda data: [data[:3], data[3:20], data[20:]]])
def test_the_peer_must_keep_to_its_window(pieces: Cut, excess: int) -> None:
    client, _, stream_id = opened()
    data = data_frame(stream_id, bytes(WINDOW - 10)) + data_frame(stream_id, bytes(10 + excess))
    events = feed(client, pieces(data))
    received = sum(len(event.data) for event in events if isinstance(event, DataReceived))
    if excess:
        assert "exceeds the receive window" in str(failure(events))
        assert received == WINDOW - 10
        assert sent_frames(client) == [Frame(GO_AWAY, 0, GoAwayReason.PROTOCOL_ERROR)]
        assert_dead(client)
    else:
        assert received == WINDOW
        assert not client.over


def test_a_window_is_not_wider_for_what_was_consumed_and_not_credited() -> None:
    client, _, stream_id = opened()
    client.receive(data_frame(stream_id, bytes(WINDOW)), 0.0)
    client.consumed(stream_id, HALF - 1)
    assert sent(client) == b""
    assert "exceeds" in str(failure(client.receive(data_frame(stream_id, b"x"), 0.0)))


def test_no_credit_after_the_peer_finished() -> None:
    client, _, stream_id = opened()
    client.receive(data_frame(stream_id, bytes(WINDOW), FIN), 0.0)
    client.consumed(stream_id, WINDOW)
    assert sent(client) == b""
    with pytest.raises(LocalProtocolError):
        client.consumed(stream_id, 1)


def test_credit_on_an_offered_stream_acknowledges_it() -> None:
    client, server = pair()
    stream_id = client.open(0.0)
    client.send(stream_id, b"hello")
    transfer(client, server)
    server.consumed(stream_id, 2)
    server.consumed(stream_id, 3)
    server.accept(stream_id)
    assert sent_frames(server) == [Frame(WINDOW_UPDATE | ACK, stream_id, 2)]


def test_a_window_update_may_open_a_stream_and_widen_it() -> None:
    server = Session(Role.SERVER, now=0.0)
    assert server.receive(encode_header(WINDOW_UPDATE | SYN, 1, 1000), 0.0) == [StreamOffered(1)]
    assert server.send_window(1) == WINDOW + 1000


def test_send_window_overflow_ends_the_session() -> None:
    client, _, stream_id = opened()
    assert "overflows" in str(failure(client.receive(encode_header(WINDOW_UPDATE, stream_id, 0xFFFFFFFF), 0.0)))


def test_a_session_that_its_owner_gives_up() -> None:
    client, _, stream_id = opened()
    error = NetworkError("the connection broke")
    assert client.fail(error) == [SessionFailed(error)]
    assert_dead(client)
    assert client.fail(error) == []
    assert client.send_window(stream_id) == 0
