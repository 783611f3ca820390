"""What a client of the HTTP server may cost us."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, final


@final
@dataclass(frozen=True, slots=True)
class SocketLimits:
    """Limits of websockets.

    Args:
        message_bytes: of a message that comes in; a larger one ends the socket.
        ping_seconds: between two questions whether the client is there.
        pong_seconds: for its answer.

    Raises:
        ValueError: one of them is not above 0.
    """

    message_bytes: int = 65536
    ping_seconds: float = 20.0
    pong_seconds: float = 20.0

    def __post_init__(self) -> None:
        if not min(self.message_bytes, self.ping_seconds, self.pong_seconds) > 0:
            raise ValueError("the limits of websockets are above 0")


@final
@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Limits of the HTTP server. There is none on how long a body, or a websocket, may take that moves.

    Args:
        head_bytes: for a request line and its header fields, and for the fields behind a body in chunks; one read of
            64 KiB may go past it.
        head_seconds: for a request head to come in, from its first byte; for the first request from the connection on.
        idle_seconds: between a response and the next request; whole seconds.
        stall_seconds: without a byte of a body that is not complete, or for 64 KiB of a response to be taken.
        response_seconds: for a whole response to be taken, from its first byte; without limit unless given.
        finish_seconds: for an application to end what it does when its client is gone; it is told, and then cancelled.
        connections: at a time, on all TCP listeners of one server, or of one handler. At the limit, a quarter of those
            make room that have no complete request, the oldest of the hosts that have most of them; where all are being
            answered the new one is closed.
        sockets: of websockets; without them there are none.

    Raises:
        ValueError: one of them is not above 0.
    """

    head_bytes: int = 32768
    head_seconds: float = 10.0
    idle_seconds: int = 30
    stall_seconds: float = 60.0
    response_seconds: float = math.inf
    finish_seconds: float = 10.0
    connections: int = 512
    sockets: SocketLimits | None = None

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if name != "sockets" and not getattr(self, name) > 0:
                raise ValueError(f"{name} is above 0, or nothing would ever be served")


DEFAULT_LIMITS: Final = HttpLimits()
