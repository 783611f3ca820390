"""Input that is on its way to a program."""

from __future__ import annotations

from typing import Final, final

from anyio import Event, WouldBlock

from skywire.pty.child import Child
from skywire.pty.errors import PtyError
from skywire.wire.pty.session import MAX_PIECE, Send


@final
class Inlet:
    """The input of a program: a stream of bytes, counted from 0, each given to it once.

    Args:
        child: the program.
    """

    def __init__(self, child: Child) -> None:
        self.taken = 0
        """Bytes that have been taken, whether the program has them yet or not."""
        self._child: Final = child
        self._waiting = bytearray()
        self._end_asked = False
        self._finished = False
        self._change = Event()

    async def take(self, piece: Send) -> None:
        """Take what is new of a piece, as soon as there is room.

        Raises:
            PtyError: there is a gap before it.
        """
        self._check(piece)
        while not self._has_room:
            await self._change.wait()
        self._put(piece)

    def take_at_once(self, piece: Send) -> None:
        """The same without waiting.

        Raises:
            PtyError: there is a gap before it.
            WouldBlock: there is no room.
        """
        self._check(piece)
        if not self._has_room:
            raise WouldBlock
        self._put(piece)

    @property
    def _has_room(self) -> bool:
        return self._finished or len(self._waiting) < MAX_PIECE

    def _check(self, piece: Send) -> None:
        if piece.offset > self.taken:
            raise PtyError(f"input is here up to byte {self.taken}, not up to byte {piece.offset}")

    def _put(self, piece: Send) -> None:
        new = piece.data[self.taken - piece.offset :]  # looked at only now: another piece may have come first
        self.taken += len(new)
        if self._finished:
            return
        if not self._waiting:
            new = new[self._child.write_at_once(new) :]
        self._waiting += new
        self._end_asked = self._end_asked or piece.end
        if self._waiting or piece.end:
            self._tell()

    async def feed(self) -> None:
        """Give the program what it has not taken at once, until cancelled."""
        while True:
            if self._waiting:
                data = bytes(self._waiting)
                await self._child.write(data)
                del self._waiting[: len(data)]
                self._tell()
            elif self._end_asked:
                self._end_asked = False
                await self._child.end_input()
            else:
                await self._change.wait()

    def finish(self) -> None:
        """The program has ended; what still comes is nobody's."""
        self._finished = True
        self._waiting.clear()
        self._tell()

    def _tell(self) -> None:
        self._change.set()
        self._change = Event()
