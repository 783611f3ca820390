"""The states of one stream, and the one table of its transitions.

Source: protocol-dmsg.md section 3.2.
"""

from __future__ import annotations

from enum import Enum, unique
from typing import Final, final

from skywire.wire.yamux.flow import ReceiveWindow, SendWindow


@final
@unique
class StreamState(Enum):
    """Where a stream stands; its attributes say what that means for a session."""

    # receiving, sending, unacknowledged, waiting
    OPENING = (True, True, True, False)
    """We sent SYN, the peer has not acknowledged."""
    OPENING_FINISHED = (True, False, True, False)
    """We sent SYN and FIN, the peer has not acknowledged."""
    OFFERED = (True, True, False, True)
    """The peer sent SYN, we have not acknowledged."""
    OFFERED_FINISHED = (False, True, False, True)
    """The peer sent SYN and FIN, we have not acknowledged."""
    OPEN = (True, True, False, False)
    """Both directions are open."""
    LOCAL_FINISHED = (True, False, False, False)
    """We sent FIN."""
    REMOTE_FINISHED = (False, True, False, False)
    """The peer sent FIN."""
    CLOSED = (False, False, False, False)
    """Both sent FIN, or one sent RST; the session forgets the stream."""

    def __init__(self, receiving: bool, sending: bool, unacknowledged: bool, waiting: bool) -> None:
        self.receiving = receiving
        """The peer may send bytes."""
        self.sending = sending
        """We may send bytes."""
        self.unacknowledged = unacknowledged
        """It counts among our opens that the peer has not acknowledged."""
        self.waiting = waiting
        """It counts among the peer's opens that we have not acknowledged."""
        self.lingering = receiving and not sending
        """We are done, and only the peer's FIN is awaited."""


@final
class StreamInput(Enum):
    """What moves a stream from state to state; bytes alone never do."""

    REMOTE_ACK = "ACK received"
    REMOTE_FIN = "FIN received"
    REMOTE_RST = "RST received"
    LOCAL_ACK = "ACK sent"
    LOCAL_FIN = "FIN sent"
    LOCAL_RST = "RST sent"


def _table() -> dict[StreamState, dict[StreamInput, StreamState]]:
    opening, opening_finished = StreamState.OPENING, StreamState.OPENING_FINISHED
    offered, offered_finished = StreamState.OFFERED, StreamState.OFFERED_FINISHED
    opened, closed = StreamState.OPEN, StreamState.CLOSED
    local_finished, remote_finished = StreamState.LOCAL_FINISHED, StreamState.REMOTE_FINISHED
    ack, fin, rst = StreamInput.REMOTE_ACK, StreamInput.REMOTE_FIN, StreamInput.REMOTE_RST
    our_ack, our_fin, our_rst = StreamInput.LOCAL_ACK, StreamInput.LOCAL_FIN, StreamInput.LOCAL_RST
    return {
        opening: {ack: opened, fin: remote_finished, rst: closed, our_fin: opening_finished, our_rst: closed},
        opening_finished: {ack: local_finished, fin: closed, rst: closed, our_rst: closed},
        offered: {fin: offered_finished, rst: closed, our_ack: opened, our_rst: closed},
        offered_finished: {rst: closed, our_ack: remote_finished, our_rst: closed},
        opened: {fin: remote_finished, rst: closed, our_fin: local_finished, our_rst: closed},
        local_finished: {fin: closed, rst: closed, our_rst: closed},
        remote_finished: {rst: closed, our_fin: closed, our_rst: closed},
        closed: {},
    }


TRANSITIONS: Final = _table()
"""State -> input -> next state.

Where REMOTE_FIN is missing, it breaks a rule and ends the session. What else is missing does nothing. LOCAL_FIN is
missing where an ACK is due, because our FIN carries it: two steps.
"""


@final
class Stream:
    """One stream of a session: its id, its state and its windows.

    Args:
        stream_id: uint32, not 0.
        state: OPENING or OFFERED.
    """

    __slots__ = ("heard", "receive_window", "send_window", "state", "stream_id")

    def __init__(self, stream_id: int, state: StreamState) -> None:
        self.stream_id = stream_id
        self.state = state
        self.receive_window = ReceiveWindow()
        self.send_window = SendWindow()
        self.heard = False
        """Whether bytes came since the close timeout last looked."""
