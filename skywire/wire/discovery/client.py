"""How a client reads the answers of a discovery.

Source: protocol-dmsg.md section 6.3, 6.4 and 6.9.
"""

from __future__ import annotations

from typing import Final

from skywire.errors import ProtocolError
from skywire.wire.discovery.answers import MAX_LIST_SIZE, Reason
from skywire.wire.entry import Entry, EntryError, entry_of
from skywire.wire.gojson import JsonError, Members, read_array, read_json

MAX_MESSAGE_SIZE: Final = 1 << 12
"""Most bytes of an answer that says no more than a message; upstream's are below 200."""


class DiscoveryRefused(ProtocolError):
    """A discovery did not do what was asked.

    Args:
        reason: why, by the text of its answer; UNEXPECTED also stands for every text that is not known.
        status: the HTTP status of its answer.
    """

    def __init__(self, reason: Reason, status: int) -> None:
        super().__init__(f"the discovery refused: {reason.text}")
        self.reason = reason
        self.status = status


def check_answer(status: int, body: bytes) -> None:
    """A client's reading of any answer: nothing when it is good.

    Args:
        status: the HTTP status.
        body: of the answer; its first MAX_MESSAGE_SIZE bytes are enough.

    Raises:
        DiscoveryRefused: the status is not 200. Go programs, too, tell why by the text, not by the status.
    """
    if status == 200:
        return
    try:
        value, _ = read_json(body[:MAX_MESSAGE_SIZE], MAX_MESSAGE_SIZE)
    except JsonError:
        value = None
    reason = Reason.UNEXPECTED
    for name, text in value if isinstance(value, Members) else ():
        if name.lower() == "message":
            reason = _REASONS.get(text, Reason.UNEXPECTED) if isinstance(text, str) else Reason.UNEXPECTED
    raise DiscoveryRefused(reason, status)


_REASONS: Final = {reason.text: reason for reason in Reason}


def entries_from_json(body: bytes) -> list[Entry]:
    """Read a list of entries; one that cannot be read does not cost the others.

    Args:
        body: at most 1 MiB.

    Raises:
        JsonError: not a JSON array, or beyond the limits.
    """
    entries: list[Entry] = []
    items, _ = read_array(body, MAX_LIST_SIZE)
    for item in items:
        try:
            entries.append(entry_of(item))
        except EntryError:
            continue
    return entries
