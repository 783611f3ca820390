"""The recorded session of upstream's client and server, read and written again."""

from __future__ import annotations

from typing import Final

import pytest

from skywire.wire.yamux import (
    DataReceived,
    Event,
    PingAnswered,
    Role,
    Session,
    StreamAccepted,
    StreamFinished,
    StreamOffered,
)
from skywire.wire.yamux.frame import ACK, DATA, FIN, PING, RST, SYN, WINDOW_UPDATE, encode_header
from tests.vectors_io import Vector, load
from tests.wire.yamux_link import Cut, Frame, bytewise, feed, frames_of, sent, whole

TRANSCRIPT: Final = load("session_transcript.json")
PARSED: Final = load("session_parsed.json")
TYPES: Final = {"data": DATA, "window_update": WINDOW_UPDATE, "ping": PING}
FLAGS: Final = {"SYN": SYN, "ACK": ACK, "FIN": FIN, "RST": RST}
CLIENT_TO_SERVER: Final = "client_to_server"
SERVER_TO_CLIENT: Final = "server_to_client"


def chunks(client: str) -> list[tuple[str, bytes]]:
    """What crossed the connection of a client behind the handshake: direction and bytes, in order."""
    recorded = [
        (item.text("dir"), item.data("bytes"))
        for item in TRANSCRIPT.many("timeline")
        if "conn" in item and item.text("conn") == client
    ]
    handshake = [frame.data("frame") for frame in PARSED.one(client).many("handshake")]
    assert [data for _, data in recorded[:3]] == handshake
    assert all(int.from_bytes(frame[:2]) == len(frame) - 2 for frame in handshake)
    return recorded[3:]


def frames(client: str, direction: str) -> list[Frame]:
    return frames_of(b"".join(data for way, data in chunks(client) if way == direction))


def flags_named(header: Vector) -> int:
    return sum(FLAGS[name] for name in header.texts("flags")) if header.fields["flags"] is not None else 0


@pytest.mark.parametrize("direction", [CLIENT_TO_SERVER, SERVER_TO_CLIENT])
@pytest.mark.parametrize("client", ["A", "B"])
def test_recorded_headers(client: str, direction: str) -> None:
    headers = PARSED.one(client).many(f"yamux_{direction}")
    found = frames(client, direction)
    assert [encode_header(*frame[:3]) for frame in found] == [header.data("header") for header in headers]
    assert [frame[:3] for frame in found] == [
        (TYPES[header.text("type")] | flags_named(header), header.number("stream"), header.number("length"))
        for header in headers
    ]
    assert [len(frame.body) for frame in found] == [
        header.number("body_length") if "body_length" in header else 0 for header in headers
    ]
    for stream in PARSED.one(client).many("streams"):
        bodies = [frame.body for frame in found if frame.stream_id == stream.number("stream")]
        assert b"".join(bodies) == stream.data(direction)


def act(session: Session, frame: Frame) -> None:
    """Ask a session for what upstream did when it sent a frame."""
    match frame:
        case Frame(word=0, stream_id=stream_id, body=body):
            assert session.send(stream_id, body) == len(body)
        case Frame(word=word, stream_id=stream_id, length=0) if word == WINDOW_UPDATE | SYN:
            assert session.open(0.0) == stream_id
        case Frame(word=word, stream_id=stream_id, length=0) if word == WINDOW_UPDATE | ACK:
            session.accept(stream_id)
        case Frame(word=word, stream_id=stream_id, length=0) if word == WINDOW_UPDATE | FIN:
            session.finish(stream_id, 0.0)
        case Frame(word=word, stream_id=0, length=ping_id) if word == PING | SYN:
            assert session.ping(0.0) == ping_id
        case _:
            assert frame.word == PING | ACK, "pings are answered unasked, nothing else was recorded"


@pytest.mark.parametrize("cut", [whole, bytewise])
@pytest.mark.parametrize("client", ["A", "B"])
def test_recorded_session_is_written_and_read_again(client: str, cut: Cut) -> None:
    sessions = {CLIENT_TO_SERVER: Session(Role.CLIENT, now=0.0), SERVER_TO_CLIENT: Session(Role.SERVER, now=0.0)}
    opposite = {CLIENT_TO_SERVER: SERVER_TO_CLIENT, SERVER_TO_CLIENT: CLIENT_TO_SERVER}
    events: dict[str, list[Event]] = {CLIENT_TO_SERVER: [], SERVER_TO_CLIENT: []}
    unread: dict[str, list[DataReceived]] = {CLIENT_TO_SERVER: [], SERVER_TO_CLIENT: []}
    for direction, data in chunks(client):
        source, target = sessions[direction], sessions[opposite[direction]]
        for frame in frames_of(data):
            act(source, frame)
        assert sent(source) == data
        for part in unread[direction]:
            source.consumed(part.stream_id, len(part.data))
        unread[direction].clear()
        assert sent(source) == b"", "the windows are wide enough"
        happened = feed(target, cut(data), 0.5)
        events[direction] += happened
        unread[opposite[direction]] += [event for event in happened if isinstance(event, DataReceived)]
    for direction, happened in events.items():
        found = frames(client, direction)
        for kind, flag in ((StreamOffered, SYN), (StreamAccepted, ACK), (StreamFinished, FIN)):
            ids = [frame.stream_id for frame in found if frame.stream_id and frame.word & flag]
            assert [event for event in happened if isinstance(event, kind)] == [kind(number) for number in ids]
        for stream in PARSED.one(client).many("streams"):
            number = stream.number("stream")
            data = b"".join(
                event.data for event in happened if isinstance(event, DataReceived) and event.stream_id == number
            )
            assert data == stream.data(direction)
        assert len([event for event in happened if isinstance(event, PingAnswered)]) == sum(
            frame.word == PING | ACK for frame in found
        )
    assert not any(session.over or session.discarded for session in sessions.values())
