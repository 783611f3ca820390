"""What a transfer may cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True, slots=True)
class TransferLimits:
    """Of both ends; the defaults suit a node that people use.

    Args:
        stall_seconds: for the peer to take what is sent, or to give a message or some of a piece; above 0.
        max_size: most bytes of a file that is received.
        spare_bytes: bytes of the disk that are left free when a file is received.
        conns_per_peer: connections of one peer that are served at a time, whatever they are for; at least 1.
        per_peer: files that one peer is sent at a time; at least 1.
        at_once: files that all peers together are sent at a time; at least 1.
        preparing_seconds: between two words to a receiver that waits for a file to be read; less than what it waits.
    """

    stall_seconds: float = 60.0
    max_size: int = 1 << 40
    spare_bytes: int = 64 << 20
    conns_per_peer: int = 16
    per_peer: int = 4
    at_once: int = 32
    preparing_seconds: float = 5.0

    def __post_init__(self) -> None:
        if not self.stall_seconds > 0:
            raise ValueError(f"a time limit is above 0 seconds, this is {self.stall_seconds}")
        if min(self.max_size, self.spare_bytes) < 0:
            raise ValueError("numbers of bytes are not negative")
        if min(self.conns_per_peer, self.per_peer, self.at_once) < 1:
            raise ValueError("at least one file at a time is sent")
