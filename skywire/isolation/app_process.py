"""One app in a process of its own: what its host asks of it."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final, final

from anyio import Event, move_on_after, sleep

from skywire.app.api import FacilityInfo
from skywire.app.attempt import Attempt, describe
from skywire.app.catalogue import Catalogue
from skywire.app.command import Answers
from skywire.app.connections import Connections
from skywire.app.facility import DMSG, FACILITIES, SKYNET, VISOR_API, Facilities
from skywire.app.host import AppHost, Surroundings
from skywire.app.loaded import Configured
from skywire.app.local_ports import LocalPorts
from skywire.app.options import decode
from skywire.app.registry import ServiceRegistry
from skywire.app.status import AppStatus
from skywire.control.client import NodeGone, RemoteError
from skywire.errors import SkywireError
from skywire.isolation.interfaces import PROTOCOL_VERSION, Assignment, StreamPart
from skywire.isolation.remote import RemoteHost, RemoteNetwork, RemotePorts
from skywire.isolation.remote_log import RemoteLog
from skywire.isolation.streams import Streams
from skywire.net.background import Background

BEGIN_SECONDS: Final = 30.0
"""For the host to say what is to run."""
LOOK_SECONDS: Final = 0.25
"""Between two looks at how the app is."""
LAST_WORDS_SECONDS: Final = 3.0
"""For the host to take the last lines of log, and why the app failed."""
CANCEL_SECONDS: Final = 1.0
"""For the app to clean up when it has to end at once."""
VISOR_SECONDS: Final = 5.0
"""For the visor's interfaces to come, where the host says that they are there."""

_NETWORKS: Final = (DMSG, SKYNET)
"""Facilities that are networks, on which the host dials for us."""


class AppFailed(SkywireError):
    """The app has failed; the text says how."""


