"""The log of each instance: whose lines it has, how much is kept, and reading it."""

from __future__ import annotations

import logging
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from threading import Thread

import pytest
from anyio import Event, create_task_group, fail_after, sleep_forever, wait_all_tasks_blocked
from anyio.abc import TaskStatus

from skywire.app.host import AppHost
from skywire.app.logs import FILES_ASIDE, WAITING_LINES, AppLogs
from skywire.app.ownership import on_behalf_of
from skywire.net.conn import CORE, Conn
from skywire.net.network import EVERYONE
from tests.app.site import definition, instance, site

pytestmark = pytest.mark.anyio

LIBRARY = logging.getLogger("a.dependency")


@contextmanager
def logging_to(logs: AppLogs) -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("skywire")  # whose level a program may have set
    levels = root.level, ours.level
    root.addHandler(logs)
    root.setLevel(logging.DEBUG)
    ours.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.setLevel(levels[0])
        ours.setLevel(levels[1])
        root.removeHandler(logs)
        logs.close()


async def test_lines_belong_to_the_app_on_whose_behalf_they_are_written(tmp_path: Path) -> None:
    logs = AppLogs(tmp_path / "log")
    done = Event()

    async def in_a_task() -> None:
        LIBRARY.warning("from a task of %s", "its own")

    async def handler(conn: Conn) -> None:
        LIBRARY.info("from a connection")
        done.set()

    async def run(host: AppHost, task_status: TaskStatus[None]) -> None:
        host.log.info("from the app")
        async with create_task_group() as task_group:
            task_group.start_soon(in_a_task)
        async with host.serve(80, handler, peers=EVERYONE):
            task_status.started()
            await sleep_forever()

    with logging_to(logs):
        async with site(tmp_path, instance(definition("one", run)), instance(definition("two"))) as here:
            await here.until("one", "running")
            async with here.registry.self_dial(80, owner=CORE):
                await done.wait()
        LIBRARY.info("from the process")
        lines = await logs.read("one")
        assert [(line.level, line.text) for line in lines if "from" in line.text] == [
            (logging.INFO, "skywire.app.one: from the app"),
            (logging.WARNING, "a.dependency: from a task of its own"),
            (logging.INFO, "a.dependency: from a connection"),
        ]
        assert await logs.read("two") == []
        assert await logs.read("nobody") == []


async def test_it_is_read_from_any_time_and_level(tmp_path: Path) -> None:
    logs = AppLogs(tmp_path)
    with logging_to(logs):
        with on_behalf_of("app"):
            LIBRARY.info("first")
            LIBRARY.error("second", exc_info=ValueError("why"))
        later = time.time()
        with on_behalf_of("app"):
            LIBRARY.info("third\n  indented\n2026-01-01T00:00:00+00:00 INFO made up")
        texts = [line.text for line in await logs.read("app")]
        assert texts == [
            "a.dependency: first",
            "a.dependency: second\nValueError: why",
            "a.dependency: third\n  indented\n2026-01-01T00:00:00+00:00 INFO made up",
        ]
        assert [line.text for line in await logs.read("app", since=later)] == texts[2:]
        assert [line.text for line in await logs.read("app", level=logging.ERROR)] == texts[1:2]
        assert [line.text for line in await logs.read("app", last=2)] == texts[1:]
        assert await logs.read("app", last=0) == []


async def test_it_is_bounded_on_disk(tmp_path: Path) -> None:
    logs = AppLogs(tmp_path, file_bytes=2000)
    with logging_to(logs), on_behalf_of("app"):
        for number in range(1000):
            LIBRARY.info("line %d", number)
        files = [tmp_path / name for name in os.listdir(tmp_path)]  # noqa: PTH208 - pathlib blocks as much
        assert len(files) == FILES_ASIDE + 1
        assert sum(file.stat().st_size for file in files) <= 2000 * (FILES_ASIDE + 1)
        lines = await logs.read("app")
        numbers = [int(line.text.split()[-1]) for line in lines]
        assert numbers == list(range(numbers[0], 1000))


async def test_it_can_be_followed_and_a_slow_follower_is_told_what_it_missed(tmp_path: Path) -> None:
    logs = AppLogs(tmp_path)
    with logging_to(logs), logs.follow("app") as follower, on_behalf_of("app"):
        LIBRARY.info("hello")
        line, dropped = await follower.next()
        assert (line.text, dropped) == ("a.dependency: hello", 0)
        for number in range(WAITING_LINES + 3):
            LIBRARY.info("%d", number)
        line, dropped = await follower.next()
        assert (line.text, dropped) == ("a.dependency: 3", 3)
        assert len(follower.take()) == WAITING_LINES - 1
        async with create_task_group() as task_group:
            task_group.start_soon(follower.next)
            await wait_all_tasks_blocked()
            LIBRARY.info("somebody waits for this")
    assert not logs._followers


async def test_a_full_disk_costs_lines_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "log"
    folder.write_text("a file where the folder should be")
    logs = AppLogs(folder)
    with logging_to(logs), logs.follow("app") as follower, on_behalf_of("app"):
        LIBRARY.info("hello")
        with fail_after(5):
            assert (await follower.next())[0].text == "a.dependency: hello"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n", "\x0b", "\x85", "\u2028"])
async def test_nobody_can_forge_an_entry(tmp_path: Path, end: str) -> None:
    logs = AppLogs(tmp_path / "log")
    text = f"a name{end}2026-01-01T00:00:00.000000+00:00 ERROR forged: by a peer"
    with logging_to(logs):
        LIBRARY.info("%s", text)
        lines = await logs.read(CORE.name)
    assert [line.text for line in lines] == [f"a.dependency: {text}"]


async def test_a_line_that_cannot_be_written_costs_its_writer_nothing(tmp_path: Path) -> None:
    logs = AppLogs(tmp_path / "log")
    with logging_to(logs):
        logs.handle(LIBRARY.makeRecord(LIBRARY.name, logging.WARNING, __file__, 1, "%d of them", ("many",), None))
        (line,) = await logs.read(CORE.name)
    assert line.text.startswith("a.dependency: what test_logs.py:")
    assert line.text.endswith(" says cannot be written: TypeError")


async def test_lines_of_threads_are_followed_too(tmp_path: Path) -> None:
    logs = AppLogs(tmp_path / "log")
    with logging_to(logs), fail_after(5):
        async with aclosing(logs.lines(CORE.name)) as lines, create_task_group() as task_group:
            first = Event()

            async def read() -> None:
                assert (await anext(lines)).text == "a.dependency: from a thread"
                first.set()

            task_group.start_soon(read)
            await wait_all_tasks_blocked()
            thread = Thread(target=LIBRARY.warning, args=("from a thread",))
            thread.start()
            await first.wait()
            thread.join()


@pytest.mark.parametrize("what", ["the file", "the folder"])
async def test_files_that_are_taken_away_are_made_anew(tmp_path: Path, what: str) -> None:
    logs = AppLogs(tmp_path / "log")
    with logging_to(logs):
        LIBRARY.warning("before")
        if what == "the file":
            (tmp_path / "log" / "core.log").unlink()
        else:
            shutil.rmtree(tmp_path / "log")
        LIBRARY.warning("after")
        assert [line.text for line in await logs.read(CORE.name)] == ["a.dependency: after"]


async def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    logs = AppLogs(tmp_path / "log", file_bytes=100)
    former = os.umask(0)
    try:
        with logging_to(logs):
            for number in range(4):
                LIBRARY.warning("%d", number)
    finally:
        os.umask(former)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "log").iterdir()} == {0o600}
