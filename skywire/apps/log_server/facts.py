"""What the log server tells, as plain data. All but the health comes from the visor, where there is one."""

from __future__ import annotations

import time
from collections import Counter
from typing import TypeAlias, final

from skywire.app import VISOR_API, AppHost, FacilityAbsent, RunMode
from skywire.app.api import VisorAPI
from skywire.app.record import InstanceInfo
from skywire.app.typed_json import encode
from skywire.apps.log_server import HTTP
from skywire.version import __version__
from skywire.wire.discovery.answers import Health, answer_health

Json: TypeAlias = dict[str, object]
"""An object as JSON has it."""


@final
class Facts:
    """The facts of the node that a host belongs to."""

    def __init__(self, host: AppHost) -> None:
        self._host = host
        self._started = time.time()

    def visor(self) -> VisorAPI:
        """What knows the rest.

        Raises:
            FacilityAbsent: there is none.
        """
        host = self._host
        try:
            return host.facility(VISOR_API)
        except FacilityAbsent:
            if host.mode is RunMode.VISOR_APP:
                raise
            raise FacilityAbsent(f"{host.name} runs as {host.mode}, beside no visor that could tell this") from None

    async def health(self) -> bytes:
        """As upstream has it."""
        try:
            started = (await self.visor().process.hello()).started
        except FacilityAbsent:
            started = self._started
        return answer_health(Health(int(started * 10**9), version=__version__)).body

    async def services(self) -> list[Json]:
        """What this node serves for everybody to know."""
        try:
            ports = await self.visor().network.ports()
        except FacilityAbsent:
            return [{"port": self._host.port(HTTP), "label": self._host.name}]
        return [{"port": each.port, "label": each.label} for each in ports if not each.hidden]

    async def node_info(self) -> Json:
        """What this node is; the same until something changes."""
        info = await self.visor().network.info()
        return {
            "public_key": str(info.public),
            "skywire_version": info.version,
            "started_at": info.started,
            "dmsg_servers": [str(each) for each in info.servers],
            "facilities": encode(info.facilities),
        }

    async def stats(self) -> Json:
        """What this node does."""
        visor = self.visor()
        hello = await visor.process.hello()
        info = await visor.network.info()
        connections = Counter(each.owner for each in await visor.apps.connections())
        return {
            "uptime": max(0.0, time.time() - hello.started),
            "memory": info.memory,
            "connections": dict(sorted(connections.items())),
        }

    async def apps(self) -> object:
        """The app instances, with all that is known of them."""
        return encode(await self.visor().apps.list())

    async def rows(self) -> list[Json]:
        """The app instances, as the page shows them."""
        return [_row(each) for each in await self.visor().apps.list()]


def _row(info: InstanceInfo) -> Json:
    return {
        "name": info.name,
        "state": info.state.value,
        "ports": sorted(info.ports.values()),
        "wave": info.wave,
        "restarts": info.restarts,
        "since": info.since,
        "reason": info.reason,
    }
