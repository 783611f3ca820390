"""One app alone: the same contract as in a visor, on one network, and its end is the end of the process."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Final, final

from anyio import Event, move_on_after
from anyio.abc import TaskStatus

from skywire.app.definition import Isolation
from skywire.app.facility import DISCOVERY, DMSG, RPC, SKYNET, TRANSPORTS, VISOR_API
from skywire.app.launcher import Launcher
from skywire.app.logs import AppLogs
from skywire.app.record import InstanceConfig, ports_of
from skywire.app.run_mode import MODE_RULES, Identity
from skywire.app.status import State
from skywire.control.apps import Apps, Events
from skywire.control.local import SUFFIX
from skywire.control.process import Process
from skywire.core.core import ANSWER_SECONDS, Core, keeping_logs
from skywire.core.dmsg import on_dmsg
from skywire.core.folder import owning
from skywire.dmsg.control import CONTROL_PORT, serve_control
from skywire.dmsg.network import DmsgNetwork
from skywire.net.address import Address, HostPort
from skywire.net.background import Background
from skywire.net.conn import CORE
from skywire.net.network import EVERYONE
from skywire.net.serving import serving
from skywire.pktcp.network import PkTcpNetwork
from skywire.standalone.blueprint import Blueprint, OnDmsg, OnTcp
from skywire.standalone.errors import CannotRun
from skywire.standalone.neighbours import require_unused, socket_name
from skywire.version import __version__

FIXED: Final = (
    "this process runs one app, as its command line says: to change that, end it (skywire app NAME stop) and start it "
    "anew with other arguments; another app needs another process"
)
NO_VISOR: Final = "this app runs beside no visor"
_NOT_HERE: Final = "this app runs as {mode}"

_log: Final = logging.getLogger("skywire.standalone")


@final
class Standalone:
    """A process with one app; made by :func:`running`."""

    def __init__(self, blueprint: Blueprint, network: DmsgNetwork | PkTcpNetwork, logs: AppLogs) -> None:
        mode = blueprint.mode
        core = Core(
            blueprint.identity.public, mode, networks={network.name: network}, folder=blueprint.folder, logs=logs
        )
        self.core: Final = core
        self.name: Final = blueprint.instance.name
        """Of the instance."""
        self.ended: Final = core.ended
        """Set when the app was told to stop, and has, or cannot run any more: then the process has nothing to do."""
        self.serving: Final = Event()
        """Set when the app serves for the first time."""
        self.launcher: Final = Launcher(core.surroundings, events=core.events, limits=blueprint.launcher_limits)
        self._network = network
        self._failure: str | None = None
        process = Process(
            f"{MODE_RULES[mode].command} {__version__}",
            mode,
            core.public,
            endpoint=core.endpoint,
            logs=logs,
            halt=self._halt,
        )
        apps = Apps(self.launcher, blueprint.catalogue, logs, core.connections, None, fixed=FIXED)
        core.offer(process, apps, Events(core.events))

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where peers reach the app."""
        if isinstance(self._network, PkTcpNetwork):
            return self._network.addresses
        ports = self.launcher.get(self.name).ports.values()
        return tuple(Address(DMSG.name, self.core.public, port) for port in sorted(ports))

    async def reachable(self) -> None:
        """Wait until the network works on which peers reach the app; key-encrypted TCP does from the beginning."""
        with self.core.events.subscribe() as news:
            while self._is_offline():
                await news.next()

    def _is_offline(self) -> bool:
        presence = self.core.facilities.presence()
        known = [presence[name] for name in MODE_RULES[self.core.mode].networks if name in presence]
        return any(each.offline is not None for each in known)

    def check(self) -> None:
        """Accept that the app has ended as it was told to, or has not ended.

        Raises:
            CannotRun: it could not go on.
        """
        if self._failure is not None:
            raise CannotRun(self._failure)

    async def follow(self, *, task_status: TaskStatus[None]) -> None:
        """Tell how the app is, and when there is nothing more to do."""
        with self.core.events.subscribe() as news:
            task_status.started()
            while not self.ended.is_set():
                event, _ = await news.next()
                if event.kind == "app.state":
                    self._tell(str(event.facts["state"]), str(event.facts["reason"]))
                    await self._look()

    def _tell(self, state: str, reason: str) -> None:
        fine = state in {State.STARTING, State.RUNNING, State.STOPPED}
        because = f": {reason}" if reason else ""
        _log.log(logging.INFO if fine else logging.WARNING, "%s is %s%s", self.name, state, because)

    async def _look(self) -> None:
        if self.launcher.get(self.name).state.serving:
            self.serving.set()
        elif self._is_over():
            with move_on_after(ANSWER_SECONDS):  # for who has asked for this
                await self.core.endpoint.quiet()
            if self._is_over():
                self.ended.set()

    def _is_over(self) -> bool:
        """Whether nothing brings the app back."""
        info = self.launcher.get(self.name)
        self._failure = None
        if info.state is State.STOPPED:
            return info.returns is None
        if info.state in {State.BLOCKED, State.STUCK} or self.name in self.launcher.given_up:
            self._failure = f"{self.name} is {info.state}: {info.reason}"
        return self._failure is not None

    def _halt(self, knowing: bool) -> None:
        self.launcher.guard(f"ending {self.name}", self.name, knowing=knowing)
        _log.warning("this process was told to end")
        self.ended.set()


