"""Apps of other people, tried out as they would try them."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import pytest
from anyio import sleep_forever
from anyio.abc import TaskStatus

from skywire.app import DMSG, AppHost, Command, Dependencies
from skywire.app.definition import App
from skywire.app.facility import Facilities
from skywire.app.run_mode import RunMode
from skywire.app.trial import TrialFailed, trial
from skywire.keys import SecKey
from skywire.net.conn import Conn
from skywire.net.errors import PeerRefused
from skywire.net.memory import MemoryHub, MemoryNetwork
from tests.app.test_definition import GREETING, HELLO, Options

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Number:
    number: int = 1


EXAMPLE = Path(__file__).parents[2] / "examples/hello_app/hello_app/__init__.py"


@pytest.fixture
def hello_app() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hello_app", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("mode", RunMode)
async def test_the_example_greets_in_every_mode(hello_app: ModuleType, mode: RunMode) -> None:
    definition = hello_app.HELLO
    assert isinstance(definition, App)
    async with trial(definition, mode=mode) as app:
        async with app.dial(4000) as conn:
            assert (await conn.receive()).startswith(b"Hello, 0")
        assert (await app.restart()).state == "running"
        async with app.dial(4000) as conn:
            assert (await conn.receive()).startswith(b"Hello, 0")


async def test_options_are_those_given() -> None:
    async with trial(HELLO, Options("Hi")) as app, app.dial(GREETING) as conn:
        assert (await conn.receive()).startswith(b"Hi, 0")


async def test_only_what_is_served_can_be_dialled() -> None:
    async with trial(HELLO) as app:
        with pytest.raises(PeerRefused):
            async with app.dial(1):
                pass


async def test_what_does_not_come_to_serve_is_said() -> None:
    needy = replace(HELLO, dependencies=Dependencies(requires=(DMSG,)))
    with pytest.raises(TrialFailed, match="hello is blocked: it requires dmsg, which is absent"):
        async with trial(needy):
            pass
    facilities = Facilities()
    facilities.provide(DMSG, MemoryNetwork(SecKey.generate(), MemoryHub()))
    async with trial(needy, facilities=facilities) as app:
        assert app.info.state == "running"


async def test_the_app_sees_who_calls() -> None:
    peer = SecKey.generate().public

    async def name(conn: Conn) -> None:
        await conn.send(str(conn.remote.pk).encode())

    async def run(host: AppHost, options: Options, *, task_status: TaskStatus[None]) -> None:
        async with host.serve(GREETING, name, peers={peer}):
            task_status.started()
            await sleep_forever()

    async with trial(replace(HELLO, run=run)) as app:
        for who in (peer, app.public):
            async with app.dial(GREETING, peer=who) as conn:
                assert await conn.receive() == str(who).encode()
        async with app.dial(GREETING) as conn:
            assert await conn.receive() == str(app.public).encode()


async def test_who_is_not_admitted_is_refused() -> None:
    async def run(host: AppHost, options: Options, *, task_status: TaskStatus[None]) -> None:
        async with host.serve(GREETING, refuse_to_be_called):
            task_status.started()
            await sleep_forever()

    async with trial(replace(HELLO, run=run)) as app:
        with pytest.raises(PeerRefused, match="is not admitted to that port"):
            async with app.dial(GREETING, peer=SecKey.generate().public):
                pass


async def refuse_to_be_called(conn: Conn) -> None:
    raise AssertionError("nobody is admitted")


async def test_its_commands_can_be_called() -> None:
    command = Command("double", "For tests.", Number, int)

    async def double(number: Number) -> int:
        return 2 * number.number

    async def run(host: AppHost, options: Options, *, task_status: TaskStatus[None]) -> None:
        host.answer(command, double)
        task_status.started()
        await sleep_forever()

    async with trial(replace(HELLO, run=run, commands=(command,))) as app:
        assert await app.call("double", {"number": 21}) == 42
        assert await app.call("double") == 2
