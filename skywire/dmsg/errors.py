"""Why a dmsg stream could not be opened, with upstream's codes.

Source: protocol-dmsg.md section 4.5.
"""

from __future__ import annotations

from skywire.errors import NetworkError
from skywire.net.address import Address
from skywire.net.errors import PeerRefused, Unreachable
from skywire.wire.dmsg_errors import ErrorCode


class SessionOver(NetworkError):
    """The session with a server is over, or takes no more streams."""

    code = ErrorCode.SESSION_CLOSED


class DmsgUnreachable(Unreachable):
    """The discovery does not know the peer, or none of its servers can be reached.

    Args:
        address: where to.
        code: upstream's code.
        cause: more about it.
    """

    def __init__(self, address: Address, code: ErrorCode, cause: str = "") -> None:
        super().__init__(address, f"{code.text}: {cause}" if cause else code.text)
        self.code = code


class DmsgRefused(PeerRefused):
    """A server was reached, but the peer did not answer there, or not in accordance with the rules.

    Args:
        address: where to.
        code: upstream's code.
        cause: more about it.
    """

    def __init__(self, address: Address, code: ErrorCode, cause: str = "") -> None:
        super().__init__(address, f"{code.text}: {cause}" if cause else code.text)
        self.code = code
