"""The parts that every process with apps has, whoever owns the life cycle of these."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, final

from anyio import Event, move_on_after

from skywire.app.api import AppsAPI, EventsAPI, ProcessAPI
from skywire.app.connections import Connections
from skywire.app.events import EventBus
from skywire.app.facility import Facilities
from skywire.app.host import Surroundings
from skywire.app.local_ports import LocalPorts
from skywire.app.logs import AppLogs
from skywire.app.registry import ServiceRegistry
from skywire.app.run_mode import RunMode
from skywire.control.apps import Events
from skywire.control.local import LocalControlError, serving_locally
from skywire.control.process import Process
from skywire.control.server import Endpoint
from skywire.keys import PubKey
from skywire.net.network import Network

ANSWER_SECONDS: Final = 1.0
"""For callers to get the answers that are on their way when a process ends."""

_log: Final = logging.getLogger("skywire.core")


@final
class Core:
    """What a process with apps consists of, beside the networks, the launcher, and what is its own.

    Args:
        public: its key.
        mode: of all its apps.
        networks: by name; as far as it has them.
        folder: of its data.
        logs: what it and its apps say.
    """

    def __init__(
        self,
        public: PubKey,
        mode: RunMode,
        *,
        networks: Mapping[str, Network],
        folder: Path,
        logs: AppLogs,
    ) -> None:
        self.public: Final = public
        self.mode: Final = mode
        self.logs: Final = logs
        self.events: Final = EventBus()
        self.facilities: Final = Facilities()
        self.connections: Final = Connections()
        self.local_ports: Final = LocalPorts()
        self.registry: Final = ServiceRegistry(public, self.connections)
        self.endpoint: Final = Endpoint()
        """What can be called."""
        self.ended: Final = Event()
        """Set when the process is to end: somebody has asked for it, or it has nothing more to do."""
        self.surroundings: Final = Surroundings(
            mode=mode,
            public=public,
            networks=networks,
            ports=self.registry,
            facilities=self.facilities,
            data=folder / "apps",
            connections=self.connections,
            local_ports=self.local_ports,
        )

    def offer(self, process: Process, apps: AppsAPI, events: Events) -> None:
        """Let everything be called that all processes with apps can be asked."""
        self.endpoint.offer("process", ProcessAPI, process)
        self.endpoint.offer("apps", AppsAPI, apps)
        self.endpoint.offer("events", EventsAPI, events)

    @asynccontextmanager
    async def controlled(self, socket: Path) -> AsyncIterator[None]:
        """Be controlled by this user's processes while the block runs.

        A socket that cannot be made is logged, and costs no more. Who is being answered at the end still gets that.

        Args:
            socket: its path.
        """
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(serving_locally(self.endpoint, socket))
            except LocalControlError as error:
                _log.error("no control from this machine: %s", error)
            try:
                yield
            finally:
                with move_on_after(ANSWER_SECONDS, shield=True):
                    await self.endpoint.quiet()


@contextmanager
def keeping_logs(folder: Path) -> Iterator[AppLogs]:
    """Keep the log of each app, and of the process itself, while the block runs.

    Args:
        folder: of the files.
    """
    logs = AppLogs(folder)
    root = logging.getLogger()
    root.addHandler(logs)
    try:
        yield logs
    finally:
        root.removeHandler(logs)
        logs.close()
