"""One task's wait for one thing to happen, told by a callback: on asyncio a bare future, a third of an event's cost."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol, final

from anyio import Event

if TYPE_CHECKING:  # loaded only by who runs on it
    import asyncio


class Waiter(Protocol):
    """Used again and again by one task at a time."""

    @property
    def waiting(self) -> bool:
        """Whether a task waits now."""
        ...

    async def wait(self) -> None:
        """Wait for the next :meth:`wake`; one that came before does not count."""
        ...

    def wake(self) -> None:
        """Let the task that waits go on, if there is one. May be called from anywhere in the event loop."""
        ...


def waiters() -> Callable[[], Waiter]:
    """What makes waiters for the event loop of the running task."""
    if not runs_on_asyncio():
        return _EventWaiter
    import asyncio

    return partial(_FutureWaiter, asyncio.get_running_loop())


def cancelled_by_asyncio() -> bool:
    """Whether somebody has asked the running asyncio task to end; anyio's own cancellations count as well."""
    asyncio = sys.modules.get("asyncio")
    task = asyncio.current_task() if asyncio is not None and runs_on_asyncio() else None
    return task is not None and task.cancelling() > 0


def runs_on_asyncio() -> bool:
    """Whether the caller is an asyncio task; trio as a guest of an asyncio loop is trio."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return False
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


@final
class _FutureWaiter:
    __slots__ = ("_future", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: asyncio.Future[None] | None = None

    @property
    def waiting(self) -> bool:
        return self._future is not None

    async def wait(self) -> None:
        self._future = future = self._loop.create_future()
        try:
            await future
        finally:
            self._future = None

    def wake(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)


@final
class _EventWaiter:
    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: Event | None = None

    @property
    def waiting(self) -> bool:
        return self._event is not None

    async def wait(self) -> None:
        self._event = Event()
        try:
            await self._event.wait()
        finally:
            self._event = None

    def wake(self) -> None:
        if self._event is not None:
            self._event.set()
