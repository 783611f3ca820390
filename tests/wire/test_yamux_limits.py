"""What a session refuses: streams above its limits, foreign ids, floods, too many bytes."""

from __future__ import annotations

import pytest

from skywire.errors import LocalProtocolError
from skywire.wire.yamux import (
    Config,
    DataReceived,
    ResetCause,
    Role,
    Session,
    StreamAccepted,
    StreamOffered,
    StreamReset,
)
from skywire.wire.yamux.frame import ACK, FIN, PING, RST, SYN, WINDOW_UPDATE, encode_header
from skywire.wire.yamux.identifier import MAX_LOCAL_ID
from tests.wire.yamux_link import (
    Cut,
    Frame,
    bytewise,
    data_frame,
    described,
    failure,
    feed,
    pair,
    sent,
    sent_frames,
    syn,
    transfer,
    whole,
)


def test_own_opens_are_limited_until_they_are_acknowledged() -> None:
    client, server = pair(Config(open_backlog=3))
    assert client.open_slots == 3
    ids = [client.open(0.0) for _ in range(3)]
    assert ids == [1, 3, 5]
    assert (client.open_slots, client.leaving) == (0, False)
    with pytest.raises(LocalProtocolError, match="3 wait"):
        client.open(0.0)
    client.finish(1, 0.0)
    assert client.open_slots == 0, "the peer has not acknowledged it all the same"
    transfer(client, server)
    for stream_id in ids[:2]:
        server.accept(stream_id)
    server.reset(5)
    assert transfer(server, client) == [StreamAccepted(1), StreamAccepted(3), StreamReset(5, ResetCause.PEER)]
    assert client.open_slots == 3
    assert client.open(0.0) == 7


def test_streams_that_wait_for_accept_are_limited() -> None:
    server = Session(Role.SERVER, now=0.0, config=Config(accept_backlog=2))
    assert server.receive(syn(1) + syn(3) + syn(5), 0.0) == [StreamOffered(1), StreamOffered(3)]
    assert sent_frames(server) == [Frame(WINDOW_UPDATE | RST, 5, 0)]
    server.accept(3)
    assert server.receive(syn(7) + encode_header(WINDOW_UPDATE | RST, 1, 0) + syn(9) + syn(11), 0.0) == [
        StreamOffered(7),
        StreamReset(1, ResetCause.PEER),
        StreamOffered(9),
    ]


def test_streams_of_both_sides_together_are_limited() -> None:
    server = Session(Role.SERVER, now=0.0, config=Config(max_streams=3))
    server.open(0.0)
    assert server.receive(syn(1) + syn(3), 0.0) == [StreamOffered(1), StreamOffered(3)]
    assert server.open_slots == 0
    sent(server)
    data = syn(5) + data_frame(7, b"body", SYN | FIN)
    assert server.receive(data, 0.0) == []
    assert server.discarded == 4
    assert sent_frames(server) == [Frame(WINDOW_UPDATE | RST, 5, 0), Frame(WINDOW_UPDATE | RST, 7, 0)]
    server.reset(1)
    assert server.receive(syn(9), 0.0) == [StreamOffered(9)]


def test_the_default_limits_admit_what_upstream_does() -> None:
    client, server = pair()
    assert client.open_slots == 256
    assert len(server.receive(b"".join(syn(1 + 2 * index) for index in range(513)), 0.0)) == 512
    for index in range(2048):
        server.receive(syn(2001 + 2 * index), 0.0)
        server.accept(2001 + 2 * index)
        server.accept(1 + 2 * index)
    assert server.stream_count == 2048


def test_an_id_is_never_used_again() -> None:
    server = Session(Role.SERVER, now=0.0)
    end = encode_header(WINDOW_UPDATE | RST, 5, 0)
    assert server.receive(syn(5) + end + syn(5), 0.0) == [StreamOffered(5), StreamReset(5, ResetCause.PEER)]
    assert sent_frames(server) == [Frame(WINDOW_UPDATE | RST, 5, 0)]
    assert server.receive(syn(3) + syn(1), 0.0) == [StreamOffered(3), StreamOffered(1)]


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("delta", [0, 2, 1000])
def test_the_peer_opens_only_its_own_ids(role: Role, delta: int) -> None:
    session = Session(role, now=0.0)
    assert "not one of its ids" in str(failure(session.receive(syn(role.value + delta), 0.0)))
    session = Session(role, now=0.0)
    assert "not one of its ids" in str(failure(session.receive(syn(0), 0.0)))


