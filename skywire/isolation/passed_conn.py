"""A connection that another process has, or has given us: its records travel over a local socket."""

from __future__ import annotations

from typing import Final, final

from anyio import BrokenResourceError, BusyResourceError, EndOfStream
from anyio.abc import ByteStream

from skywire.isolation.frames import BROKEN, END, FrameReader, RecordFramer
from skywire.net.address import Address
from skywire.net.conn import Owner
from skywire.net.errors import HalfCloseUnsupported
from skywire.net.record_conn import READ_SIZE, FramedConn


@final
class PassedConn(FramedConn):
    """See :class:`skywire.net.conn.Conn`.

    Args:
        stream: a local socket; owned, and closed, by this connection.
        local: this end.
        remote: the other end.
        owner: on whose behalf it exists.
        half_close: whether the network that carries it can end one direction alone.
        reader: with what already came.
    """

    def __init__(
        self,
        stream: ByteStream,
        *,
        local: Address,
        remote: Address,
        owner: Owner,
        half_close: bool = True,
        reader: FrameReader | None = None,
    ) -> None:
        self._frames: Final = reader or FrameReader()
        super().__init__(
            stream, RecordFramer(), self._frames, local=local, remote=remote, owner=owner, half_close=half_close
        )

    @property
    def ended(self) -> bool:
        """Whether the other process has ended its direction, and has perhaps not closed the connection."""
        return self._frames.ended

    async def send_eof(self) -> None:
        """End this direction; the other one goes on. Idempotent."""
        if not self.half_close:
            raise HalfCloseUnsupported(f"the {self.network} network cannot end one direction of a connection only")
        await self.end()

    async def end(self) -> None:
        """Say that nothing more comes in this direction, whatever the network can do. Idempotent.

        Raises: as :meth:`send_eof` does.
        """
        if self._sending:
            raise BusyResourceError("sending to")
        if not self._sending_ended:
            self._check_sending()
            self._sending_ended = True
            await self._send(END)

    async def send_broken(self) -> None:
        """Say that the connection broke; nothing can be sent behind it.

        Raises:
            StreamBroken: it cannot be said, because something before it is in doubt.
        """
        self._check_sending()
        await self._send(BROKEN)

    async def wait_closed(self) -> None:
        """Wait until the other process has closed the connection; to be called when it has ended its direction."""
        try:
            while True:  # what comes behind the end is ignored
                await self._stream.receive(READ_SIZE)
        except (EndOfStream, BrokenResourceError):
            pass

    async def _feed(self) -> None:
        if self._frames.ended:
            raise EndOfStream
        await super()._feed()
