"""The calls of upstream's pty: one terminal per connection, which ends with it.

``Exec`` runs a program without a terminal and gives all of its output at once. Of it only the names of the fields are
known, which is what gob goes by; those of the flags of truncation are a guess, and a host that names them otherwise is
understood without them.

Source: protocol-dmsg.md section 7.3, upstream-2026.md section 2.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from skywire.wire.gob import BOOL, BYTES, INT, STRING, UINT, Field, GobValue, Slice, Struct
from skywire.wire.gob.method import BLOB, NOTHING, NUMBER, Method, Shape, within

MAX_STDIN: Final = 1 << 20
"""Bytes of input that ``Exec`` takes."""
MAX_OUTPUT: Final = 16 << 20
"""Bytes of each of its outputs that ``Exec`` gives."""
MAX_EXEC_MS: Final = 300_000
"""Milliseconds that ``Exec`` may take."""
EXEC_MS: Final = 30_000
"""Milliseconds that it may take unless asked otherwise."""

ALREADY_RUNNING: Final = "a pty session is already running"
NOT_RUNNING: Final = "no active pty session"
ENDED: Final = "EOF"
"""What ``Read`` fails with when the program has ended."""
ENDED_AS_IN_LINUX: Final = "read /dev/ptmx: input/output error"
"""The same, as upstream's host on Linux says it."""

_MAX_UINT16: Final = 0xFFFF


@final
@dataclass(frozen=True, slots=True)
class WindowSize:
    """Of a terminal; each 0 to 65535.

    Args:
        columns: characters of a line.
        rows: lines.
        x: pixels across, 0 for unknown.
        y: pixels down, likewise.
    """

    columns: int
    rows: int
    x: int = 0
    y: int = 0


@final
@dataclass(frozen=True, slots=True)
class Command:
    """A program to run.

    Args:
        name: of a program, or its path; empty for the user's shell, in ours.
        arguments: without the name.
        size: of the terminal; None for the usual one.
        environment: ``NAME=value`` each, beside what the host gives.
    """

    name: str
    arguments: tuple[str, ...] = ()
    size: WindowSize | None = None
    environment: tuple[str, ...] = ()


@final
@dataclass(frozen=True, slots=True)
class Execution:
    """A program to run to its end.

    Args:
        name: of a program, or its path.
        arguments: without the name.
        environment: ``NAME=value`` each, beside what the host gives.
        stdin: its input, up to 1 MiB.
        timeout_ms: milliseconds that it may take, up to 300,000; 0 for 30,000.
    """

    name: str
    arguments: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    stdin: bytes = b""
    timeout_ms: int = 0


