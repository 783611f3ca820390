"""Pings: those of the application, and those that tell whether the peer is still there."""

from __future__ import annotations

from math import inf
from typing import Final, final

from skywire.errors import LocalProtocolError
from skywire.wire.yamux.config import Config
from skywire.wire.yamux.deadline import Deadlines
from skywire.wire.yamux.event import Event, PeerSilent, PingAnswered, PingTimedOut
from skywire.wire.yamux.frame import SYN
from skywire.wire.yamux.outbox import Outbox

_PING_ID_MASK: Final = 0xFFFFFFFF


@final
class Keepalive:
    """The pings that wait for an answer, and the clock of the next one of our own accord.

    Args:
        config: intervals and limits.
        outbox: where pings go.
        now: seconds.
    """

    __slots__ = ("_at", "_config", "_next_id", "_outbox", "_own_id", "_waiting", "heard_at")

    def __init__(self, config: Config, outbox: Outbox, now: float) -> None:
        self._config = config
        self._outbox = outbox
        self._waiting = Deadlines(config.ping_timeout)
        self._next_id = 0
        self._own_id: int | None = None
        self._at = now + config.keepalive_interval
        self.heard_at = now
        """When bytes last came, in seconds."""

    @property
    def next_deadline(self) -> float:
        """When :meth:`handle_timeout` is due."""
        return min(self._at, self._waiting.next)

    def hurry(self, since: float, now: float) -> None:
        """Somebody has waited ``since`` for the peer: when nothing came for too long, the next ping is due now."""
        if self.hurry_at(since) <= now:
            self._at = now

    def hurry_at(self, since: float) -> float:
        """When :meth:`hurry` has something to do."""
        return inf if self._own_id is not None else max(since, self.heard_at) + self._config.open_probe

    def ping(self, now: float) -> int:
        """Send a ping for the application; its id.

        Raises:
            LocalProtocolError: too many wait.
        """
        if len(self._waiting) >= self._config.max_pings:
            raise LocalProtocolError(f"{len(self._waiting)} pings wait for an answer, that is the limit")
        return self._send(now)

    def answered(self, ping_id: int, now: float) -> list[Event]:
        """An answer came; one that nobody waits for is ignored."""
        sent_at = self._waiting.disarm(ping_id)
        if sent_at is None:
            return []
        if ping_id == self._own_id:
            self._rest(now)
        return [PingAnswered(ping_id, now - sent_at)]

    def handle_timeout(self, now: float, events: list[Event]) -> None:
        """Send the next ping of our own accord, and report those that were not answered in time.

        Raises:
            PeerSilent: our own was not, and nothing else came since.
        """
        for ping_id, sent_at in self._waiting.take_due(now):
            if ping_id != self._own_id:
                events.append(PingTimedOut(ping_id))
            elif self.heard_at > sent_at:
                # The peer speaks, so the ping or its answer is stuck behind bulk data.
                self._rest(now)
            else:
                raise PeerSilent(f"nothing came from the peer for {now - sent_at:.0f} s after a keepalive ping")
        if self._at <= now:
            self._at = inf
            self._own_id = self._send(now)

    def _rest(self, now: float) -> None:
        self._own_id = None
        self._at = now + self._config.keepalive_interval

    def _send(self, now: float) -> int:
        ping_id = self._next_id
        self._next_id = (ping_id + 1) & _PING_ID_MASK
        self._waiting.arm(ping_id, now)
        self._outbox.put_ping(SYN, ping_id)
        return ping_id
