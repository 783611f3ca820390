"""The dmsgctrl protocol: whether a peer is there, and how long the way to it takes.

One-byte messages in both directions: each ping is answered by a pong, any other byte is the end. Messages have no
numbers, so that a connection carries one ping of ours at a time.

Source: protocol-dmsg.md section 7.2.
"""

from __future__ import annotations

from typing import Final

from anyio import EndOfStream, fail_after, move_on_after

from skywire.dmsg.mux import clock
from skywire.errors import ProtocolError
from skywire.net.conn import Conn

CONTROL_PORT: Final = 7
"""Where nodes answer."""
SILENCE_SECONDS: Final = 300.0
"""For which a peer may say nothing; upstream's trackers keep a connection and ping every now and then."""
ANSWER_SECONDS: Final = 10.0
"""For a pong to come, and for a peer to take ours."""

_PING: Final = b"\x09"
_PONG: Final = b"\x0a"
_READ_SIZE: Final = 64
"""Messages to look at in one go."""


async def serve_control(
    conn: Conn, *, silence_seconds: float = SILENCE_SECONDS, answer_seconds: float = ANSWER_SECONDS
) -> None:
    """The handler for a dispatcher: answer pings until the peer leaves, breaks the rules, or is not heard any more.

    Args:
        conn: the connection; the caller closes it.
        silence_seconds: see SILENCE_SECONDS.
        answer_seconds: see ANSWER_SECONDS.

    Raises:
        StreamBroken: the connection failed.
    """
    while True:
        messages = b""
        with move_on_after(silence_seconds):
            try:
                messages = await conn.receive(_READ_SIZE)
            except EndOfStream:
                return
        if not messages or _are_wrong(messages):
            return
        with move_on_after(answer_seconds) as sending:
            await _answer(conn, messages)
        if sending.cancelled_caught:
            return


async def ping(conn: Conn, *, timeout: float = ANSWER_SECONDS) -> float:
    """Measure a round trip; pings of the peer are answered meanwhile.

    Args:
        conn: a connection to the control port that is used for nothing else at this time.
        timeout: seconds.

    Returns:
        Seconds.

    Raises:
        TimeoutError: no pong in time; the connection is of no use any more.
        ProtocolError: the peer sent something else.
        StreamBroken, EndOfStream: the connection is over.
    """
    with fail_after(timeout):
        started = clock()
        await conn.send(_PING)
        while True:
            messages = await conn.receive(_READ_SIZE)
            took = clock() - started
            if _are_wrong(messages):
                raise ProtocolError(f"{conn.remote} does not speak the control protocol")
            await _answer(conn, messages)
            if _PONG in messages:
                return took


async def _answer(conn: Conn, messages: bytes) -> None:
    pings = messages.count(_PING)
    if pings:
        await conn.send(_PONG * pings)


def _are_wrong(messages: bytes) -> bool:
    return bool(messages.strip(_PING + _PONG))
