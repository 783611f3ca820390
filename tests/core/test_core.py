"""What every process with apps has: its control socket, its folder, its logs."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Protocol

import pytest
from anyio import Event, create_task_group, fail_after, sleep_forever, wait_all_tasks_blocked

from skywire import SecKey
from skywire.app.interface import Role, needs
from skywire.app.logs import AppLogs
from skywire.app.run_mode import RunMode
from skywire.control.local import controlling
from skywire.core.core import Core, keeping_logs
from skywire.core.folder import FolderError, FolderTaken, owning
from tests.pktcp.attacker import PATIENCE

pytestmark = pytest.mark.anyio


class Slow(Protocol):
    """For a test."""

    @needs(Role.READ)
    async def answer(self) -> str: ...

    @needs(Role.READ)
    def endless(self) -> AsyncIterator[str]: ...


class SlowAnswers(Slow):
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked = Event()
        self.told = Event()

    async def answer(self) -> str:
        self.asked.set()
        await self.told.wait()
        return "at last"

    async def endless(self) -> AsyncIterator[str]:
        yield "a beginning"
        await sleep_forever()


def core(folder: Path) -> Core:
    return Core(
        SecKey.generate().public, RunMode.DMSG_STANDALONE, networks={}, folder=folder, logs=AppLogs(folder / "log")
    )


async def test_who_is_being_answered_when_it_ends_still_is(tmp_path: Path) -> None:
    here, slow, answers = core(tmp_path), SlowAnswers(), list[str]()
    here.endpoint.offer("slow", Slow, slow)
    ended = Event()

    async def ask() -> None:
        async with controlling(tmp_path / "one.sock") as client:
            answers.append(await client.of(Slow, "slow").answer())

    async def tell() -> None:
        await wait_all_tasks_blocked()
        assert not ended.is_set()
        slow.told.set()

    with fail_after(PATIENCE):
        async with create_task_group() as task_group:
            async with here.controlled(tmp_path / "one.sock"):
                task_group.start_soon(ask)
                await slow.asked.wait()
                task_group.start_soon(tell)
            ended.set()
    assert answers == ["at last"]


async def test_a_stream_that_never_ends_holds_nothing_up(tmp_path: Path) -> None:
    here = core(tmp_path)
    here.endpoint.offer("slow", Slow, SlowAnswers())
    with fail_after(PATIENCE):
        async with here.controlled(tmp_path / "one.sock"), controlling(tmp_path / "one.sock") as client:
            endless = client.of(Slow, "slow").endless()
            assert isinstance(endless, AsyncGenerator)
            async with aclosing(endless) as items:
                assert await anext(items) == "a beginning"
                await here.endpoint.quiet()


async def test_a_socket_that_cannot_be_made_costs_no_more_than_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    async with core(tmp_path).controlled(tmp_path / "file" / "one.sock"):
        pass
    assert "no control from this machine" in caplog.text


async def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    with (
        owning(tmp_path, "process", "another folder"),
        pytest.raises(FolderTaken, match=r"another process uses .* A second one needs another folder"),
        owning(tmp_path, "process", "another folder"),
    ):
        pass
    with owning(tmp_path, "visor", "another folder"):
        pass
    with pytest.raises(FolderError, match="for the data of the visor"), owning(Path("/dev/null/x"), "visor", ""):
        pass


async def test_logs_are_kept_while_the_block_runs(tmp_path: Path) -> None:
    logger = logging.getLogger("skywire.test.kept")
    with keeping_logs(tmp_path) as logs:
        logger.warning("this is kept")
        assert [each.text for each in await logs.read("core")] == ["skywire.test.kept: this is kept"]
    logger.warning("this is not")
    assert "this is not" not in (tmp_path / "core.log").read_text()
