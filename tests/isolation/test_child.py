"""What only a process of its own can do: crash, hang, and be left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from anyio import fail_after, sleep

from skywire import Owner
from skywire.app.definition import Isolation
from skywire.app.limits import LauncherLimits, RestartPolicy
from skywire.app.status import State
from skywire.control.client import NodeGone
from skywire.isolation.child import child_environment, describe_end
from skywire.isolation.interfaces import MAX_LINE
from tests.isolation.apps import Manner
from tests.isolation.places import IMPATIENT, PATH, PATIENCE, ROOT, become, place

pytestmark = pytest.mark.anyio

UVLOOP = pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")
"""What programs run on: for what takes long and is the same on all."""

ME = Owner("tester")


def children() -> list[psutil.Process]:
    return [each for each in psutil.Process().children(recursive=True) if is_ours(each)]


def is_ours(process: psutil.Process) -> bool:
    try:
        return "skywire.isolation" in process.cmdline() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


async def until_gone(pid: int) -> None:
    await become(lambda: not psutil.pid_exists(pid))


@pytest.mark.parametrize(
    ("how", "failure"),
    [
        ("exit", "its process ended with exit code 3"),
        ("SIGKILL", "it was killed by signal 9 (SIGKILL)"),
        ("SIGSEGV", "it was killed by signal 11 (SIGSEGV)"),
        ("raise", "ValueError: as planned"),
    ],
)
async def test_a_crash_is_a_failure_with_its_reason(tmp_path: Path, how: str, failure: str) -> None:
    async with place(tmp_path) as here:
        await here.run(here.config("everything", Isolation.CHILD))
        with suppress(NodeGone):
            await here.call("everything", "end", text=how)
        info = await here.until("everything", lambda info: not info.state.serving)
        assert (info.state, info.reason) == (State.ERRORED, failure)
        assert any(failure.partition(" (")[0] in line.text for line in await here.logs.read("everything"))
        assert here.registry.list() == ()
        assert (await here.launcher.start("everything")).state is State.RUNNING
        assert await here.call("everything", "double", number=2) == {"number": 4}


async def test_a_crashed_child_is_started_again(tmp_path: Path) -> None:
    async with place(tmp_path, LauncherLimits(first_restart=0.01, health_seconds=0.05)) as here:
        await here.run(here.config("everything", Isolation.CHILD, restart=RestartPolicy.ON_FAILURE))
        pid = (await here.call("everything", "facts"))["pid"]
        assert isinstance(pid, int)
        os.kill(pid, signal.SIGKILL)
        await here.until("everything", lambda info: info.failures == 1 and info.state is State.RUNNING)
        assert (await here.call("everything", "facts"))["pid"] != pid


@pytest.mark.parametrize(
    ("how", "failure"),
    [
        ("raises", "ValueError: as planned"),
        ("returns", "it ended without having been told to"),
        ("exits", "it tried to end the whole process: SystemExit(4)"),
    ],
)
async def test_it_fails_as_it_would_here(tmp_path: Path, how: str, failure: str) -> None:
    async with place(tmp_path) as here:
        for isolation in (Isolation.IN_PROCESS, Isolation.CHILD):
            info = await here.run(here.config("manners", isolation, Manner(how)))
            assert (info.state, info.reason) == (State.ERRORED, failure)
            await here.launcher.remove("manners")


async def test_what_cannot_be_loaded_there_says_so(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        info = await here.run(here.config("hello", Isolation.CHILD, path=str(ROOT)))
        assert info.state is State.ERRORED
        assert "app hello of skywire cannot be loaded: ModuleNotFoundError: No module named 'hello_app'" in info.reason


async def test_one_that_does_not_end_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    async with place(tmp_path, IMPATIENT) as here:
        await here.run(here.config("manners", Isolation.CHILD, Manner("ignores the end")))
        await become((tmp_path / "data/manners/pid").exists)
        process = psutil.Process(int((tmp_path / "data/manners/pid").read_text()))
        started = process.children()
        assert len(started) == 1
        with fail_after(5):
            assert (await here.launcher.stop("manners")).state is State.STOPPED
        await until_gone(process.pid)
        await until_gone(started[0].pid)


async def test_it_can_be_stopped_before_it_serves(tmp_path: Path) -> None:
    async with place(tmp_path, IMPATIENT) as here:
        config = here.config("manners", Isolation.CHILD, Manner("never starts"))
        await here.launcher.add(replace(config, auto_start=False))
        for moment in (0.0, 0.05, 0.3, 1.5):  # before there is a process, while it begins, while the app starts
            here.tasks.start_soon(here.launcher.start, "manners")
            await here.until("manners", lambda info: info.state is State.STARTING)
            await sleep(moment)
            with fail_after(PATIENCE):
                assert (await here.launcher.stop("manners")).state is State.STOPPED
            assert children() == []


@pytest.mark.parametrize("anyio_backend", [UVLOOP])
async def test_fifty_starts_leave_nothing_behind(tmp_path: Path) -> None:
    def open_now() -> int:
        return psutil.Process().num_fds()

    async with place(tmp_path) as here:
        await here.run(here.config("hello", Isolation.CHILD))
        await here.launcher.stop("hello")
        before = open_now()
        for _ in range(50):
            info = await here.launcher.start("hello")
            assert (info.state, info.reason) == (State.RUNNING, "")
            async with here.registry.self_dial(4000, owner=ME) as conn:
                assert (await conn.receive()).startswith(b"Hello")
            assert (await here.launcher.stop("hello")).state is State.STOPPED
        assert open_now() == before
        assert children() == []


async def test_its_output_is_in_its_log(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await here.run(here.config("everything", Isolation.CHILD))
        await here.call("everything", "say", text="x" * (3 * MAX_LINE))
        await here.call("everything", "say", text="so it is")
        await here.launcher.stop("everything")
        lines = await here.logs.read("everything")
        texts = [line.text for line in lines]
        assert "skywire.app.everything: so it is to the errors" in texts
        assert max(map(len, texts)) <= MAX_LINE + 100
        assert sum(text.count("x") for text in texts) == 5 * MAX_LINE


async def test_a_flood_of_lines_is_counted(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        here.set_level("INFO")
        await here.run(here.config("everything", Isolation.CHILD))
        await here.call("everything", "flood-log", number=20_000)
        await here.launcher.stop("everything")
        texts = [line.text for line in await here.logs.read("everything")]
        assert "skywire.app.everything: line 19999" in texts
        assert any("lines before this one came too fast" in text for text in texts)


async def test_its_environment_is_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET", "not for apps")
    async with place(tmp_path) as here:
        await here.run(here.config("everything", Isolation.CHILD))
        environment = (await here.call("everything", "facts"))["environment"]
        assert isinstance(environment, dict)
        assert environment["A_VARIABLE"] == "of its own"
        assert "AWS_SECRET" not in environment
        (child,) = children()
        assert child.rlimit(psutil.RLIMIT_CORE) == (0, 0)
        assert os.getpgid(child.pid) == child.pid != os.getpgrp()


def test_what_a_child_inherits() -> None:
    own = {"PATH": "/bin", "SKYWIRE_RUNTIME_DIR": "/run/x", "SSH_AUTH_SOCK": "/tmp/agent", "SKYWIRE_SK": "secret"}
    assert child_environment(own, {"PATH": "/usr/bin", "X": "1"}) == {
        "PATH": "/usr/bin",
        "SKYWIRE_RUNTIME_DIR": "/run/x",
        "PYTHONUNBUFFERED": "1",
        "X": "1",
    }
    assert describe_end(-63) == "it was killed by signal 63"
    assert describe_end(None) == "its process left the link, and cannot be ended"


@pytest.mark.parametrize("anyio_backend", [UVLOOP])
@pytest.mark.parametrize("how", ["", "ignores the end"])
async def test_a_child_does_not_outlive_us(tmp_path: Path, how: str) -> None:
    code = (
        "import anyio, sys; from pathlib import Path; from tests.isolation.visor import main\n"
        "anyio.run(main, Path(sys.argv[1]), sys.argv[2])"
    )
    with subprocess.Popen(  # noqa: ASYNC220 - nobody waits for it
        [sys.executable, "-c", code, str(tmp_path), how], env={**os.environ, "PYTHONPATH": PATH}
    ) as visor:
        file = tmp_path / "data/manners/pid"
        await become(lambda: file.exists() and file.read_text() != "")
        pid = int(file.read_text())
        others = psutil.Process(pid).children()
        visor.kill()
    for each in (pid, *(other.pid for other in others)):
        await until_gone(each)


def test_run_by_hand_it_says_what_it_is() -> None:
    done = subprocess.run([sys.executable, "-m", "skywire.isolation"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "started by skywire itself" in done.stderr
