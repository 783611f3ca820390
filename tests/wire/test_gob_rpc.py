"""net/rpc over gob: the recorded calls of a terminal, read and written again byte for byte."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skywire.errors import LocalProtocolError
from skywire.wire.gob import (
    BYTES,
    EMPTY,
    INT,
    REQUEST,
    RESPONSE,
    STRING,
    UINT,
    Encoder,
    Field,
    GobType,
    GobValue,
    Opaque,
    RpcMessage,
    RpcReader,
    RpcWriter,
    Slice,
    Struct,
    TypeIds,
)
from tests.vectors_io import Vector, load

GOB_RPC_PTY = load("gob_rpc_pty.json")
PTY_TRANSCRIPT = load("pty_transcript.json")

PUB_KEY = Opaque("PubKey")
PUB_KEYS = Slice(PUB_KEY)
WIN_SIZE = Struct("WinSize", tuple(Field(name, UINT) for name in ("X", "Y", "Rows", "Cols")))
COMMAND = Struct(
    "CommandReq",
    (Field("Name", STRING), Field("Arg", Slice(STRING, "[]string")), Field("Size", WIN_SIZE, optional=True)),
)
BODIES: dict[str, tuple[GobType, GobType]] = {
    "pty.Start": (COMMAND, EMPTY),
    "pty.Read": (INT, BYTES),
    "pty.Write": (BYTES, INT),
    "pty.SetPtySize": (WIN_SIZE, EMPTY),
    "pty.Stop": (EMPTY, EMPTY),
    "whitelist.Whitelist": (EMPTY, PUB_KEYS),
    "whitelist.WhitelistAdd": (PUB_KEYS, EMPTY),
    "whitelist.WhitelistRemove": (PUB_KEYS, EMPTY),
}


def recorded_process(first_pty_id: int) -> TypeIds:
    """The numbering in the process that made the vectors: keys first, the types of calls much later."""
    ids = TypeIds(66)
    ids.of(PUB_KEY)
    for number in range(67, first_pty_id):
        ids.of(Opaque(f"Other{number}"))
    for schema in (REQUEST, COMMAND, RESPONSE, EMPTY, PUB_KEYS):
        ids.of(schema)
    return ids


def decoded(message: RpcMessage, *, reply: bool) -> tuple[GobType, GobValue]:
    schema = EMPTY if message.error else BODIES[message.method][reply]
    return schema, message.body.decode(schema)


def written(writer: RpcWriter, message: RpcMessage, *, reply: bool) -> bytes:
    schema, value = decoded(message, reply=reply)
    if message.error:
        return writer.failure(message.method, message.seq, message.error)
    if reply:
        return writer.response(message.method, message.seq, schema, value)
    return writer.request(message.method, message.seq, schema, value)


def in_pieces(reader: RpcReader, stream: bytes) -> list[RpcMessage]:
    return [message for byte in stream for message in reader.receive(bytes([byte]))]


KEY = bytes.fromhex("031466acb416750af1438354f98f18b53945704b174682dbe1205fe4e56f3f555d")
RECORDED_CALLS: dict[str, list[tuple[str, int, str, GobValue]]] = {
    "pty.Start without size": [("pty.Start", 0, "", ("/bin/sh", ("-c", "echo hi"), None))],
    "pty.Start with size, no args": [("pty.Start", 0, "", ("/bin/bash", (), (1, 2, 24, 80)))],
    "pty.Start reply": [("pty.Start", 0, "", ())],
    "pty.Read 32768, then again in the same stream": [("pty.Read", 1, "", 32768), ("pty.Read", 2, "", 32768)],
    "pty.Read 0": [("pty.Read", 1, "", 0)],
    "pty.Read reply of 6 bytes": [("pty.Read", 1, "", b"ls -l\n")],
    "pty.Read reply with error EOF (body is an empty struct)": [("pty.Read", 300, "EOF", ())],
    "pty.Write 6 bytes": [("pty.Write", 3, "", b"ls -l\n")],
    "pty.Write reply 6": [("pty.Write", 3, "", 6)],
    "pty.SetPtySize": [("pty.SetPtySize", 4, "", (0, 0, 50, 200))],
    "pty.Stop": [("pty.Stop", 5, "", ())],
    "whitelist.Whitelist": [("whitelist.Whitelist", 0, "", ())],
    "whitelist.Whitelist reply of one key": [("whitelist.Whitelist", 0, "", (KEY,))],
    "whitelist.WhitelistAdd one key": [("whitelist.WhitelistAdd", 1, "", (KEY,))],
}


@pytest.mark.parametrize("case", GOB_RPC_PTY.many("streams"), ids=lambda case: case.text("note"))
def test_recorded_streams(case: Vector) -> None:
    stream, reply = case.data("stream"), case.text("direction") == "response"
    reader = RpcReader()
    messages = reader.receive(stream)
    assert [
        (message.method, message.seq, message.error, decoded(message, reply=reply)[1]) for message in messages
    ] == RECORDED_CALLS[case.text("note")]
    assert reader.error is None
    assert not reader.partial
    assert in_pieces(RpcReader(), stream) == messages
    writer = RpcWriter(recorded_process(82))
    assert b"".join(written(writer, message, reply=reply) for message in messages) == stream


@pytest.mark.parametrize("case", PTY_TRANSCRIPT.many("sessions"), ids=lambda case: case.text("note"))
def test_recorded_sessions(case: Vector) -> None:
    ids = recorded_process(69)
    readers = {"client_to_host": RpcReader(), "host_to_client": RpcReader()}
    writers = {direction: RpcWriter(ids) for direction in readers}
    asked: dict[int, str] = {}
    path, verdict, *calls = case.many("bytes")
    assert path.data("bytes")[0] == len(path.data("bytes")) - 1
    assert verdict.data("bytes") in {b"\0", b"\1"}
    for call in calls:
        reply = call.text("dir") == "host_to_client"
        (message,) = readers[call.text("dir")].receive(call.data("bytes"))
        assert written(writers[call.text("dir")], message, reply=reply) == call.data("bytes")
        if reply:
            assert asked.pop(message.seq) == message.method
        else:
            asked[message.seq] = message.method
    assert not asked
    assert all(reader.error is None and not reader.partial for reader in readers.values())


ALICE = bytes.fromhex("03423b3a4e823ff981b6855640b4f78846d819880fd9ee1ab829bc069ea46f67f5")
BOB = bytes.fromhex("02dc7806760f94f273229dc0565769f7faff39b8e22e7cd44cf05a6ebcfce454be")
SPECIFIED: list[list[tuple[str, GobValue, GobValue, str, str]]] = [
    [
        (
            "pty.Start",
            ("/bin/bash", ("-c", "id"), (0, 0, 30, 100)),
            (),
            (
                "2e7f030101075265717565737401ff80000102010d536572766963654d6574686f64010c00010353657101060000000eff800109"
                "7074792e53746172740034ff810301010a436f6d6d616e6452657101ff8200010301044e616d65010c00010341726701ff840001"
                "0453697a6501ff8600000016ff83020101085b5d737472696e6701ff8400010c000033ff850301010757696e53697a6501ff8600"
                "01040101580106000101590106000104526f77730106000104436f6c7301060000001cff8201092f62696e2f626173680102022d"
                "6302696401031e01640000"
            ),
            (
                "3aff8703010108526573706f6e736501ff88000103010d536572766963654d6574686f64010c0001035365710106000105457272"
                "6f72010c0000000eff8801097074792e5374617274000aff89030102ff8a00000003ff8a00"
            ),
        ),
        (
            "pty.Start",
            ("/bin/sh", (), None),
            (),
            "10ff8001097074792e53746172740101000cff8201072f62696e2f736800",
            "10ff8801097074792e537461727401010003ff8a00",
        ),
        (
            "pty.Write",
            b"ls\n",
            3,
            "10ff8001097074792e5772697465010200060a00036c730a",
            "10ff8801097074792e577269746501020003040006",
        ),
        (
            "pty.Read",
            32768,
            b"out",
            "0fff8001087074792e52656164010300060400fd010000",
            "0fff8801087074792e52656164010300060a00036f7574",
        ),
        (
            "pty.Read",
            32768,
            b"out",
            "0fff8001087074792e52656164010400060400fd010000",
            "0fff8801087074792e52656164010400060a00036f7574",
        ),
        (
            "pty.SetPtySize",
            (0, 0, 24, 80),
            (),
            "15ff80010e7074792e53657450747953697a6501050007ff860318015000",
            "15ff88010e7074792e53657450747953697a6501050003ff8a00",
        ),
        (
            "pty.Stop",
            (),
            "no active pty session",
            "0fff8001087074792e53746f700106000aff89030102ff8a00000003ff8a00",
            "26ff8801087074792e53746f70010601156e6f20616374697665207074792073657373696f6e0003ff8a00",
        ),
    ],
    [
        (
            "whitelist.WhitelistAdd",
            (ALICE, BOB),
            (),
            (
                "2e7f030101075265717565737401ff80000102010d536572766963654d6574686f64010c00010353657101060000001bff800116"
                "77686974656c6973742e57686974656c697374416464000dff8d020102ff8e0001ff8c000012ff8b060101065075624b657901ff"
                f"8c00000048ff8e000221{ALICE.hex()}21{BOB.hex()}"
            ),
            (
                "3aff8703010108526573706f6e736501ff88000103010d536572766963654d6574686f64010c0001035365710106000105457272"
                "6f72010c0000001bff88011677686974656c6973742e57686974656c697374416464000aff89030102ff8a00000003ff8a00"
            ),
        ),
        (
            "whitelist.Whitelist",
            (),
            (BOB, ALICE),
            "1aff80011377686974656c6973742e57686974656c6973740101000aff89030102ff8a00000003ff8a00",
            (
                "1aff88011377686974656c6973742e57686974656c6973740101000dff8d020102ff8e0001ff8c000012ff8b060101065075624b"
                f"657901ff8c00000048ff8e000221{BOB.hex()}21{ALICE.hex()}"
            ),
        ),
        (
            "whitelist.WhitelistRemove",
            (ALICE,),
            (),
            f"20ff80011977686974656c6973742e57686974656c69737452656d6f766501020026ff8e000121{ALICE.hex()}",
            "20ff88011977686974656c6973742e57686974656c69737452656d6f766501020003ff8a00",
        ),
    ],
]


def test_the_specification_of_a_terminal_in_one_process() -> None:
    ids = TypeIds()
    for connection in SPECIFIED:
        client, host = RpcWriter(ids), RpcWriter(ids)
        for seq, (method, argument, reply, asked, answered) in enumerate(connection):
            argument_type, reply_type = BODIES[method]
            assert client.request(method, seq, argument_type, argument).hex() == asked
            if isinstance(reply, str):
                assert host.failure(method, seq, reply).hex() == answered
            else:
                assert host.response(method, seq, reply_type, reply).hex() == answered


def test_a_stream_stays_as_it_was_when_a_call_cannot_be_written() -> None:
    writer = RpcWriter()
    with pytest.raises(LocalProtocolError):
        writer.request("pty.Read", 0, INT, "many")
    with pytest.raises(LocalProtocolError):
        writer.request("pty.Read", -1, INT, 1)
    with pytest.raises(LocalProtocolError, match="reason"):
        writer.failure("pty.Read", 0, "")
    assert writer.request("pty.Read", 0, INT, 1) == RpcWriter().request("pty.Read", 0, INT, 1)


def test_what_a_connection_owes() -> None:
    header = Encoder().encode(REQUEST, ("pty.Stop", 7))
    reader = RpcReader()
    owes, messages = [reader.partial], []
    for part in (header[:-1], header[-1:], Encoder().encode(INT, 1)):
        messages += reader.receive(part)
        owes.append(reader.partial)
    assert [(message.method, message.seq, message.error) for message in messages] == [("pty.Stop", 7, "")]
    assert owes == [False, True, True, False]


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (Encoder().encode(INT, 5), "struct Response"),
        (Encoder().encode(Struct("Request", (Field("Seq", STRING),)), ("x",)), "expected was uint"),
        (b"\0", "0 bytes"),
        (b"\x80", "128 bytes"),
    ],
)
def test_a_broken_stream_ends_after_what_came_before(stream: bytes, reason: str) -> None:
    good = RpcWriter(TypeIds(1000)).request("pty.Read", 0, INT, 1)
    whole, slow = RpcReader(), RpcReader()
    for messages in (whole.receive(good + stream), in_pieces(slow, good + stream)):
        assert [message.seq for message in messages] == [0]
    for reader in (whole, slow):
        assert re.search(reason, str(reader.error))
        assert reader.receive(good) == []


def test_limits_are_passed_on() -> None:
    stream = RpcWriter().request("pty.Write", 0, BYTES, bytes(100))
    assert RpcReader(max_message=103).receive(stream)
    too_long, too_many = RpcReader(max_message=102), RpcReader(max_types=0)
    assert too_long.receive(stream) == too_many.receive(stream) == []
    assert "102" in str(too_long.error)
    assert "0 types" in str(too_many.error)


calls = st.lists(
    st.tuples(st.text(max_size=9), st.integers(0, 2**64 - 1), st.text(max_size=9), st.binary(max_size=300)), max_size=4
)


def write_all(items: Sequence[tuple[str, int, str, bytes]]) -> bytes:
    writer = RpcWriter()
    return b"".join(
        writer.failure(method, seq, error) if error else writer.response(method, seq, BYTES, body)
        for method, seq, error, body in items
    )


@given(calls, st.integers(0, 200), st.binary(max_size=2))
def test_any_calls_whole_and_in_pieces(items: list[tuple[str, int, str, bytes]], place: int, put: bytes) -> None:
    stream = write_all(items)
    whole = RpcReader()
    assert [
        (message.method, message.seq, message.error, b"" if message.error else message.body.decode(BYTES))
        for message in whole.receive(stream)
    ] == [(method, seq, error, b"" if error else body) for method, seq, error, body in items]
    damaged = stream[:place] + put + stream[place + len(put) :]
    whole, slow = RpcReader(), RpcReader()
    assert in_pieces(slow, damaged) == whole.receive(damaged)
    assert (str(slow.error), slow.partial) == (str(whole.error), whole.partial)
