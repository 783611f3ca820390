"""Output that is kept until who reads it has it."""

from __future__ import annotations

from typing import Final, final

from anyio import Event

from skywire.pty.errors import PtyError
from skywire.wire.pty.session import Piece


@final
class Outlet:
    """One output of a program: a stream of bytes, counted from 0, of which the last ones are kept.

    Args:
        most: bytes to keep; the program waits when there are so many.
    """

    def __init__(self, most: int) -> None:
        self._most: Final = most
        self._kept = bytearray()
        self.base = 0
        """Bytes that are forgotten."""
        self._ended = False
        self._change: Event | None = None

    @property
    def end(self) -> int:
        """Bytes that have come so far."""
        return self.base + len(self._kept)

    @property
    def room(self) -> bool:
        """Whether more is wanted."""
        return len(self._kept) < self._most

    def put(self, data: bytes) -> None:
        """Keep what has come; a piece more than there is room for is no harm."""
        self._kept += data
        self._tell()

    def finish(self) -> None:
        """Nothing more will come."""
        self._ended = True
        self._tell()

    def take(self, have: int, most: int) -> Piece | None:
        """What comes behind the bytes that the reader has, which are forgotten; None if it has yet to come.

        Args:
            have: bytes that the reader has.
            most: bytes to give.

        Raises:
            PtyError: it says that it has more than there was, or less than it said once.
        """
        if not self.base <= have <= self.end:
            raise PtyError(f"output is here from byte {self.base} to byte {self.end}, not at byte {have}")
        if have > self.base:
            del self._kept[: have - self.base]
            self.base = have
            self._tell()
        if not self._kept and not self._ended:
            return None
        return Piece(have, bytes(self._kept[:most]))

    async def changed(self) -> None:
        """Wait until something comes, goes or ends, or somebody is to look again."""
        if self._change is None:
            self._change = Event()
        await self._change.wait()

    def look_again(self) -> None:
        """Have those that wait go on."""
        self._tell()

    def _tell(self) -> None:
        if self._change is not None:
            self._change.set()
            self._change = None
