"""The life of app instances: each step, each way to fail, and what it means for the others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Final, cast

import pytest
from anyio import CancelScope, Event, create_task_group, fail_after, sleep_forever, wait_all_tasks_blocked
from anyio.abc import TaskStatus
from anyio.lowlevel import checkpoint

from skywire.app.command import AnyCommand
from skywire.app.definition import API_VERSION, Isolation, NoOptions
from skywire.app.dependency import NOTHING, AnyOf, Dependencies, Instance
from skywire.app.facility import DMSG, Facilities
from skywire.app.host import AppHost
from skywire.app.instance import AppInstance
from skywire.app.launcher import InstanceExists, LauncherAway, NoSuchInstance, UnfitInstance
from skywire.app.limits import LauncherLimits, RestartPolicy
from skywire.app.loaded import load
from skywire.app.port import PortSpec
from skywire.app.record import InstanceConfig
from skywire.app.run_mode import RunMode
from skywire.app.status import AppStatus, Fact
from skywire.app.typed_json import encode
from skywire.keys import SecKey
from skywire.net.conn import Conn
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
        await here.launcher.stop("router")
        assert here.launcher.get("router").restarts == 1
        await here.launcher.start("router")
        assert here.launcher.get("router").restarts == 2


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


async def test_who_serves_on_a_network_that_does_not_work_says_so_without_naming_it(tmp_path: Path) -> None:
    facilities = Facilities()
    facilities.provide(DMSG, NO_NETWORK)
    closing = Event()

    async def serve(host: AppHost, task_status: TaskStatus[None]) -> None:
        async def greet(conn: Conn) -> None:
            await conn.send(b"hello")

        async with host.serve(4000, greet):
            task_status.started()
            await closing.wait()
        await sleep_forever()

    hermit = instance(definition("hermit"))
    async with site(
        tmp_path, instance(definition("hello", serve)), hermit, facilities=facilities, limits=QUICK
    ) as here:
        await here.until("hello", "running")
        facilities.report(DMSG, "no internet")
        assert await here.until("hello", "degraded") == "dmsg does not work just now: no internet"
        closing.set()
        await here.until("hello", "running")
        assert here.states()["hermit"] == "running"
        assert ("hermit", "degraded") not in here.changes


async def test_what_is_degraded_from_the_start_is_never_said_to_run(tmp_path: Path) -> None:
    async def run(host: AppHost, task_status: TaskStatus[None]) -> None:
        host.report("nobody has come yet")
        task_status.started()
        await sleep_forever()

    async with site(tmp_path, instance(definition("hello", run), auto_start=False)) as here:
        info = await here.launcher.start("hello")
        assert (info.state, info.reason) == ("degraded", "nobody has come yet")
        assert [state for _, state in here.changes] == ["starting", "degraded"]


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


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (None, "its status is NoneType, and no AppStatus"),
        (SimpleNamespace(trouble="bad", facts={}), "its status is SimpleNamespace, and no AppStatus"),
        (AppStatus(cast("str", b"bad")), "its trouble is bytes, and no text"),
        (AppStatus(None, cast("Mapping[str, Fact]", ["peers"])), "its facts are list, and no mapping"),
        (
            AppStatus(None, {"folder": cast("str", Path("/"))}),
            "its fact 'folder' is PosixPath, which nobody else can read",
        ),
    ],
)
async def test_a_status_that_is_none_costs_nobody_else(tmp_path: Path, status: object, reason: str) -> None:
    class Careless:
        async def start(self, *, task_status: TaskStatus[None]) -> None:
            task_status.started()
            await sleep_forever()

        async def stop(self) -> None:
            raise AssertionError("it cannot be asked to stop")

        def status(self) -> AppStatus:
            return cast("AppStatus", status)

    careless = definition("careless").defaults()
    config = InstanceConfig(name="careless", app=replace(careless, create=lambda _: Careless()))
    async with site(tmp_path, config, instance(definition("other")), limits=QUICK) as here:
        assert await here.until("careless", "degraded") == f"it cannot tell how it is: {reason}"
        await here.until("other", "running")
        assert json.dumps(encode(here.launcher.list()))
        assert here.states() == {"careless": "degraded", "other": "running"}


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
        assert await here.until("needs-it", "blocked") == f"it requires bad, which failed ({reason})"
        await here.until("likes-it", "running")
        await here.until("other", "running")
        assert here.changes.count(("other", "running")) == 1


class _Stubborn(AppInstance):
    """Serves, and does what its test says when it is told to stop."""

    def __init__(
        self, serve: Callable[[TaskStatus[None]], Awaitable[None]], stop: Callable[[], Awaitable[None]]
    ) -> None:
        self._serve = serve
        self._stop = stop

    async def start(self, *, task_status: TaskStatus[None]) -> None:
        await self._serve(task_status)

    async def stop(self) -> None:
        await self._stop()

    def status(self) -> AppStatus:
        return AppStatus()


@dataclass(frozen=True)
class _Def:
    """A definition whose instances are made by a function."""

    make: Callable[[], AppInstance]
    name: str = "stubborn"
    summary: str = "For tests."
    cli: tuple[str, ...] = ("stubborn",)
    api_version: int = API_VERSION
    modes: frozenset[RunMode] = frozenset(RunMode)
    ports: tuple[PortSpec, ...] = ()
    critical: bool = False
    isolation: Isolation = Isolation.IN_PROCESS
    options: type[NoOptions] = NoOptions
    commands: tuple[AnyCommand, ...] = ()

    def depends(self, mode: RunMode, options: NoOptions) -> Dependencies:
        return NOTHING

    def create(self, host: AppHost, options: NoOptions) -> AppInstance:
        return self.make()


async def test_stop_may_come_before_it_serves(tmp_path: Path) -> None:
    asked = Event()
    begun = Event()

    async def serve(task_status: TaskStatus[None]) -> None:
        begun.set()
        await asked.wait()  # and never reports

    async def stop() -> None:
        asked.set()

    async with site(tmp_path, instance(load(_Def(lambda: _Stubborn(serve, stop))))) as here:
        await begun.wait()
        assert here.states() == {"stubborn": "starting"}
        assert (await here.launcher.stop("stubborn")).state == "stopped"
        assert here.launcher.get("stubborn").failures == 0


async def test_a_start_that_never_reports_is_ended_and_said(tmp_path: Path) -> None:
    ended = Event()

    async def silent(host: AppHost, task_status: TaskStatus[None]) -> None:
        try:
            await sleep_forever()
        finally:
            ended.set()

    async with site(tmp_path, instance(definition("silent", silent)), limits=QUICK) as here:
        assert await here.until("silent", "errored") == "it did not report within 0.5 s that it serves"
        assert ended.is_set()


async def test_one_that_does_not_end_is_stuck_and_holds_nobody_else_up(tmp_path: Path) -> None:
    release = Event()

    async def resist(task_status: TaskStatus[None]) -> None:
        task_status.started()
        with CancelScope(shield=True):
            await release.wait()

    async def stop() -> None:
        await sleep_forever()

    async with (
        site(
            tmp_path,
            instance(load(_Def(lambda: _Stubborn(resist, stop)))),
            instance(definition("needs-it", depends=requires("stubborn"))),
            instance(definition("other")),
            limits=QUICK,
        ) as here,
        AsyncExitStack() as release_at_the_end,
    ):
        await here.until("needs-it", "running")
        info = await here.launcher.stop("stubborn")
        release_at_the_end.callback(release.set)  # else a failure would keep this test for ever
        assert info.state == "stuck"
        assert "resist" in info.reason
        assert "stubborn" in here.launcher.stuck
        assert here.states() == {"stubborn": "stuck", "needs-it": "blocked", "other": "running"}
        assert (await here.launcher.restart("other")).state == "running"
        assert (await here.launcher.start("stubborn")).state == "stuck"
        with pytest.raises(UnfitInstance, match="stuck and cannot be removed"):
            await here.launcher.remove("stubborn")
        release.set()
        await here.until("stubborn", "stopped")
        assert here.launcher.stuck == {}


async def test_a_stop_that_raises_is_followed_by_cancelling(tmp_path: Path) -> None:
    async def serve(task_status: TaskStatus[None]) -> None:
        task_status.started()
        await sleep_forever()

    async def stop() -> None:
        raise ValueError("cannot stop")

    async with site(tmp_path, instance(load(_Def(lambda: _Stubborn(serve, stop))))) as here:
        await here.until("stubborn", "running")
        assert (await here.launcher.stop("stubborn")).state == "stopped"


async def test_create_may_raise(tmp_path: Path) -> None:
    def make() -> AppInstance:
        raise ModuleNotFoundError("No module named 'numpy'")

    async with site(tmp_path, instance(load(_Def(make))), instance(definition("other"))) as here:
        assert await here.until("stubborn", "errored") == "ModuleNotFoundError: No module named 'numpy'"
        await here.until("other", "running")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # only there can a task be cancelled by anybody
async def test_a_cancellation_that_nobody_asked_for_is_its_failure(tmp_path: Path, anyio_backend: str) -> None:
    async def cancel_itself(host: AppHost, task_status: TaskStatus[None]) -> None:
        task_status.started()
        await checkpoint()
        raise asyncio.CancelledError

    async def cancel_its_task(host: AppHost, task_status: TaskStatus[None]) -> None:
        task_status.started()
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await checkpoint()

    async with site(
        tmp_path,
        instance(definition("raises", cancel_itself)),
        instance(definition("cancels", cancel_its_task)),
        instance(definition("other")),
    ) as here:
        for name in ("raises", "cancels"):
            assert await here.until(name, "errored") == "it was cancelled, and not by the launcher"
        assert here.states()["other"] == "running"
        assert (await here.launcher.restart("other")).state == "running"


async def test_failures_are_tried_again_later_and_later_until_it_gives_up(tmp_path: Path) -> None:
    limits = LauncherLimits(first_restart=0.001, longest_restart=0.004, most_failures=4)
    config = instance(definition("bad", _raise), restart=RestartPolicy.ON_FAILURE)
    async with site(tmp_path, config, limits=limits) as here:
        while "given up" not in (reason := await here.until("bad", "errored")):
            await here.until("bad", "starting", "running")
        assert reason == "given up after 4 failures in a row, the last: ValueError: no such thing"
        assert [state for _, state in here.changes].count("running") == 4
        history = [change.state.value for change in here.launcher.get("bad").history]
        assert history == ["stopped", *["starting", "running", "errored"] * 4]
        assert here.launcher.get("bad").restarts == 3
        await here.launcher.start("bad")
        assert here.launcher.get("bad").failures < 4


async def test_what_must_not_stay_away_is_tried_for_ever(tmp_path: Path) -> None:
    limits = LauncherLimits(first_restart=0.001, longest_restart=0.001, most_failures=2)
    async with site(tmp_path, instance(definition("bad", _raise), restart=RestartPolicy.ALWAYS), limits=limits) as here:
        while here.launcher.get("bad").failures < 6:
            await here.until("bad", "running")
            await here.until("bad", "errored")


def _never_made() -> AppInstance:
    raise AssertionError("it is not fit to be made")


async def test_what_cannot_run_costs_nobody_else(tmp_path: Path) -> None:
    port = PortSpec("main", overlay=80)

    @dataclass(frozen=True)
    class Bad(_Def):
        def depends(self, mode: RunMode, options: NoOptions) -> Dependencies:
            raise KeyError("no such option")

    async with site(
        tmp_path,
        instance(definition("egg", depends=requires("hen"))),
        instance(definition("hen", depends=wants("egg"))),
        instance(definition("lonely", depends=requires("nobody"))),
        instance(load(Bad(_never_made))),
        instance(definition("web", ports=[port])),
        instance(definition("pty", ports=[port], critical=True)),
        instance(definition("chick", depends=requires("egg"))),
        instance(definition("tcp-only", modes=frozenset({RunMode.TCP_STANDALONE}))),
        instance(definition("good", depends=wants("nobody"))),
    ) as here:
        await here.until("good", "running")
        await here.until("pty", "running")
        reasons = {info.name: (info.state.value, info.reason) for info in here.launcher.list()}
        assert reasons == {
            "egg": ("errored", "it depends on itself: egg -> hen -> egg"),
            "hen": ("errored", "it depends on itself: egg -> hen -> egg"),
            "lonely": ("errored", "it requires nobody, which does not exist"),
            "stubborn": ("errored", "it cannot say what it depends on: KeyError: 'no such option'"),
            "web": ("errored", "port 80 of visor-app is taken by pty"),
            "pty": ("running", ""),
            "chick": (
                "blocked",
                "it requires egg, which cannot run: it depends on itself: egg -> hen -> egg",
            ),
            "tcp-only": ("errored", "tcp-only cannot run as visor-app, only as tcp-standalone"),
            "good": ("running", ""),
        }


async def test_instances_come_and_go_at_run_time(tmp_path: Path) -> None:
    port = PortSpec("main", overlay=80)
    async with site(tmp_path, instance(definition("web", ports=[port]))) as here:
        launcher = here.launcher
        with pytest.raises(UnfitInstance, match="port 80 of visor-app is taken by web"):
            await launcher.add(instance(definition("other", ports=[port])))
        assert (await launcher.add(instance(definition("other", ports=[port]), main=81))).state == "running"
        with pytest.raises(InstanceExists, match="choose another name"):
            await launcher.add(instance(definition("other")))
        with pytest.raises(UnfitInstance, match="port 80"):
            await launcher.reconfigure(instance(definition("other", ports=[port])))
        assert launcher.get("other").state == "running"
        assert (await launcher.reconfigure(instance(definition("other", ports=[port]), main=82))).state == "running"
        assert [state for name, state in here.changes if name == "other"].count("running") == 2
        await launcher.remove("web")
        with pytest.raises(NoSuchInstance, match="there are: other"):
            launcher.get("web")
        assert (await launcher.add(instance(definition("web", ports=[port]), auto_start=False))).state == "stopped"


async def test_stopping_and_starting_at_once_leaves_what_came_last(tmp_path: Path) -> None:
    async with site(tmp_path, instance(definition("hello"))) as here:
        await here.until("hello", "running")
        with fail_after(5):
            async with create_task_group() as task_group:
                for _ in range(5):
                    task_group.start_soon(here.launcher.stop, "hello")
                    task_group.start_soon(here.launcher.restart, "hello")
                    task_group.start_soon(here.launcher.start, "hello")
        assert here.states()["hello"] in {"running", "stopped"}
        assert (await here.launcher.start("hello")).state == "running"


@pytest.mark.parametrize("anyio_backend", ["trio"])  # asyncio lets it out of the loop, see tests/test_runtime.py
async def test_system_exit_of_a_task_of_its_own_is_its_failure(tmp_path: Path, anyio_backend: str) -> None:
    async def end() -> None:
        raise SystemExit(7)

    async def run(host: AppHost, task_status: TaskStatus[None]) -> None:
        async with create_task_group() as task_group:
            task_status.started()
            task_group.start_soon(end)

    async with site(tmp_path, instance(definition("bad", run)), instance(definition("other"))) as here:
        assert await here.until("bad", "errored") == "SystemExit: 7"
        assert (await here.launcher.restart("other")).state == "running"


async def test_nothing_is_started_any_more_while_the_process_ends(tmp_path: Path) -> None:
    refusals: list[str] = []

    async def slow_end(host: AppHost, task_status: TaskStatus[None]) -> None:
        task_status.started()
        try:
            await sleep_forever()
        finally:
            with CancelScope(shield=True):
                for call in (launcher.start("other"), launcher.restart("other"), launcher.add(third)):
                    try:
                        await call
                    except LauncherAway as error:
                        refusals.append(str(error))

    third = instance(definition("third"))
    configs = [instance(definition("slow", slow_end)), instance(definition("other"), auto_start=False)]
    async with site(tmp_path, *configs) as here:
        launcher = here.launcher
        await here.until("slow", "running")
    assert refusals == ["this process is about to end, and starts nothing any more"] * 3
    with pytest.raises(LauncherAway):
        await launcher.start("other")


async def test_removing_what_somebody_starts_meanwhile_leaves_it(tmp_path: Path) -> None:
    stopping = Event()
    release = Event()

    async def slow_end(host: AppHost, task_status: TaskStatus[None]) -> None:
        task_status.started()
        try:
            await sleep_forever()
        finally:
            stopping.set()
            with CancelScope(shield=True):
                await release.wait()

    async with site(tmp_path, instance(definition("slow", slow_end))) as here, create_task_group() as task_group:
        await here.until("slow", "running")

        async def remove() -> None:
            with pytest.raises(UnfitInstance, match="was started again meanwhile"):
                await here.launcher.remove("slow")

        task_group.start_soon(remove)
        await stopping.wait()
        task_group.start_soon(here.launcher.start, "slow")
        await wait_all_tasks_blocked()
        release.set()
        await here.until("slow", "running")
