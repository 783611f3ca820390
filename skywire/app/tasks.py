"""What runs in this process: its tasks as a tree, each with its owner and the places where it waits."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextvars import Context
from dataclasses import dataclass
from types import FrameType
from typing import Final, final

from anyio import TaskInfo, get_running_tasks

from skywire.app.attempt import Attempt
from skywire.app.ownership import owner_in
from skywire.app.places import frames_of, place_of
from skywire.app.registry import Registration
from skywire.net.conn import CORE
from skywire.net.waiter import runs_on_asyncio

MOST_TASKS: Final = 5000
"""Tasks that are told; of more, any so many."""
PLACES: Final = 6
"""Innermost places that are told of each."""


@final
@dataclass(frozen=True, slots=True)
class RunningTask:
    """One task.

    Args:
        name: as the event loop knows it.
        owner: the app instance on whose behalf it runs, or ``core``. On Python 3.11 asyncio tells it only of tasks that
            task groups have started.
        depth: how many tasks it is below a root of the tree.
        where: the places where it waits, each ``function (file:line)``, the outermost first; none while it runs.
    """

    name: str
    owner: str
    depth: int
    where: tuple[str, ...]

    def __str__(self) -> str:
        return f"{'  ' * self.depth}{self.name} [{self.owner}] {' > '.join(self.where)}".rstrip()


def running_tasks() -> tuple[RunningTask, ...]:
    """The tasks of the running event loop, each behind the one that has started it."""
    tasks = sorted(get_running_tasks()[:MOST_TASKS], key=lambda each: each.name or "")
    contexts = _contexts()
    known = {each.id for each in tasks}
    children: dict[int | None, list[TaskInfo]] = defaultdict(list)
    for task in tasks:
        children[task.parent_id if task.parent_id in known else None].append(task)
    found: list[RunningTask] = []
    waiting = [(task, 0, CORE.name) for task in reversed(children[None])]
    while waiting:
        task, depth, inherited = waiting.pop()
        frames = frames_of(task.coro)
        owner = _owner(frames) or _of_context(contexts, task) or inherited
        found.append(RunningTask(task.name or "", owner, depth, tuple(place_of(each) for each in frames[-PLACES:])))
        waiting += [(child, depth + 1, owner) for child in reversed(children[task.id])]
    return tuple(found)


def _owner(frames: Iterable[FrameType]) -> str | None:
    """Whom the innermost place belongs to where the tasks of an app begin."""
    name: str | None = None
    for frame in frames:
        if frame.f_code in _BEGINNINGS:
            match frame.f_locals.get("self"):
                case Attempt() as attempt:
                    name = attempt.host.name
                case Registration() as registration:
                    name = registration.owner.name
    return name


_BEGINNINGS: Final = frozenset({Attempt.run.__code__, Registration.run.__code__})


def _of_context(contexts: Mapping[int, Context], task: TaskInfo) -> str | None:
    context = contexts.get(task.id)
    return None if context is None else owner_in(context)


def _contexts() -> Mapping[int, Context]:
    """The contexts of the tasks of asyncio, which a library may have started without a task group."""
    if sys.version_info >= (3, 12) and runs_on_asyncio():
        import asyncio

        return {id(task): task.get_context() for task in asyncio.all_tasks()}
    return {}
