"""yamux version 0, pure: many flow-controlled byte streams over one connection.

:class:`Session` is the door. Limits and times are in :class:`Config`, what happened comes as the events of
:mod:`skywire.wire.yamux.event`.

Source: protocol-dmsg.md section 3.2.
"""

from __future__ import annotations

from skywire.wire.yamux.config import DEFAULT_CONFIG, Config
from skywire.wire.yamux.event import (
    DataReceived,
    Event,
    GoAwayReceived,
    PeerGoneAway,
    PeerSilent,
    PingAnswered,
    PingTimedOut,
    ResetCause,
    SessionEnded,
    SessionFailed,
    StreamAccepted,
    StreamFinished,
    StreamOffered,
    StreamReset,
    WindowOpened,
)
from skywire.wire.yamux.flow import WINDOW
from skywire.wire.yamux.frame import HEADER_SIZE, GoAwayReason
from skywire.wire.yamux.identifier import Role
from skywire.wire.yamux.session import Session

__all__ = [
    "DEFAULT_CONFIG",
    "HEADER_SIZE",
    "WINDOW",
    "Config",
    "DataReceived",
    "Event",
    "GoAwayReason",
    "GoAwayReceived",
    "PeerGoneAway",
    "PeerSilent",
    "PingAnswered",
    "PingTimedOut",
    "ResetCause",
    "Role",
    "Session",
    "SessionEnded",
    "SessionFailed",
    "StreamAccepted",
    "StreamFinished",
    "StreamOffered",
    "StreamReset",
    "WindowOpened",
]
