"""Frames that wait to be written."""

from __future__ import annotations

from typing import Final, TypeAlias, final

from skywire.wire.yamux.frame import HEADER_SIZE, PING, encode_header

_SMALL: Final = 1024
"""Bytes up to which copying a body costs less than another part."""

Output: TypeAlias = bytes | memoryview
"""A part of what is to be written: one or more headers, or a body."""


@final
class Outbox:
    """The queue of frames, first in, first out, but for pings.

    Pings belong to no stream and overtake bulk data, so that a busy connection does not look dead.
    """

    __slots__ = ("_parts", "_pings", "controls", "queued")

    def __init__(self) -> None:
        self._parts: list[Output] = []
        self._pings: list[Output] = []
        self.queued = 0
        """Bytes that wait."""
        self.controls = 0
        """Frames without body that wait."""

    def put(self, word: int, stream_id: int, length: int) -> None:
        """Queue a frame without body."""
        self._parts.append(encode_header(word, stream_id, length))
        self.queued += HEADER_SIZE
        self.controls += 1

    def put_ping(self, flag: int, ping_id: int) -> None:
        """Queue a ping or its answer."""
        self._pings.append(encode_header(PING | flag, 0, ping_id))
        self.queued += HEADER_SIZE
        self.controls += 1

    def put_data(self, word: int, stream_id: int, body: Output, size: int) -> None:
        """Queue a data frame with a body of ``size`` bytes, which is not copied unless it is small."""
        header = encode_header(word, stream_id, size)
        if size <= _SMALL:
            self._parts.append(header + body)
        else:
            self._parts += (header, body)
        self.queued += HEADER_SIZE + size

    def take(self) -> list[Output]:
        """Everything that waits."""
        parts = self._parts
        if self._pings:
            parts = self._pings + parts
            self._pings = []
        self._parts = []
        self.queued = self.controls = 0
        return parts