@asynccontextmanager
async def running(blueprint: Blueprint) -> AsyncIterator[Standalone]:
    """Run an app alone while the block runs, which begins when the app is on its way.

    An app that is stuck keeps this from ending: a program has to leave without it, see :attr:`Launcher.places`.

    Raises:
        FolderTaken: another process uses the folder of its data.
        FolderError: that folder cannot be used.
        KeyTaken: another process of this machine is on dmsg with its key.
        ListenError: one of its TCP ports cannot be used.
        InvalidAddress: it is to listen on what is no host.
    """
    instance = replace(blueprint.instance, isolation=Isolation.IN_PROCESS, auto_start=True)
    async with AsyncExitStack() as stack:
        stack.enter_context(owning(blueprint.folder, "process", "a folder of its own, and a key of its own"))
        logs = stack.enter_context(keeping_logs(blueprint.folder / "log"))
        with logs.keeping():
            node = await _start(blueprint, instance, logs, stack)
            _log.info("%s runs as %s, as %s", node.name, node.core.mode, node.core.public)
        try:
            yield node
        finally:
            with logs.keeping():
                _log.info("%s ends", node.name)


async def _start(blueprint: Blueprint, instance: InstanceConfig, logs: AppLogs, stack: AsyncExitStack) -> Standalone:
    network = await _open_network(blueprint, instance, stack)
    node = Standalone(blueprint, network, logs)
    core = node.core
    if isinstance(blueprint.place, OnDmsg) and isinstance(network, DmsgNetwork):
        await stack.enter_async_context(on_dmsg(core, network, blueprint.place.discovery))
        await stack.enter_async_context(
            core.registry.serving(CONTROL_PORT, serve_control, label="dmsgctrl", owner=CORE, peers=EVERYONE)
        )
    else:
        await stack.enter_async_context(serving(network, core.registry))
    _say_what_is_absent(core)
    if blueprint.sockets is not None:
        path = blueprint.sockets / f"{socket_name(core.mode, node.name, core.public)}{SUFFIX}"
        await stack.enter_async_context(core.controlled(path))
    core.facilities.provide(RPC, core.endpoint)
    watching = await stack.enter_async_context(Background())
    await watching.start(node.follow)
    node.launcher.boot({node.name: instance})
    apps = await stack.enter_async_context(Background())
    await apps.start(node.launcher.run)
    return node


async def _open_network(
    blueprint: Blueprint, instance: InstanceConfig, stack: AsyncExitStack
) -> DmsgNetwork | PkTcpNetwork:
    match blueprint.place:
        case OnTcp() as place:
            ports = sorted(ports_of(instance, blueprint.mode).values())
            listen = [HostPort(host, port) for host in place.hosts for port in ports]
            return PkTcpNetwork(blueprint.identity, listen=listen, limits=place.limits)
        case OnDmsg() as place:
            if blueprint.sockets is not None and MODE_RULES[blueprint.mode].identity is Identity.OWN:
                await require_unused(blueprint.identity.public, blueprint.sockets)
            network = DmsgNetwork(
                blueprint.identity, place.discovery, min_sessions=place.min_sessions, limits=place.limits
            )
            return await stack.enter_async_context(network)


def _say_what_is_absent(core: Core) -> None:
    reason = _NOT_HERE.format(mode=core.mode)
    for facility in (SKYNET, TRANSPORTS):
        core.facilities.withdraw(facility, reason)
    core.facilities.withdraw(VISOR_API, NO_VISOR)
    if DMSG.name not in MODE_RULES[core.mode].networks:
        core.facilities.withdraw(DMSG, reason)
        core.facilities.withdraw(DISCOVERY, reason)
