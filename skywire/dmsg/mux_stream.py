"""One stream of a session, as a byte stream that tasks can wait for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from anyio import BrokenResourceError, BusyResourceError, ClosedResourceError, EndOfStream
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

from skywire.dmsg.backlog import Backlog
from skywire.dmsg.limits import CREDIT_STEP, SESSION_OUTPUT
from skywire.dmsg.mux import Mux, clock
from skywire.net.errors import HalfCloseUnsupported

_SENDS_IN_A_ROW: Final = 32
"""Sends that do not wait after which other tasks get their turn all the same."""


@final
class MuxStream(ByteStream):
    """Errors are those of anyio's streams. When the peer ends it, it is over in both directions, as relays have it.

    Args:
        mux: of the session.
        stream_id: of the stream, open or offered.
        forget: called once when it is closed.
    """

    def __init__(self, mux: Mux, stream_id: int, forget: Callable[[], None]) -> None:
        self.stream_id: Final = stream_id
        self._mux = mux
        self._forget = forget
        self._received = Backlog()
        self._taken = 0  # bytes that were consumed, and the session has not been told of
        self._ended = False
        self._error: Exception | None = None
        self._closed = False
        self._reader = mux.new_waiter()
        self._writer = mux.new_waiter()
        self._sends_in_a_row = 0

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Between 1 and ``max_bytes`` bytes, as soon as there are any."""
        if self._reader.waiting:
            raise BusyResourceError("receiving from")
        received = self._received
        while self._closed or not received.size:
            if self._closed:
                raise ClosedResourceError
            if self._error is not None:
                raise BrokenResourceError(str(self._error)) from self._error
            if self._ended:
                raise EndOfStream
            self._sends_in_a_row = 0
            await self._reader.wait()
        data = received.popleft()
        if len(data) > max_bytes:
            received.appendleft(memoryview(data)[max_bytes:])
            data = data[:max_bytes]
        self._taken += len(data)
        if self._taken >= CREDIT_STEP:
            self._mux.session.consumed(self.stream_id, self._taken)
            self._taken = 0
            self._mux.flush()
        return bytes(data)

    async def send(self, item: bytes) -> None:
        """Send all of ``item``; returns when the session has taken it."""
        if self._writer.waiting:
            raise BusyResourceError("sending to")
        mux = self._mux
        session = mux.session
        rest: bytes | memoryview = item
        while True:
            if self._closed:
                raise ClosedResourceError
            if self._error is not None:
                raise BrokenResourceError(str(self._error)) from self._error
            if self._ended:
                raise BrokenResourceError("the peer has ended the stream")
            if not mux.stuck or session.queued < SESSION_OUTPUT:
                taken = session.send(self.stream_id, rest)
                mux.flush()
                if taken == len(rest):
                    break
                rest = memoryview(rest)[taken:]
            self._sends_in_a_row = 0
            await self._writer.wait()
        self._sends_in_a_row += 1
        if self._sends_in_a_row > _SENDS_IN_A_ROW:
            self._sends_in_a_row = 0
            await checkpoint()

    async def send_eof(self) -> None:
        """Raises HalfCloseUnsupported."""
        raise HalfCloseUnsupported("a stream of a session ends in both directions at once")

    async def aclose(self) -> None:
        """End both directions. Idempotent."""
        if not self._closed:
            session = self._mux.session
            session.consumed(self.stream_id, self._taken + self._received.size)
            session.finish(self.stream_id, clock())
            self._close()
        await checkpoint()

    def reset(self) -> None:
        """End both directions at once, without waiting; so a stream is refused."""
        if not self._closed:
            self._mux.session.reset(self.stream_id)
            self._close()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self._received.append(data)
        self._reader.wake()

    def writable(self) -> None:
        """The window opened, or the system took all output."""
        self._writer.wake()

    def end(self, error: Exception | None = None) -> None:
        """The peer ended it, or (with an error) it broke."""
        self._ended = True
        self._error = error
        self._wake()

    def _close(self) -> None:
        self._closed = True
        self._received.clear()
        self._mux.flush()
        self._forget()
        self._wake()

    def _wake(self) -> None:
        self._reader.wake()
        self._writer.wake()
