"""A process that runs an app for us, from the link to its end."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final, final

from anyio import (
    TASK_STATUS_IGNORED,
    CancelScope,
    Event,
    move_on_after,
)
from anyio.abc import TaskGroup, TaskStatus

from skywire.app.api import AppsAPI, ConfigAPI, EventsAPI, FacilityInfo, NetworkAPI, ProcessAPI, VisorAPI
from skywire.app.command import AnyCommand, Command, StreamCommand
from skywire.app.facility import FACILITIES, VISOR_API, Facilities, FacilityAbsent
from skywire.app.host import AppHost, Surroundings
from skywire.app.interface import Role
from skywire.app.typed_json import encode
from skywire.control.client import NodeGone, RemoteError, connected
from skywire.control.server import Endpoint
from skywire.errors import SkywireError
from skywire.isolation.errors import restored
from skywire.isolation.host_calls import HostCalls, TooMuch
from skywire.isolation.interfaces import (
    HOST_LANE,
    INSTANCE_LANE,
    MAX_CONNS,
    MAX_LANE_MESSAGE,
    VISOR_LANE,
    Assignment,
    ConnFacts,
    HostAPI,
    InstanceAPI,
)
from skywire.isolation.link import DescriptorSender, HandOverFailed
from skywire.isolation.passed_conn import PassedConn
from skywire.isolation.pump import pump
from skywire.net.background import Background
from skywire.net.conn import Conn
from skywire.net.local_socket import LocalSocket

MAX_COMMANDS: Final = 48
"""Commands of one app that are under way at a time: fewer than calls are, so that it can always be told to stop."""
LAST_WORDS_SECONDS: Final = 2.0
"""For what the app has sent before it ended to reach its peers."""
END_STREAM_SECONDS: Final = 2.0
"""For the app to be told that nobody reads a stream any more."""


@final
class Session:
    """One such process.

    Args:
        host: of the instance.
        surroundings: of this process.
        commands: that the definition has.
        link: to the process; not owned.
    """

    def __init__(
        self, host: AppHost, surroundings: Surroundings, commands: tuple[AnyCommand, ...], link: LocalSocket
    ) -> None:
        self.failure: str | None = None
        """Why the app has failed, as its process says."""
        self._host = host
        self._surroundings = surroundings
        self._commands = commands
        self._link = link
        self._sender = DescriptorSender(link)
        self._over = Event()
        self._changed = Event()
        self._process: InstanceAPI | None = None  # while it can be asked
        self._conns = 0
        self._idle = Event()
        self._commands_now = 0
        self._last_stream = 0

    async def run(self, assignment: Assignment, started: Callable[[], None]) -> None:
        """Have it run the app, to the end of the app or of the link.

        Args:
            assignment: what to run.
            started: is called when the app serves.

        Raises:
            HandOverFailed: it does not take what it needs to begin.
        """
        async with Background() as tasks:
            calls = HostCalls(self._host, self._surroundings.local_ports, tasks, self._carry, self._fail)
            endpoint = Endpoint()
            endpoint.offer("host", HostAPI, calls)
            try:
                tasks.start_soon(self._watch_link)
                called, calling = await self._sender.open(HOST_LANE), await self._sender.open(INSTANCE_LANE)
                tasks.start_soon(
                    endpoint.serve, called, Role.ADMIN, f"the process of {self._host.name}", MAX_LANE_MESSAGE
                )
                async with connected(calling, MAX_LANE_MESSAGE) as client:
                    self._process = client.of(InstanceAPI, "instance")
                    self._relay_commands(self._process)
                    tasks.start_soon(self._follow_facilities, tasks, self._process, assignment.facilities)
                    tasks.start_soon(self._start, self._process, assignment, started)
                    await self._over.wait()
                    if self._conns:
                        with move_on_after(LAST_WORDS_SECONDS):
                            await self._idle.wait()
            finally:
                self._process = None
                calls.close()

    async def stop(self) -> None:
        """Have the app end; returns when it says that it has, or cannot be asked."""
        if self._process is not None:
            with suppress(SkywireError):
                await self._process.stop()
        self.end()

    def end(self) -> None:
        """Let :meth:`run` return: there is no process any more, or it is done."""
        self._over.set()

    def facilities_changed(self) -> None:
        """Have the process told what there is now."""
        self._changed.set()

    async def _watch_link(self) -> None:
        await self._sender.wait_closed()
        self._over.set()

    async def _start(self, process: InstanceAPI, assignment: Assignment, started: Callable[[], None]) -> None:
        try:
            await process.start(assignment)
        except NodeGone:
            self._over.set()
        except SkywireError as error:  # it failed, or its answer is none
            self._fail(str(error))
        else:
            started()

    def _fail(self, reason: str) -> None:
        self.failure = self.failure or reason
        self._over.set()

    async def _carry(self, number: int, conn: Conn, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """See :class:`skywire.isolation.host_calls.Carry`."""
        if self._conns >= MAX_CONNS:
            raise TooMuch(f"{self._host.name} has {MAX_CONNS} connections, more cannot be handed to its process")
        self._conns += 1
        try:
            stream = await self._sender.open(number)
            passed = PassedConn(stream, local=conn.local, remote=conn.remote, owner=conn.owner)
            try:
                facts = ConnFacts(conn.local, conn.remote, conn.half_close)
                await passed.send_record(json.dumps(encode(facts)).encode())
                task_status.started()
                await pump(conn, passed)
            finally:
                with CancelScope(shield=True):
                    await passed.aclose()
        finally:
            self._conns -= 1
            if not self._conns:
                self._idle.set()
                self._idle = Event()

    async def _follow_facilities(self, tasks: TaskGroup, process: InstanceAPI, told: tuple[FacilityInfo, ...]) -> None:
        offered: VisorAPI | None = None
        scope = CancelScope()
        while True:
            self._changed = Event()
            # What goes is told before it goes.
            if (now := describe_facilities(self._surroundings.facilities)) != told:
                told = now
                with suppress(SkywireError):
                    await process.facilities(now)
            visor = self._visor()
            if visor is not offered:
                scope.cancel()
                offered, scope = visor, CancelScope()
                if visor is not None:
                    tasks.start_soon(self._serve_visor, visor, scope)
            await self._changed.wait()

    def _visor(self) -> VisorAPI | None:
        try:
            return self._host.facility(VISOR_API)
        except FacilityAbsent:
            return None

    async def _serve_visor(self, visor: VisorAPI, scope: CancelScope) -> None:
        endpoint = Endpoint()
        endpoint.offer("process", ProcessAPI, visor.process)
        endpoint.offer("apps", AppsAPI, visor.apps)
        endpoint.offer("network", NetworkAPI, visor.network)
        endpoint.offer("config", ConfigAPI, visor.config)
        endpoint.offer("events", EventsAPI, visor.events)
        with scope:
            try:
                stream = await self._sender.open(VISOR_LANE)
            except HandOverFailed as error:
                self._host.log.warning("%s is not given the visor's interfaces: %s", self._host.name, error)
                return
            await endpoint.serve(stream, Role.CONTROL, f"the app {self._host.name}")

    def _relay_commands(self, process: InstanceAPI) -> None:
        for command in self._commands:
            if isinstance(command, StreamCommand):
                self._host.answers.relay_stream(command.name, self._streamer(process, command.name))
            elif isinstance(command, Command):
                self._host.answers.relay(command.name, self._caller(process, command.name))

    def _caller(self, process: InstanceAPI, command: str) -> Callable[[Mapping[str, object]], Awaitable[object]]:
        async def call(arguments: Mapping[str, object]) -> object:
            with self._commanding():
                return await process.call(command, arguments)

        return call

    def _streamer(
        self, process: InstanceAPI, command: str
    ) -> Callable[[Mapping[str, object]], AsyncGenerator[object, None]]:
        async def stream(arguments: Mapping[str, object]) -> AsyncGenerator[object, None]:
            self._last_stream += 1
            number = self._last_stream
            with self._commanding():
                try:
                    await process.open_stream(number, command, arguments)
                    over = False
                    while not over:
                        part = await process.next_items(number)
                        for item in part.items:
                            yield item
                        over = part.over
                finally:
                    with move_on_after(END_STREAM_SECONDS, shield=True), suppress(SkywireError):
                        await process.close_stream(number)

        return stream

    @contextmanager
    def _commanding(self) -> Iterator[None]:
        if self._commands_now >= MAX_COMMANDS:
            raise TooMuch(f"{self._host.name} answers {MAX_COMMANDS} commands at a time, wait for one to end")
        self._commands_now += 1
        try:
            yield
        except RemoteError as error:
            raise restored(error) from None
        finally:
            self._commands_now -= 1


def describe_facilities(facilities: Facilities) -> tuple[FacilityInfo, ...]:
    """What there is now, for another process."""
    presence = facilities.presence()
    return tuple(
        FacilityInfo(each.name, each.summary, presence[each.name].absent, presence[each.name].offline)
        for each in FACILITIES
    )
