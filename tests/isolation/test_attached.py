"""Processes that others supervise: who may attach, and what happens when they leave."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from anyio import fail_after, to_thread

from skywire import Owner
from skywire.app.definition import Isolation
from skywire.app.record import InstanceInfo
from skywire.app.status import State
from skywire.isolation.app_process import AppFailed
from skywire.isolation.attached import TokenFileError
from skywire.isolation.inside import NotAttached, attach
from tests.isolation.apps import Manner
from tests.isolation.places import PATH, PATIENCE, Place, place
from tests.isolation.raw import connect, is_closed

pytestmark = pytest.mark.anyio

ME = Owner("tester")
ATTACH = (
    "import sys; from pathlib import Path; import skywire; from skywire.isolation.inside import attach\n"
    "skywire.run(attach, Path(sys.argv[1]), Path(sys.argv[2]))"
)


def is_running(info: InstanceInfo) -> bool:
    return info.state is State.RUNNING


def is_degraded(info: InstanceInfo) -> bool:
    return info.state is State.DEGRADED


@contextmanager
def attaching(here: Place, name: str) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that attaches, as the command line has it done."""
    where = here.processes.attachment(name)
    with subprocess.Popen(
        [sys.executable, "-c", ATTACH, where.socket, where.token_file],
        env={**os.environ, "PYTHONPATH": PATH},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def waiting(here: Place, name: str = "hello") -> None:
    """An instance that waits for its process."""
    definition = "hello" if name == "hello" else name
    assert (await here.launcher.add(here.config(definition, Isolation.ATTACHED))).state.serving
    await here.until(name, is_degraded)


async def greeted(here: Place) -> bool:
    async with here.registry.self_dial(4000, owner=ME) as conn:
        return (await conn.receive()).startswith(b"Hello")


async def test_it_waits_for_a_process_and_says_how_to_attach_one(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await waiting(here)
        assert here.launcher.get("hello").reason == "no process has attached yet: run `skywire app attach hello`"
        where = here.processes.attachment("hello")
        assert stat.S_IMODE(where.token_file.stat().st_mode) == 0o600
        assert stat.S_IMODE(where.socket.stat().st_mode) == 0o600
        assert stat.S_IMODE(where.socket.parent.stat().st_mode) == 0o700
        await here.launcher.stop("hello")
        assert not where.token_file.exists()
        assert not where.socket.exists()


async def test_a_process_attaches_leaves_and_attaches_again(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await waiting(here)
        token_file = here.processes.attachment("hello").token_file
        tokens = []
        for _ in range(2):
            tokens.append(token_file.read_text())
            with attaching(here, "hello") as process:
                await here.until("hello", is_running)
                assert await greeted(here)
                assert not token_file.exists()
                process.kill()
                info = await here.until("hello", is_degraded)
            assert info.reason == "its process has left: run `skywire app attach hello`"
            assert here.registry.list() == ()
        assert len({*tokens, token_file.read_text()}) == 3
        for token in tokens:
            assert not any(token.strip() in line.text for line in await here.logs.read("hello"))


async def test_stopping_ends_the_process_in_peace(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await waiting(here)
        with attaching(here, "hello") as process:
            await here.until("hello", is_running)
            assert (await here.launcher.stop("hello")).state is State.STOPPED
            with fail_after(PATIENCE):
                assert await to_thread.run_sync(process.wait) == 0


async def test_why_it_failed_is_told_to_both(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await here.launcher.add(here.config("manners", Isolation.ATTACHED, Manner("raises")))
        where = here.processes.attachment("manners")
        with pytest.raises(AppFailed, match="ValueError: as planned"):
            await attach(where.socket, where.token_file)
        info = await here.until("manners", lambda info: "has left" in info.reason)
        assert info.reason == "its process has left (ValueError: as planned): run `skywire app attach manners`"


async def test_a_token_is_good_for_one_time(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await waiting(here)
        where = here.processes.attachment("hello")
        used = tmp_path / "used"
        used.touch(0o600)
        used.write_bytes(where.token_file.read_bytes())
        here.attach("hello")
        await here.until("hello", is_running)
        with pytest.raises(NotAttached, match="good for one time"):  # while it is attached
            await attach(where.socket, used)
        await here.launcher.restart("hello")
        await here.until("hello", is_degraded)
        with pytest.raises(NotAttached, match="good for one time"):  # and afterwards
            await attach(where.socket, used)
        assert is_degraded(here.launcher.get("hello"))
        here.attach("hello")
        await here.until("hello", is_running)


async def test_who_has_no_token_is_sent_away(tmp_path: Path) -> None:
    async with place(tmp_path, token_seconds=0.2) as here:
        await waiting(here)
        where = here.processes.attachment("hello")
        token = where.token_file.read_text().strip()
        for shown in ("0" * 64, token.upper().replace("0", "A"), token[:-1] + "é", token[:63] + "\n", "", "{}"):
            async with await connect(where.socket) as stream:
                if shown:
                    await stream.send(shown.encode()[:64])
                with fail_after(PATIENCE):
                    assert await is_closed(stream)
        here.attach("hello")
        await here.until("hello", is_running)


async def test_a_token_file_is_looked_at(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await waiting(here)
        where = here.processes.attachment("hello")
        with pytest.raises(TokenFileError, match="cannot read the token file"):
            await attach(where.socket, tmp_path / "nowhere")
        (tmp_path / "empty").touch(0o600)
        with pytest.raises(NotAttached, match="holds no token"):
            await attach(where.socket, tmp_path / "empty")
        with pytest.raises(NotAttached, match="nobody can be reached at"):
            await attach(tmp_path / "nowhere", where.token_file)
