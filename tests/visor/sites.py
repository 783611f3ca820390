"""Visors for tests, on a dmsg network in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from skywire import SecKey
from skywire.app.api import AppsAPI, ConfigAPI, EventsAPI, Grant, NetworkAPI, ProcessAPI, VisorAPI
from skywire.app.catalogue import Catalogue
from skywire.app.limits import LauncherLimits
from skywire.app.record import InstanceConfig
from skywire.control.client import Client, connected
from skywire.control.over_dmsg import CONTROL_PORT
from skywire.dmsg.discovery.contract import Discovery
from skywire.dmsg.network import DmsgNetwork
from skywire.errors import SkywireError
from skywire.net.address import Address
from skywire.net.background import Background
from skywire.net.conn import CORE, Owner
from skywire.net.memory import MEMORY, conn_pair
from skywire.visor.blueprint import Blueprint, Book
from skywire.visor.visor import Visor, running
from tests.dmsg.relaying import SWIFT

BUILT_IN = {
    "hello": "tests.app.test_definition:HELLO",
    "adder": "tests.app.adder:ADDER",
}


class FullDisk(SkywireError):
    """For a test."""


@dataclass
class Notes(Book):
    """Notes what is written down."""

    rows: dict[str, InstanceConfig] = field(default_factory=dict)
    values: dict[str, object] = field(default_factory=dict)
    full: bool = False
    path: Path = Path("/nowhere.json")

    async def put(self, config: InstanceConfig) -> None:
        self._write()
        self.rows[config.name] = config

    async def drop(self, name: str) -> None:
        self._write()
        self.rows.pop(name, None)

    async def set(self, key: str, value: object) -> None:
        self._write()
        self.values[key] = value

    async def unset(self, key: str) -> None:
        self._write()
        self.values.pop(key, None)

    def _write(self) -> None:
        if self.full:
            raise FullDisk("no space is left")


def blueprint(
    folder: Path,
    *configs: InstanceConfig,
    discovery: Discovery | None = None,
    identity: SecKey | None = None,
    grants: Iterable[Grant] = (),
    book: Book | None = None,
    sockets: Path | None = None,
    limits: LauncherLimits = LauncherLimits(),
) -> Blueprint:
    """A visor with these instances."""
    return Blueprint(
        identity=SecKey.generate() if identity is None else identity,
        discovery=discovery,
        local_path=folder,
        catalogue=Catalogue(BUILT_IN, []),
        instances={config.name: config for config in configs},
        book=book,
        grants=tuple(grants),
        sockets=sockets,
        launcher_limits=limits,
        dmsg_limits=SWIFT,
    )


def api_of(client: Client) -> VisorAPI:
    """All that a visor can be asked, through a connection."""
    return VisorAPI(
        process=client.of(ProcessAPI, "process"),
        apps=client.of(AppsAPI, "apps"),
        network=client.of(NetworkAPI, "network"),
        config=client.of(ConfigAPI, "config"),
        events=client.of(EventsAPI, "events"),
    )


@asynccontextmanager
async def calling(visor: Visor, key: SecKey | None = None) -> AsyncIterator[VisorAPI]:
    """Control a visor as somebody with that key would from afar, without a network; as itself without a key."""
    caller = visor.public if key is None else key.public
    near, far = conn_pair(
        Address(MEMORY, caller, 1), Owner("caller"), Address(MEMORY, visor.public, CONTROL_PORT), CORE
    )

    async def serve() -> None:
        async with far:
            await visor.answer(far)

    async with Background() as task_group:
        task_group.start_soon(serve)
        async with connected(near) as client:
            yield api_of(client)


@asynccontextmanager
async def calling_from_afar(discovery: Discovery, visor: Visor, key: SecKey) -> AsyncIterator[VisorAPI]:
    """Control a visor over dmsg."""
    async with DmsgNetwork(key, discovery, limits=SWIFT) as network:
        address = Address("dmsg", visor.public, CONTROL_PORT)
        async with connected(await network.dial(address, owner=Owner("caller"))) as client:
            yield api_of(client)


@asynccontextmanager
async def visor(folder: Path, *configs: InstanceConfig, book: Book | None = None) -> AsyncIterator[Visor]:
    """A visor without a network."""
    async with running(blueprint(folder, *configs, book=book)) as node:
        yield node
