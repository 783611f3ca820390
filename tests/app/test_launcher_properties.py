"""The launcher under random graphs, behaviours and commands, on a clock that jumps over every wait."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import trio.testing
from anyio import CancelScope, Event, move_on_after, sleep, sleep_forever
from anyio.abc import TaskStatus
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skywire.app.dependency import AnyOf, Dependencies, Dependency, Instance
from skywire.app.facility import DMSG, SKYNET, Facilities, Facility
from skywire.app.host import AppHost
from skywire.app.launcher import Launcher, UnfitInstance
from skywire.app.limits import LauncherLimits, RestartPolicy
from skywire.app.plan import Phase
from skywire.app.record import InstanceConfig
from skywire.keys import SecKey
from skywire.net.memory import MemoryHub, MemoryNetwork
from skywire.net.network import Network
from tests.app.site import Site, definition, instance, site

NAMES: Final = ("a", "b", "c", "d", "e", "f")
LIMITS: Final = LauncherLimits(
    start_seconds=20, stop_seconds=5, cancel_seconds=5, drain_seconds=1, first_restart=1, longest_restart=8
)
NETWORK: Final = MemoryNetwork(SecKey.generate(), MemoryHub())
FACILITIES: Final[tuple[Facility[Network], ...]] = (DMSG, SKYNET)
BEHAVIOURS: Final = (
    "good",
    "good",
    "good",
    "slow",
    "late failure",
    "failure",
    "return",
    "silent",
    "deaf",
    "slow end",
    "SystemExit",
)


@dataclass(frozen=True)
class AppPlan:
    """One random app."""

    behaviour: str
    requires: tuple[Dependency, ...]
    wants: tuple[Dependency, ...]
    restart: RestartPolicy
    auto_start: bool
    band: int = 0


def dependencies(number: int) -> st.SearchStrategy[tuple[Dependency, ...]]:
    """Mostly on apps before this one, so that most graphs have no cycle."""
    before = st.sampled_from(NAMES[: max(1, number)])
    one: st.SearchStrategy[Dependency] = st.one_of(
        before.map(Instance), before.map(Instance), before.map(AnyOf), st.sampled_from(FACILITIES)
    )
    return st.lists(one, max_size=2).map(tuple)


def app(number: int) -> st.SearchStrategy[AppPlan]:
    return st.builds(
        AppPlan,
        st.sampled_from(BEHAVIOURS),
        dependencies(number) if number else st.lists(st.sampled_from(FACILITIES), max_size=1).map(tuple),
        dependencies(number),
        st.sampled_from(RestartPolicy),
        st.sampled_from([True, True, True, False]),
        st.sampled_from([0, 0, 0, number // 2]),
    )


APPS: Final = st.integers(1, len(NAMES)).flatmap(lambda count: st.tuples(*map(app, range(count)))).map(list)
COMMANDS: Final = st.lists(
    st.tuples(
        st.sampled_from(
            ["start", "stop", "restart", "remove", "add", "reconfigure", "provide", "withdraw", "wait", "begin stop"]
        ),
        st.integers(0, len(NAMES) - 1),
        st.floats(0, 30),
    ),
    max_size=12,
)


@dataclass
class Witness:
    """Sees every app begin and end, and holds the launcher to the rules at that moment."""

    launcher: Callable[[], Launcher]
    release: Event = field(default_factory=Event)
    living: dict[str, Dependencies] = field(default_factory=dict)
    begun: dict[str, int] = field(default_factory=dict)
    deaf: set[str] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)
    lost: dict[str, float] = field(default_factory=dict)  # when an app or a facility was lost last
    asked: float = -1.0  # when somebody asked for something last
    facilities: Facilities = field(default_factory=Facilities)

    async def behave(self, plan: AppPlan, host: AppHost, task_status: TaskStatus[None]) -> None:
        name = host.name
        self._see_begin(name, plan)
        try:
            await self._act(plan.behaviour, name, task_status)
        except anyio.get_cancelled_exc_class():
            self._see_told_end(name)
            raise
        finally:
            del self.living[name]
            self.lost[name] = anyio.current_time()

    async def _act(self, behaviour: str, name: str, task_status: TaskStatus[None]) -> None:
        if behaviour == "failure":
            raise ValueError("failed")
        if behaviour == "silent":
            await sleep_forever()
        if behaviour == "slow":
            await sleep(10)
        task_status.started()
        match behaviour:
            case "late failure":
                await sleep(7)
                raise ValueError("failed later")
            case "return":
                await sleep(3)
            case "SystemExit":
                await sleep(3)
                raise SystemExit(1)
            case "deaf":
                self.deaf.add(name)
                with CancelScope(shield=True):
                    await self.release.wait()
            case "slow end":
                try:
                    await sleep_forever()
                finally:
                    with move_on_after(3, shield=True):
                        await sleep_forever()
            case _:
                await sleep_forever()

    def _serving(self, dependency: Dependency) -> bool:
        infos = self.launcher().list()
        match dependency:
            case Instance(name):
                return any(info.name == name and info.state.serving for info in infos)
            case AnyOf(definition):
                return any(info.definition == definition and info.state.serving for info in infos)
            case facility:
                return self.facilities.presence()[facility.name].absent is None

    def _served_till_now(self, dependency: Dependency) -> bool:
        """Whether it serves; what was lost at this very moment still served when the beginning was decided."""
        names = [dependency.definition] if isinstance(dependency, AnyOf) else [dependency.name]
        return self._serving(dependency) or any(self.lost.get(name) == anyio.current_time() for name in names)

    def _see_begin(self, name: str, plan: AppPlan) -> None:
        self.begun[name] = self.begun.get(name, 0) + 1
        if name in self.living:
            self.broken.append(f"{name} runs twice")
        self.living[name] = Dependencies(plan.requires, plan.wants)
        self.broken += [f"{name} began without {each}" for each in plan.requires if not self._served_till_now(each)]
        for info in self.launcher().list():
            if Instance(info.name) in plan.wants and self._is_unsettled(info.name):
                self.broken.append(f"{name} began before {info.name} had settled")
        for other, record in self.launcher()._records.items():
            if record.config.band < plan.band and self._is_unsettled(other):
                self.broken.append(f"{name} of band {plan.band} began before {other} had settled")

    def _is_unsettled(self, name: str) -> bool:
        """Whether it starts; what is asked for at this very moment was not known when a beginning was decided."""
        return self.launcher()._records[name].phase is Phase.STARTING and self.asked != anyio.current_time()

    def _see_told_end(self, name: str) -> None:
        for other, depends in self.living.items():
            if other != name and other not in self.deaf and Instance(name) in depends.requires:
                self.broken.append(f"{name} was ended while {other}, which requires it, still ran")

    def look(self) -> None:
        """After things have settled, nothing runs whose requirement does not, but for those who still end."""
        records = self.launcher()._records
        for name, record in records.items():
            if record.phase is Phase.UP and not self._used_by_who_ends(name):
                missing = [each for each in self.living[name].requires if not self._serving(each)]
                self.broken += [f"{name} runs without {each}" for each in missing]

    def _used_by_who_ends(self, name: str) -> bool:
        records = self.launcher()._records
        band = records[name].config.band
        if any(record.phase is Phase.STOPPING and record.config.band > band for record in records.values()):
            return True  # higher bands end first
        return any(
            records[other].phase is Phase.STOPPING or (other != name and self._used_by_who_ends(other))
            for other, depends in self.living.items()
            if other != name and {Instance(name), AnyOf(name)} & {*depends.requires, *depends.wants}
        )


def configure(name: str, plan: AppPlan, witness: Witness) -> InstanceConfig:
    app = definition(name, partial(witness.behave, plan), depends=Dependencies(plan.requires, plan.wants))
    return replace(instance(app, auto_start=plan.auto_start, restart=plan.restart), band=plan.band)


async def command(
    here: Site, what: str, name: str, seconds: float, plans: dict[str, AppPlan], witness: Witness
) -> None:
    launcher = here.launcher
    witness.asked = anyio.current_time()
    known = {info.name for info in launcher.list()}
    if what == "provide":
        here.facilities.provide(FACILITIES[len(name) % 2], NETWORK)
    elif what == "withdraw":
        here.facilities.withdraw(DMSG, "for a test")
        witness.lost[DMSG.name] = anyio.current_time()
    elif what == "wait":
        await sleep(seconds)
    elif what == "add" and name not in known and name in plans:
        await launcher.add(configure(name, plans[name], witness))
    elif name in known:
        match what:
            case "start":
                await launcher.start(name)
            case "stop":
                await launcher.stop(name)
            case "begin stop":
                with move_on_after(0.5):
                    await launcher.stop(name)
            case "restart":
                await launcher.restart(name)
            case "remove":
                await launcher.remove(name)
            case "reconfigure":
                await launcher.reconfigure(configure(name, plans[name], witness))
            case _:
                pass


async def history(apps: list[AppPlan], commands: list[tuple[str, int, float]], provided: bool) -> None:
    facilities = Facilities()
    if provided:
        for each in FACILITIES:
            facilities.provide(each, NETWORK)
    launchers: list[Launcher] = []
    witness = Witness(lambda: launchers[0], facilities=facilities)
    plans = dict(zip(NAMES, apps, strict=False))
    bystander = AppPlan("good", (), (), RestartPolicy.NEVER, True)
    configs = [configure(name, plan, witness) for name, plan in plans.items()]
    with tempfile.TemporaryDirectory() as folder:
        async with site(
            Path(folder), *configs, configure("bystander", bystander, witness), limits=LIMITS, facilities=facilities
        ) as here:
            launchers.append(here.launcher)
            try:
                await here.until("bystander", "running")
                for what, number, seconds in commands:
                    with anyio.fail_after(300):
                        with suppress(UnfitInstance):
                            await command(here, what, NAMES[number], seconds, plans, witness)
                    await sleep(0.001)
                    witness.look()
                assert here.launcher.get("bystander").state == "running"
                assert witness.begun["bystander"] == 1
                with anyio.fail_after(300):
                    for info in here.launcher.list():
                        await here.launcher.stop(info.name, knowing=True)
                assert set(witness.living) <= witness.deaf
                witness.release.set()
                with anyio.fail_after(300):
                    for info in here.launcher.list():
                        await here.until(info.name, "stopped")
                assert not witness.living
            finally:
                witness.release.set()  # else a failure would keep this test for ever
    assert not witness.broken, witness.broken


GOOD: Final = AppPlan("good", (), (), RestartPolicy.NEVER, True)
NEEDS_B: Final = (Instance("b"),)


@settings(max_examples=250, deadline=None)
@given(APPS, COMMANDS, st.booleans())
@example(
    [
        GOOD,
        AppPlan("SystemExit", (), (), RestartPolicy.NEVER, True),
        GOOD,
        AppPlan("good", NEEDS_B, (), RestartPolicy.NEVER, True),
        AppPlan("deaf", NEEDS_B, (), RestartPolicy.NEVER, True, 2),
    ],
    [("wait", 0, 3.0)],
    False,
)
def test_any_history_keeps_the_rules(
    apps: list[AppPlan], commands: list[tuple[str, int, float]], provided: bool
) -> None:
    anyio.run(
        history,
        apps,
        commands,
        provided,
        backend="trio",
        backend_options={"clock": trio.testing.MockClock(autojump_threshold=0)},
    )
