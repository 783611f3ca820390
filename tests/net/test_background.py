"""Tasks beside a block: who is told first, and what comes out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import pytest
from anyio import CancelScope, Event, get_running_tasks, sleep_forever, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from skywire.net.background import Background

pytestmark = pytest.mark.anyio


async def test_tasks_end_with_the_block() -> None:
    before = len(get_running_tasks())
    async with Background() as task_group:
        task_group.start_soon(sleep_forever)
        await wait_all_tasks_blocked()
        assert len(get_running_tasks()) > before
    assert len(get_running_tasks()) == before


async def test_a_cancellation_reaches_the_block_first() -> None:
    """Its tasks still work while it cleans up."""
    asked, answered = Event(), Event()

    async def answer() -> None:
        await asked.wait()
        answered.set()
        await sleep_forever()

    with CancelScope() as scope:
        async with Background() as task_group:
            task_group.start_soon(answer)
            scope.cancel()
            try:
                await sleep_forever()
            finally:
                asked.set()
                with CancelScope(shield=True):
                    await answered.wait()
    assert scope.cancelled_caught


async def test_a_cancellation_before_it() -> None:
    """The block begins, and ends at its first await."""
    begun = False
    with CancelScope() as scope:
        scope.cancel()
        async with Background() as task_group:
            task_group.start_soon(sleep_forever)
            begun = True
            await checkpoint()
            raise AssertionError("it was cancelled")
    assert begun
    assert scope.cancelled_caught


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancellation_by_asyncio_leaves_no_task() -> None:
    async def use() -> None:
        async with Background() as task_group:
            task_group.start_soon(sleep_forever)
            await sleep_forever()

    before = len(get_running_tasks())
    for steps in range(6):
        user = asyncio.create_task(use())
        for _ in range(steps):
            await checkpoint()
        user.cancel()
        with pytest.raises(asyncio.CancelledError):
            await user
        assert len(get_running_tasks()) == before, steps


async def test_what_the_block_raises_comes_as_it_is() -> None:
    async def block() -> None:
        async with Background() as task_group:
            task_group.start_soon(sleep_forever)
            raise LookupError

    with pytest.raises(LookupError):
        await block()


async def test_a_task_that_fails_ends_the_block() -> None:
    ended = False

    async def fail() -> None:
        raise LookupError

    async def block() -> None:
        nonlocal ended
        async with Background() as task_group:
            task_group.start_soon(fail)
            try:
                await sleep_forever()
            finally:
                ended = True

    with pytest.raises(ExceptionGroup) as caught:
        await block()
    assert ended
    assert caught.group_contains(LookupError)


@asynccontextmanager
async def cleaning_up() -> AsyncIterator[None]:
    """What has to wait for something when it ends."""
    try:
        yield
    finally:
        await checkpoint()


@pytest.mark.parametrize("makers", [(Background, cleaning_up), (Background, cleaning_up, Background)])
async def test_cancelled_in_stacks_of_contexts_it_comes_to_an_end(
    makers: tuple[Callable[[], AbstractAsyncContextManager[object]], ...],
) -> None:
    """Such a stack follows the contexts of exceptions, without an end where they are a ring."""

    @asynccontextmanager
    async def all_of_them() -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for make in makers:
                await stack.enter_async_context(make())
            yield

    with CancelScope() as scope:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(all_of_them())
            scope.cancel()
            await sleep_forever()
    assert scope.cancelled_caught
