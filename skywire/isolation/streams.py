"""Streaming commands of an app in a process of its own: the host asks for items when somebody wants them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import final

from anyio import CancelScope, EndOfStream, WouldBlock, create_memory_object_stream
from anyio.abc import TaskGroup

from skywire.app.attempt import describe
from skywire.app.command import Answers
from skywire.errors import SkywireError
from skywire.isolation.interfaces import MAX_ITEMS, MAX_STREAMS, StreamPart


class NoSuchStream(SkywireError):
    """A stream is not open, or too many are."""


@final
class Streams:
    """Those that are under way.

    Args:
        tasks: in which they are made, each in one task from its first item to its last.
        answers: what the app answers now.
    """

    def __init__(self, tasks: TaskGroup, answers: Callable[[], Answers]) -> None:
        self._tasks = tasks
        self._answers = answers
        self._open: dict[int, _Stream] = {}

    def open(self, number: int, command: str, arguments: Mapping[str, object]) -> None:
        """Begin one; see :meth:`skywire.isolation.interfaces.InstanceAPI.open_stream`."""
        if number in self._open or len(self._open) >= MAX_STREAMS:
            raise NoSuchStream(f"stream {number} is open already, or {MAX_STREAMS} others are")
        stream = self._open[number] = _Stream()
        self._tasks.start_soon(stream.run, self._answers(), command, arguments)

    async def next_items(self, number: int) -> StreamPart:
        """Wait for the next items of one."""
        stream = self._open.get(number)
        if stream is None:
            raise NoSuchStream(f"there is no open stream {number}")
        return await stream.next_items()

    def close(self, number: int) -> None:
        """Nobody wants more of one. Idempotent."""
        if (stream := self._open.pop(number, None)) is not None:
            stream.close()


@final
class _Stream:
    def __init__(self) -> None:
        self._scope = CancelScope()
        self._put, self._items = create_memory_object_stream[object](MAX_ITEMS)
        self._error: SkywireError | None = None

    async def run(self, answers: Answers, command: str, arguments: Mapping[str, object]) -> None:
        with self._put, self._scope:
            try:
                async with aclosing(answers.stream(command, arguments)) as items:
                    async for item in items:
                        await self._put.send(item)
            except SkywireError as error:
                self._error = error
            except Exception as error:
                self._error = NoSuchStream(f"the app failed at it: {describe(error)}")

    def close(self) -> None:
        self._scope.cancel()
        self._items.close()

    async def next_items(self) -> StreamPart:
        try:
            items = [await self._items.receive()]
        except EndOfStream:
            if self._error is not None:
                raise self._error from None
            return StreamPart((), over=True)
        while len(items) < MAX_ITEMS:
            try:
                items.append(self._items.receive_nowait())
            except (WouldBlock, EndOfStream):
                break
        return StreamPart(tuple(items), over=False)
