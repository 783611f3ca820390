"""The client of net/rpc."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, TypeVar, final

from anyio import BrokenResourceError, ClosedResourceError, EndOfStream, Event
from anyio.abc import ByteStream

from skywire.errors import ProtocolError
from skywire.net.background import Background
from skywire.net.waiter import Waiter, waiters
from skywire.netrpc.errors import CallFailed, ConnectionEnded
from skywire.netrpc.outbox import Outbox
from skywire.wire.gob import MAX_MESSAGE_SIZE, RpcMessage, RpcReader, RpcWriter
from skywire.wire.gob.method import Method

A = TypeVar("A")
R = TypeVar("R")

READ_SIZE: Final = 1 << 18
"""Bytes to take from a connection at a time."""


@asynccontextmanager
async def calling(stream: ByteStream, *, max_message: int = MAX_MESSAGE_SIZE) -> AsyncIterator[Caller]:
    """Call methods of the other end while the block runs.

    Args:
        stream: carries the calls, and nothing else from now on; not closed here.
        max_message: bytes of the largest value that the other end may send.
    """
    caller = Caller(stream, max_message)
    async with Background() as tasks:
        tasks.start_soon(caller.send)
        tasks.start_soon(caller.receive)
        yield caller


@final
class Caller:
    """See :func:`calling`. Any number of tasks may call at the same time."""

    def __init__(self, stream: ByteStream, max_message: int) -> None:
        self._stream = stream
        self._writer = RpcWriter()
        self._reader = RpcReader(max_message=max_message)
        self._outbox = Outbox(stream)
        self._make_waiter = waiters()
        self._asked: dict[int, Waiter | None] = {}
        self._answered: dict[int, RpcMessage] = {}
        self._next = 0
        self._failure: Exception | None = None
        self._over = Event()

    async def ended(self) -> Exception:
        """Wait until nothing can be called any more; why."""
        await self._over.wait()
        return self._failed()

    async def call(self, method: Method[A, R], argument: A) -> R:
        """Ask, and wait for the answer. A call that is cancelled is done all the same, unless the connection ends.

        Raises:
            CallFailed: the other end says no.
            ProtocolError: it says something that is no answer.
            ConnectionEnded: it says nothing more.
            LocalProtocolError: the argument cannot be sent.
        """
        if self._failure is not None:
            raise self._failed()
        seq, self._next = self._next, self._next + 1
        self._outbox.put(
            self._writer.request(method.name, seq, method.argument.schema, method.argument.write(argument))
        )
        waiter = self._asked[seq] = self._make_waiter()
        try:
            while seq not in self._answered and self._failure is None:
                await waiter.wait()
        except BaseException:
            self._asked[seq] = None  # its answer may still come, and is nobody's then
            raise
        answer = self._answered.pop(seq, None)
        if answer is None:
            raise self._failed()
        if answer.error:
            raise CallFailed(method.name, answer.error[:500])
        return method.reply.decode(answer.body)

    async def send(self) -> None:
        """Send what is asked, until cancelled or the connection ends."""
        try:
            await self._outbox.run()
        except (BrokenResourceError, ClosedResourceError) as error:
            self._end(error)

    async def receive(self) -> None:
        """Take answers, until cancelled or the connection ends."""
        try:
            while self._reader.error is None:
                for answer in self._reader.receive(await self._stream.receive(READ_SIZE)):
                    self._take(answer)
            self._end(self._reader.error)
        except (EndOfStream, BrokenResourceError, ClosedResourceError, ProtocolError) as error:
            self._end(error)

    def _take(self, answer: RpcMessage) -> None:
        if answer.seq not in self._asked:
            raise ProtocolError(f"an answer to call {answer.seq}, which was not made")
        waiter = self._asked.pop(answer.seq)
        if waiter is not None:
            self._answered[answer.seq] = answer
            waiter.wake()

    def _end(self, error: Exception) -> None:
        if self._failure is None:
            self._failure = error
        self._over.set()
        for waiter in self._asked.values():
            if waiter is not None:
                waiter.wake()

    def _failed(self) -> Exception:
        if isinstance(self._failure, ProtocolError):
            return ProtocolError(str(self._failure))
        return ConnectionEnded(str(self._failure) or "the other end has ended the connection")