@final
class AppProcess:
    """See :class:`skywire.isolation.interfaces.InstanceAPI`.

    Args:
        host: what this process has of its host.
        facilities: of this process.
        visor_came: is set when the visor's interfaces came.
        ending: is set when the app has to end at once.
    """

    def __init__(self, host: RemoteHost, facilities: Facilities, visor_came: Event, ending: Event) -> None:
        self.failure: str | None = None
        """Why the app failed."""
        self._host = host
        self._facilities = facilities
        self._visor_came = visor_came
        self._ending = ending
        self._assignment: Assignment | None = None
        self._assigned = Event()
        self._stopping = False
        self._attempt: Attempt | None = None
        self._serves = False
        self._settled = Event()  # when it serves, or is over
        self._done = Event()  # when it is over, and all has been told
        self._streams = Streams(host.tasks, self._answers)

    async def run(self) -> None:
        """Run what is asked for to its end."""
        try:
            with move_on_after(BEGIN_SECONDS):
                await self._assigned.wait()
            if self._assignment is None:
                self.failure = f"the host has not said within {BEGIN_SECONDS:g} s what is to run"
            else:
                await self._run(self._assignment)
        finally:
            self._settled.set()
            self._done.set()

    async def start(self, assignment: Assignment) -> None:
        """See the protocol."""
        if assignment.version != PROTOCOL_VERSION:
            raise AppFailed(
                f"the host speaks version {assignment.version} of the protocol, this process {PROTOCOL_VERSION}: "
                "run the same skywire in both"
            )
        if self._assignment is not None:
            raise AppFailed("this process has been told already what to run")
        self._assignment = assignment
        self._assigned.set()
        await self._settled.wait()
        if not self._serves:
            await self._done.wait()
            raise AppFailed(self.failure or "it was told to end before it served")

    async def stop(self) -> None:
        """See the protocol."""
        self._stopping = True
        if self._attempt is not None:
            await self._attempt.stop(self._host.tasks, math.inf, 0)
        if self._assignment is not None:
            await self._done.wait()

    async def facilities(self, facilities: tuple[FacilityInfo, ...]) -> None:
        """See the protocol."""
        if self._assignment is not None:
            self._take_facilities(self._assignment, facilities)

    async def call(self, command: str, arguments: Mapping[str, object]) -> object:
        """See the protocol."""
        return await self._answers().call(command, arguments)

    async def open_stream(self, number: int, command: str, arguments: Mapping[str, object]) -> None:
        """See the protocol."""
        self._streams.open(number, command, arguments)

    async def next_items(self, number: int) -> StreamPart:
        """See the protocol."""
        return await self._streams.next_items(number)

    async def close_stream(self, number: int) -> None:
        """See the protocol."""
        self._streams.close(number)

    def _answers(self) -> Answers:
        if self._attempt is None:
            raise AppFailed("the app does not run yet")
        return self._attempt.host.answers

    async def _run(self, assignment: Assignment) -> None:
        log = RemoteLog(self._host.api.log)
        with _logging_to(log, assignment.log_level):
            async with Background() as tasks:
                tasks.start_soon(_quietly_run, log)
                try:
                    app = _load(assignment)
                    attempt = await self._prepare(app, assignment)
                except Exception as error:
                    logging.getLogger(f"skywire.app.{assignment.name}").exception("it cannot be run here")
                    self.failure = describe(error)
                else:
                    tasks.start_soon(self._follow_status, attempt)
                    tasks.start_soon(self._end_at_once, attempt)
                    if self._stopping:
                        attempt.stopping = True
                    self._attempt = attempt
                    await attempt.run()
                    self.failure = attempt.failure
            with move_on_after(LAST_WORDS_SECONDS), suppress(RemoteError, NodeGone):
                await log.flush_all()
                if self.failure is not None:
                    await self._host.api.failed(self.failure)

    async def _prepare(self, app: Configured, assignment: Assignment) -> Attempt:
        depends = app.depends(assignment.mode)
        self._take_facilities(assignment, assignment.facilities)
        present = {each.name for each in assignment.facilities if each.absent is None}
        if VISOR_API in (*depends.requires, *depends.wants) and VISOR_API.name in present:
            with move_on_after(VISOR_SECONDS):
                await self._visor_came.wait()
        connections = Connections()
        registry = ServiceRegistry(assignment.public, connections)
        surroundings = Surroundings(
            mode=assignment.mode,
            public=assignment.public,
            networks={name: self._network(name, assignment) for name in assignment.networks},
            ports=RemotePorts(self._host, registry, assignment.public),
            facilities=self._facilities,
            data=assignment.data,
            connections=connections,
            local_ports=LocalPorts(self._host.announced),
        )
        return Attempt(app, AppHost(assignment.name, surroundings, depends, assignment.ports), self._started)

    def _network(self, name: str, assignment: Assignment) -> RemoteNetwork:
        return RemoteNetwork(name, assignment.public, self._host)

    def _take_facilities(self, assignment: Assignment, told: tuple[FacilityInfo, ...]) -> None:
        networks = {each.name: each for each in _NETWORKS}
        known = {each.name: each for each in FACILITIES}
        for each in told:
            if each.name not in known:
                continue
            if each.absent is not None:
                self._facilities.withdraw(known[each.name], each.absent)
            elif each.name in networks:
                network = self._network(each.name, assignment)
                self._facilities.provide(networks[each.name], network, offline=each.offline)
            elif each.name == VISOR_API.name:
                self._facilities.report(VISOR_API, each.offline)  # it comes over a socket of its own
            else:
                self._facilities.withdraw(known[each.name], "an app in a process of its own does not get it")

    def _started(self) -> None:
        self._serves = True
        self._settled.set()

    async def _follow_status(self, attempt: Attempt) -> None:
        told = AppStatus()
        while True:
            status = attempt.status()
            if status != told:
                told = status
                with suppress(RemoteError, NodeGone):
                    await self._host.api.report(status)
            await sleep(LOOK_SECONDS)

    async def _end_at_once(self, attempt: Attempt) -> None:
        await self._ending.wait()
        await attempt.stop(self._host.tasks, 0.0, CANCEL_SECONDS)


def _load(assignment: Assignment) -> Configured:
    loaded = Catalogue({assignment.definition: assignment.place}, []).get(assignment.definition)
    return loaded.bind(decode(loaded.options, assignment.options))


async def _quietly_run(log: RemoteLog) -> None:
    with suppress(RemoteError, NodeGone):
        await log.run()


@contextmanager
def _logging_to(log: RemoteLog, level: int) -> Iterator[None]:
    root = logging.getLogger()
    former = root.level
    root.addHandler(log)
    root.setLevel(level)
    try:
        yield
    finally:
        root.removeHandler(log)
        root.setLevel(former)
