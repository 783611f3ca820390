"""Measures a way to a peer: how much it carries, and how long a round trip takes.

Each stream begins with one record from who asks, a line of JSON, and one in return::

    {"version": 1, "mode": "upload", "seconds": 10, "bytes": null}
    {"error": null}

``mode`` is ``upload`` (who asks sends), ``download`` (the other end sends) or ``echo`` (the other end returns what
comes). ``seconds`` is how long at most, ``bytes`` how many bytes at most, or null. An error is a sentence, and the end.

Who sends, sends bytes of 0, and one of 1 as the last. After an upload one more record tells what has arrived, and in
which time since the answer to the request::

    {"bytes": 1048576, "seconds": 0.25}
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self, final

from anyio import EndOfStream, fail_after, sleep

from skywire.dmsg.mux import clock
from skywire.errors import NetworkError, ProtocolError
from skywire.net.conn import Conn
from skywire.net.errors import PeerRefused, StreamBroken

IPERF_PORT: Final = 5201
"""Where measuring is offered; iperf3's port."""
MAX_SECONDS: Final = 300.0
"""Longest time that a stream may measure."""
MAX_BYTES: Final = 1 << 40
"""Most bytes that may be asked for."""
STALL_SECONDS: Final = 20.0
"""For a request to come, a piece to be taken or to come, and a result to be told."""
PIECE: Final = bytes(131072)
"""What is sent at a time."""
READ_SIZE: Final = 262144
"""Most bytes to take at a time."""
ECHO_SIZE: Final = 8
"""Bytes of a round trip."""
ECHO_PAUSE: Final = 0.01
"""Seconds between two round trips, so that they do not load the way themselves."""

_END: Final = b"\x01"
_VERSION: Final = 1
_MAX_SENTENCE: Final = 200
"""Characters of a peer's sentence that are shown."""

_log: Final = logging.getLogger("skywire.dmsg.iperf")


class Stalled(NetworkError, TimeoutError):
    """The peer did not do its part in time."""


class Mode(StrEnum):
    """What a stream is for, as seen by who asks."""

    UPLOAD = "upload"
    DOWNLOAD = "download"
    ECHO = "echo"


@final
@dataclass(frozen=True, slots=True)
class Request:
    """What a stream is to do.

    Args:
        mode: what for.
        seconds: how long at most, above 0 and up to MAX_SECONDS.
        size: how many bytes at most, 1 to MAX_BYTES; None for as many as there is time for.

    Raises:
        ValueError: a number is out of its range.
    """

    mode: Mode
    seconds: float
    size: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= MAX_SECONDS:
            raise ValueError(f"a stream measures for up to {MAX_SECONDS:g} seconds")
        if self.size is not None and not 1 <= self.size <= MAX_BYTES:
            raise ValueError(f"a stream measures 1 to {MAX_BYTES} bytes")

    @classmethod
    def decode(cls, record: bytes) -> Self:
        """Read the first record of a stream.

        Raises:
            ProtocolError: it is no request.
            ValueError: it asks for too much.
        """
        members = _members(record)
        seconds, size = members.get("seconds"), members.get("bytes")
        if members.get("version") != _VERSION:
            raise ProtocolError(f"this is no request of version {_VERSION}")
        if not isinstance(seconds, int | float) or isinstance(seconds, bool):
            raise ProtocolError("a request says for how many seconds")
        if size is not None and type(size) is not int:
            raise ProtocolError("a request says how many bytes, or null")
        try:
            mode = Mode(str(members.get("mode")))
        except ValueError:
            raise ProtocolError(f"a mode is {', '.join(Mode)}") from None
        return cls(mode, seconds, size)

    def encode(self) -> bytes:
        """The first record of a stream."""
        return _record({"version": _VERSION, "mode": self.mode, "seconds": self.seconds, "bytes": self.size})


@final
@dataclass(slots=True)
class Meter:
    """What has been measured on one stream so far.

    Args:
        started: by the clock of sessions.
    """

    started: float = field(default_factory=clock)
    size: int = 0
    seconds: float = 0.0

    def add(self, size: int) -> None:
        """Count bytes that were moved just now."""
        self.size += size
        self.seconds = clock() - self.started

    @property
    def rate(self) -> float:
        """Bytes in a second."""
        return self.size / self.seconds if self.seconds > 0 else 0.0


async def serve_iperf(conn: Conn) -> None:
    """The handler for a dispatcher: do what one stream asks for, within the limits above.

    Raises:
        StreamBroken, EndOfStream: the connection is over.
    """
    try:
        await _serve(conn)
    except Stalled as error:
        _log.info("%s: %s", conn.remote, error)


async def ask(conn: Conn, request: Request) -> None:
    """Ask a peer for what is to be measured.

    Raises:
        PeerRefused: it will not.
        Stalled: no answer in time.
        ProtocolError: its answer makes no sense.
        StreamBroken: the connection failed.
    """
    await conn.send_record(request.encode())
    error = (await _told(conn)).get("error", "")
    if error is None:
        return
    if not isinstance(error, str) or not error:
        raise ProtocolError(f"{conn.remote} does not answer as one that measures")
    sentence = "".join(character for character in error[:_MAX_SENTENCE] if character.isprintable())
    raise PeerRefused(conn.remote, sentence)


