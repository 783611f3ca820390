"""The first bytes of a connection between a pty host and its client."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from anyio import BrokenResourceError, EndOfStream, fail_after
from anyio.abc import ByteStream

from skywire.netrpc import ConnectionEnded
from skywire.pty.errors import HostUnreachable, Refused
from skywire.pty.printable import printable
from skywire.wire.pty.opening import ACCEPTED, MAX_REASON, UNREACHABLE, Request

OPENING_SECONDS: Final = 20.0
"""For the other end to say its part; a host that is asked to connect to another one may take as long as that."""
REASON_SECONDS: Final = 2.0
"""For the other end to say why not."""


async def ask(stream: ByteStream, request: Request) -> None:
    """Say what we want, as a client.

    Raises:
        Refused: the host does not give it to us.
        HostUnreachable: it cannot reach the host that we want it from.
        ConnectionEnded: it says nothing.
    """
    try:
        with fail_after(OPENING_SECONDS):
            await stream.send(request.encode())
            verdict = await stream.receive(1)
    except TimeoutError:
        raise ConnectionEnded(f"the host said nothing for {OPENING_SECONDS:g} s") from None
    except (EndOfStream, BrokenResourceError):
        raise ConnectionEnded("the host has ended the connection without a word: is our key on its list?") from None
    if verdict == ACCEPTED:
        return
    reason = await _reason(stream)
    if verdict == UNREACHABLE:
        raise HostUnreachable(reason or "the host cannot be reached")
    raise Refused(reason or "the host has refused: is our key on its list?")


async def _reason(stream: ByteStream) -> str:
    said = b""
    with suppress(TimeoutError, EndOfStream, BrokenResourceError), fail_after(REASON_SECONDS):
        while len(said) < MAX_REASON:
            said += await stream.receive(MAX_REASON - len(said))
    return printable(said.decode(errors="replace"))


async def hear(stream: ByteStream, seconds: float = OPENING_SECONDS) -> Request:
    """What the client wants, as a host.

    Args:
        stream: to the client.
        seconds: that it has.

    Raises:
        ProtocolError: something that is no request.
        ConnectionEnded: nothing, or not in time.
    """
    try:
        with fail_after(seconds):
            (size,) = await stream.receive(1)
            data = b""
            while len(data) < size:
                data += await stream.receive(size - len(data))
    except TimeoutError:
        raise ConnectionEnded(f"the client has not said in {seconds:g} s what it wants") from None
    except (EndOfStream, BrokenResourceError):
        raise ConnectionEnded("the client has ended the connection") from None
    return Request.parse(data)


async def refuse(stream: ByteStream, verdict: bytes, reason: str) -> None:
    """Say no, as a host.

    Args:
        stream: to the client; to be closed then.
        verdict: ``REJECTED`` or ``UNREACHABLE``.
        reason: why, in one line.
    """
    await stream.send(verdict + reason.encode()[:MAX_REASON])
