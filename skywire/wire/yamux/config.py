"""Limits and times of a session."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final, final


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Limits and times of a session; the defaults work with every upstream release.

    Raises:
        ValueError: a field is not above 0.
    """

    accept_backlog: int = 512
    """Streams of the peer that wait for our ACK; the surplus is refused. Newest upstream opens that many at once."""
    open_backlog: int = 256
    """Own opens that wait for an ACK; the oldest upstream refuses more."""
    max_streams: int = 2048
    """Streams that are not closed, of both sides together; upstream's limit of 2026."""
    max_held: int = 64 << 20
    """Bytes of all streams that the peer announced and the application has not consumed: 256 full windows.

    A stream that would exceed it is reset. The windows alone would let one peer place 512 MiB.
    """
    max_control: int = 16384
    """Frames without body that wait to be written: eight for each stream. A peer that causes more does not read."""
    max_pings: int = 64
    """Own pings that wait for an answer."""
    keepalive_interval: float = 30.0
    """Seconds between two pings of our own accord."""
    ping_timeout: float = 10.0
    """Seconds that a ping waits for its answer."""
    open_timeout: float = 75.0
    """Seconds that an open waits for its ACK; newest upstream: 20."""
    open_probe: float = 3.0
    """Seconds that an open waits for its ACK, while nothing comes at all, before a ping asks whether the peer lives."""
    close_timeout: float = 300.0
    """Seconds of silence that we grant a peer between our FIN and its own; newest upstream: 30."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ValueError(f"{field.name} is {value}, it must be above 0")


DEFAULT_CONFIG: Final = Config()
"""What a session uses unless told otherwise."""
