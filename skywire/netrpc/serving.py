"""The server of net/rpc."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, TypeVar, final

from anyio import BrokenResourceError, ClosedResourceError, EndOfStream, Semaphore, WouldBlock, create_task_group
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

from skywire.errors import SkywireError
from skywire.net.background import Background
from skywire.netrpc.outbox import Outbox
from skywire.wire.gob import MAX_MESSAGE_SIZE, GobError, RpcMessage, RpcReader, RpcWriter
from skywire.wire.gob.method import Method

A = TypeVar("A")
R = TypeVar("R")

MAX_CALLS: Final = 32
"""Calls of one connection that are being answered; the next ones wait in the connection."""
MAX_UNSENT: Final = 1 << 20
"""Bytes of answers that the other end has not taken; while there are more, no call is begun."""
READ_SIZE: Final = 1 << 18
"""Bytes to take from a connection at a time."""

_Answer: TypeAlias = Callable[[RpcWriter, RpcMessage], Awaitable[bytes]]
_AnswerAtOnce: TypeAlias = Callable[[RpcWriter, RpcMessage], bytes]


@final
class Service:
    """The methods that a connection may call."""

    def __init__(self) -> None:
        self._answers: dict[str, _Answer] = {}
        self._answers_at_once: dict[str, _AnswerAtOnce] = {}

    def add(
        self, method: Method[A, R], function: Callable[[A], Awaitable[R]], at_once: Callable[[A], R] | None = None
    ) -> None:
        """Answer a method by this function.

        What it raises of :class:`SkywireError` is told to the other end, as it is: for net/rpc its text is all.

        Args:
            method: which.
            function: gives the reply.
            at_once: is asked first, which spares a task: it gives the reply, too, or raises :class:`WouldBlock`, having
                done nothing.
        """

        async def answer(writer: RpcWriter, request: RpcMessage) -> bytes:
            reply = await function(method.argument.decode(request.body))
            return writer.response(request.method, request.seq, method.reply.schema, method.reply.write(reply))

        self._answers[method.name] = answer
        if at_once is not None:
            promptly = at_once

            def answer_at_once(writer: RpcWriter, request: RpcMessage) -> bytes:
                reply = promptly(method.argument.decode(request.body))
                return writer.response(request.method, request.seq, method.reply.schema, method.reply.write(reply))

            self._answers_at_once[method.name] = answer_at_once

    async def answer(self, writer: RpcWriter, request: RpcMessage) -> bytes:
        """The bytes of the answer to a request."""
        found = self._answers.get(request.method)
        if found is None:
            return writer.failure(request.method, request.seq, _no_such(request.method))
        try:
            return await found(writer, request)
        except SkywireError as error:
            return _failure(writer, request, error)

    def answer_at_once(self, writer: RpcWriter, request: RpcMessage) -> bytes | None:
        """The same for what needs no waiting; None where it does."""
        found = self._answers_at_once.get(request.method)
        if found is None:
            return None
        try:
            return found(writer, request)
        except WouldBlock:
            return None
        except SkywireError as error:
            return _failure(writer, request, error)


def _failure(writer: RpcWriter, request: RpcMessage, error: SkywireError) -> bytes:
    text = f"gob: {error}" if isinstance(error, GobError) else str(error) or type(error).__name__
    return writer.failure(request.method, request.seq, text)


def _no_such(method: str) -> str:
    """In the words of Go, which its clients may look for."""
    service, dot, _ = method.rpartition(".")
    if not dot:
        return f"rpc: service/method request ill-formed: {method}"
    return f"rpc: can't find {'method' if service else 'service'} {method}"


async def serve_calls(stream: ByteStream, service: Service, *, max_message: int = MAX_MESSAGE_SIZE) -> None:
    """Answer the calls that come over a connection until its other end ends it; calls under way are cancelled then.

    Args:
        stream: carries the calls, and nothing else from now on; not closed here.
        service: what can be called.
        max_message: bytes of the largest value that the other end may send.

    Raises:
        GobError: the other end breaks the rules; what came before is answered, or cancelled.
        BrokenResourceError, ClosedResourceError: the connection broke, or was closed here.
    """
    reader, writer, outbox = RpcReader(max_message=max_message), RpcWriter(), Outbox(stream)
    turns = Semaphore(MAX_CALLS)
    broken: list[Exception] = []

    async def answer(request: RpcMessage) -> None:
        try:
            outbox.put(await service.answer(writer, request))
        finally:
            turns.release()

    async def send() -> None:
        try:
            await outbox.run()
        except (BrokenResourceError, ClosedResourceError) as error:
            broken.append(error)
            answering.cancel_scope.cancel()

    async with Background() as sending, create_task_group() as answering:
        sending.start_soon(send)
        try:
            while reader.error is None:
                for number, request in enumerate(reader.receive(await stream.receive(READ_SIZE)), 1):
                    await outbox.room(MAX_UNSENT)
                    if number % MAX_CALLS == 0:
                        await checkpoint()  # what is answered at once lets others have their turn, too
                    if (said := service.answer_at_once(writer, request)) is not None:
                        outbox.put(said)
                        continue
                    await turns.acquire()
                    answering.start_soon(answer, request)
        except EndOfStream:
            pass
        except (BrokenResourceError, ClosedResourceError) as error:
            broken.append(error)
        answering.cancel_scope.cancel()
    if broken:
        raise broken[0]
    if reader.error is not None:
        raise reader.error
