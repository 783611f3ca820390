"""What peers may cost a chat, and how patient it is with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True, slots=True)
class LinkLimits:
    """Limits of connections; seconds, where it is a time.

    Args:
        connections: at a time, in all.
        connections_per_peer: at a time, of one key; the oldest ends for a newer one.
        per_minute: what is taken of a key that only ``everyone`` lets in.
        batch: things that are kept in one step.
        window: messages that are on their way to a peer before it has acknowledged one.
        window_bytes: of those, unless the first alone has more. Less than any connection holds: two chats that both
            send must not both wait for the other to read.
        dial_seconds: for a connection to be made.
        write_seconds: for a peer to take what is sent; upstream's.
        ack_seconds: for a peer to acknowledge a message; any acknowledgement begins it anew.
        receipt_seconds: after which a receipt that nobody acknowledged has come, if its connection still lives.
        first_seconds: for a peer that connects to say its first word, by which it is known what it speaks.
        retry_seconds: to the first new attempt to reach a peer; each next one takes twice as long.
        longest_retry_seconds: which none exceeds.
        eager_seconds: behind a failure, in which a further message brings no new attempt.
    """

    connections: int = 512
    connections_per_peer: int = 3
    per_minute: int = 20
    batch: int = 64
    window: int = 32
    window_bytes: int = 65536
    dial_seconds: float = 20.0
    write_seconds: float = 5.0
    ack_seconds: float = 10.0
    receipt_seconds: float = 3.0
    first_seconds: float = 1.0
    retry_seconds: float = 1.0
    longest_retry_seconds: float = 60.0
    eager_seconds: float = 5.0
