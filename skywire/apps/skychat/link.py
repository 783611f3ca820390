"""One connection with a peer, used both ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, final

from anyio import (
    BrokenResourceError,
    CancelScope,
    ClosedResourceError,
    EndOfStream,
    Event,
    Lock,
    fail_after,
    move_on_after,
)

from skywire.apps.skychat.limits import LinkLimits
from skywire.errors import NetworkError
from skywire.keys import PubKey
from skywire.net.conn import Conn
from skywire.wire.skychat import Event as Said
from skywire.wire.skychat import Form, Reader, bare_records, encode

_READ_BYTES: Final = 65536
_CLOSE_SECONDS: Final = 2.0


class LinkBroken(NetworkError):
    """A connection ended, or is of no use any more; the text says why."""


@final
class Link:
    """See the module.

    Args:
        conn: the connection.
        dialled: whether we made it.
        assumed: what the peer spoke when it spoke last; None where it never did.
        limits: times.
    """

    def __init__(self, conn: Conn, *, dialled: bool, assumed: Form | None, limits: LinkLimits) -> None:
        self.peer: Final[PubKey] = conn.remote.pk
        self.network: Final = conn.network
        self.dialled: Final = dialled
        self.assumed = assumed
        self.ended: Final = Event()
        self.heard: Final = Event()
        """Set with the first byte of the peer."""
        self.full = False
        """Whether there was no room for a message. No later one is taken by this connection, or the order would be
        lost: the peer, who hears nothing of them, makes another."""
        self.reason = "the connection ended"
        """Why it ended, for people."""
        self._conn = conn
        self._limits = limits
        self._reader = Reader()
        self._sending = Lock()
        self._scope = CancelScope()
        self._users = 0

    @property
    def spoken(self) -> Form | None:
        """What the peer speaks on this connection; None before its first byte."""
        return self._reader.form

    @property
    def form(self) -> Form:
        """What we speak: as the peer does, as it did, or as everybody does today."""
        return self._reader.form or self.assumed or Form.FRAMED

    @property
    def live(self) -> bool:
        """Whether it has not ended, and is not about to."""
        return not self.ended.is_set() and not self._scope.cancel_called

    @property
    def in_use(self) -> bool:
        """Whether something is on its way by it that has to be acknowledged."""
        return self._users > 0

    @contextmanager
    def used(self) -> Iterator[None]:
        """Something is on its way while the block runs."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Run the block until it is over, or until :meth:`end`."""
        try:
            with self._scope:
                yield
        finally:
            self.ended.set()

    def end(self, reason: str) -> None:
        """Have it end."""
        if self.live:
            self.reason = reason
            self._scope.cancel()

    async def close(self) -> None:
        """Give the connection back."""
        with move_on_after(_CLOSE_SECONDS, shield=True):
            await self._conn.aclose()

    async def receive(self) -> list[Said]:
        """What the peer says next, as soon as it has said anything whole.

        Raises:
            ProtocolError: it makes no sense.
            LinkBroken: it is over.
        """
        while True:
            try:
                records = await self._conn.receive_records(_READ_BYTES)
            except EndOfStream:
                raise LinkBroken(self.reason) from None
            except (BrokenResourceError, ClosedResourceError) as error:
                raise LinkBroken(str(error) or self.reason) from error
            found = [said for record in records for said in self._reader.feed(record)]
            self.heard.set()
            if found:
                return found

    async def send(self, said: Sequence[Said]) -> None:
        """Say something in frames.

        Raises:
            LinkBroken: it cannot be sent, or the peer does not take it in time; the connection ends.
        """
        await self._send([b"".join(encode(each) for each in said)], records=False)

    async def send_bare(self, text: str) -> None:
        """Say a text as in 2024; raises as :meth:`send` does."""
        await self._send(bare_records(text), records=True)

    async def _send(self, pieces: Sequence[bytes], *, records: bool) -> None:
        try:
            with fail_after(self._limits.write_seconds):
                async with self._sending:
                    for piece in pieces:
                        await (self._conn.send_record(piece) if records else self._conn.send(piece))
        except TimeoutError:
            reason = f"the peer took nothing for {self._limits.write_seconds:g} s"
        except (BrokenResourceError, ClosedResourceError) as error:
            reason = str(error) or self.reason
        else:
            return
        self.end(reason)
        raise LinkBroken(reason)

    def __repr__(self) -> str:
        return f"<Link {self._conn!r}>"
