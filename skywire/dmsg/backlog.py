"""Bytes that wait to be taken, in the pieces in which they came."""

from __future__ import annotations

from collections import deque
from typing import Final, final

_SMALL: Final = 1024
"""Bytes below which a piece is merged with its like: a peer that sends single bytes must not cost fifty times that."""
_MERGED: Final = 64
"""Small pieces that are merged at a time."""


@final
class Backlog:
    """First in, first out."""

    __slots__ = ("_pieces", "_small", "size")

    def __init__(self) -> None:
        self._pieces: deque[bytes | memoryview] = deque()
        self._small: list[bytes | memoryview] = []  # behind all others
        self.size = 0
        """Bytes that wait."""

    def append(self, piece: bytes | memoryview) -> None:
        """Put a piece behind the others."""
        size = len(piece)
        self.size += size
        if size >= _SMALL:
            self._merge()
            self._pieces.append(piece)
        else:
            self._small.append(piece)
            if len(self._small) >= _MERGED:
                self._merge()

    def popleft(self) -> bytes | memoryview:
        """Take the first piece; there is one while ``size`` is not 0."""
        if not self._pieces:
            self._merge()
        piece = self._pieces.popleft()
        self.size -= len(piece)
        return piece

    def appendleft(self, rest: bytes | memoryview) -> None:
        """Put back what was not needed of the first piece; it is not empty."""
        self._pieces.appendleft(rest)
        self.size += len(rest)

    def clear(self) -> None:
        """Drop all."""
        self._pieces.clear()
        self._small.clear()
        self.size = 0

    def _merge(self) -> None:
        small = self._small
        if small:
            self._pieces.append(small[0] if len(small) == 1 else b"".join(small))
            small.clear()
