"""The log of an app whose host is in another process."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, final

from anyio import Event, move_on_after

from skywire.isolation.interfaces import MAX_LINE, RELAYED, RemoteLine

WAITING_LINES: Final = 4096
"""Lines that wait for the host before the oldest are dropped."""
BATCH: Final = 32
"""Lines that go at a time: together they are shorter than the longest message."""
LOOK_SECONDS: Final = 0.5
"""Between two looks for lines of other threads, which wake nobody."""

SEND_SECONDS: Final = 3.0
"""For the host to take some lines."""

Send = Callable[[tuple[RemoteLine, ...], int], Awaitable[None]]


@final
class RemoteLog(logging.Handler):
    """To be added to the root logger; never waits.

    Args:
        send: hands lines to the host, with the count of those that were dropped before them.
    """

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send
        self._lines: deque[RemoteLine] = deque(maxlen=WAITING_LINES)
        self._dropped = 0
        self._came = Event()
        self._thread = threading.get_ident()
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """See :meth:`logging.Handler.emit`."""
        if hasattr(record, RELAYED):
            return
        line = RemoteLine(record.levelno, record.name, self.format(record)[:MAX_LINE])
        self._dropped += len(self._lines) == WAITING_LINES
        self._lines.append(line)
        if threading.get_ident() == self._thread:
            self._came.set()

    async def run(self) -> None:
        """Hand lines on until cancelled."""
        while True:
            with move_on_after(LOOK_SECONDS):
                await self._came.wait()
            self._came = Event()
            await self.flush_all()

    async def flush_all(self) -> None:
        """Hand on all that waits."""
        while self._lines:
            lines = tuple(self._lines.popleft() for _ in range(min(BATCH, len(self._lines))))
            dropped, self._dropped = self._dropped, 0
            with move_on_after(SEND_SECONDS, shield=True):  # they are gone from here, and would be from the log
                await self._send(lines, dropped)
