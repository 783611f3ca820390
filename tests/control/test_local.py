"""Control through unix sockets: found by name, for this user alone, and cleared up after who died."""

from __future__ import annotations

import os
import resource
import socket
import stat
import warnings
from collections.abc import AsyncIterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Protocol

import pytest
from anyio import CancelScope, EndOfStream, create_task_group, fail_after, sleep, sleep_forever
from anyio.abc import TaskStatus

from skywire.app.interface import Role, needs
from skywire.control import local
from skywire.control.local import (
    LocalControlError,
    connect_locally,
    controlling,
    find,
    runtime_folder,
    serving_callers,
    serving_locally,
)
from skywire.control.server import Endpoint
from skywire.net.local_socket import LocalSocket

pytestmark = pytest.mark.anyio


class NameAPI(Protocol):
    @needs(Role.ADMIN)
    async def name(self) -> str: ...

    @needs(Role.READ)
    def names(self) -> AsyncIterator[str]: ...


class Name:
    def __init__(self, name: str) -> None:
        self._name = name

    async def name(self) -> str:
        return self._name

    async def names(self) -> AsyncIterator[str]:
        yield self._name


def endpoint(name: str) -> Endpoint:
    made = Endpoint()
    made.offer("node", NameAPI, Name(name))
    return made


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run") / "skywire"


async def ask(path: Path) -> str:
    async with controlling(path) as client:
        return await client.of(NameAPI, "node").name()


async def test_processes_are_found_and_controlled(folder: Path) -> None:
    async with (
        serving_locally(endpoint("one"), folder / "one.sock"),
        serving_locally(endpoint("two"), folder / "two.sock"),
    ):
        assert [each.name for each in await find(folder)] == ["one", "two"]
        assert [await ask(each.path) for each in await find(folder)] == ["one", "two"]
        assert stat.S_IMODE((folder / "one.sock").stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        async with controlling(folder / "one.sock") as client:
            assert [name async for name in client.of(NameAPI, "node").names()] == ["one"]
    assert await find(folder) == ()
    assert os.listdir(folder) == []  # noqa: PTH208 - pathlib blocks as much


async def test_a_name_is_served_by_one_process(folder: Path) -> None:
    path = folder / "one.sock"
    async with serving_locally(endpoint("one"), path):
        with pytest.raises(LocalControlError, match="is this running already"):
            async with serving_locally(endpoint("other"), path):
                pass
        assert await ask(path) == "one"


async def test_the_socket_of_a_dead_process_is_cleared_up(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    path = folder / "one.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    assert await find(folder) == ()
    assert not path.exists()
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    async with serving_locally(endpoint("one"), path):
        assert await ask(path) == "one"


async def test_nothing_but_sockets_is_cleared_up(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    path = folder / "one.sock"
    path.write_text("precious")
    assert await find(folder) == ()
    with pytest.raises(LocalControlError, match="cannot listen on"):
        async with serving_locally(endpoint("one"), path):
            pass
    assert path.read_text() == "precious"


async def test_a_folder_that_is_open_to_others_is_refused(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    with pytest.raises(LocalControlError, match="chmod 700"):
        async with serving_locally(endpoint("one"), folder / "one.sock"):
            pass


async def test_a_path_too_long_is_said(folder: Path) -> None:
    with pytest.raises(LocalControlError, match="too long for a socket; set SKYWIRE_RUNTIME_DIR"):
        async with serving_locally(endpoint("one"), folder / ("x" * 200) / "one.sock"):
            pass


async def test_nobody_there_is_said(folder: Path) -> None:
    with pytest.raises(LocalControlError, match="nobody can be reached at"):
        await ask(folder / "none.sock")
    assert await find(folder) == ()


async def test_stopping_ends_the_callers(folder: Path) -> None:
    path = folder / "one.sock"
    async with create_task_group() as task_group:
        scope = CancelScope()

        async def serve(*, task_status: TaskStatus[None]) -> None:
            with scope:
                async with serving_locally(endpoint("one"), path):
                    task_status.started()
                    await sleep_forever()

        await task_group.start(serve)
        async with controlling(path) as client:
            assert await client.of(NameAPI, "node").name() == "one"
            scope.cancel()
    assert not path.exists()


def test_the_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SKYWIRE_RUNTIME_DIR", str(tmp_path))
    assert runtime_folder() == tmp_path
    monkeypatch.delenv("SKYWIRE_RUNTIME_DIR")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/4711")
    assert runtime_folder() == Path("/run/user/4711/skywire")


async def test_a_process_that_is_busy_keeps_its_socket(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "ANSWER_SECONDS", 0.2)
    folder.mkdir(mode=0o700)
    path = folder / "busy.sock"
    with ExitStack() as stack:
        busy = stack.enter_context(socket.socket(socket.AF_UNIX))
        busy.bind(str(path))
        busy.listen(0)  # and takes nobody
        with suppress(BlockingIOError):
            while True:
                waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
                waiting.setblocking(False)
                waiting.connect(str(path))
        assert await find(folder) == ()
        assert path.exists()
        with pytest.raises(LocalControlError, match="is this running already"):
            async with serving_locally(endpoint("other"), path):
                pass
        assert path.exists()


async def test_a_process_without_a_descriptor_left_takes_callers_later(folder: Path) -> None:
    path = folder / "one.sock"
    former = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with serving_locally(endpoint("one"), path):
        caller = socket.socket(socket.AF_UNIX)
        with caller:
            highest = os.dup(caller.fileno())
            os.close(highest)
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest, former[1]))
            try:
                caller.connect(str(path))
                await sleep(0.05)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, former)
        assert await ask(path) == "one"


async def test_what_fails_with_one_caller_costs_no_other(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def handle(caller: LocalSocket) -> None:
        if await caller.receive() == b"bad":
            raise ZeroDivisionError
        await caller.send(b"served")

    async with serving_callers(folder / "one.sock", handle):
        for said, answer in ((b"bad", b""), (b"good", b"served")):
            async with await connect_locally(folder / "one.sock") as stream:
                await stream.send(said)
                with suppress(EndOfStream), fail_after(5):
                    assert await stream.receive() == answer
    assert "a local process could not be served" in caplog.text


async def test_whom_others_may_have_put_there_is_not_asked(folder: Path) -> None:
    async with serving_locally(endpoint("one"), folder / "one.sock"):
        folder.chmod(0o755)
        with pytest.raises(LocalControlError, match="is open to others"):
            await find(folder)
        folder.chmod(0o700)
        assert [await ask(each.path) for each in await find(folder)] == ["one"]


async def test_what_is_no_folder_of_sockets_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LocalControlError, match="cannot look into the folder"):
        await find(tmp_path / "file")


async def test_without_a_folder_of_the_system_nothing_is_warned_of_and_what_cannot_be_had_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    def temporary(name: str) -> Path:
        warnings.warn("XDG_RUNTIME_DIR is not set", UserWarning, stacklevel=1)
        return tmp_path / name

    def foreign(name: str) -> Path:
        raise PermissionError("it is owned by uid 1")

    monkeypatch.delenv("SKYWIRE_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(local, "user_runtime_path", temporary)
    assert runtime_folder() == tmp_path / "skywire"
    assert list(recwarn) == []
    monkeypatch.setattr(local, "user_runtime_path", foreign)
    with pytest.raises(LocalControlError, match="owned by uid 1; or set SKYWIRE_RUNTIME_DIR"):
        runtime_folder()
