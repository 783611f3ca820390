"""The errors that end the handshake of a dmsg stream.

Source: protocol-dmsg.md section 4.5.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self, final

from skywire.errors import ProtocolError


class ErrorCode(IntEnum):
    """Upstream's errors: a number and a message each."""

    message: str

    def __new__(cls, code: int, message: str) -> Self:
        member = int.__new__(cls, code)
        member._value_ = code
        member.message = message
        return member

    ENTRY_NOT_FOUND = 100, "entry is not found in discovery"
    ENTRY_NOT_SERVER = 101, "entry is not of server in discovery"
    ENTRY_NOT_CLIENT = 102, "entry is not of client in discovery"
    NO_DELEGATED_SERVERS = 103, "client entry in discovery has no delegated servers"
    ENTITY_CLOSED = 200, "local entity closed"
    SESSION_CLOSED = 201, "local session closed"
    NO_SERVER_REACHABLE = 202, "cannot connect to delegated server"
    EXTRA_HANDSHAKE_BYTES = 203, "extra bytes received during session handshake"
    REQUEST_SIGNATURE = 300, "request has invalid signature"
    REQUEST_TIMESTAMP = 301, "request timestamp should be higher than last"
    REQUEST_SOURCE_KEY = 302, "request has invalid source public key"
    REQUEST_DESTINATION_KEY = 303, "request has invalid destination public key"
    REQUEST_SOURCE_PORT = 304, "request has invalid source port"
    REQUEST_DESTINATION_PORT = 305, "request has invalid destination port"
    NO_LISTENER = 306, "request has no associated listener"
    NO_NEXT_SESSION = 307, "request cannot be forwarded because the next session is non-existent"
    RESPONSE_SIGNATURE = 350, "response has invalid signature"
    RESPONSE_HASH = 351, "response has invalid hash of associated request"
    REJECTED = 352, "response rejected associated request without reason"
    SIGNED_OBJECT = 370, "signed object is invalid"
    PORT_OCCUPIED = 400, "port already occupied"
    ACCEPT_QUEUE_FULL = 401, "listener accept chan maxed"

    @property
    def text(self) -> str:
        """Upstream's text form, with the number."""
        return f"dmsg error {self.value} - {self.message}"

    @property
    def temporary(self) -> bool:
        """Whether the same request may succeed a little later."""
        return self in {ErrorCode.NO_LISTENER, ErrorCode.ACCEPT_QUEUE_FULL}


@final
class DmsgError(ProtocolError):
    """What a peer sent ends the handshake of a dmsg stream, or says that the peer refuses it.

    Codes of purely local conditions (100 to 103, 200 to 202, 400) come this way only when a peer's refusal names them.

    Args:
        code: upstream's number.
        cause: more about it, one line.
    """

    def __init__(self, code: ErrorCode, cause: str = "") -> None:
        super().__init__(f"{code.text}: {cause}" if cause else code.text)
        self.code = code
        self.cause = cause
