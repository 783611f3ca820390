"""What is to be sent over a connection: by one task, in as few pieces as it comes to."""

from __future__ import annotations

from typing import final

from anyio import Event
from anyio.abc import ByteStream

from skywire.net.waiter import waiters


@final
class Outbox:
    """Made in the task that uses it. What is put in has no bound of its own: a client waits for each answer, a server
    takes no calls while :attr:`size` is too much.

    Args:
        stream: where it goes.
    """

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._waiter = waiters()()
        self._waiting: list[bytes] = []
        self._sent: Event | None = None
        self.size = 0
        """Bytes that are not sent yet."""

    def put(self, data: bytes) -> None:
        """Have it sent behind all that was put in before."""
        self._waiting.append(data)
        self.size += len(data)
        self._waiter.wake()

    async def room(self, most: int) -> None:
        """Wait until at most so many bytes are not sent yet."""
        while self.size > most:
            if self._sent is None:
                self._sent = Event()
            await self._sent.wait()

    async def run(self) -> None:
        """Send until cancelled; raises what the stream does."""
        while True:
            while not self._waiting:
                await self._waiter.wait()
            data, self._waiting = b"".join(self._waiting), []
            await self._stream.send(data)
            self.size -= len(data)
            if self._sent is not None:
                self._sent.set()
                self._sent = None