def test_ids_run_out() -> None:
    client = Session(Role.CLIENT, now=0.0)
    client._table._local_ids._next = MAX_LOCAL_ID
    assert client.open(0.0) == MAX_LOCAL_ID
    assert (client.leaving, client.open_slots, client._table.open_slots) == (True, 0, 0)
    with pytest.raises(LocalProtocolError, match="any more"):
        client.open(0.0)


def test_no_more_is_held_than_the_limit_of_the_session() -> None:
    config = Config(max_held=1000)
    server = Session(Role.SERVER, now=0.0, config=config)
    for stream_id in (1, 3, 5):
        server.receive(syn(stream_id), 0.0)
        server.accept(stream_id)
    sent(server)
    assert server.receive(data_frame(1, bytes(600)) + data_frame(3, bytes(400)), 0.0) == [
        DataReceived(1, bytes(600)),
        DataReceived(3, bytes(400)),
    ]
    data = data_frame(3, b"") + data_frame(3, b"xy", FIN) + data_frame(3, b"z")
    assert server.receive(data, 0.0) == [StreamReset(3, ResetCause.MEMORY)]
    assert server.discarded == 3
    assert sent_frames(server) == [Frame(WINDOW_UPDATE | RST, 3, 0)]
    assert server.receive(data_frame(5, bytes(300)), 0.0) == [DataReceived(5, bytes(300))], "stream 3 left room"
    server.consumed(1, 600)
    assert server.receive(data_frame(5, bytes(700)), 0.0) == [DataReceived(5, bytes(700))]
    data = data_frame(1, b"a") + data_frame(5, b"b")
    assert server.receive(data, 0.0) == [StreamReset(1, ResetCause.MEMORY), StreamReset(5, ResetCause.MEMORY)]
    assert server._table.room == config.max_held


@pytest.mark.parametrize("pieces", [whole, bytewise])
def test_the_limit_of_the_session_falls_between_frames(pieces: Cut) -> None:
    server = Session(Role.SERVER, now=0.0, config=Config(max_held=10))
    server.receive(syn(1), 0.0)
    data = data_frame(1, b"0123") + data_frame(1, b"4567") + data_frame(1, b"89ab") + data_frame(1, b"cd")
    assert described(feed(server, pieces(data))) == described(
        [DataReceived(1, b"01234567"), StreamReset(1, ResetCause.MEMORY)]
    )


@pytest.mark.parametrize("cut", [whole, bytewise])
@pytest.mark.parametrize("flood", ["pings", "opens", "opens after a go-away"])
def test_a_peer_that_asks_and_does_not_read(flood: str, cut: Cut) -> None:
    config = Config(accept_backlog=1, max_control=50)
    server = Session(Role.SERVER, now=0.0, config=config)
    if flood == "opens after a go-away":
        server.go_away()
    questions = [encode_header(PING | SYN, 0, index) if flood == "pings" else syn(1 + 2 * index) for index in range(99)]
    events = feed(server, cut(b"".join(questions)))
    assert "does not read" in str(failure(events))
    assert len(events) == (2 if flood == "opens" else 1)
    assert len(sent_frames(server)) == config.max_control + 1


def test_a_peer_that_makes_the_application_answer_and_does_not_read() -> None:
    server = Session(Role.SERVER, now=0.0, config=Config(max_control=50))
    for index in range(50):
        stream_id = 1 + 2 * index
        assert server.receive(syn(stream_id), 0.0) == [StreamOffered(stream_id)]
        server.accept(stream_id)
    assert server.receive(b"", 0.0) == []
    assert "does not read" in str(failure(server.receive(syn(1001), 0.0)))


def test_a_peer_that_reads_may_ask_for_ever() -> None:
    server = Session(Role.SERVER, now=0.0, config=Config(max_control=50))
    for index in range(1000):
        assert server.receive(encode_header(PING | SYN, 0, index), 0.0) == []
        assert sent_frames(server) == [Frame(PING | ACK, 0, index)]
