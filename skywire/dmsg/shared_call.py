"""Calls that several tasks want at the same time, made once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar, final

from anyio import Event
from anyio.abc import TaskGroup

from skywire.errors import NetworkError

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


@final
class SharedCall(Generic[K, T]):
    """Makes one call per key at a time; whoever asks meanwhile gets the same result or error.

    A caller that is cancelled does not cancel the call.

    Args:
        task_group: whose task makes the calls.
        call: what is called with the key.
    """

    def __init__(self, task_group: TaskGroup, call: Callable[[K], Awaitable[T]]) -> None:
        self._task_group = task_group
        self._call = call
        self._running: dict[K, _Run[T]] = {}

    async def __call__(self, key: K) -> T:
        """The result of the call.

        Raises:
            Exception: what the call raises.
            NetworkError: the task group was cancelled, or has ended.
        """
        run = self._running.get(key)
        if run is None:
            run = self._running[key] = _Run()
            try:
                self._task_group.start_soon(self._make, key, run)
            except RuntimeError:  # it has ended
                del self._running[key]
                raise NetworkError("the network was left") from None
        await run.done.wait()
        if run.error is not None:
            raise run.error
        (result,) = run.result
        return result

    async def _make(self, key: K, run: _Run[T]) -> None:
        try:
            run.result = [await self._call(key)]
        except Exception as error:
            run.error = error
        except BaseException:
            run.error = NetworkError("the network was left before it was done")
            raise
        finally:
            del self._running[key]
            run.done.set()


class _Run(Generic[T]):
    def __init__(self) -> None:
        self.done = Event()
        self.result: list[T] = []
        self.error: Exception | None = None
