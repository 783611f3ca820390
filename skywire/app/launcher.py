"""Brings instances up and down, in the order that their dependencies ask for, and keeps each to itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final, final

from anyio import TASK_STATUS_IGNORED, CancelScope, Event, current_time, move_on_after, sleep
from anyio.abc import TaskGroup, TaskStatus

from skywire.app import gate
from skywire.app.attempt import Attempt
from skywire.app.command import Answers
from skywire.app.definition import Isolation
from skywire.app.dependency import AnyOf, Instance
from skywire.app.events import EventBus
from skywire.app.host import AppHost, Surroundings
from skywire.app.limits import LauncherLimits, RestartPolicy
from skywire.app.loaded import Configured
from skywire.app.plan import Node, Phase, Plan, make_plan, offenders, waves
from skywire.app.record import InstanceConfig, InstanceInfo, Record
from skywire.app.returns import Returns
from skywire.app.status import State
from skywire.errors import SkywireError
from skywire.known_names import listed
from skywire.net.background import Background

_LOOK_AT_CLOCK: Final = 30.0
"""Seconds between two looks at the time of day."""


class NoSuchInstance(SkywireError):
    """There is no app instance of that name."""


class InstanceExists(SkywireError):
    """There is an app instance of that name already."""


class LauncherAway(SkywireError):
    """The launcher does not run yet, or does not run any more."""


class UnfitInstance(SkywireError):
    """An instance cannot run as it is asked for; the text says why. Nothing has been changed."""


class NotRunning(SkywireError):
    """Something was asked of an instance that it can only do while it runs."""


@final
class Launcher:
    """The instances of one process. There is one mechanism: after each change it plans anew, and does what is due.

    Args:
        surroundings: what the instances share.
        events: is told of changes of state (kind ``app.state``).
        returns: when instances that were stopped for a while come back.
        isolate: gives, for an instance that is to run in a process of its own, what stands for it here; without it no
            such instance can run.
        limits: times and counts.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        *,
        events: EventBus | None = None,
        returns: Returns | None = None,
        isolate: Callable[[InstanceConfig], Configured] | None = None,
        limits: LauncherLimits = LauncherLimits(),
    ) -> None:
        self._surroundings = surroundings
        self._events = EventBus() if events is None else events
        self._returns = Returns(None) if returns is None else returns
        self._isolate = isolate
        self._limits = limits
        self._records: dict[str, Record] = {}
        self._tasks: TaskGroup | None = None  # while it runs
        self._leaving = False
        self._due = Event()
        self._news = Event()
        surroundings.facilities.watch(self._touch)

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Work until cancelled; then stop all instances, those first that depend on others, each within its limits.

        An instance that is stuck keeps this from returning: a program then has to end without it.
        """
        async with Background() as tasks:
            self._tasks = tasks
            tasks.start_soon(self._watch_health)
            for name, moment in self._returns.moments.items():
                tasks.start_soon(self._bring_back, name, moment)
            try:
                task_status.started()
                while True:
                    await self._work_once()
            finally:
                with CancelScope(shield=True):
                    await self._stop_all()
                self._tasks = None
                self._news.set()

    @property
    def stuck(self) -> dict[str, str]:
        """The instances that do not end, each with the place where it waits."""
        return {name: record.last.reason for name, record in self._records.items() if record.phase is Phase.STUCK}

    @property
    def given_up(self) -> dict[str, str]:
        """The instances that are meant to run, failed, and are not tried again by themselves, each with the reason."""
        return {
            name: record.last.reason
            for name, record in self._records.items()
            if record.wanted and record.last.state is State.ERRORED and not record.retries
        }

    @property
    def places(self) -> dict[str, str]:
        """The instances that run, end or are stuck, each with the place where it waits; for a process that must go."""
        return {name: record.attempt.where() for name, record in self._records.items() if record.attempt is not None}

    def list(self) -> tuple[InstanceInfo, ...]:
        """All instances, in the order of the configuration."""
        numbers = waves(self._nodes())
        return tuple(self._info(record, numbers) for record in self._records.values())

    def get(self, name: str) -> InstanceInfo:
        """One instance.

        Raises:
            NoSuchInstance: there is none.
        """
        return self._info(self._record(name), waves(self._nodes()))

    def config(self, name: str) -> InstanceConfig:
        """How an instance is configured.

        Raises:
            NoSuchInstance: there is none.
        """
        return self._record(name).config

    def boot(self, configs: Mapping[str, InstanceConfig]) -> None:
        """Take the instances that the configuration has. What is wrong with one of them costs no other."""
        for config in configs.values():
            record = self._records[config.name] = self._new_record(config)
            record.wanted = config.auto_start and config.name not in self._returns.moments
        self._touch()

    async def add(self, config: InstanceConfig) -> InstanceInfo:
        """Take another instance, and start it if it is to start by itself.

        Raises:
            InstanceExists: the name is taken.
            UnfitInstance: it could not run.
        """
        self.check_new(config)
        record = self._records[config.name] = self._new_record(config)
        record.wanted = config.auto_start
        return await self._settle(record)

    def check_new(self, config: InstanceConfig) -> None:
        """Find out whether :meth:`add` would take it.

        Raises: see there.
        """
        if config.name in self._records:
            raise InstanceExists(f"there is an app instance {config.name!r} already; choose another name")
        self._require_fit_config(config)

    async def remove(self, name: str, *, knowing: bool = False) -> None:
        """Stop an instance, and forget it.

        Raises:
            NoSuchInstance: there is none.
            CriticalRefusal: it would take away what is critical, and the operator has not said that they know.
            UnfitInstance: it is stuck, or somebody has started it meanwhile.
        """
        record = self._record(name)
        gate.check(self._nodes(), f"removing {name}", [name], knowing=knowing)
        await self._bring_down(record)
        if record.phase is Phase.STUCK:
            raise UnfitInstance(f"{name} is stuck and cannot be removed: {record.last.reason}")
        if record.wanted:
            raise UnfitInstance(f"{name} was started again meanwhile, so it is not removed")
        if self._records.get(name) is record:
            del self._records[name]
            self._returns.drop(name)
            self._touch()

    async def start(self, name: str) -> InstanceInfo:
        """Have an instance run, and wait until it does, or cannot.

        Raises:
            NoSuchInstance: there is none.
            UnfitInstance: it cannot run as it is configured.
        """
        record = self._record(name)
        wanted, record.wanted = record.wanted, True
        try:
            self._require_fit(record)
        except SkywireError:
            record.wanted = wanted
            raise
        self._returns.drop(name)
        if not record.phase.alive:
            record.forgive()
        return await self._settle(record)

    async def stop(self, name: str, *, knowing: bool = False, back_in: float | None = None) -> InstanceInfo:
        """Have an instance not run, nor what requires it, and wait until it has ended, or is stuck.

        Args:
            name: of the instance.
            knowing: whether the operator has said that they know what it may cost them.
            back_in: seconds after which it comes back by itself, even if this process ends before.

        Raises:
            NoSuchInstance: there is none.
            CriticalRefusal: it would take away what is critical, and the operator has not said that they know.
            ReturnsError: its return cannot be written down; nothing has been changed.
        """
        record = self._record(name)
        gate.check(self._nodes(), f"stopping {name}", [name], knowing=knowing, hint=gate.COMES_BACK)
        if back_in is None:
            self._returns.drop(name)
        else:
            moment = time.time() + back_in
            self._returns.set(name, moment)
            if self._tasks is not None:
                self._tasks.start_soon(self._bring_back, name, moment)
        await self._bring_down(record)
        return self.get(name)

    async def restart(self, name: str, *, knowing: bool = False) -> InstanceInfo:
        """End an instance, and what requires it, and have them run again.

        Raises:
            NoSuchInstance: there is none.
            CriticalRefusal: it would take away what is critical, and the operator has not said that they know.
            UnfitInstance: it cannot run as it is configured.
        """
        record = self._record(name)
        gate.check(self._nodes(), f"restarting {name}", [name], knowing=knowing)
        record.recycle = record.phase is not Phase.DOWN
        return await self.start(name)

    async def reconfigure(self, config: InstanceConfig, *, knowing: bool = False) -> InstanceInfo:
        """Give an instance another configuration; if it runs, it is started again with it.

        Raises:
            NoSuchInstance: there is none of that name.
            CriticalRefusal: it is critical, or has what is critical depend on it.
            UnfitInstance: it could not run so.
        """
        record = self._record(config.name)
        self.check_change(config, knowing=knowing)
        record.replace(config)
        record.forgive()
        record.recycle = record.phase is not Phase.DOWN
        return await self._settle(record)

    def amend(self, config: InstanceConfig, *, knowing: bool = False) -> InstanceInfo:
        """Change how an instance is run, without touching what runs; it counts from the next start.

        Raises:
            NoSuchInstance: there is none of that name.
            CriticalRefusal: it would not start with the process any more, and is critical.
        """
        self.check_amend(config, knowing=knowing)
        record = self._record(config.name)
        record.replace(config)
        self._touch()
        return self.get(config.name)

    def check_amend(self, config: InstanceConfig, *, knowing: bool = False) -> None:
        """Find out whether :meth:`amend` would take it.

        Raises: see there.
        """
        before = self._record(config.name).config
        stays_down = config.restart is RestartPolicy.NEVER and before.restart is not RestartPolicy.NEVER
        if stays_down or (before.auto_start and not config.auto_start):
            gate.check(self._nodes(), f"not starting {config.name} by itself", [config.name], knowing=knowing)

    def answers(self, name: str) -> Answers:
        """What a running instance answers.

        Raises:
            NoSuchInstance: there is none.
            NotRunning: it does not run.
        """
        record = self._record(name)
        if record.attempt is None or record.phase is not Phase.UP:
            raise NotRunning(f"{name} is {record.last.state}, and answers only while it runs")
        return record.attempt.host.answers

    def check_change(self, config: InstanceConfig, *, knowing: bool = False) -> None:
        """Find out whether :meth:`reconfigure` would take it.

        Raises: see there.
        """
        self._record(config.name)
        gate.check(self._nodes(), f"reconfiguring {config.name}", [config.name], knowing=knowing)
        self._require_fit_config(config)

    def guard(self, action: str, *taken: str, knowing: bool = False) -> None:
        """Ask the gate about an action that is not the launcher's own, before it is carried out.

        Args:
            action: for the message, for instance "halting this node".
            taken: the instances and facilities that it would take away, or cut somebody off from.
            knowing: whether the operator has said that they know what it may cost them.

        Raises:
            CriticalRefusal: it would take away what is critical, and they have not.
        """
        gate.check(self._nodes(), action, taken, knowing=knowing)

    def losses(self, *taken: str) -> tuple[str, ...]:
        """What is critical among instances and facilities, and all that would stop with them."""
        return gate.losses(self._nodes(), taken)

    def _new_record(self, config: InstanceConfig) -> Record:
        return Record(config, self._surroundings.mode, self._limits, isolates=self._isolate is not None)

    def _record(self, name: str) -> Record:
        record = self._records.get(name)
        if record is None:
            raise NoSuchInstance(f"there is no app instance {name!r}; {listed(name, self._records)}")
        return record

    def _info(self, record: Record, numbers: Mapping[str, int]) -> InstanceInfo:
        name = record.config.name
        return record.info(numbers.get(name, 0), self._returns.moments.get(name))

    def _nodes(self) -> dict[str, Node]:
        return {name: record.node() for name, record in self._records.items()}

    def _require_fit_config(self, config: InstanceConfig) -> None:
        candidate = self._new_record(config)
        candidate.wanted = True
        self._require_fit(candidate)

    def _require_fit(self, record: Record) -> None:
        if self._leaving:
            raise LauncherAway("this process is about to end, and starts nothing any more")
        name = record.config.name
        nodes = self._nodes() | {name: record.node()}
        if (reason := offenders(nodes).get(name)) is not None:
            raise UnfitInstance(f"{name} cannot run: {reason}")

    async def _bring_down(self, record: Record) -> None:
        record.wanted = False
        record.recycle = False
        record.forgive()
        self._touch()
        while not record.wanted and record.phase is not Phase.STUCK and record.last.state is not State.STOPPED:
            await self._wait_for_news()

    async def _settle(self, record: Record) -> InstanceInfo:
        """Wait until an instance is as it is meant to be, or cannot be."""
        self._touch()
        await self._wait_for_news()
        while record.recycle or record.phase is Phase.STOPPING or record.last.state is State.STARTING:
            await self._wait_for_news()
        return self._info(record, waves(self._nodes()))

    async def _wait_for_news(self) -> None:
        """Wait for the end of the next round of work."""
        if self._tasks is not None:
            await self._news.wait()
        if self._tasks is None:
            raise LauncherAway("the launcher does not run")

    def _touch(self) -> None:
        """Something has changed."""
        self._due.set()

    async def _work_once(self) -> None:
        await self._due.wait()
        self._due = Event()
        self._do(self._plan())
        news, self._news = self._news, Event()
        news.set()

    def _plan(self) -> Plan:
        for record in self._records.values():
            if record.phase in {Phase.DOWN, Phase.STUCK}:
                record.recycle = False
        absent = {
            name: presence.absent
            for name, presence in self._surroundings.facilities.presence().items()
            if presence.absent is not None
        }
        return make_plan(self._nodes(), absent)

    def _do(self, plan: Plan) -> None:
        for name in plan.start:
            self._start(self._records[name])
        for name, reason in plan.stop.items():
            self._stop(self._records[name], reason)
        for name, record in self._records.items():
            if record.phase is not Phase.DOWN:
                continue
            if not record.wanted:
                self._become(record, State.STOPPED, "")
            elif name in plan.unfit:
                record.retries = False
                self._become(record, State.ERRORED, plan.unfit[name])
            elif record.held is not None:
                self._become(record, State.ERRORED, record.held)
            elif name in plan.blocked:
                self._become(record, State.BLOCKED, plan.blocked[name])
            elif name in plan.waiting:
                self._become(record, State.STARTING, plan.waiting[name])

    def _become(self, record: Record, state: State, reason: str) -> None:
        if record.become(state, reason):
            self._events.publish("app.state", record.config.name, state=state.value, reason=reason)

    def _start(self, record: Record) -> None:
        assert self._tasks is not None
        host = AppHost(
            record.config.name,
            self._surroundings,
            record.depends,
            record.config.ports,
            drain=lambda: self._limits.drain_seconds,
        )
        app = record.config.app
        if record.config.isolation is not Isolation.IN_PROCESS and self._isolate is not None:
            app = self._isolate(record.config)
        attempt = Attempt(app, host, lambda: self._started(record))
        record.attempt = attempt
        record.phase = Phase.STARTING
        record.starts += 1
        self._become(record, State.STARTING, "")
        self._tasks.start_soon(self._run, record, attempt)
        self._tasks.start_soon(self._limit_start, record, attempt)

    async def _run(self, record: Record, attempt: Attempt) -> None:
        await attempt.run()
        record.phase = Phase.DOWN
        record.attempt = None
        if attempt.failure is not None:
            self._failed(record, attempt.failure)
        self._touch()

    async def _limit_start(self, record: Record, attempt: Attempt) -> None:
        seconds = self._limits.start_seconds
        with move_on_after(seconds):
            await attempt.settled.wait()
        if not attempt.settled.is_set() and not attempt.stopping:
            attempt.give_up(f"it did not report within {seconds:g} s that it serves")
            self._stop(record, "it did not report that it serves")

    def _started(self, record: Record) -> None:
        if record.phase is Phase.STARTING:
            record.phase = Phase.UP
            record.up_since = current_time()
            # Facilities have until the next look to connect, as they do while a process starts.
            self._judge(record, None if record.attempt is None else record.attempt.status().trouble)
            self._touch()

    def _failed(self, record: Record, failure: str) -> None:
        if record.up_since and current_time() - record.up_since > self._limits.stable_seconds:
            record.failures = 0
            record.backoff.succeeded()
        record.up_since = 0.0
        record.failures += 1
        policy = record.config.restart
        record.retries = False
        if policy is RestartPolicy.NEVER or not record.wanted:
            record.held = failure
        elif policy is RestartPolicy.ON_FAILURE and record.failures >= self._limits.most_failures:
            record.held = f"given up after {record.failures} failures in a row, the last: {failure}"
        else:
            record.retries = True
            seconds = record.backoff.failed()
            record.held = f"{failure}; tried again in {seconds:.0f} s"
            if self._tasks is not None:
                self._tasks.start_soon(self._try_again, record, record.generation, seconds)
        if record.wanted:
            self._become(record, State.ERRORED, record.held)

    async def _try_again(self, record: Record, generation: int, seconds: float) -> None:
        await sleep(seconds)
        if record.generation == generation and record.phase is Phase.DOWN:
            record.held = None
            self._touch()

    def _stop(self, record: Record, reason: str) -> None:
        attempt = record.attempt
        if attempt is not None and record.phase in {Phase.STARTING, Phase.UP} and self._tasks is not None:
            record.phase = Phase.STOPPING
            self._tasks.start_soon(self._end, record, attempt)
            self._events.publish("app.stopping", record.config.name, reason=reason)

    async def _end(self, record: Record, attempt: Attempt) -> None:
        assert self._tasks is not None
        limits = self._limits
        if not await attempt.stop(self._tasks, limits.stop_seconds, limits.cancel_seconds):
            record.phase = Phase.STUCK
            self._become(record, State.STUCK, f"it does not end; it waits in {attempt.where()}")
            self._touch()

    async def _bring_back(self, name: str, moment: float) -> None:
        """Start an instance at that moment, unless somebody has decided otherwise since."""
        # The time of day may be set in between, so it is looked at again and again.
        while (wait := moment - time.time()) > 0:  # noqa: ASYNC110 - no event tells of time
            await sleep(min(wait, _LOOK_AT_CLOCK))
        record = self._records.get(name)
        if self._returns.moments.get(name) == moment and record is not None and not self._leaving:
            # Not by `start`: what is unfit just now is to come back as well, as soon as it can.
            record.wanted = True
            record.forgive()
            self._returns.drop(name)
            self._touch()

    async def _watch_health(self) -> None:
        while True:
            await sleep(self._limits.health_seconds)
            for record in self._records.values():
                if record.phase is Phase.UP and record.attempt is not None:
                    trouble = record.attempt.status().trouble or self._offline(record, record.attempt.host.serves)
                    self._judge(record, trouble)

    def _judge(self, record: Record, trouble: str | None) -> None:
        self._become(record, State.DEGRADED if trouble else State.RUNNING, trouble or "")

    def _offline(self, record: Record, serves: frozenset[str]) -> str | None:
        """What of that which it uses does not work, a network on which peers could reach it included."""
        depends = (*record.depends.requires, *record.depends.wants)
        needed = [each.name for each in depends if not isinstance(each, Instance | AnyOf)]
        presence = self._surroundings.facilities.presence()
        for name in (*needed, *sorted(serves)):
            known = presence.get(name)
            if known is not None and known.absent is None and known.offline is not None:
                return f"{name} does not work just now: {known.offline}"
        return None

    async def _stop_all(self) -> None:
        self._leaving = True
        for record in self._records.values():
            record.wanted = False
        self._touch()
        while any(record.phase.alive for record in self._records.values()):
            await self._work_once()
