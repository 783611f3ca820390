"""The first bytes of a connection between a pty host and its client."""

from __future__ import annotations

from typing import Final

from anyio import BrokenResourceError, EndOfStream, fail_after
from anyio.abc import ByteStream

from skywire.errors import ProtocolError
from skywire.netrpc import ConnectionEnded
from skywire.pty.errors import Refused
from skywire.wire.pty.opening import ACCEPTED, Request

OPENING_SECONDS: Final = 20.0
"""For the other end to say its part."""


async def ask(stream: ByteStream, request: Request) -> None:
    """Say what we want, as a client.

    Raises:
        Refused: the host does not accept it.
        ConnectionEnded: it says nothing.
    """
    try:
        with fail_after(OPENING_SECONDS):
            await stream.send(request.encode())
            verdict = await stream.receive(1)
    except TimeoutError:
        raise ConnectionEnded(f"the host said nothing for {OPENING_SECONDS:g} s") from None
    except (EndOfStream, BrokenResourceError):
        raise ConnectionEnded("the host has ended the connection") from None
    if verdict != ACCEPTED:
        raise Refused(f"the host does not give {request.path} to this key: is it on its allow-list?")


async def hear(stream: ByteStream) -> Request:
    """What the client wants, as a host.

    Raises:
        ProtocolError: something that is no request.
        ConnectionEnded: nothing, or not in time.
    """
    try:
        with fail_after(OPENING_SECONDS):
            (size,) = await stream.receive(1)
            data = b""
            while len(data) < size:
                data += await stream.receive(size - len(data))
    except TimeoutError:
        raise ConnectionEnded(f"the client said nothing for {OPENING_SECONDS:g} s") from None
    except (EndOfStream, BrokenResourceError):
        raise ConnectionEnded("the client has ended the connection") from None
    if not data:
        raise ProtocolError("a request is empty")
    return Request.parse(data)
