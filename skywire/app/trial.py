"""Running one app in this process without any network: for its tests, and for a first try."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar, final

from skywire.app.connections import Connections
from skywire.app.definition import AppDef
from skywire.app.facility import Facilities
from skywire.app.host import Surroundings
from skywire.app.launcher import Launcher
from skywire.app.limits import RestartPolicy
from skywire.app.loaded import load
from skywire.app.port import PortSpec
from skywire.app.record import InstanceConfig, InstanceInfo
from skywire.app.registry import ServiceRegistry
from skywire.app.run_mode import RunMode
from skywire.errors import SkywireError
from skywire.keys import PubKey, SecKey
from skywire.net.address import Address
from skywire.net.background import Background
from skywire.net.conn import Conn, Owner
from skywire.net.errors import PeerRefused
from skywire.net.memory import MEMORY, conn_pair
from skywire.net.serving import serve_conn

O = TypeVar("O")  # noqa: E741 - short for options, as in the contract's text

CALLER: Final = Owner("trial")
"""Whom connections of a trial belong to."""
_PEER_PORT: Final = 49153
"""The far port that the app sees of a peer's connection."""


class TrialFailed(SkywireError):
    """The app did not come to serve; the text says why."""


@final
class Trial:
    """An app that runs, see :func:`trial`."""

    def __init__(
        self, name: str, public: PubKey, launcher: Launcher, registry: ServiceRegistry, facilities: Facilities
    ) -> None:
        self.facilities: Final = facilities
        """May be given and taken while it runs."""
        self.public: Final = public
        """The key of this node."""
        self._name = name
        self._launcher = launcher
        self._registry = registry

    @property
    def info(self) -> InstanceInfo:
        """How the instance is."""
        return self._launcher.get(self._name)

    @asynccontextmanager
    async def dial(self, port: PortSpec | int, *, peer: PubKey | None = None) -> AsyncIterator[Conn]:
        """Connect to a port of the app while the block runs.

        Args:
            port: one of the definition's, or a number.
            peer: who connects; this node itself unless given.

        Raises:
            PeerRefused: it does not serve it, or not to that peer.
        """
        number = port if isinstance(port, int) else port.overlay or port.tcp or 0
        if peer is None or peer == self.public:
            async with self._registry.self_dial(number, owner=CALLER) as conn:
                yield conn
            return
        address = Address(MEMORY, self.public, number)
        owner = self._registry.admit(MEMORY, number, peer)
        if owner is None:
            raise PeerRefused(address, f"{peer} is not admitted to that port")
        near, far = conn_pair(Address(MEMORY, peer, _PEER_PORT), CALLER, address, owner)
        async with Background() as task_group:
            task_group.start_soon(serve_conn, self._registry, far)
            async with near:
                yield near

    async def call(self, command: str, arguments: Mapping[str, object] | None = None) -> object:
        """Ask the instance, by a command of its own; arguments and answer are as JSON.

        Raises:
            NoSuchCommand: it does not answer it.
            SkywireError: what the app raises.
        """
        return await self._launcher.answers(self._name).call(command, arguments or {})

    async def restart(self) -> InstanceInfo:
        """End the instance, and run it again."""
        return await self._launcher.restart(self._name, knowing=True)


@asynccontextmanager
async def trial(
    definition: AppDef[O],
    options: O | None = None,
    *,
    mode: RunMode = RunMode.VISOR_APP,
    facilities: Facilities | None = None,
) -> AsyncIterator[Trial]:
    """Run an instance while the block runs, which begins when it serves.

    Args:
        definition: of the app.
        options: its defaults unless given.
        mode: as which it runs.
        facilities: what it is given; none unless given.

    Raises:
        DefinitionError: the definition breaks the contract.
        TrialFailed: the instance did not come to serve.
    """
    loaded = load(definition)
    public = SecKey.generate().public
    connections = Connections()
    registry = ServiceRegistry(public, connections)
    facilities = Facilities() if facilities is None else facilities
    with tempfile.TemporaryDirectory(prefix="skywire-trial-") as folder:
        launcher = Launcher(
            Surroundings(
                mode=mode,
                public=public,
                networks={},
                ports=registry,
                facilities=facilities,
                data=Path(folder),
                connections=connections,
            )
        )
        app = loaded.defaults() if options is None else loaded.bind(options)
        async with Background() as task_group:
            await task_group.start(launcher.run)
            info = await launcher.add(InstanceConfig(name=loaded.name, app=app, restart=RestartPolicy.NEVER))
            if not info.state.serving:
                raise TrialFailed(f"{loaded.name} is {info.state}: {info.reason}")
            yield Trial(loaded.name, public, launcher, registry, facilities)
