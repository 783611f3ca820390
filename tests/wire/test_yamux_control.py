"""Pings, go-aways, and the ways a session ends."""

from __future__ import annotations

import pytest

from skywire.errors import LocalProtocolError
from skywire.wire.yamux import (
    Config,
    DataReceived,
    GoAwayReason,
    GoAwayReceived,
    PeerGoneAway,
    PingAnswered,
    ResetCause,
    SessionEnded,
    StreamOffered,
    StreamReset,
)
from skywire.wire.yamux.frame import ACK, DATA, GO_AWAY, PING, SYN, encode_header
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
    syn,
    transfer,
    whole,
)


def test_ping_and_answer() -> None:
    client, server = pair()
    assert [client.ping(1.0), client.ping(1.5)] == [0, 1]
    assert transfer(client, server) == []
    assert transfer(server, client, 3.0) == [PingAnswered(0, 2.0), PingAnswered(1, 1.5)]


def test_ping_ids_wrap() -> None:
    client, _ = pair()
    client._keepalive._next_id = 0xFFFFFFFF
    assert [client.ping(0.0), client.ping(0.0)] == [0xFFFFFFFF, 0]
    assert sent_frames(client) == [Frame(PING | SYN, 0, 0xFFFFFFFF), Frame(PING | SYN, 0, 0)]


def test_pings_overtake_bulk_data() -> None:
    client, _, stream_id = opened()
    client.send(stream_id, b"bulk")
    client.receive(encode_header(PING | SYN, 0, 99), 0.0)
    assert sent_frames(client) == [Frame(PING | ACK, 0, 99), Frame(DATA, stream_id, 4, b"bulk")]


@pytest.mark.parametrize(
    ("frame", "answered"),
    [
        (Frame(PING | SYN, 0, 7), True),
        (Frame(PING | SYN | ACK, 0, 7), True),
        (Frame(PING | SYN, 5, 7), True),
        (Frame(PING | ACK, 0, 7), False),
        (Frame(PING, 0, 7), False),
    ],
)
def test_what_counts_as_a_ping(frame: Frame, answered: bool) -> None:
    client, _ = pair()
    assert client.receive(frame.encoded, 0.0) == []
    assert sent_frames(client) == [Frame(PING | ACK, 0, 7)] * answered


def test_own_pings_are_limited() -> None:
    client, server = pair(Config(max_pings=2))
    client.ping(0.0)
    client.ping(0.0)
    with pytest.raises(LocalProtocolError, match="2 pings"):
        client.ping(0.0)
    transfer(client, server)
    transfer(server, client)
    assert client.ping(0.0) == 2


def test_a_go_away_leaves_the_streams_that_there_are() -> None:
    client, server, stream_id = opened()
    server.go_away()
    server.go_away()
    assert sent_frames(server) == [Frame(GO_AWAY, 0, GoAwayReason.NORMAL)]
    assert client.receive(encode_header(GO_AWAY, 0, 0) * 2, 0.0) == [GoAwayReceived()]
    for session in (client, server):
        assert (session.leaving, session.open_slots, session.over) == (True, 0, False)
        with pytest.raises(LocalProtocolError, match="any more"):
            session.open(0.0)
    client.send(stream_id, b"x")
    assert transfer(client, server) == [DataReceived(stream_id, b"x")]


def test_streams_offered_after_our_go_away_are_refused() -> None:
    client, server = pair()
    server.go_away()
    client.send(client.open(0.0), b"x")
    assert transfer(client, server) == []
    assert server.discarded == 1
    assert transfer(server, client) == [GoAwayReceived(), StreamReset(1, ResetCause.PEER)]


def test_streams_offered_after_the_peers_go_away_are_taken() -> None:
    client, server = pair()
    server.go_away()
    transfer(server, client)
    assert server.open_slots == 0
    assert client.receive(syn(2), 0.0) == [StreamOffered(2)]


@pytest.mark.parametrize("reason", [1, 2, 3, 0xFFFFFFFF])
def test_another_go_away_ends_the_session(reason: int) -> None:
    client, _, stream_id = opened()
    error = failure(client.receive(data_frame(stream_id, b"x") + encode_header(GO_AWAY, 0, reason), 0.0))
    assert isinstance(error, PeerGoneAway)
    assert error.reason == reason
    assert sent(client) == b""
    assert_dead(client)


@pytest.mark.parametrize("after_normal", [False, True])
@pytest.mark.parametrize("reason", [GoAwayReason.PROTOCOL_ERROR, GoAwayReason.INTERNAL_ERROR])
def test_we_end_the_session_with_a_go_away(reason: GoAwayReason, after_normal: bool) -> None:
    client, _, _ = opened()
    if after_normal:
        client.go_away()
        sent(client)
    client.go_away(reason)
    assert sent_frames(client) == [Frame(GO_AWAY, 0, reason)]
    assert_dead(client)


def test_the_connection_ends_between_frames() -> None:
    client, _, _ = opened()
    assert client.receive_eof() == [SessionEnded()]
    assert_dead(client)


@pytest.mark.parametrize("cut", [1, 11, 12, 15])
def test_the_connection_ends_inside_a_frame(cut: int) -> None:
    client, _, stream_id = opened()
    client.receive(data_frame(stream_id, b"body")[:cut], 0.0)
    assert "inside a frame" in str(failure(client.receive_eof()))
    assert sent(client) == b""
    assert_dead(client)


@pytest.mark.parametrize("pieces", [whole, bytewise])
@pytest.mark.parametrize("bad", ["010000000000000100000000", "000400000000000100000000"])
def test_events_before_a_broken_rule_stay(bad: str, pieces: Cut) -> None:
    client, _, stream_id = opened()
    data = data_frame(stream_id, b"before") + bytes.fromhex(bad) + data_frame(stream_id, b"after")
    events = feed(client, pieces(data))
    assert described(events[:-1]) == described([DataReceived(stream_id, b"before")])
    failure(events)
    assert sent_frames(client) == [Frame(GO_AWAY, 0, GoAwayReason.PROTOCOL_ERROR)]
    assert_dead(client)


def test_what_was_queued_goes_before_the_go_away() -> None:
    client, _, stream_id = opened()
    client.send(stream_id, b"x")
    client.receive(bytes.fromhex("01") + bytes(11), 0.0)
    assert [frame.word for frame in sent_frames(client)] == [DATA, GO_AWAY]
