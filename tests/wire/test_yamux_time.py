"""What the clock does to a session: keepalive, and the limits of pings, opens and closes."""

from __future__ import annotations

import math

import pytest

from skywire.wire.yamux import (
    Config,
    Event,
    PeerSilent,
    PingAnswered,
    PingTimedOut,
    ResetCause,
    Role,
    Session,
    SessionFailed,
    StreamAccepted,
    StreamFinished,
    StreamReset,
)
from skywire.wire.yamux.frame import ACK, FIN, PING, RST, SYN, WINDOW_UPDATE, encode_header
from tests.wire.yamux_link import Frame, data_frame, opened, pair, sent, sent_frames, transfer

QUIET = Config(keepalive_interval=math.inf, open_probe=math.inf)


def ask_again(session: Session, now: float) -> list[Event]:
    """Let the clock run to ``now``; there is nothing before the deadline, and a new deadline after it."""
    deadline = session.next_deadline
    assert deadline is not None
    assert session.handle_timeout(math.nextafter(deadline, 0.0)) == []
    assert session.next_deadline == deadline
    assert deadline <= now
    return session.handle_timeout(now)


def test_a_keepalive_ping_every_interval() -> None:
    client = Session(Role.CLIENT, now=100.0)
    server = Session(Role.SERVER, now=100.0)
    assert client.next_deadline == 130.0
    for ping_id, now in enumerate([130.0, 161.0, 192.0]):
        assert ask_again(client, now) == []
        assert client.next_deadline == now + 10
        assert transfer(client, server, now) == []
        assert transfer(server, client, now + 1.0) == [PingAnswered(ping_id, 1.0)]
        assert client.next_deadline == now + 31.0


def test_a_silent_peer() -> None:
    client, _, stream_id = opened()
    client.receive(data_frame(stream_id, b"x"), 30.0)
    assert client.handle_timeout(30.0) == []
    assert sent_frames(client) == [Frame(PING | SYN, 0, 0)]
    (event,) = ask_again(client, 40.0)
    assert isinstance(event, SessionFailed)
    assert isinstance(event.error, PeerSilent)
    assert "for 10 s" in str(event.error)
    assert client.over
    assert (client.next_deadline, client.stream_count, client.handle_timeout(50.0)) == (None, 0, [])
    assert sent(client) == b""


def test_a_peer_that_speaks_but_whose_answer_is_late_is_alive() -> None:
    client, _, stream_id = opened()
    client.handle_timeout(30.0)
    client.receive(data_frame(stream_id, b"bulk"), 35.0)
    sent(client)
    assert ask_again(client, 40.0) == []
    assert sent(client) == b""
    assert client.next_deadline == 70.0
    assert client.receive(encode_header(PING | ACK, 0, 0), 41.0) == [], "nobody waits for it any more"
    assert ask_again(client, 70.0) == []
    assert sent_frames(client) == [Frame(PING | SYN, 0, 1)]
    assert isinstance(ask_again(client, 80.0)[0], SessionFailed)


def test_a_ping_of_the_application_that_is_not_answered() -> None:
    client, _ = pair(QUIET)
    assert client.next_deadline == math.inf
    client.ping(5.0)
    client.ping(6.0)
    assert ask_again(client, 15.5) == [PingTimedOut(0)]
    assert ask_again(client, 16.0) == [PingTimedOut(1)]
    assert client.receive(encode_header(PING | ACK, 0, 1), 17.0) == []
    assert not client.over


def test_pings_of_the_application_do_not_hold_up_the_keepalive() -> None:
    client, _ = pair(Config(max_pings=1))
    client.ping(25.0)
    client.handle_timeout(30.0)
    assert sent_frames(client) == [Frame(PING | SYN, 0, 0), Frame(PING | SYN, 0, 1)]
    assert ask_again(client, 35.0) == [PingTimedOut(0)]
    assert isinstance(ask_again(client, 40.0)[0], SessionFailed)


def test_an_open_that_is_not_acknowledged_costs_only_that_stream() -> None:
    client, server = pair(QUIET)
    first, second, third = client.open(0.0), client.open(1.0), client.open(2.0)
    transfer(client, server)
    server.accept(second)
    assert transfer(server, client) == [StreamAccepted(second)]
    assert ask_again(client, 75.0) == [StreamReset(first, ResetCause.OPEN_TIMEOUT)]
    assert ask_again(client, 99.0) == [StreamReset(third, ResetCause.OPEN_TIMEOUT)]
    assert sent_frames(client) == [Frame(WINDOW_UPDATE | RST, first, 0), Frame(WINDOW_UPDATE | RST, third, 0)]
    assert (client.stream_count, client.open_slots, client.next_deadline) == (1, 256, math.inf)


