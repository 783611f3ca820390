"""Two yamux sessions and what lies between them, for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeAlias

import pytest

from skywire.errors import LocalProtocolError, ProtocolError
from skywire.wire.yamux import DEFAULT_CONFIG, Config, DataReceived, Event, GoAwayReason, Role, Session, SessionFailed
from skywire.wire.yamux.frame import CONTINUED, DATA, SYN, WINDOW_UPDATE, FrameReader, encode_header

Cut: TypeAlias = Callable[[bytes], list[bytes]]
"""How to cut input into pieces."""


class Frame(NamedTuple):
    """A whole frame."""

    word: int
    stream_id: int
    length: int
    body: bytes = b""

    @property
    def encoded(self) -> bytes:
        return encode_header(self.word, self.stream_id, self.length) + self.body


def data_frame(stream_id: int, body: bytes, flags: int = 0) -> bytes:
    return Frame(DATA | flags, stream_id, len(body), body).encoded


def syn(stream_id: int) -> bytes:
    return encode_header(WINDOW_UPDATE | SYN, stream_id, 0)


def frames_of(data: bytes) -> list[Frame]:
    """The whole frames that ``data`` is made of."""
    reader = FrameReader()
    frames = [
        Frame(word, stream_id, length, data[start:stop])
        for word, stream_id, length, start, stop in reader.cut(data)
        if word != CONTINUED
    ]
    assert not reader.partial
    return frames


def sent(session: Session) -> bytes:
    """What a session wants to send, which must be as much as it says."""
    queued = session.queued
    data = b"".join(session.data_to_send())
    assert len(data) == queued
    assert session.queued == 0
    return data


def sent_frames(session: Session) -> list[Frame]:
    return frames_of(sent(session))


def transfer(source: Session, target: Session, now: float = 0.0, *, cut: int = 1 << 20) -> list[Event]:
    """Carry what is queued from one session to the other, in pieces of at most ``cut`` bytes."""
    data = sent(source)
    return feed(target, (data[start : start + cut] for start in range(0, len(data), cut)), now)


def feed(session: Session, pieces: Iterable[bytes], now: float = 0.0) -> list[Event]:
    return [event for piece in pieces for event in session.receive(piece, now)]


def whole(data: bytes) -> list[bytes]:
    return [data]


def bytewise(data: bytes) -> list[bytes]:
    return [data[index : index + 1] for index in range(len(data))]


def pieces_of(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """``data`` in pieces of ``sizes``, what is left in one."""
    for size in sizes:
        yield data[:size]
        data = data[size:]
    yield data


def merged(events: Iterable[Event]) -> list[Event]:
    """The events with adjacent data of one stream joined, and errors as text, so that two lists compare."""
    result: list[Event] = []
    for event in events:
        last = result[-1] if result else None
        if isinstance(event, DataReceived) and isinstance(last, DataReceived) and last.stream_id == event.stream_id:
            result[-1] = DataReceived(event.stream_id, last.data + event.data)
        else:
            result.append(event)
    return result


def described(events: Iterable[Event]) -> list[str]:
    return [repr(event) for event in merged(events)]


def pair(config: Config = DEFAULT_CONFIG) -> tuple[Session, Session]:
    """A client and a server that have not spoken."""
    return Session(Role.CLIENT, now=0.0, config=config), Session(Role.SERVER, now=0.0, config=config)


def opened(config: Config = DEFAULT_CONFIG) -> tuple[Session, Session, int]:
    """A client and a server with one stream that the client opened and the server accepted."""
    client, server = pair(config)
    stream_id = client.open(0.0)
    transfer(client, server)
    server.accept(stream_id)
    transfer(server, client)
    return client, server, stream_id


def failure(events: list[Event]) -> ProtocolError:
    """The error of the last event, which is the only failure."""
    assert [isinstance(event, SessionFailed) for event in events] == [False] * (len(events) - 1) + [True]
    last = events[-1]
    assert isinstance(last, SessionFailed)
    assert isinstance(last.error, ProtocolError)
    return last.error


def assert_dead(session: Session) -> None:
    """Nothing comes of a session that is over, and nothing can be asked of it."""
    assert session.over
    assert session.leaving
    assert (session.open_slots, session.stream_count, session.next_deadline) == (0, 0, None)
    assert session.receive(syn(1) + syn(2) + b"garbage", 1e6) == []
    assert session.handle_timeout(1e6) == []
    assert session.receive_eof() == []
    for stream_id in (1, 2):
        session.accept(stream_id)
        session.consumed(stream_id, 1)
        session.finish(stream_id, 1e6)
        session.reset(stream_id)
        assert session.send_window(stream_id) == 0
        with pytest.raises(LocalProtocolError):
            session.send(stream_id, b"x")
    session.go_away(GoAwayReason.INTERNAL_ERROR)
    with pytest.raises(LocalProtocolError):
        session.open(1e6)
    with pytest.raises(LocalProtocolError):
        session.ping(1e6)
    assert sent(session) == b""
