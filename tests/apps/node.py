"""A node for apps that ask the visor: real apps, logs and events; what needs networks and files is made up."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from skywire.app.api import (
    FacilityInfo,
    Finding,
    Grant,
    Hello,
    ListeningPort,
    NodeInfo,
    ServedPort,
    VisorAPI,
    Warned,
)
from skywire.app.catalogue import Catalogue
from skywire.app.facility import VISOR_API, Facilities
from skywire.app.interface import Role
from skywire.app.logs import AppLogs, LogLine
from skywire.app.ownership import on_behalf_of
from skywire.app.run_mode import RunMode
from skywire.control.apps import Apps, Events
from skywire.keys import PubKey, SecKey
from skywire.net.conn import CORE
from tests.app.site import Site, definition, instance, site

NODE = SecKey.generate().public
RELAY = SecKey.generate().public
STARTED = 1_700_000_000.0
MEMORY = 64 << 20


@dataclass
class Process:
    """See :class:`skywire.app.api.ProcessAPI`."""

    logs: AppLogs

    async def hello(self) -> Hello:
        return Hello(1, "skywire 0.1.0", RunMode.VISOR_APP, NODE, 1, STARTED, ())

    async def log(self, since: float = 0.0, level: int = 0, last: int | None = None) -> tuple[LogLine, ...]:
        return tuple(await self.logs.read(CORE.name, since=since, level=level, last=last))

    async def follow_log(self, level: int = 0) -> AsyncIterator[LogLine]:
        with self.logs.follow(CORE.name) as follower:
            while True:
                line, _ = await follower.next()
                if line.level >= level:
                    yield line

    async def tasks(self) -> tuple[str, ...]:
        return ()

    async def halt(self, knowing: bool = False) -> None:
        raise AssertionError("no app halts its node")


@dataclass
class Network:
    """See :class:`skywire.app.api.NetworkAPI`."""

    served: tuple[ServedPort, ...] = (
        ServedPort(("dmsg",), 1, "chat", "skychat", hidden=False, connections=2),
        ServedPort(("dmsg",), 6060, "debug", "debug", hidden=True, connections=0),
    )

    async def info(self) -> NodeInfo:
        facility = FacilityInfo("dmsg", "the dmsg network", None, None)
        return NodeInfo(NODE, "0.1.0", STARTED, "/etc/secret-place.json", "/var/secret", (facility,), (RELAY,), MEMORY)

    async def ports(self) -> tuple[ServedPort, ...]:
        return self.served

    async def listeners(self) -> tuple[ListeningPort, ...]:
        return (ListeningPort("127.0.0.1", 8001, "page", "skychat"),)

    async def doctor(self) -> tuple[Finding, ...]:
        return ()

    async def ping(self, key: PubKey) -> float:
        return 0.1

    async def public_ip(self) -> str:
        return "192.0.2.1"


@dataclass
class Config:
    """See :class:`skywire.app.api.ConfigAPI`; the apps here do not look at it."""

    async def show(self) -> Mapping[str, object]:
        return {}

    async def warnings(self) -> tuple[Warned, ...]:
        return ()

    async def grants(self) -> tuple[Grant, ...]:
        return ()

    async def grant(self, key: PubKey, role: Role, knowing: bool = False) -> None:
        raise AssertionError("no app grants anything")

    async def revoke(self, key: PubKey, knowing: bool = False) -> None:
        raise AssertionError("no app revokes anything")

    async def set_log_level(self, level: str) -> None:
        raise AssertionError("no app changes this")


@dataclass
class Node:
    """What there is."""

    visor: VisorAPI
    facilities: Facilities
    site: Site

    def say(self, name: str, text: str, level: int = logging.INFO) -> None:
        """Write a line into the log of an instance, or of ``core``."""
        logger = logging.getLogger("skywire.test.sayings")
        logger.setLevel(logging.DEBUG)
        if name == CORE.name:
            logger.log(level, "%s", text)
        else:
            with on_behalf_of(name):
                logger.log(level, "%s", text)


@asynccontextmanager
async def node(folder: Path, *names: str) -> AsyncIterator[Node]:
    """A visor with apps of these names that run, while the block runs."""
    logs = AppLogs(folder / "log")
    logging.getLogger().addHandler(logs)
    try:
        async with site(folder, *(instance(definition(name)) for name in names)) as here:
            for name in names:
                await here.until(name, "running")
            apps = Apps(here.launcher, Catalogue({}, []), logs, here.surroundings.connections, None)
            visor = VisorAPI(Process(logs), apps, Network(), Config(), Events(here.events))
            facilities = Facilities()
            facilities.provide(VISOR_API, visor)
            yield Node(visor, facilities, here)
    finally:
        logging.getLogger().removeHandler(logs)
        logs.close()
