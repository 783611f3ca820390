"""The tasks of a process, for people who wonder what it does."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from anyio import Event, create_task_group, sleep_forever, wait_all_tasks_blocked
from anyio.abc import TaskStatus

from skywire.app.host import AppHost
from skywire.app.tasks import RunningTask, running_tasks
from skywire.net.conn import CORE, Conn
from skywire.net.network import EVERYONE
from tests.app.site import definition, instance, site

pytestmark = pytest.mark.anyio


async def wait_here() -> None:
    await sleep_forever()


def named(tasks: tuple[RunningTask, ...], name: str) -> list[RunningTask]:
    return [each for each in tasks if name in each.name]


async def test_each_task_is_told_with_its_owner_and_its_place(tmp_path: Path) -> None:
    came = Event()

    async def handler(conn: Conn) -> None:
        async with create_task_group() as task_group:
            task_group.start_soon(wait_here, name="of a connection")
            came.set()

    async def run(host: AppHost, task_status: TaskStatus[None]) -> None:
        async with create_task_group() as task_group, host.serve(80, handler, peers=EVERYONE):
            task_group.start_soon(wait_here, name="of the app")
            task_status.started()

            await sleep_forever()

    async with site(tmp_path, instance(definition("one", run)), instance(definition("two"))) as here:
        await here.until("one", "running")
        async with create_task_group() as task_group, here.registry.self_dial(80, owner=CORE):
            task_group.start_soon(wait_here, name="of the process")
            await came.wait()
            await wait_all_tasks_blocked()
            tasks = running_tasks()
            task_group.cancel_scope.cancel()
    (of_app,), (of_conn,), (own,) = (
        named(tasks, "of the app"),
        named(tasks, "of a conn"),
        named(tasks, "of the process"),
    )
    assert (of_app.owner, of_conn.owner, own.owner) == ("one", "one", "core")
    assert {each.owner for each in tasks} == {"core", "one", "two"}
    line = wait_here.__code__.co_firstlineno + 1
    assert of_app.where == (f"wait_here ({__file__}:{line})",)
    assert of_app.depth > own.depth
    above = tasks[: tasks.index(of_app)]
    assert next(each for each in reversed(above) if each.depth < of_app.depth).owner == "one"
    assert str(of_app) == f"{'  ' * of_app.depth}of the app [one] wait_here ({__file__}:{line})"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_tasks_that_a_library_starts_without_a_group(tmp_path: Path) -> None:
    started: list[asyncio.Task[None]] = []

    async def run(host: AppHost, task_status: TaskStatus[None]) -> None:
        started.append(asyncio.create_task(wait_here(), name="of a library"))
        task_status.started()
        await sleep_forever()

    async with site(tmp_path, instance(definition("one", run))) as here:
        await here.until("one", "running")
        await wait_all_tasks_blocked()
        (task,) = named(running_tasks(), "of a library")
        started[0].cancel()
    assert task.owner == ("one" if sys.version_info >= (3, 12) else "core")
