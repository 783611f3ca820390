"""The two windows of a stream: how many bytes the peer may still send, and how many we may.

Source: protocol-dmsg.md section 3.2 (flow control).
"""

from __future__ import annotations

from typing import Final, final

from skywire.errors import LocalProtocolError, ProtocolError

WINDOW: Final = 262144
"""Bytes that each side may send at first; also the most we ever let a peer have under way or unread on one stream."""
CREDIT_THRESHOLD: Final = WINDOW // 2
"""Bytes consumed before the peer is told: half a window, upstream's rule, so that updates stay rare."""
MAX_SEND_WINDOW: Final = 0xFFFFFFFF
"""Bytes; no honest peer lets us send more than the length field of one frame can say."""


@final
class ReceiveWindow:
    """What the peer may send. Always ``left`` + on its way + ``unread`` + ``uncredited`` == WINDOW."""

    __slots__ = ("left", "uncredited", "unread")

    def __init__(self) -> None:
        self.left = WINDOW
        """Bytes that the peer may still announce."""
        self.unread = 0
        """Bytes handed out that were not consumed."""
        self.uncredited = 0
        """Bytes consumed that the peer has not been told of."""

    @property
    def held(self) -> int:
        """Bytes that the peer has announced and the application has not consumed."""
        return WINDOW - self.left - self.uncredited

    def reserve(self, size: int) -> None:
        """Let in the header of a body of ``size`` bytes.

        Raises:
            ProtocolError: the peer may not send as much.
        """
        if size > self.left:
            raise ProtocolError(f"a body of {size} bytes exceeds the receive window, {self.left} bytes are left")
        self.left -= size

    def consume(self, size: int) -> None:
        """The application took ``size`` bytes.

        Raises:
            LocalProtocolError: it was not handed as much.
        """
        if not 0 <= size <= self.unread:
            raise LocalProtocolError(f"{size} bytes cannot be consumed, {self.unread} were handed out and not consumed")
        self.unread -= size
        self.uncredited += size

    def take_credit(self) -> int:
        """Give the peer back what was consumed; the bytes to tell it."""
        credit = self.uncredited
        self.uncredited = 0
        self.left += credit
        return credit


@final
class SendWindow:
    """What we may send."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = WINDOW
        """Bytes that we may still send."""

    def grant(self, credit: int) -> bool:
        """The peer lets us send ``credit`` bytes more; whether this opened a window that had run dry.

        Raises:
            ProtocolError: that would be more than any length field can say.
        """
        before = self.left
        self.left = before + credit
        if self.left > MAX_SEND_WINDOW:
            raise ProtocolError(f"a window update of {credit} bytes overflows a send window of {before}")
        return before == 0 < credit