async def upload(conn: Conn, request: Request, meter: Meter) -> None:
    """Send what was asked for; the meter then tells what has arrived.

    Raises: as :func:`ask`, but for PeerRefused.
    """
    await _send(conn, request, meter)
    result = await _told(conn)
    size, seconds = result.get("bytes"), result.get("seconds")
    if type(size) is not int or not 0 <= size <= meter.size:
        raise ProtocolError(f"{conn.remote} says that {str(size)[:_MAX_SENTENCE]!r} of {meter.size} bytes arrived")
    if not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise ProtocolError(f"{conn.remote} does not say in which time {size} bytes arrived")
    meter.size, meter.seconds = size, seconds


async def download(conn: Conn, request: Request, meter: Meter) -> None:
    """Take what was asked for.

    Raises: as :func:`ask`, but for PeerRefused.
    """
    await _receive(conn, request, meter)


async def round_trips(conn: Conn, seconds: float, samples: list[float]) -> None:
    """Measure round trips on a stream that echoes.

    Args:
        conn: after :func:`ask`.
        seconds: how long.
        samples: each round trip is added, in seconds.

    Raises: as :func:`ask`, but for PeerRefused.
    """
    end = clock() + seconds
    while clock() < end:
        started = clock()
        await conn.send(PIECE[:ECHO_SIZE])
        left = ECHO_SIZE
        while left:
            left -= len(await _next(conn, left))
        samples.append(clock() - started)
        await sleep(ECHO_PAUSE)


def percentile(samples: list[float], percent: float) -> float:
    """The smallest of the samples that ``percent`` of them do not exceed.

    Args:
        samples: at least one.
        percent: above 0, up to 100.
    """
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


async def _serve(conn: Conn) -> None:
    try:
        with fail_after(STALL_SECONDS):
            request = Request.decode(await conn.receive_record())
    except TimeoutError:
        raise Stalled(f"{conn.remote} asked for nothing") from None
    except (ProtocolError, ValueError) as error:
        await _tell(conn, {"error": str(error)})
        return
    await _tell(conn, {"error": None})
    meter = Meter()
    match request.mode:
        case Mode.UPLOAD:
            await _receive(conn, request, meter)
            await _tell(conn, {"bytes": meter.size, "seconds": meter.seconds})
        case Mode.DOWNLOAD:
            await _send(conn, request, meter)
        case _:
            await _echo(conn, request, meter)
    _log.info("%s: %s of %d bytes in %.2f s", conn.remote, request.mode, meter.size, meter.seconds)


async def _send(conn: Conn, request: Request, meter: Meter) -> None:
    end = clock() + request.seconds
    left = math.inf if request.size is None else request.size
    while left > 0 and clock() < end:
        piece = PIECE if left >= len(PIECE) else PIECE[: int(left)]
        await _send_piece(conn, piece)
        meter.add(len(piece))
        left -= len(piece)
    await _send_piece(conn, _END)


async def _send_piece(conn: Conn, piece: bytes) -> None:
    try:
        with fail_after(STALL_SECONDS):
            await conn.send(piece)
    except TimeoutError:
        raise Stalled(f"{conn.remote} took nothing for {STALL_SECONDS:g} s") from None


async def _receive(conn: Conn, request: Request, meter: Meter) -> None:
    latest = clock() + request.seconds + STALL_SECONDS
    while True:
        data = await _next(conn, READ_SIZE)
        if data.endswith(_END):
            meter.add(len(data) - 1)
            return
        meter.add(len(data))
        if clock() > latest or meter.size > (request.size or math.inf):
            raise Stalled(f"{conn.remote} goes on sending after the end")


async def _echo(conn: Conn, request: Request, meter: Meter) -> None:
    latest = clock() + request.seconds + STALL_SECONDS
    try:
        while clock() < latest:
            data = await _next(conn, ECHO_SIZE)
            await _send_piece(conn, data)
            meter.add(len(data))
    except StreamBroken:
        return


async def _next(conn: Conn, size: int) -> bytes:
    try:
        with fail_after(STALL_SECONDS):
            return await conn.receive(size)
    except TimeoutError:
        raise Stalled(f"nothing came from {conn.remote} for {STALL_SECONDS:g} s") from None
    except EndOfStream:
        raise StreamBroken(f"{conn.remote} ended the stream before all was measured") from None


async def _tell(conn: Conn, members: dict[str, object]) -> None:
    await _send_piece(conn, _record(members))


async def _told(conn: Conn) -> dict[str, object]:
    try:
        with fail_after(STALL_SECONDS):
            return _members(await conn.receive_record())
    except TimeoutError:
        raise Stalled(f"{conn.remote} did not answer within {STALL_SECONDS:g} s") from None
    except EndOfStream:
        raise ProtocolError(f"{conn.remote} ended the stream instead of an answer") from None


def _record(members: dict[str, object]) -> bytes:
    return json.dumps(members).encode() + b"\n"


def _members(record: bytes) -> dict[str, object]:
    try:
        value: object = json.loads(record)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ProtocolError("a record of measuring is a JSON object")
    return value
