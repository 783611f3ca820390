"""What a dmsg node waits for at most, and what peers may cost it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Final, final

from skywire.wire.yamux import Config

MAX_OBJECT: Final = 8192
"""Longest request or response that is read, in bytes: upstream's have 1,800; larger ones only cost time to refuse."""
MAX_ENTRIES: Final = 1024
"""Entries of the discovery that are remembered."""
MAX_REQUESTS: Final = 16384
"""Requests that are remembered, so that none is answered twice."""
REQUEST_MEMORY: Final = 600.0
"""Seconds for which they are."""
SESSION_OUTPUT: Final = 1 << 20
"""Bytes that may wait to be written to a session before more is left with whoever sends it."""
CREDIT_STEP: Final = 8192
"""Bytes of a stream that are consumed before the session is told: to tell of each small message costs more than it.

The peer notices nothing: it is given credit in steps of half a window (``skywire.wire.yamux.flow.CREDIT_THRESHOLD``).
"""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Times and counts; the defaults work with every upstream release.

    Raises:
        ValueError: a number is not above 0.
    """

    connect_seconds: float = 10.0
    """For the TCP connection to a server."""
    session_handshake_seconds: float = 5.0
    """For the handshake of a session, on both of its sides."""
    stream_handshake_seconds: float = 20.0
    """For request and response of a stream; upstream's newest gives 5, and then the stream is over for us, too."""
    write_seconds: float = 10.0
    """For which a session's peer may take fewer than 2 KiB a second of what waits for it; then the session ends."""
    idle_seconds: float = 300.0
    """For a session that was made to dial, and has had no stream since, while we do not serve."""
    linger_seconds: float = 1.0
    """For a session that we close to have its streams' ends confirmed, from when the system has taken all output."""
    drain_seconds: float = 30.0
    """For that to happen, while the server keeps taking some."""
    tick_seconds: float = 1.0
    """Between two looks at the deadlines of all sessions, which count in tens of seconds."""
    entry_seconds: float = 60.0
    """For which the discovery's entry of a peer or server is remembered; a dial that fails forgets it."""
    update_seconds: float = 300.0
    """Between two updates of our entry that change nothing."""
    retry_seconds: float = 1.0
    """Before the next try when the discovery or a server has failed; longer with each failure in a row."""
    steady_seconds: float = 30.0
    """For a session to last before its server is taken for good again."""
    look_seconds: float = 60.0
    """Between two looks for more servers, or whether another process with our key is gone."""
    settle_seconds: float = 1.0
    """For a process that took our place to register itself, before we look whether there is one."""
    streams_per_peer: int = 1024
    """Inbound streams that one key may hold; a session has 2,048."""
    mux: Config = field(default_factory=Config)
    """Of each session's streams."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, float | int) and not value > 0:
                raise ValueError(f"{each.name} is {value}, it must be above 0")
