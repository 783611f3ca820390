"""Tasks that run beside a block of code and end with it."""

from __future__ import annotations

from types import TracebackType
from typing import final

from anyio import create_task_group, get_cancelled_exc_class
from anyio.abc import TaskGroup


@final
class Background:
    """An asynchronous context manager that gives a task group, cancelled at the end of the block.

    Unlike a task group, it lets what the block raises through as it is; what a task raises comes in an ExceptionGroup.
    """

    def __init__(self) -> None:
        self._task_group = create_task_group()

    async def __aenter__(self) -> TaskGroup:
        return await self._task_group.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._task_group.cancel_scope.cancel()
        if isinstance(error, get_cancelled_exc_class()):
            # It may be the group's own, because a task failed: only the group can tell.
            return await self._task_group.__aexit__(kind, error, traceback)
        await self._task_group.__aexit__(None, None, None)
        return None
