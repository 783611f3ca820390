"""What was stopped for a while comes back by itself, whatever happens in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from skywire.app.gate import CriticalRefusal
from skywire.app.port import PortSpec
from skywire.app.returns import FILE, Returns, ReturnsError
from tests.app.site import definition, instance, site

pytestmark = pytest.mark.anyio

PTY = definition("pty", critical=True)


async def test_it_comes_back_by_itself(tmp_path: Path) -> None:
    async with site(tmp_path, instance(PTY), returns=Returns(tmp_path)) as here:
        await here.until("pty", "running")
        with pytest.raises(CriticalRefusal):
            await here.launcher.stop("pty", back_in=0.05)
        stopped = await here.launcher.stop("pty", knowing=True, back_in=0.05)
        assert (stopped.state, stopped.returns) == ("stopped", Returns(tmp_path).moments["pty"])
        await here.until("pty", "running")
        assert here.launcher.get("pty").returns is None
        assert json.loads((tmp_path / FILE).read_text()) == {}


async def test_who_starts_or_stops_it_meanwhile_has_the_last_word(tmp_path: Path) -> None:
    returns = Returns(tmp_path)
    async with site(tmp_path, instance(PTY), returns=returns) as here:
        await here.until("pty", "running")
        await here.launcher.stop("pty", knowing=True, back_in=3600)
        await here.launcher.start("pty")
        assert not returns.moments
        await here.launcher.stop("pty", knowing=True, back_in=3600)
        await here.launcher.stop("pty", knowing=True)
        assert not returns.moments
        await here.launcher.start("pty")
        await here.launcher.stop("pty", knowing=True, back_in=3600)
        await here.launcher.remove("pty")
        assert not returns.moments


async def test_what_cannot_run_at_that_moment_comes_back_when_it_can(tmp_path: Path) -> None:
    port = PortSpec("main", overlay=22)
    pty = definition("pty", ports=[port])
    other = definition("other", ports=[port])
    async with site(tmp_path, instance(pty), instance(other, auto_start=False), returns=Returns(tmp_path)) as here:
        await here.until("pty", "running")
        await here.launcher.stop("pty", back_in=0.2)
        await here.launcher.start("other")
        assert await here.until("pty", "errored") == "port 22 of visor-app is taken by other"
        await here.launcher.stop("other")
        await here.until("pty", "running")


STOPPER = """
import sys, anyio
from pathlib import Path
sys.path.insert(0, {root!r})
from skywire.app.returns import Returns
from tests.app.site import definition, instance, site

async def main() -> None:
    folder = Path({folder!r})
    async with site(folder, instance(definition("pty", critical=True)), returns=Returns(folder)) as here:
        await here.until("pty", "running")
        await here.launcher.stop("pty", knowing=True, back_in={seconds})
        print("stopped", flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


def stop_and_be_killed(folder: Path, seconds: float) -> None:
    root = str(Path(__file__).parents[2])
    script = STOPPER.format(root=root, folder=str(folder), seconds=seconds)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stopped\n"
        os.kill(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("auto_start", [True, False])
async def test_even_after_the_process_was_killed(tmp_path: Path, auto_start: bool) -> None:
    stop_and_be_killed(tmp_path, 3.0)  # long enough for the process to be killed before
    returns = Returns(tmp_path)
    due = returns.moments.get("pty", 0.0)
    async with site(tmp_path, instance(PTY, auto_start=auto_start), returns=returns) as here:
        if time.time() < due:
            assert here.states() == {"pty": "stopped"}
        await here.until("pty", "running")
        assert time.time() >= due


async def test_what_was_due_while_nothing_ran_comes_back_at_once(tmp_path: Path) -> None:
    Returns(tmp_path).set("pty", time.time() - 1)
    async with site(tmp_path, instance(PTY, auto_start=False), returns=Returns(tmp_path)) as here:
        await here.until("pty", "running")


async def test_what_cannot_be_written_down_is_not_done(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    returns = Returns(folder)
    folder.write_text("a file where the folder should be")
    async with site(tmp_path, instance(PTY), returns=returns) as here:
        await here.until("pty", "running")
        with pytest.raises(ReturnsError, match="cannot make the folder"):
            await here.launcher.stop("pty", knowing=True, back_in=60)
        assert here.states() == {"pty": "running"}


@pytest.mark.parametrize("text", ["", "[]", '{"pty": "soon"}', '{"pty"', '{"pty": null}'])
async def test_a_damaged_file_locks_nobody_out(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / FILE
    path.write_text(text)
    path.chmod(0o600)
    async with site(tmp_path, instance(PTY), returns=Returns(tmp_path)) as here:
        await here.until("pty", "running")
    assert "is passed over" in caplog.text
