"""Files from peer to peer: offered by one, fetched by the other, over any connection and in either direction of it.

The sender serves only what it offers to that very key (:mod:`skywire.transfer.sending`); the receiver keeps what has
come until all of it is there and right (:mod:`skywire.transfer.receiving`). Who may fetch what, and where connections
come from, is the matter of whoever uses it.
"""

from skywire.transfer.errors import (
    AlreadyReceiving,
    FileChanged,
    FileFailed,
    Interrupted,
    NoSpace,
    OfferUnwanted,
    SenderFailed,
    Stalled,
    TooLarge,
    TransferError,
    WrongChecksum,
    WrongSize,
)
from skywire.transfer.limits import TransferLimits
from skywire.transfer.names import safe_name
from skywire.transfer.offers import Offer, OfferTable
from skywire.transfer.receiving import Fetched, Reception, Wanted, receiving
from skywire.transfer.sending import Sender, Sending, announce
from skywire.wire.transfer import Announcement, FailureCode

__all__ = [
    "AlreadyReceiving",
    "Announcement",
    "FailureCode",
    "Fetched",
    "FileChanged",
    "FileFailed",
    "Interrupted",
    "NoSpace",
    "Offer",
    "OfferTable",
    "OfferUnwanted",
    "Reception",
    "Sender",
    "SenderFailed",
    "Sending",
    "Stalled",
    "TooLarge",
    "TransferError",
    "TransferLimits",
    "Wanted",
    "WrongChecksum",
    "WrongSize",
    "announce",
    "receiving",
    "safe_name",
]
