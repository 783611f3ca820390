"""A node in this process that programs control: a launcher with apps, and stand-ins for the rest of a visor."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from anyio import Event, create_task_group, sleep_forever

from skywire import PubKey, SecKey
from skywire.app.api import (
    API_VERSION,
    AppsAPI,
    ConfigAPI,
    EventsAPI,
    FacilityInfo,
    Finding,
    Grant,
    Hello,
    ListeningPort,
    NetworkAPI,
    NodeInfo,
    ProcessAPI,
    ServedPort,
    Severity,
    Warned,
)
from skywire.app.catalogue import Catalogue
from skywire.app.gate import CriticalRefusal
from skywire.app.host import Surroundings
from skywire.app.interface import Role
from skywire.app.loaded import Configured
from skywire.app.log_line import LogLine
from skywire.app.logs import AppLogs
from skywire.app.record import InstanceConfig
from skywire.app.run_mode import RunMode
from skywire.control.apps import Apps, Events
from skywire.control.local import serving_locally
from skywire.control.server import Endpoint
from skywire.isolation.processes import Processes
from tests.app.site import QUICK, Site, site

BUILT_IN = {"talker": "tests.programs.talker:TALKER", "broken": "tests.programs.nothing:HERE"}
OTHER = SecKey(b"\x21" * 32).public
HOSTILE = "\x1b[2Jcleared\x07\nsecond line\x9b31m"


@dataclass
class Process(ProcessAPI):
    """See the protocol."""

    hello_answer: Hello
    silent: bool = False
    lines: list[LogLine] = field(default_factory=lambda: [LogLine(1.0, 20, "it began"), LogLine(2.0, 30, HOSTILE)])
    halted: Event = field(default_factory=Event)

    async def hello(self) -> Hello:
        if self.silent:
            await sleep_forever()
        return self.hello_answer

    async def log(self, since: float = 0.0, level: int = 0, last: int | None = None) -> tuple[LogLine, ...]:
        found = [line for line in self.lines if line.time >= since and line.level >= level]
        return tuple(found if last is None else found[max(0, len(found) - last) :])

    async def follow_log(self, level: int = 0) -> AsyncIterator[LogLine]:
        yield self.lines[-1]
        yield LogLine(3.0, 40, "it went on")
        await sleep_forever()

    async def tasks(self) -> tuple[str, ...]:
        return ("main: waits", "evil\x1b[2J: waits")

    async def halt(self, knowing: bool = False) -> None:
        if not knowing:
            raise CriticalRefusal("halting this node", ["dmsg"])
        self.halted.set()


@dataclass
class Network(NetworkAPI):
    """See the protocol."""

    public: PubKey
    findings: list[Finding] = field(default_factory=list)
    offline: str | None = None

    async def info(self) -> NodeInfo:
        return NodeInfo(
            public=self.public,
            version="skywire 0.1.0",
            started=time.time() - 100,
            config_file="/etc/skywire-config.json",
            local_path="/var/lib/skywire",
            facilities=(FacilityInfo("dmsg", "the dmsg network", None, self.offline),),
            servers=(OTHER,),
            memory=50 << 20,
        )

    async def ports(self) -> tuple[ServedPort, ...]:
        return (ServedPort(("dmsg",), 4100, "talker", "talker", hidden=False, connections=2),)

    async def listeners(self) -> tuple[ListeningPort, ...]:
        return (ListeningPort("127.0.0.1", 8001, "its page", "chat"),)

    async def doctor(self) -> tuple[Finding, ...]:
        return tuple(self.findings)

    async def ping(self, key: PubKey) -> float:
        return 0.0123

    async def public_ip(self) -> str:
        return "198.51.100.7"


@dataclass
class Config(ConfigAPI):
    """See the protocol."""

    who: dict[PubKey, Role] = field(default_factory=dict)
    level: str = "info"

    async def show(self) -> Mapping[str, object]:
        return {"version": "1", "log_level": self.level}

    async def warnings(self) -> tuple[Warned, ...]:
        return ()

    async def grants(self) -> tuple[Grant, ...]:
        return tuple(Grant(key, role, "control") for key, role in self.who.items())

    async def grant(self, key: PubKey, role: Role, knowing: bool = False) -> None:
        self.who[key] = role

    async def revoke(self, key: PubKey, knowing: bool = False) -> None:
        self.who.pop(key, None)

    async def set_log_level(self, level: str) -> None:
        self.level = level


@dataclass
class Served:
    """What runs.

    Args:
        site: its launcher and what belongs to it.
        endpoint: what can be called.
        public: its key.
    """

    site: Site
    endpoint: Endpoint
    process: Process
    network: Network
    config: Config
    public: PubKey


@asynccontextmanager
async def serve_node(
    folder: Path,
    socket: Path,
    *configs: InstanceConfig,
    mode: RunMode = RunMode.VISOR_APP,
    program: str = "skywire 0.1.0",
) -> AsyncIterator[Served]:
    """A node that is controlled through ``socket`` while the block runs.

    Args:
        folder: of its data.
        socket: where it is controlled.
        configs: its app instances.
        mode: of its apps.
        program: what it says that it is.
    """
    logs = AppLogs(folder / "log")
    logger = logging.getLogger("skywire.app")
    before = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(logs)
    try:
        catalogue = Catalogue(BUILT_IN, [])

        def isolate(surroundings: Surroundings) -> Callable[[InstanceConfig], Configured]:
            return Processes(surroundings, catalogue, folder=folder).isolate

        async with site(folder, *configs, limits=QUICK, mode=mode, isolate=isolate) as here:
            endpoint = Endpoint()
            public = here.surroundings.public
            apps = Apps(here.launcher, catalogue, logs, here.surroundings.connections, None)
            hello = Hello(API_VERSION, program, mode, public, os.getpid(), time.time(), ())
            served = Served(here, endpoint, Process(hello), Network(public), Config(), public)
            endpoint.offer("process", ProcessAPI, served.process)
            endpoint.offer("apps", AppsAPI, apps)
            endpoint.offer("events", EventsAPI, Events(here.events))
            if mode is RunMode.VISOR_APP:
                endpoint.offer("network", NetworkAPI, served.network)
                endpoint.offer("config", ConfigAPI, served.config)
            async with serving_locally(endpoint, socket), create_task_group() as task_group:
                yield served
                task_group.cancel_scope.cancel()
    finally:
        logger.removeHandler(logs)
        logger.setLevel(before)
        logs.close()


def findings() -> list[Finding]:
    """One of each colour."""
    return [
        Finding("dmsg", Severity.GREEN, "two servers", ""),
        Finding("clock", Severity.YELLOW, "it is 3 s late", "run an NTP client"),
        Finding("disk", Severity.RED, "it is full\x1b[2J", "make room"),
    ]
