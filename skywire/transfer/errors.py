"""What can go wrong with a file.

The tree, below :class:`skywire.errors.SkywireError`::

    TransferError
    ├ SenderFailed          the sender says that it sends nothing, or nothing more; carries its code
    ├ FileChanged           the sender's file is not the wanted one, or not any more; the part is removed
    ├ Interrupted           the connection ended; the part stays, and is continued (also a NetworkError)
    │ └ Stalled             nothing moved for too long (also a TimeoutError)
    ├ WrongSize             the sender says one size and sends another (also a ProtocolError); the part is removed
    ├ WrongChecksum         what came has another checksum (also a ProtocolError); the part is removed
    ├ OfferUnwanted         the receiver does not take an offer
    ├ TooLarge              it has more bytes than are taken
    ├ NoSpace               it does not fit on the disk; what was written stays
    ├ AlreadyReceiving      the same file is being received already
    └ FileFailed            a local file cannot be read or written

A sender that breaks the wire format otherwise is a :class:`skywire.errors.ProtocolError`; the part stays.
"""

from __future__ import annotations

from typing import Final

from skywire.errors import NetworkError, ProtocolError, SkywireError
from skywire.wire.transfer import FailureCode


class TransferError(SkywireError):
    """A file is not, or not yet, transferred; the text says why."""


class SenderFailed(TransferError):
    """The sender sends nothing, or nothing more.

    Args:
        code: why, for programs.
        reason: why, in the sender's words.
    """

    def __init__(self, code: FailureCode, reason: str) -> None:
        super().__init__(f"the sender says: {reason or code}")
        self.code: Final = code


class FileChanged(TransferError):
    """The sender's file is not the wanted one, or not any more."""


class Interrupted(TransferError, NetworkError):
    """The connection ended before the file did."""


class Stalled(Interrupted, TimeoutError):
    """Nothing moved for too long."""


class WrongSize(TransferError, ProtocolError):
    """The sender sends another number of bytes than it says."""


class WrongChecksum(TransferError, ProtocolError):
    """What came is not what the checksum is of."""


class OfferUnwanted(TransferError):
    """Who is offered a file does not want it; the text says why, and is told to the peer."""


class TooLarge(TransferError):
    """A file has more bytes than are taken."""


class NoSpace(TransferError):
    """A file does not fit on the disk."""


class AlreadyReceiving(TransferError):
    """The same file is being received already, here or in another process."""


class FileFailed(TransferError):
    """A local file cannot be read or written."""
