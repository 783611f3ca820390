"""Calls that several tasks want at the same time."""

from __future__ import annotations

import pytest
from anyio import CancelScope, Event, create_task_group, wait_all_tasks_blocked

from skywire import NetworkError
from skywire.dmsg.shared_call import SharedCall
from skywire.net.background import Background

pytestmark = pytest.mark.anyio


async def test_one_call_for_all_who_ask_meanwhile() -> None:
    calls: list[str] = []
    go_on = Event()

    async def call(key: str) -> str:
        calls.append(key)
        await go_on.wait()
        return key.upper()

    results: list[str] = []
    async with Background() as background:
        shared = SharedCall(background, call)

        async def ask(key: str) -> None:
            results.append(await shared(key))

        async with create_task_group() as task_group:
            for key in ("a", "b", "a", "a"):
                task_group.start_soon(ask, key)
            with CancelScope() as impatient:
                task_group.start_soon(ask, "a")
                await wait_all_tasks_blocked()
                impatient.cancel()
            go_on.set()
        assert sorted(calls) == ["a", "b"]
        assert sorted(results) == ["A", "A", "A", "A", "B"]
        await ask("a")
        assert calls.count("a") == 2


async def test_who_asks_first_may_give_up() -> None:
    go_on = Event()

    async def call(key: str) -> str:
        await go_on.wait()
        return key.upper()

    async with Background() as background:
        shared = SharedCall(background, call)
        scope = CancelScope()
        results: list[str] = []

        async def give_up() -> None:
            with scope:
                await shared("a")

        async def ask() -> None:
            results.append(await shared("a"))

        async with create_task_group() as task_group:
            task_group.start_soon(give_up)
            await wait_all_tasks_blocked()
            task_group.start_soon(ask)
            await wait_all_tasks_blocked()
            scope.cancel()
            await wait_all_tasks_blocked()
            go_on.set()
        assert results == ["A"]


async def test_an_error_is_for_all() -> None:
    async def call(key: str) -> str:
        await wait_all_tasks_blocked()
        raise NetworkError(key)

    failed = 0
    async with Background() as background:
        shared = SharedCall(background, call)

        async def ask() -> None:
            nonlocal failed
            with pytest.raises(NetworkError, match="as planned"):
                await shared("as planned")
            failed += 1

        async with create_task_group() as task_group:
            for _ in range(3):
                task_group.start_soon(ask)
        await ask()
    assert failed == 4


async def test_the_end_is_told() -> None:
    """To those who wait, and to those who come too late."""

    async def call(key: str) -> str:
        await Event().wait()
        return key

    async with create_task_group() as task_group:
        async with Background() as background:
            shared = SharedCall(background, call)

            async def ask() -> None:
                with pytest.raises(NetworkError, match="the network was left"):
                    await shared("a")

            task_group.start_soon(ask)
            await wait_all_tasks_blocked()
        await ask()
