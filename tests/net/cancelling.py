"""Cancels an operation at each of its awaits in turn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Generic, TypeVar

from anyio import CancelScope

T = TypeVar("T")


class _CancelAtSuspension(Generic[T]):
    """Awaits ``inner``, and cancels ``scope`` when it suspends for the ``index``-th time."""

    def __init__(self, inner: Awaitable[T], scope: CancelScope, index: int) -> None:
        self._inner = inner
        self._scope = scope
        self._left = index

    def __await__(self) -> Generator[object, object, T]:
        iterator = self._inner.__await__()
        answer: object = None
        error: BaseException | None = None
        while True:
            try:
                suspended = iterator.throw(error) if error is not None else send(iterator, answer)
            except StopIteration as stop:
                result: T = stop.value
                return result
            if self._left == 0:
                self._scope.cancel()
            self._left -= 1
            answer = error = None
            try:
                answer = yield suspended
            except BaseException as caught:
                error = caught


def send(iterator: Generator[object, object, T], answer: object) -> object:
    return next(iterator) if answer is None else iterator.send(answer)


async def at_each_await(
    operation: Callable[[], Awaitable[None]], check: Callable[[], Awaitable[None]], *, limit: int = 200
) -> int:
    """Run ``operation`` again and again, cancelled at its first await, its second, ..., until it is over before that.

    ``check`` runs after each.

    Returns:
        How many awaits it was cancelled at.
    """
    for index in range(limit):
        with CancelScope() as scope:
            await _CancelAtSuspension(operation(), scope, index)
        await check()
        if not scope.cancel_called:
            return index
    raise AssertionError(f"the operation has not ended within {limit} awaits")
