"""Why a call has no answer."""

from __future__ import annotations

from typing import Final

from skywire.errors import NetworkError, SkywireError


class CallFailed(SkywireError):
    """The other end says no.

    Args:
        method: that was called.
        reason: in the words of the other end.
    """

    def __init__(self, method: str, reason: str) -> None:
        super().__init__(f"{method}: {reason}")
        self.method: Final = method
        self.reason: Final = reason

    @property
    def unknown(self) -> bool:
        """Whether the other end does not have the method."""
        return self.reason.startswith("rpc: can't find ")


class ConnectionEnded(NetworkError):
    """The connection ended, or broke, before the answer came; whether the call was done is not known."""
