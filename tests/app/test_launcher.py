"""The life of app instances: each step, each way to fail, and what it means for the others."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from anyio import Event, sleep_forever
from anyio.abc import TaskStatus
from anyio.lowlevel import checkpoint

from skywire.app.dependency import AnyOf, Dependencies, Instance
from skywire.app.facility import DMSG, Facilities
from skywire.app.host import AppHost
from skywire.app.status import AppStatus
from skywire.keys import SecKey
from skywire.net.memory import MemoryHub, MemoryNetwork
from tests.app.site import QUICK, Behaviour, definition, instance, site

pytestmark = pytest.mark.anyio

NO_NETWORK: Final = MemoryNetwork(SecKey.generate(), MemoryHub())
"""Something that can be provided; nobody uses it."""


def requires(*names: str) -> Dependencies:
    return Dependencies(requires=tuple(Instance(name) for name in names))


def wants(*names: str) -> Dependencies:
    return Dependencies(wants=tuple(Instance(name) for name in names))


async def test_an_instance_starts_with_the_process_and_ends_with_it(tmp_path: Path) -> None:
    ended = Event()

    async def run(host: AppHost, task_status: TaskStatus[None]) -> None:
        try:
            task_status.started()
            await sleep_forever()
        finally:
            ended.set()

    async with site(tmp_path, instance(definition("hello", run))) as here:
        await here.until("hello", "running")
        assert not ended.is_set()
    assert ended.is_set()


async def test_one_that_is_not_to_start_by_itself_waits_to_be_asked(tmp_path: Path) -> None:
    async with site(tmp_path, instance(definition("hello"), auto_start=False)) as here:
        assert here.states() == {"hello": "stopped"}
        assert (await here.launcher.start("hello")).state == "running"
        assert (await here.launcher.stop("hello")).state == "stopped"
        assert (await here.launcher.stop("hello")).state == "stopped"
        assert (await here.launcher.start("hello")).state == "running"
        assert (await here.launcher.start("hello")).state == "running"


async def test_it_starts_after_what_it_depends_on(tmp_path: Path) -> None:
    gate = Event()

    async def slow(host: AppHost, task_status: TaskStatus[None]) -> None:
        await gate.wait()
        task_status.started()
        await sleep_forever()

    async with site(
        tmp_path,
        instance(definition("last", depends=requires("middle"))),
        instance(definition("middle", depends=wants("first"))),
        instance(definition("first", slow)),
        instance(definition("alone")),
    ) as here:
        await here.until("alone", "running")
        assert here.launcher.get("last").reason == "it waits for middle"
        assert here.launcher.get("middle").reason == "it waits for first"
        assert [info.wave for info in here.launcher.list()] == [3, 2, 1, 1]
        gate.set()
        await here.until("last", "running")
        order = [name for name, state in here.changes if state == "running"]
        assert order == ["alone", "first", "middle", "last"]


async def test_it_stops_before_what_it_depends_on(tmp_path: Path) -> None:
    ended: list[str] = []

    async def run(host: AppHost, task_status: TaskStatus[None]) -> None:
        task_status.started()
        try:
            await sleep_forever()
        finally:
            ended.append(host.name)

    configs = [
        instance(definition("first", run)),
        instance(definition("middle", run, depends=wants("first"))),
        instance(definition("last", run, depends=requires("middle"))),
    ]
    async with site(tmp_path, *configs) as here:
        await here.until("last", "running")
    assert ended == ["last", "middle", "first"]


async def test_what_requires_it_stops_with_it_and_comes_back_with_it(tmp_path: Path) -> None:
    async with site(
        tmp_path,
        instance(definition("router")),
        instance(definition("resolver", depends=requires("router"))),
        instance(definition("likes-it", depends=wants("router"))),
    ) as here:
        await here.until("resolver", "running")
        await here.until("likes-it", "running")
        await here.launcher.stop("router")
        assert here.states() == {"router": "stopped", "resolver": "blocked", "likes-it": "running"}
        assert here.launcher.get("resolver").reason == "it requires router, which is not meant to run"
        await here.launcher.start("router")
        await here.until("resolver", "running")
        assert here.changes.count(("likes-it", "running")) == 1


async def test_a_restart_takes_what_requires_it_along(tmp_path: Path) -> None:
    async with site(
        tmp_path, instance(definition("router")), instance(definition("resolver", depends=requires("router")))
    ) as here:
        await here.until("resolver", "running")
        assert (await here.launcher.restart("router")).state == "running"
        await here.until("resolver", "running")
        assert [state for name, state in here.changes if name == "router"] == ["starting", "running"] * 2


async def test_any_instance_of_a_definition_will_do(tmp_path: Path) -> None:
    exit_node = definition("skysocks-client")
    browser = definition("browser", depends=Dependencies(requires=(AnyOf("skysocks-client"),)))
    async with site(
        tmp_path, instance(exit_node, "client-a"), instance(exit_node, "client-b"), instance(browser)
    ) as here:
        await here.until("browser", "running")
        await here.launcher.stop("client-a")
        assert here.states()["browser"] == "running"
        await here.launcher.stop("client-b")
        await here.until("browser", "blocked")
        await here.launcher.start("client-a")
        await here.until("browser", "running")


async def test_a_facility_may_come_late_and_go(tmp_path: Path) -> None:
    facilities = Facilities()
    app = definition("relay", depends=Dependencies(requires=(DMSG,)))
    async with site(tmp_path, instance(app), facilities=facilities) as here:
        reason = await here.until("relay", "blocked")
        assert reason == "it requires dmsg, which is absent: this process does not have it"
        facilities.provide(DMSG, NO_NETWORK)
        await here.until("relay", "running")
        facilities.withdraw(DMSG, "it was closed")
        assert await here.until("relay", "blocked") == "it requires dmsg, which is absent: it was closed"


async def test_a_facility_that_does_not_work_degrades_and_never_blocks(tmp_path: Path) -> None:
    facilities = Facilities()
    facilities.provide(DMSG, NO_NETWORK, offline="no internet")
    app = definition("relay", depends=Dependencies(requires=(DMSG,)))
    async with site(tmp_path, instance(app), facilities=facilities, limits=QUICK) as here:
        assert await here.until("relay", "degraded") == "dmsg does not work just now: no internet"
        facilities.report(DMSG, None)
        await here.until("relay", "running")


async def test_an_app_says_what_does_not_work(tmp_path: Path) -> None:
    hosts: list[AppHost] = []

    async def run(host: AppHost, task_status: TaskStatus[None]) -> None:
        hosts.append(host)
        task_status.started()
        await sleep_forever()

    async with site(tmp_path, instance(definition("hello", run)), limits=QUICK) as here:
        await here.until("hello", "running")
        hosts[0].report("the exit does not answer", peers=0)
        assert await here.until("hello", "degraded") == "the exit does not answer"
        assert here.launcher.get("hello").status == AppStatus("the exit does not answer", {"peers": 0})
        hosts[0].report(None, peers=1)
        await here.until("hello", "running")


async def _raise(host: AppHost, task_status: TaskStatus[None]) -> None:
    task_status.started()
    await checkpoint()
    raise ValueError("no such thing")


async def _raise_before_started(host: AppHost, task_status: TaskStatus[None]) -> None:
    raise ValueError("no such thing")


async def _leave(host: AppHost, task_status: TaskStatus[None]) -> None:
    task_status.started()


async def _end_the_process(host: AppHost, task_status: TaskStatus[None]) -> None:
    task_status.started()
    raise SystemExit(7)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        pytest.param(_raise, "ValueError: no such thing", id="raises"),
        pytest.param(_raise_before_started, "ValueError: no such thing", id="raises before it serves"),
        pytest.param(_leave, "it ended without having been told to", id="returns"),
        pytest.param(_end_the_process, "it tried to end the whole process: SystemExit(7)", id="SystemExit"),
    ],
)
async def test_its_failure_never_leaves_it(tmp_path: Path, behaviour: Behaviour, reason: str) -> None:
    async with site(
        tmp_path,
        instance(definition("bad", behaviour)),
        instance(definition("needs-it", depends=requires("bad"))),
        instance(definition("likes-it", depends=wants("bad"))),
        instance(definition("other")),
    ) as here:
        assert await here.until("bad", "errored") == reason
        assert await here.until("needs-it", "blocked") == f"it requires bad, which {reason}"
        await here.until("likes-it", "running")
        await here.until("other", "running")
        assert here.changes.count(("other", "running")) == 1
