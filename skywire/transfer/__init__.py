"""Files from peer to peer: offered by one, fetched by the other, over any connection and in either direction of it.

The sender serves only what it offers to that very key (:mod:`skywire.transfer.sending`); the receiver keeps what has
come until all of it is there and right (:mod:`skywire.transfer.receiving`). Who may fetch what, and where connections
come from, is the matter of whoever uses it.

Who has a file::

    table = OfferTable()  # or any function that gives what a peer is offered under an id
    offer = Offer(path)
    head = await offer.prepare()  # size and checksum, to be told to the peer
    table.add(peer, "report", offer)
    ...  # Sender(table.find).serve is the handler of a port

Who wants it::

    async with receiving(Wanted(peer, "report", "report.pdf"), folder) as reception:
        async with await network.dial(address, owner=owner) as conn:
            fetched = await reception.fetch(conn, progress=show)

After :class:`Interrupted`, after :class:`SenderFailed` with the code ``busy``, and after a failed dial, a later attempt
may succeed, and goes on where the last one ended; in the same block, or after a restart.
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
from skywire.transfer.notes import Origin
from skywire.transfer.offers import Offer, OfferTable
from skywire.transfer.part import remove_parts
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
    "Origin",
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
    "remove_parts",
    "safe_name",
]
