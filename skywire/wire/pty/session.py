"""The calls of a session: a program that outlives the connections by which it is used. All of this is ours.

A session has one input and one output, or two: a terminal mixes what a program says and its errors, pipes do not. Each
is a stream of bytes, counted from 0, and every call says where its bytes belong. So a call may come twice, and whoever
connects again goes on at the byte where the last connection ended: nothing is lost, and nothing is doubled.

The host keeps output until the client says that it has it, which every later :data:`RECEIVE` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from skywire.wire.gob import BOOL, BYTES, INT, STRING, UINT, Field, GobError, GobValue, Slice, Struct
from skywire.wire.gob.method import NOTHING, Method, Shape, within
from skywire.wire.pty.shell import TEXTS, WINDOW_SIZE_STRUCT, Command, read_size, read_texts, write_size

STDOUT: Final = 1
"""What the program says; all of it where it has a terminal."""
STDERR: Final = 2
"""Its errors, where it has pipes."""
MAX_PIECE: Final = 1 << 18
"""Bytes of input or output of one call."""
MAX_MESSAGE: Final = MAX_PIECE + 4096
"""Bytes of a value in these calls."""
MAX_OFFSET: Final = 2**63 - 1

NO_SUCH_SESSION: Final = "no such session"
TAKEN_OVER: Final = "the session has been attached to elsewhere"


@final
@dataclass(frozen=True, slots=True)
class NewSession:
    """What a session is to run.

    Args:
        command: which program; an empty name is the user's shell.
        folder: where it begins; empty for the home of the host's user.
        terminal: whether it has a terminal, of ``command.size``; else it has three pipes.
        id: 16 to 64 letters and digits, chosen by the client and unguessable, so that asking twice begins one session;
            empty lets the host choose.
    """

    command: Command
    folder: str = ""
    terminal: bool = True
    id: str = ""


@final
@dataclass(frozen=True, slots=True)
class Attached:
    """How far a session is.

    Args:
        id: of the session: 16 to 64 letters and digits.
        taken: bytes of input that the host has.
        terminal: whether it has one; else it has pipes, and so an output of errors.
        forgotten: bytes of its output that clients have had, and the host has not any more.
        forgotten_errors: likewise of its output of errors.
    """

    id: str
    taken: int
    terminal: bool = True
    forgotten: int = 0
    forgotten_errors: int = 0


@final
@dataclass(frozen=True, slots=True)
class Receive:
    """Asks for output.

    Args:
        output: ``STDOUT`` or ``STDERR``.
        have: bytes of it that the client has; the host forgets them, and sends what follows.
        most: bytes to send, 1 to 262,144.
    """

    output: int
    have: int
    most: int = MAX_PIECE


@final
@dataclass(frozen=True, slots=True)
class Piece:
    """Output.

    Args:
        offset: where it belongs.
        data: empty only where the output has ended.
    """

    offset: int
    data: bytes


@final
@dataclass(frozen=True, slots=True)
class Send:
    """Gives input.

    Args:
        offset: where it belongs; what the host has already it passes over.
        data: up to 262,144 bytes.
        end: whether there is no more behind it; a terminal does not take it.
    """

    offset: int
    data: bytes
    end: bool = False


@final
@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended.

    Args:
        code: its exit code; -1 when a signal ended it.
        signal: number of that; 0 for none.
    """

    code: int
    signal: int = 0


@final
@dataclass(frozen=True, slots=True)
class SessionFacts:
    """A session of the one who asks.

    Args:
        id: to attach to, 16 to 64 letters and digits.
        command: what runs, in words.
        started: when, Unix time in seconds.
        attached: whether a connection uses it now.
        terminal: whether it has a terminal.
    """

    id: str
    command: str
    started: int
    attached: bool
    terminal: bool


def check_id(text: str) -> None:
    """Accept what can be the id of a session.

    Raises:
        GobError: anything else.
    """
    if not (text.isascii() and text.isalnum() and 16 <= len(text) <= 64):
        raise GobError("the id of a session is 16 to 64 letters and digits")


def _read_new(value: GobValue) -> NewSession:
    assert isinstance(value, tuple)
    name, arguments, size, environment, folder, pipes, id_ = value
    assert isinstance(name, str)
    assert isinstance(folder, str)
    assert isinstance(id_, str)
    if id_:
        check_id(id_)
    command = Command(name, read_texts(arguments), read_size(size), read_texts(environment))
    return NewSession(command, folder, not pipes, id_)


def _read_attached(value: GobValue) -> Attached:
    assert isinstance(value, tuple)
    id_, taken, pipes, *forgotten = value
    assert isinstance(id_, str)
    check_id(id_)
    offsets = [within(each, 0, MAX_OFFSET, "an offset") for each in (taken, *forgotten)]
    return Attached(id_, offsets[0], not pipes, offsets[1], offsets[2])


def _read_receive(value: GobValue) -> Receive:
    assert isinstance(value, tuple)
    output, have, most = value
    return Receive(
        within(output, STDOUT, STDERR, "the number of an output"),
        within(have, 0, MAX_OFFSET, "an offset"),
        within(most, 1, MAX_PIECE, "the size of a piece"),
    )


def _read_piece(value: GobValue) -> Piece:
    assert isinstance(value, tuple)
    offset, data = value
    assert isinstance(data, bytes)
    return Piece(within(offset, 0, MAX_OFFSET, "an offset"), data)