def test_an_open_that_waits_has_the_peer_asked_whether_it_lives() -> None:
    client = Session(Role.CLIENT, now=0.0)
    client.open(10.0)
    sent(client)
    assert client.next_deadline == 13.0
    client.receive(encode_header(WINDOW_UPDATE, 1, 1), 11.0)
    assert client.next_deadline == 14.0  # it lives
    assert ask_again(client, 14.0) == []
    assert sent_frames(client) == [Frame(PING | SYN, 0, 0)]
    client.open(15.0)
    assert client.next_deadline == 24.0  # asked once
    (event,) = ask_again(client, 24.0)
    assert isinstance(event, SessionFailed)


def test_a_peer_that_lives_and_does_not_acknowledge_is_asked_now_and_then() -> None:
    client, server = Session(Role.CLIENT, now=0.0), Session(Role.SERVER, now=0.0)
    client.open(0.0)
    for number in range(3):
        now = 3.0 + 4.0 * number
        assert ask_again(client, now) == []
        transfer(client, server, now)
        assert transfer(server, client, now + 1.0) == [PingAnswered(number, 1.0)]


@pytest.mark.parametrize("how", ["accepted", "finished by the peer", "reset", "finished by us"])
def test_an_open_that_is_settled_has_no_deadline(how: str) -> None:
    client, server = pair(QUIET)
    stream_id = client.open(0.0)
    transfer(client, server)
    match how:
        case "accepted":
            server.accept(stream_id)
        case "finished by the peer":
            server.finish(stream_id, 0.0)
        case "reset":
            server.reset(stream_id)
        case _:
            client.finish(stream_id, 0.0)
    transfer(server, client)
    assert client.next_deadline == (300.0 if how == "finished by us" else math.inf)


def test_a_peer_that_does_not_finish_after_us() -> None:
    client, server, stream_id = opened(QUIET)
    client.finish(stream_id, 10.0)
    client.finish(stream_id, 20.0)
    transfer(client, server)
    assert server.next_deadline == math.inf
    assert ask_again(client, 310.0) == [StreamReset(stream_id, ResetCause.CLOSE_TIMEOUT)]
    assert sent_frames(client) == [Frame(WINDOW_UPDATE | RST, stream_id, 0)]
    assert client.stream_count == 0


def test_a_peer_that_still_sends_after_our_fin_is_not_cut_off() -> None:
    client, _, stream_id = opened(QUIET)
    client.finish(stream_id, 0.0)
    client.receive(data_frame(stream_id, b"x"), 299.0)
    assert ask_again(client, 300.0) == []
    assert client.next_deadline == 600.0
    assert ask_again(client, 600.0) == [StreamReset(stream_id, ResetCause.CLOSE_TIMEOUT)]


@pytest.mark.parametrize("end", [FIN, RST])
@pytest.mark.parametrize("acknowledged", [False, True])
def test_a_stream_that_closes_has_no_deadline(end: int, acknowledged: bool) -> None:
    client, _ = pair(QUIET)
    stream_id = client.open(0.0)
    client.finish(stream_id, 1.0)
    if acknowledged:
        client.receive(encode_header(WINDOW_UPDATE | ACK, stream_id, 0), 2.0)
    assert client.next_deadline == 301.0
    (event,) = client.receive(encode_header(WINDOW_UPDATE | end, stream_id, 0), 3.0)
    assert event == (StreamFinished(stream_id) if end == FIN else StreamReset(stream_id, ResetCause.PEER))
    assert client.next_deadline == math.inf


def test_all_that_is_due_comes_at_once() -> None:
    client, _, finished = opened()
    client.finish(finished, 0.0)
    unanswered = client.open(0.0)
    ping_id = client.ping(0.0)
    sent(client)
    client.handle_timeout(30.0)
    client.receive(encode_header(PING | ACK, 0, 1), 30.0)
    late = client.handle_timeout(1000.0)
    assert late == [
        StreamReset(unanswered, ResetCause.OPEN_TIMEOUT),
        StreamReset(finished, ResetCause.CLOSE_TIMEOUT),
    ]
    assert client.next_deadline == 1010.0
    assert ping_id == 0
