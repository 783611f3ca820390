"""The parts of a session one by one: windows, stream ids, deadlines, the queue of frames, limits."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from skywire.errors import LocalProtocolError, ProtocolError
from skywire.wire.yamux import WINDOW, Config, Role
from skywire.wire.yamux.deadline import Deadlines
from skywire.wire.yamux.flow import CREDIT_THRESHOLD, MAX_SEND_WINDOW, ReceiveWindow, SendWindow
from skywire.wire.yamux.frame import ACK, DATA, PING, SYN, WINDOW_UPDATE, encode_header
from skywire.wire.yamux.identifier import MAX_LOCAL_ID, REORDER_WINDOW, LocalIds, RemoteIds
from skywire.wire.yamux.outbox import Outbox


def test_receive_window_accounts_for_every_byte() -> None:
    window = ReceiveWindow()
    window.reserve(WINDOW)
    assert (window.left, window.held) == (0, WINDOW)
    with pytest.raises(ProtocolError, match="0 bytes are left"):
        window.reserve(1)
    window.unread += 1000
    window.consume(600)
    assert (window.left, window.held, window.unread, window.uncredited) == (0, WINDOW - 600, 400, 600)
    assert window.take_credit() == 600
    assert (window.left, window.held, window.uncredited) == (600, WINDOW - 600, 0)
    assert window.take_credit() == 0


@pytest.mark.parametrize("size", [-1, 11, WINDOW])
def test_nothing_is_consumed_that_was_not_handed_out(size: int) -> None:
    window = ReceiveWindow()
    window.reserve(1000)
    window.unread += 10
    with pytest.raises(LocalProtocolError, match="10 were handed out"):
        window.consume(size)
    window.consume(10)
    assert window.take_credit() == 10


def test_a_body_larger_than_the_window() -> None:
    with pytest.raises(ProtocolError, match="exceeds the receive window"):
        ReceiveWindow().reserve(WINDOW + 1)


def test_send_window_opens_only_when_it_was_dry() -> None:
    window = SendWindow()
    assert window.left == WINDOW
    assert not window.grant(1)
    window.left = 0
    assert not window.grant(0)
    assert window.grant(5)
    assert not window.grant(5)
    assert window.left == 10


def test_send_window_overflow() -> None:
    window = SendWindow()
    assert not window.grant(MAX_SEND_WINDOW - WINDOW)
    with pytest.raises(ProtocolError, match="overflows"):
        window.grant(1)


def test_credit_is_due_at_half_a_window() -> None:
    assert CREDIT_THRESHOLD == 131072


@pytest.mark.parametrize(
    ("role", "first", "last"), [(Role.CLIENT, 1, MAX_LOCAL_ID), (Role.SERVER, 2, MAX_LOCAL_ID - 1)]
)
def test_local_ids(role: Role, first: int, last: int) -> None:
    ids = LocalIds(role)
    assert [ids.take(), ids.take(), ids.take()] == [first, first + 2, first + 4]
    assert not ids.exhausted
    ids._next = last
    assert ids.take() == last
    with pytest.raises(LocalProtocolError, match="as many streams as it ever can"):
        ids.take()


@pytest.mark.parametrize(("role", "wrong"), [(Role.CLIENT, [0, 1, 3]), (Role.SERVER, [0, 2, 4])])
def test_ids_that_are_not_the_peers(role: Role, wrong: list[int]) -> None:
    for stream_id in wrong:
        with pytest.raises(ProtocolError, match="not one of its ids"):
            RemoteIds(role).first_time(stream_id)


@pytest.mark.parametrize(("role", "first"), [(Role.CLIENT, 2), (Role.SERVER, 1)])
def test_remote_ids_come_once_and_may_overtake_each_other(role: Role, first: int) -> None:
    ids = RemoteIds(role)
    order = [first + 4, first, first + 2, first + 6]
    assert [ids.first_time(stream_id) for stream_id in order] == [True] * 4
    assert [ids.first_time(stream_id) for stream_id in order] == [False] * 4
    far = first + 6 + 2 * REORDER_WINDOW
    assert ids.first_time(far)
    assert not ids.first_time(far)
    assert not ids.first_time(first + 6), "a far jump forgets, and what is forgotten counts as old"
    assert ids.first_time(far - 2 * (REORDER_WINDOW - 1))
    assert not ids.first_time(far - 2 * REORDER_WINDOW)
    assert ids.first_time(0xFFFFFFFE if first == 2 else 0xFFFFFFFF)
    assert ids._seen.bit_length() <= REORDER_WINDOW


def test_deadlines() -> None:
    deadlines = Deadlines(10.0)
    assert deadlines.next == math.inf
    assert deadlines.take_due(1e9) == []
    for number, now in enumerate([0.0, 1.0, 1.0, 4.0]):
        deadlines.arm(number, now)
    assert (len(deadlines), deadlines.next) == (4, 10.0)
    assert deadlines.disarm(0) == 0.0
    assert deadlines.disarm(0) is None
    assert deadlines.next == 11.0
    assert deadlines.take_due(10.9) == []
    assert deadlines.take_due(11.0) == [(1, 1.0), (2, 1.0)]
    assert deadlines.take_due(100.0) == [(3, 4.0)]
    assert (len(deadlines), deadlines.next) == (0, math.inf)


def test_outbox_keeps_order_but_for_pings_and_copies_no_large_body() -> None:
    outbox = Outbox()
    body = b"x" * 1025
    outbox.put_data(DATA, 1, body, 1025)
    outbox.put_data(DATA, 3, memoryview(b"small"), 5)
    outbox.put_ping(SYN, 8)
    outbox.put(WINDOW_UPDATE | ACK, 2, 5)
    outbox.put_ping(ACK, 9)
    assert (outbox.queued, outbox.controls) == (60 + 1025 + 5, 3)
    parts = outbox.take()
    assert parts == [
        encode_header(PING | SYN, 0, 8),
        encode_header(PING | ACK, 0, 9),
        encode_header(DATA, 1, 1025),
        body,
        encode_header(DATA, 3, 5) + b"small",
        encode_header(WINDOW_UPDATE | ACK, 2, 5),
    ]
    assert parts[3] is body
    assert (outbox.queued, outbox.controls, outbox.take()) == (0, 0, [])


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("accept_backlog", lambda: Config(accept_backlog=0)),
        ("open_backlog", lambda: Config(open_backlog=0)),
        ("max_streams", lambda: Config(max_streams=-1)),
        ("max_held", lambda: Config(max_held=0)),
        ("max_control", lambda: Config(max_control=0)),
        ("max_pings", lambda: Config(max_pings=0)),
        ("keepalive_interval", lambda: Config(keepalive_interval=0.0)),
        ("ping_timeout", lambda: Config(ping_timeout=-1.0)),
        ("open_timeout", lambda: Config(open_timeout=math.nan)),
        ("close_timeout", lambda: Config(close_timeout=0.0)),
    ],
)
def test_limits_and_times_are_above_zero(name: str, make: Callable[[], Config]) -> None:
    with pytest.raises(ValueError, match=f"{name} is "):
        make()