def _read_send(value: GobValue) -> Send:
    assert isinstance(value, tuple)
    offset, data, end = value
    assert isinstance(data, bytes)
    if len(data) > MAX_PIECE:
        raise GobError(f"a piece of input has at most {MAX_PIECE} bytes")
    return Send(within(offset, 0, MAX_OFFSET, "an offset"), data, bool(end))


def _read_ended(value: GobValue) -> Ended:
    assert isinstance(value, tuple)
    code, signal = value
    return Ended(within(code, -1, 255, "an exit code"), within(signal, 0, 127, "the number of a signal"))


def _read_facts(value: GobValue) -> SessionFacts:
    assert isinstance(value, tuple)
    id_, command, started, attached, terminal = value
    assert isinstance(id_, str)
    assert isinstance(command, str)
    assert isinstance(started, int)
    check_id(id_)
    return SessionFacts(id_, command, started, bool(attached), bool(terminal))


def _read_list(value: GobValue) -> tuple[SessionFacts, ...]:
    assert isinstance(value, tuple)
    return tuple(_read_facts(each) for each in value)


def _read_id(value: GobValue) -> str:
    assert isinstance(value, tuple)
    (id_,) = value
    assert isinstance(id_, str)
    return id_


def _read_signal(value: GobValue) -> int:
    assert isinstance(value, tuple)
    (number,) = value
    return within(number, 1, 64, "the number of a signal")


_NEW: Final[Shape[NewSession]] = Shape(
    Struct(
        "SessionReq",
        (
            Field("Name", STRING),
            Field("Arg", TEXTS),
            Field("Size", WINDOW_SIZE_STRUCT, optional=True),
            Field("Env", TEXTS),
            Field("Folder", STRING),
            Field("Pipes", BOOL),
            Field("ID", STRING),
        ),
    ),
    lambda new: (
        new.command.name,
        new.command.arguments,
        write_size(new.command.size),
        new.command.environment,
        new.folder,
        not new.terminal,
        new.id,
    ),
    _read_new,
)
_ATTACHED: Final[Shape[Attached]] = Shape(
    Struct(
        "SessionResp",
        (
            Field("ID", STRING),
            Field("Taken", UINT),
            Field("Pipes", BOOL),
            Field("Forgotten", UINT),
            Field("ForgottenErrors", UINT),
        ),
    ),
    lambda at: (at.id, at.taken, not at.terminal, at.forgotten, at.forgotten_errors),
    _read_attached,
)
_ID: Final[Shape[str]] = Shape(Struct("SessionID", (Field("ID", STRING),)), lambda id_: (id_,), _read_id)
_RECEIVE: Final[Shape[Receive]] = Shape(
    Struct("ReceiveReq", (Field("Output", UINT), Field("Have", UINT), Field("Max", UINT))),
    lambda receive: (receive.output, receive.have, receive.most),
    _read_receive,
)
_PIECE: Final[Shape[Piece]] = Shape(
    Struct("ReceiveResp", (Field("Offset", UINT), Field("Data", BYTES))),
    lambda piece: (piece.offset, piece.data),
    _read_piece,
)
_SEND: Final[Shape[Send]] = Shape(
    Struct("SendReq", (Field("Offset", UINT), Field("Data", BYTES), Field("End", BOOL))),
    lambda send: (send.offset, send.data, send.end),
    _read_send,
)
_ENDED: Final[Shape[Ended]] = Shape(
    Struct("WaitResp", (Field("Code", INT), Field("Signal", UINT))),
    lambda ended: (ended.code, ended.signal),
    _read_ended,
)
_LIST: Final[Shape[tuple[SessionFacts, ...]]] = Shape(
    Slice(
        Struct(
            "SessionInfo",
            (
                Field("ID", STRING),
                Field("Command", STRING),
                Field("Started", INT),
                Field("Attached", BOOL),
                Field("Terminal", BOOL),
            ),
        )
    ),
    lambda all_: tuple((each.id, each.command, each.started, each.attached, each.terminal) for each in all_),
    _read_list,
)
_SIGNAL: Final[Shape[int]] = Shape(
    Struct("SignalReq", (Field("Number", UINT),)), lambda number: (number,), _read_signal
)

START_SESSION: Final = Method("pty.StartSession", _NEW, _ATTACHED)
"""Begin one, or find the one of that id, and attach to it."""
ATTACH: Final = Method("pty.Attach", _ID, _ATTACHED)
"""Use one that was begun by the same key; whoever used it before does not any more."""
RECEIVE: Final = Method("pty.Receive", _RECEIVE, _PIECE)
"""Output, once there is any, or it has ended."""
SEND: Final = Method("pty.Send", _SEND, NOTHING)
"""Input; answered once the host has taken all of it."""
WAIT: Final = Method("pty.Wait", NOTHING, _ENDED)
"""How the program ended, once it has."""
SIGNAL: Final = Method("pty.Signal", _SIGNAL, NOTHING)
"""Send a signal to the program and what it has started."""
SESSIONS: Final = Method("pty.Sessions", NOTHING, _LIST)
"""Those of the one who asks."""
END_SESSION: Final = Method("pty.EndSession", _ID, NOTHING)
"""End the program of one of them, and forget it."""
