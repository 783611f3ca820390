"""What a session reports to its owner, and why a session fails."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, final

from skywire.errors import ProtocolError, SkywireError


@final
class PeerGoneAway(ProtocolError):
    """The peer ended the session with a go-away that is not a normal one.

    Args:
        reason: uint32 as received; 1 is a protocol error, 2 an internal error, others have no meaning.
    """

    def __init__(self, reason: int) -> None:
        super().__init__(f"the peer ended the session with go-away reason {reason}")
        self.reason = reason


@final
class PeerSilent(ProtocolError):
    """The peer neither answered a keepalive ping in time nor sent anything else since."""


@final
class ResetCause(Enum):
    """Why a stream was reset."""

    PEER = "the peer reset it"
    OPEN_TIMEOUT = "the peer did not accept it in time"
    CLOSE_TIMEOUT = "the peer fell silent without finishing it"
    MEMORY = "the session holds too many bytes that were not consumed"


@final
@dataclass(frozen=True, slots=True)
class StreamOffered:
    """The peer opened a stream, which waits for :meth:`Session.accept` or :meth:`Session.reset`."""

    stream_id: int


@final
@dataclass(frozen=True, slots=True)
class StreamAccepted:
    """The peer acknowledged a stream that we opened."""

    stream_id: int


@final
@dataclass(slots=True)
class DataReceived:
    """Bytes came on a stream, at least one; :meth:`Session.consumed` gives the peer its window back.

    Not frozen, unlike the others: every message makes one, and freezing takes longer than all the rest of it.
    """

    stream_id: int
    data: bytes


@final
@dataclass(frozen=True, slots=True)
class StreamFinished:
    """The peer sends no more on a stream; we may go on. Also tells that it acknowledged a stream that we opened."""

    stream_id: int


@final
@dataclass(frozen=True, slots=True)
class StreamReset:
    """A stream is over in both directions; nothing more comes of it."""

    stream_id: int
    cause: ResetCause


@final
@dataclass(frozen=True, slots=True)
class WindowOpened:
    """A stream whose send window had run dry may send again."""

    stream_id: int


@final
@dataclass(frozen=True, slots=True)
class PingAnswered:
    """A ping came back; keepalive pings are told too."""

    ping_id: int
    round_trip: float
    """Seconds."""


@final
@dataclass(frozen=True, slots=True)
class PingTimedOut:
    """A ping was not answered in time; the session goes on."""

    ping_id: int


@final
@dataclass(frozen=True, slots=True)
class GoAwayReceived:
    """The peer takes no more streams; those that there are go on."""


@final
@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The connection ended between two frames; all streams are over. The last event."""


@final
@dataclass(frozen=True, slots=True)
class SessionFailed:
    """The session broke; all streams are over. The last event.

    Args:
        error: why; :class:`PeerGoneAway` and :class:`PeerSilent` are told apart, other ProtocolErrors are broken rules,
            and the rest is what :meth:`Session.fail` was given.
    """

    error: SkywireError


Event: TypeAlias = (
    StreamOffered
    | StreamAccepted
    | DataReceived
    | StreamFinished
    | StreamReset
    | WindowOpened
    | PingAnswered
    | PingTimedOut
    | GoAwayReceived
    | SessionEnded
    | SessionFailed
)
"""Whatever a session reports."""