@final
@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an execution.

    Args:
        stdout: up to 16 MiB.
        stderr: likewise.
        stdout_truncated: whether there was more.
        stderr_truncated: likewise.
        exit_code: -1 when it was killed.
        timed_out: whether that was because it took too long.
        duration_ms: milliseconds that it took.
    """

    stdout: bytes
    stderr: bytes
    stdout_truncated: bool
    stderr_truncated: bool
    exit_code: int
    timed_out: bool
    duration_ms: int


TEXTS: Final = Slice(STRING, "[]string")
WINDOW_SIZE_STRUCT: Final = Struct("WinSize", tuple(Field(name, UINT) for name in ("X", "Y", "Rows", "Cols")))
_PLAIN_COMMAND: Final = Struct(
    "CommandReq",
    (Field("Name", STRING), Field("Arg", TEXTS), Field("Size", WINDOW_SIZE_STRUCT, optional=True)),
)
_COMMAND: Final = Struct("CommandReq", (*_PLAIN_COMMAND.fields, Field("Env", TEXTS)))
_EXECUTION: Final = Struct(
    "ExecReq",
    (Field("Name", STRING), Field("Arg", TEXTS), Field("Env", TEXTS), Field("Stdin", BYTES), Field("TimeoutMS", INT)),
)
_OUTCOME: Final = Struct(
    "ExecResp",
    (
        Field("Stdout", BYTES),
        Field("Stderr", BYTES),
        Field("StdoutTruncated", BOOL),
        Field("StderrTruncated", BOOL),
        Field("ExitCode", INT),
        Field("TimedOut", BOOL),
        Field("DurationMS", INT),
    ),
)


def write_size(size: WindowSize | None) -> GobValue:
    """The gob value of a size, or of none."""
    return None if size is None else (size.x, size.y, size.rows, size.columns)


def read_size(value: GobValue) -> WindowSize | None:
    """The size that a gob value is, or none.

    Raises:
        GobError: it is out of range.
    """
    if value is None:
        return None
    assert isinstance(value, tuple)
    x, y, rows, columns = (within(each, 0, _MAX_UINT16, "a measure of a terminal") for each in value)
    return WindowSize(columns, rows, x, y)


def read_texts(value: GobValue) -> tuple[str, ...]:
    """The texts that a gob value is."""
    assert isinstance(value, tuple)
    return tuple(each for each in value if isinstance(each, str))


def _read_some_size(value: GobValue) -> WindowSize:
    size = read_size(value)
    assert size is not None
    return size


def _read_plain_command(value: GobValue) -> Command:
    assert isinstance(value, tuple)
    name, arguments, size = value
    assert isinstance(name, str)
    return Command(name, read_texts(arguments), read_size(size))


def _read_command(value: GobValue) -> Command:
    assert isinstance(value, tuple)
    name, arguments, size, environment = value
    assert isinstance(name, str)
    return Command(name, read_texts(arguments), read_size(size), read_texts(environment))


def _read_execution(value: GobValue) -> Execution:
    assert isinstance(value, tuple)
    name, arguments, environment, stdin, timeout = value
    assert isinstance(name, str)
    assert isinstance(stdin, bytes)
    return Execution(
        name,
        read_texts(arguments),
        read_texts(environment),
        stdin,
        within(timeout, 0, MAX_EXEC_MS, "milliseconds that a program may take"),
    )


def _read_outcome(value: GobValue) -> Outcome:
    assert isinstance(value, tuple)
    stdout, stderr, more_out, more_err, code, timed_out, duration = value
    assert isinstance(stdout, bytes)
    assert isinstance(stderr, bytes)
    assert isinstance(code, int)
    assert isinstance(duration, int)
    return Outcome(stdout, stderr, bool(more_out), bool(more_err), code, bool(timed_out), duration)


_PLAIN_COMMAND_SHAPE: Final[Shape[Command]] = Shape(
    _PLAIN_COMMAND, lambda each: (each.name, each.arguments, write_size(each.size)), _read_plain_command
)
_COMMAND_SHAPE: Final[Shape[Command]] = Shape(
    _COMMAND,
    lambda each: (each.name, each.arguments, write_size(each.size), each.environment),
    _read_command,
)
_WINDOW_SIZE: Final[Shape[WindowSize]] = Shape(WINDOW_SIZE_STRUCT, write_size, _read_some_size)
_EXECUTION_SHAPE: Final[Shape[Execution]] = Shape(
    _EXECUTION,
    lambda each: (each.name, each.arguments, each.environment, each.stdin, each.timeout_ms),
    _read_execution,
)
_OUTCOME_SHAPE: Final[Shape[Outcome]] = Shape(
    _OUTCOME,
    lambda each: (
        each.stdout,
        each.stderr,
        each.stdout_truncated,
        each.stderr_truncated,
        each.exit_code,
        each.timed_out,
        each.duration_ms,
    ),
    _read_outcome,
)

START: Final = Method("pty.Start", _COMMAND_SHAPE, NOTHING)
"""Begin; what a host does not know, such as the environment, it passes over."""
START_PLAINLY: Final = Method("pty.Start", _PLAIN_COMMAND_SHAPE, NOTHING)
"""The same in the form of 2024."""
STOP: Final = Method("pty.Stop", NOTHING, NOTHING)
READ: Final = Method("pty.Read", NUMBER, BLOB)
"""So many bytes of output at most, once there are any."""
WRITE: Final = Method("pty.Write", BLOB, NUMBER)
"""Input; how much of it was taken."""
RESIZE: Final = Method("pty.SetPtySize", _WINDOW_SIZE, NOTHING)
PING: Final = Method("pty.Ping", NOTHING, NOTHING)
EXEC: Final = Method("pty.Exec", _EXECUTION_SHAPE, _OUTCOME_SHAPE)
