"""The other shape of start-up, named bands, as one field: the same apps in two phases and in four bands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from anyio import Event, sleep_forever
from anyio.abc import TaskStatus

from skywire.app.dependency import Dependencies, Instance
from skywire.app.host import AppHost
from skywire.app.record import InstanceConfig
from tests.app.site import definition, instance, site

pytestmark = pytest.mark.anyio

CORE, OVERLAY, APP, MANAGEMENT = range(4)
BANDS = {"survey": CORE, "router": OVERLAY, "log-server": APP, "resolver": APP, "hypervisor": MANAGEMENT}
REQUIRES = {"resolver": "router"}


def apps(bands: Mapping[str, int], begun: list[str], ended: list[str], gate: Event) -> list[InstanceConfig]:
    async def run(host: AppHost, task_status: TaskStatus[None]) -> None:
        begun.append(host.name)
        if host.name == "router":
            await gate.wait()
        task_status.started()
        try:
            await sleep_forever()
        finally:
            ended.append(host.name)

    made: list[InstanceConfig] = []
    for name in reversed(BANDS):  # the order of the configuration does not matter
        needs = tuple(Instance(each) for each in [REQUIRES.get(name)] if each)
        made.append(replace(instance(definition(name, run, depends=Dependencies(needs))), band=bands.get(name, 0)))
    return made


async def test_the_same_apps_in_two_phases_and_in_four_bands(tmp_path: Path) -> None:
    for bands in ({}, BANDS):
        begun: list[str] = []
        ended: list[str] = []
        gate = Event()
        async with site(tmp_path, *apps(bands, begun, ended, gate)) as here:
            if bands:
                await here.until("router", "starting")
                await here.until("survey", "running")
                assert here.launcher.get("hypervisor").reason in {"it waits for band 0", "it waits for band 1"}
            else:
                await here.until("hypervisor", "running")
            gate.set()
            await here.until("resolver", "running")
            await here.until("hypervisor", "running")
            assert set(here.states().values()) == {"running"}
            waves = {info.name: info.wave for info in here.launcher.list()}
        assert sorted(begun) == sorted(ended) == sorted(BANDS)
        assert begun.index("router") < begun.index("resolver")
        assert ended.index("resolver") < ended.index("router")
        if bands:
            assert [bands[name] for name in begun] == sorted(bands.values())
            assert [bands[name] for name in ended] == sorted(bands.values(), reverse=True)
            assert [name for name, _ in sorted(waves.items(), key=lambda each: each[1])] == [
                "survey",
                "router",
                "log-server",
                "resolver",
                "hypervisor",
            ]
        else:
            assert waves == {"survey": 1, "router": 1, "log-server": 1, "hypervisor": 1, "resolver": 2}


async def test_a_band_that_fails_holds_nobody_up(tmp_path: Path) -> None:
    async def fail(host: AppHost, task_status: TaskStatus[None]) -> None:
        raise ValueError("no")

    async with site(
        tmp_path,
        replace(instance(definition("late")), band=2),
        replace(instance(definition("bad", fail)), band=1),
        replace(instance(definition("off"), auto_start=False), band=0),
    ) as here:
        await here.until("late", "running")
        assert here.states() == {"late": "running", "bad": "errored", "off": "stopped"}
        assert (await here.launcher.start("off")).state == "running"
        assert here.states()["late"] == "running"


async def test_who_depends_on_a_later_band_cannot_run(tmp_path: Path) -> None:
    early = definition("early", depends=Dependencies(wants=(Instance("late"),)))
    async with site(
        tmp_path, instance(early), replace(instance(definition("late")), band=1), instance(definition("other"))
    ) as here:
        reason = await here.until("early", "errored")
        assert reason == "it is in band 0 and depends on late, which is in band 1"
        await here.until("late", "running")
        await here.until("other", "running")
