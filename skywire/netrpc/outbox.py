"""What is to be sent over a connection: by one task, in as few pieces as it comes to."""

from __future__ import annotations

from typing import final

from anyio.abc import ByteStream

from skywire.net.waiter import waiters


@final
class Outbox:
    """Made in the task that uses it; bounded by those who put something in, since each waits for an answer.

    Args:
        stream: where it goes.
    """

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._waiter = waiters()()
        self._waiting: list[bytes] = []

    def put(self, data: bytes) -> None:
        """Have it sent behind all that was put in before."""
        self._waiting.append(data)
        self._waiter.wake()

    async def run(self) -> None:
        """Send until cancelled; raises what the stream does."""
        while True:
            while not self._waiting:
                await self._waiter.wait()
            data, self._waiting = b"".join(self._waiting), []
            await self._stream.send(data)
