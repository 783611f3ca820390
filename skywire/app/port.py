"""The ports of an app."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from skywire.net.address import MAX_PORT


@final
@dataclass(frozen=True, slots=True)
class PortSpec:
    """A port that an app serves, with its defaults; the configuration of an instance may set others.

    Args:
        name: what it is for, unique in the app.
        overlay: the port on overlays, 1 to 65535; None when it is not served there.
        tcp: the TCP port of the TCP-standalone mode; None when it is not served there.
        local: the local TCP port, for instance of its page or proxy; None when it has none.

    Raises:
        ValueError: a number is out of its range, or there is none at all.
    """

    name: str
    overlay: int | None = None
    tcp: int | None = None
    local: int | None = None

    def __post_init__(self) -> None:
        ports = [port for port in (self.overlay, self.tcp, self.local) if port is not None]
        if not ports or not all(1 <= port <= MAX_PORT for port in ports):
            raise ValueError(f"port {self.name!r} needs at least one number, each from 1 to {MAX_PORT}")
