"""The two ends of a relayed stream, and how bytes get from one to the other.

What the other session does not take is not credited to the sender, so the windows of yamux hold it back, and bound what
is kept here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from skywire.dmsg.backlog import Backlog
from skywire.dmsg.limits import CREDIT_STEP
from skywire.dmsg.relay.session import RelaySession


@final
class Leg:
    """One end of a relayed stream.

    A client that ends its stream ends both directions, as upstream has it: what it sent before still arrives.

    Args:
        session: of the client.
        stream_id: of its stream.
        backlog: what came before, to be passed on first.
        over: called once per stream, when neither end has anything to do any more.
    """

    __slots__ = ("_gone_on", "_over", "backlog", "ending", "other", "session", "stream_id")

    def __init__(self, session: RelaySession, stream_id: int, backlog: Backlog, over: Callable[[], None]) -> None:
        self.session: Final = session
        self.stream_id: Final = stream_id
        self.backlog: Final = backlog
        """What came, and the other session did not take."""
        self.other: Leg | None = None
        """The other end; None once they have parted."""
        self.ending = False
        """Whether the client has ended the stream, and only the backlog is still to go."""
        self._over = over
        self._gone_on = 0  # bytes that were passed on, and our session has not been told of

    def join(self, other: Leg) -> None:
        """Pass on to ``other`` what comes here, and the other way round."""
        self.other, other.other = other, self
        for leg in (self, other):
            leg.session.users[leg.stream_id] = leg
            leg.pump()

    def data_received(self, data: bytes) -> None:
        """See :class:`skywire.dmsg.relay.session.StreamUser`."""
        other = self.other
        if other is None or other.ending:
            self.session.consumed(self.stream_id, len(data))
        elif self.backlog.size:
            self.backlog.append(data)
        else:
            taken = other.session.send(other.stream_id, data)
            self._passed_on(taken)
            if taken < len(data):
                self.backlog.append(memoryview(data)[taken:])

    def writable(self) -> None:
        """See :class:`skywire.dmsg.relay.session.StreamUser`."""
        if self.other is not None:
            self.other.pump()

    def ended(self, *, broken: bool) -> None:
        """See :class:`skywire.dmsg.relay.session.StreamUser`."""
        other = self.other
        if other is None:
            return
        if broken:
            self._part(other)
            other.session.reset(other.stream_id)
        else:
            # The other direction ends here and now: this client reads no more.
            other.session.consumed(other.stream_id, other.backlog.size)
            other.backlog.clear()
            self.session.finish(self.stream_id)
            self.ending = True
            self.pump()

    def pump(self) -> None:
        """Pass on what waits."""
        other = self.other
        if other is None:
            return
        backlog = self.backlog
        while backlog.size:
            data = backlog.popleft()
            taken = other.session.send(other.stream_id, data)
            self._passed_on(taken)
            if taken < len(data):
                backlog.appendleft(memoryview(data)[taken:])
                return
        if self.ending:
            self._part(other)
            other.session.finish(other.stream_id)

    def _passed_on(self, size: int) -> None:
        self._gone_on += size
        if self._gone_on >= CREDIT_STEP:
            self.session.consumed(self.stream_id, self._gone_on)
            self._gone_on = 0

    def _part(self, other: Leg) -> None:
        self.other = other.other = None
        self._over()
