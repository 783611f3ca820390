"""What pty hosts and their clients say: every shape and method, against what Go programs said, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skywire.errors import LocalProtocolError, ProtocolError
from skywire.keys import PubKey
from skywire.wire.gob import (
    BOOL,
    INT,
    STRING,
    UINT,
    Field,
    GobError,
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
from skywire.wire.gob.method import Method, Shape
from skywire.wire.pty import whitelist
from skywire.wire.pty.opening import MAX_REQUEST, PROXY, PTY, WHITELIST, Request
from skywire.wire.pty.session import (
    ATTACH,
    END_SESSION,
    MAX_OFFSET,
    MAX_PIECE,
    RECEIVE,
    SEND,
    SESSIONS,
    SIGNAL,
    START_SESSION,
    STDERR,
    STDOUT,
    WAIT,
    Attached,
    Ended,
    NewSession,
    Piece,
    Receive,
    Send,
    SessionFacts,
)
from skywire.wire.pty.shell import (
    EXEC,
    MAX_EXEC_MS,
    PING,
    READ,
    RESIZE,
    START,
    START_PLAINLY,
    STOP,
    WRITE,
    Command,
    Execution,
    Outcome,
    WindowSize,
)
from tests.vectors_io import Vector
from tests.wire.test_gob_rpc import ALICE, BOB, GOB_RPC_PTY, KEY, PTY_TRANSCRIPT, SPECIFIED, recorded_process

T = TypeVar("T")
A = TypeVar("A")
R = TypeVar("R")

Repeat: TypeAlias = Callable[[RpcWriter, RpcMessage, bool], bytes]
"""Writes again what was said, a reply or not, as our types have it."""


def repeating(method: Method[A, R]) -> tuple[str, Repeat]:
    def repeat(writer: RpcWriter, message: RpcMessage, reply: bool) -> bytes:
        if message.error:
            return writer.failure(message.method, message.seq, message.error)
        if reply:
            given = method.reply.write(method.reply.decode(message.body))
            return writer.response(message.method, message.seq, method.reply.schema, given)
        taken = method.argument.write(method.argument.decode(message.body))
        return writer.request(message.method, message.seq, method.argument.schema, taken)

    return method.name, repeat


REPEAT = dict(
    (
        repeating(START_PLAINLY),
        repeating(READ),
        repeating(WRITE),
        repeating(RESIZE),
        repeating(STOP),
        repeating(whitelist.LIST),
        repeating(whitelist.ADD),
        repeating(whitelist.REMOVE),
    )
)


def repeated(reader: RpcReader, writer: RpcWriter, stream: bytes, *, reply: bool) -> bytes:
    messages = reader.receive(stream)
    assert messages
    return b"".join(REPEAT[message.method](writer, message, reply) for message in messages)


@pytest.mark.parametrize("case", GOB_RPC_PTY.many("streams"), ids=lambda case: case.text("note"))
def test_recorded_streams(case: Vector) -> None:
    stream, reply = case.data("stream"), case.text("direction") == "response"
    assert repeated(RpcReader(), RpcWriter(recorded_process(82)), stream, reply=reply) == stream


@pytest.mark.parametrize("case", PTY_TRANSCRIPT.many("sessions"), ids=lambda case: case.text("note"))
def test_recorded_sessions(case: Vector) -> None:
    ids = recorded_process(69)
    readers = {"client_to_host": RpcReader(), "host_to_client": RpcReader()}
    writers = {direction: RpcWriter(ids) for direction in readers}
    begin, _, *calls = case.many("bytes")
    assert Request.parse(begin.data("bytes")[1:]).encode() == begin.data("bytes")
    for call in calls:
        direction, stream = call.text("dir"), call.data("bytes")
        again = repeated(readers[direction], writers[direction], stream, reply=direction == "host_to_client")
        assert again == stream


def test_the_dump_of_a_whole_process() -> None:
    ids = TypeIds()
    for connection in SPECIFIED:
        client, host = (RpcReader(), RpcWriter(ids)), (RpcReader(), RpcWriter(ids))
        for _, _, _, question, answer in connection:
            assert repeated(*client, bytes.fromhex(question), reply=False).hex() == question
            assert repeated(*host, bytes.fromhex(answer), reply=True).hex() == answer


def passed(shape: Shape[T], value: T) -> T:
    """A value as the other end gets it."""
    stream = RpcWriter().request("x", 0, shape.schema, shape.write(value))
    (message,) = RpcReader(max_message=1 << 20).receive(stream)
    return shape.decode(message.body)


def mangled(shape: Shape[T], schema: GobType, value: GobValue) -> T:
    """What comes of a value that somebody else wrote."""
    (message,) = RpcReader(max_message=1 << 20).receive(RpcWriter().request("x", 0, schema, value))
    return shape.decode(message.body)


words = st.text(max_size=20)
many = st.lists(words, max_size=4).map(tuple)
uint16 = st.integers(0, 0xFFFF)
offsets = st.integers(0, MAX_OFFSET)
sizes = st.builds(WindowSize, uint16, uint16, uint16, uint16)
commands = st.builds(Command, words, many, st.none() | sizes, many)
ids = st.text("abcXYZ019", min_size=16, max_size=64)
pieces = st.binary(max_size=300)
int64 = st.integers(-(2**63), 2**63 - 1)
keys = st.lists(st.sampled_from([PubKey(raw) for raw in (ALICE, BOB, KEY)]), max_size=4).map(tuple)


@given(commands)
def test_commands_pass(command: Command) -> None:
    assert passed(START.argument, command) == command
    plain = Command(command.name, command.arguments, command.size)
    assert passed(START_PLAINLY.argument, command) == plain


@given(commands)
def test_what_one_of_them_does_not_know_is_passed_over(command: Command) -> None:
    """As between hosts and clients of 2024 and 2026."""
    plain = Command(command.name, command.arguments, command.size)
    for there, here in ((START, START_PLAINLY), (START_PLAINLY, START)):
        assert mangled(here.argument, there.argument.schema, there.argument.write(command)) == plain


@given(st.integers(-(2**63), 2**63 - 1), pieces, sizes, keys)
def test_what_upstream_calls_take_and_give_passes(
    number: int, data: bytes, size: WindowSize, some: whitelist.Keys
) -> None:
    assert passed(READ.argument, number) == passed(WRITE.reply, number) == number
    assert passed(READ.reply, data) == passed(WRITE.argument, data) == data
    assert passed(RESIZE.argument, size) == size
    assert passed(whitelist.LIST.reply, some) == passed(whitelist.ADD.argument, some) == some
    assert passed(whitelist.REMOVE.argument, some) == some
    for nothing in (STOP.argument, STOP.reply, PING.argument, PING.reply, START.reply, whitelist.ADD.reply):
        assert passed(nothing, None) is None


@given(
    st.builds(Execution, words, many, many, pieces, st.integers(0, MAX_EXEC_MS)),
    st.builds(Outcome, pieces, pieces, st.booleans(), st.booleans(), int64, st.booleans(), int64),
)
def test_executions_pass(execution: Execution, outcome: Outcome) -> None:
    assert passed(EXEC.argument, execution) == execution
    assert passed(EXEC.reply, outcome) == outcome


@given(
    st.builds(NewSession, commands, words, st.booleans(), st.just("") | ids),
    st.builds(Attached, ids, offsets, st.booleans(), offsets, offsets),
    st.builds(SessionFacts, ids, words, int64, st.booleans(), st.booleans()),
)
def test_sessions_pass(new: NewSession, attached: Attached, facts: SessionFacts) -> None:
    assert passed(START_SESSION.argument, new) == new
    assert passed(START_SESSION.reply, attached) == passed(ATTACH.reply, attached) == attached
    assert passed(ATTACH.argument, attached.id) == passed(END_SESSION.argument, attached.id) == attached.id
    assert passed(SESSIONS.reply, (facts, facts)) == (facts, facts)
    assert passed(SESSIONS.reply, ()) == ()


@given(
    st.builds(Receive, st.sampled_from([STDOUT, STDERR]), offsets, st.integers(1, MAX_PIECE)),
    st.builds(Piece, offsets, pieces),
    st.builds(Send, offsets, pieces, st.booleans()),
    st.builds(Ended, st.integers(-1, 255), st.integers(0, 127)),
    st.integers(1, 64),
)
def test_what_sessions_take_and_give_passes(
    receive: Receive, piece: Piece, send: Send, ended: Ended, signal: int
) -> None:
    assert passed(RECEIVE.argument, receive) == receive
    assert passed(RECEIVE.reply, piece) == piece
    assert passed(SEND.argument, send) == send
    assert passed(WAIT.reply, ended) == ended
    assert passed(SIGNAL.argument, signal) == signal


def test_the_largest_pieces_pass() -> None:
    data = bytes(MAX_PIECE)
    assert passed(RECEIVE.reply, Piece(MAX_OFFSET, data)) == Piece(MAX_OFFSET, data)
    assert passed(SEND.argument, Send(MAX_OFFSET, data, end=True)) == Send(MAX_OFFSET, data, end=True)


AN_ID = "0123456789abcdef"


@pytest.mark.parametrize(
    ("refuse", "why"),
    [
        (lambda: passed(RESIZE.argument, WindowSize(65536, 1)), "a measure of a terminal is 0 to 65535, not 65536"),
        (lambda: passed(START.argument, Command("x", size=WindowSize(1, 1 << 40))), "a measure of a terminal"),
        (lambda: passed(EXEC.argument, Execution("x", timeout_ms=-1)), "milliseconds .* 0 to 300000, not -1"),
        (lambda: passed(EXEC.argument, Execution("x", timeout_ms=MAX_EXEC_MS + 1)), "not 300001"),
        (lambda: passed(START_SESSION.argument, NewSession(Command(""), id="short")), "16 to 64 letters"),
        (lambda: passed(START_SESSION.argument, NewSession(Command(""), id="a" * 65)), "16 to 64 letters"),
        (lambda: passed(START_SESSION.argument, NewSession(Command(""), id="é" * 16)), "16 to 64 letters"),
        (lambda: passed(START_SESSION.argument, NewSession(Command(""), id="../" * 6)), "16 to 64 letters"),
        (lambda: passed(ATTACH.reply, Attached("", 0)), "16 to 64 letters"),
        (lambda: passed(ATTACH.reply, Attached(AN_ID, MAX_OFFSET + 1)), "an offset is 0 to"),
        (lambda: passed(ATTACH.reply, Attached(AN_ID, 0, forgotten_errors=MAX_OFFSET + 1)), "an offset is 0 to"),
        (lambda: passed(SESSIONS.reply, (SessionFacts("\x1b[2J", "", 0, True, True),)), "16 to 64 letters"),
        (lambda: passed(RECEIVE.argument, Receive(0, 0)), "the number of an output is 1 to 2, not 0"),
        (lambda: passed(RECEIVE.argument, Receive(3, 0)), "not 3"),
        (lambda: passed(RECEIVE.argument, Receive(STDOUT, MAX_OFFSET + 1)), "an offset"),
        (lambda: passed(RECEIVE.argument, Receive(STDOUT, 0, 0)), "the size of a piece is 1 to 262144, not 0"),
        (lambda: passed(RECEIVE.argument, Receive(STDOUT, 0, MAX_PIECE + 1)), "the size of a piece"),
        (lambda: passed(RECEIVE.reply, Piece(MAX_OFFSET + 1, b"")), "an offset"),
        (lambda: passed(SEND.argument, Send(0, bytes(MAX_PIECE + 1))), "at most 262144 bytes"),
        (lambda: passed(SEND.argument, Send(MAX_OFFSET + 1, b"")), "an offset"),
        (lambda: passed(WAIT.reply, Ended(256)), "an exit code is -1 to 255, not 256"),
        (lambda: passed(WAIT.reply, Ended(-2)), "not -2"),
        (lambda: passed(WAIT.reply, Ended(-1, 128)), "the number of a signal is 0 to 127, not 128"),
        (lambda: passed(SIGNAL.argument, 0), "the number of a signal is 1 to 64, not 0"),
        (lambda: passed(SIGNAL.argument, 65), "not 65"),
        (lambda: mangled(whitelist.LIST.reply, Slice(Opaque("PubKey")), (bytes(33),)), "a public key is wrong"),
        (lambda: mangled(whitelist.ADD.argument, Slice(Opaque("PubKey")), (ALICE[:32],)), "a public key is wrong"),
    ],
)
def test_what_is_out_of_range_is_refused(refuse: Callable[[], object], why: str) -> None:
    with pytest.raises(GobError, match=why):
        refuse()


def getting(shape: Shape[T]) -> Callable[[GobType, GobValue], object]:
    return lambda schema, value: mangled(shape, schema, value)


ANYTHING: list[tuple[GobType, GobValue]] = [
    (BOOL, True),
    (STRING, "x"),
    (Slice(INT), (1,)),
    (Struct("Other", (Field("Unknown", UINT),)), (7,)),
]


@pytest.mark.parametrize(("schema", "value"), ANYTHING)
def test_what_is_something_else_is_refused(schema: GobType, value: GobValue) -> None:
    for get in map(getting, (READ.argument, WRITE.reply)):
        with pytest.raises(GobError):
            get(schema, value)
    for get in (getting(START.argument), getting(SEND.argument), getting(RESIZE.argument), getting(whitelist.KEYS)):
        with pytest.raises(GobError):
            get(schema, value)


@pytest.mark.parametrize(
    ("request_", "data"),
    [
        (Request(PTY), b"\x0bdmsgpty/pty"),
        (Request(WHITELIST), b"\x11dmsgpty/whitelist"),
        (
            Request(PROXY, {"pk": ALICE.hex(), "port": "22"}),
            b"\x5bdmsgpty/proxy?pk=" + ALICE.hex().encode() + b"&port=22",
        ),
        (Request(PROXY, {"address": "tcp://é&="}), b"\x2edmsgpty/proxy?address=tcp%3A%2F%2F%C3%A9%26%3D"),
    ],
)
def test_requests(request_: Request, data: bytes) -> None:
    assert request_.encode() == data
    assert Request.parse(data[1:]) == Request.parse(b"/" + data[1:]) == request_


@given(st.text("abc/é.", min_size=1, max_size=20), st.dictionaries(words, words, max_size=3))
def test_requests_pass(path: str, query: dict[str, str]) -> None:
    path = path.lstrip("/") or "x"
    try:
        data = Request(path, query).encode()
    except LocalProtocolError:
        return
    assert data[0] == len(data) - 1
    assert Request.parse(data[1:]) == Request(path, query)


def test_a_request_has_room_for_so_much() -> None:
    assert len(Request("x" * MAX_REQUEST).encode()) == MAX_REQUEST + 1
    with pytest.raises(LocalProtocolError, match="at most 255 bytes, this would have 256"):
        Request("x" * (MAX_REQUEST + 1)).encode()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"/", "empty"),
        (b"?pk=1", "empty"),
        (b"\xff\xfe", "no text"),
        (b"dmsgpty/proxy?" + b"&".join(b"%d=" % number for number in range(9)), "says too much"),
    ],
)
def test_what_is_no_request(data: bytes, why: str) -> None:
    with pytest.raises(ProtocolError, match=re.escape(why)):
        Request.parse(data)
