"""Tasks that run beside a block of code and end with it."""

from __future__ import annotations

from types import TracebackType
from typing import final

from anyio import CancelScope, Event, create_task_group, get_cancelled_exc_class, sleep_forever
from anyio.abc import TaskGroup


@final
class Background:
    """An asynchronous context manager that gives a task group, cancelled at the end of the block.

    A cancellation from outside reaches the block first, and its tasks only when the block has ended: what the block
    uses still works while it cleans up. Unlike a task group, it lets what the block raises through as it is; what a
    task raises comes in an ExceptionGroup.
    """

    def __init__(self) -> None:
        self._guard = create_task_group()
        self._tasks = create_task_group()
        self._ready = Event()

    async def __aenter__(self) -> TaskGroup:
        await self._guard.__aenter__()
        self._guard.start_soon(self._run)
        try:
            with CancelScope(shield=True):
                await self._ready.wait()
        except BaseException as error:  # asyncio's own cancellation knows no shield
            self._tasks.cancel_scope.cancel()
            await self._guard.__aexit__(type(error), error, error.__traceback__)
            raise
        return self._tasks

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._tasks.cancel_scope.cancel()
        if isinstance(error, get_cancelled_exc_class()):
            # It may be the guard's own, because a task failed: only the guard can tell.
            try:
                return await self._guard.__aexit__(kind, error, traceback)
            except BaseException as raised:
                if raised is error:  # to raise what it was given makes contextlib's stacks tie its contexts to a ring
                    return False
                raise
        await self._guard.__aexit__(None, None, None)
        return None

    async def _run(self) -> None:
        with CancelScope(shield=True):
            async with self._tasks:
                self._ready.set()
                await sleep_forever()
