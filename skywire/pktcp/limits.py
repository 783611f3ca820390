"""What a stranger on the TCP port may cost us."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of key-encrypted TCP; the times are upstream's (upstream-2026.md section 2.1).

    Args:
        connect_seconds: for a TCP connection to be made.
        handshake_seconds: for a whole handshake, however slowly its bytes drip.
        half_open: handshakes under way at a time. At the limit the oldest makes room: an honest peer needs
            milliseconds, so a flood must outrun every one of them to keep it out.
        connections_per_peer: established connections that one key may hold.
    """

    connect_seconds: float = 10.0
    handshake_seconds: float = 10.0
    half_open: int = 1024
    connections_per_peer: int = 1024
