"""What a stranger on the TCP port may cost us."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of key-encrypted TCP; the times are upstream's (upstream-2026.md section 2.1).

    Args:
        connect_seconds: for a TCP connection to be made.
        handshake_seconds: for a whole handshake, however slowly its bytes drip.
        half_open: handshakes under way at a time; who makes room at the limit is said in
            :class:`skywire.net.half_open.HalfOpen`.
        connections: established connections in all.
        connections_per_peer: established connections that one key may hold.

    Raises:
        ValueError: one of them is not above 0.
    """

    connect_seconds: float = 10.0
    handshake_seconds: float = 10.0
    half_open: int = 1024
    connections: int = 4096
    connections_per_peer: int = 1024

    def __post_init__(self) -> None:
        for name in ("connect_seconds", "handshake_seconds", "half_open", "connections", "connections_per_peer"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is above 0, or nobody would ever connect")
