"""What the outside gives an app: the same in every mode."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar, final

from skywire.app.command import Answers, Command, StreamCommand
from skywire.app.connections import Connections, Direction
from skywire.app.dependency import Dependencies
from skywire.app.facility import Facilities, Facility, FacilityAbsent
from skywire.app.local_ports import LocalPorts
from skywire.app.page_tokens import PageSessions
from skywire.app.port import PortSpec
from skywire.app.registry import Handler, Ports
from skywire.app.run_mode import MODE_RULES, RunMode
from skywire.app.status import AppStatus
from skywire.errors import SkywireError
from skywire.keys import PubKey
from skywire.net.address import TCP, Address, HostPort
from skywire.net.conn import Conn, Owner
from skywire.net.network import DialOptions, Network
from skywire.net.tcp import TcpListener

if TYPE_CHECKING:  # loaded only for apps that have a page
    from starlette.types import ASGIApp

    from skywire.app.web import WebPage

A = TypeVar("A")
R = TypeVar("R")
T = TypeVar("T")


class NotInThisMode(SkywireError):
    """An app asked for something that its run-mode does not have."""


@final
@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What all apps of a process share.

    Args:
        mode: of all of them.
        public: the key that they prove.
        networks: by name; those of the mode, as far as this process has them.
        ports: where ports are served.
        facilities: what else there is.
        data: the folder below which each app has one of its own.
        connections: all connections of apps.
        local_ports: all local ports of apps.
        page_sessions: those of browsers with the pages of apps.
    """

    mode: RunMode
    public: PubKey
    networks: Mapping[str, Network]
    ports: Ports
    facilities: Facilities
    data: Path
    connections: Connections
    local_ports: LocalPorts = field(default_factory=LocalPorts)
    page_sessions: PageSessions = field(default_factory=PageSessions)


@final
class AppHost:
    """What one app instance gets; made anew for each attempt to run.

    Args:
        name: of the instance; every connection carries it from its first byte.
        surroundings: what it shares with the others.
        depends: what it needs; no other facility is given to it.
        ports: numbers that the configuration sets, by the name of the port.
        drain: how long connections may go on when a port is given up, in seconds; asked at that moment.
    """

    def __init__(
        self,
        name: str,
        surroundings: Surroundings,
        depends: Dependencies,
        ports: Mapping[str, int],
        drain: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.name: Final = name
        self.mode: Final = surroundings.mode
        self.public: Final = surroundings.public
        """The key that peers see."""
        self.log: Final = logging.getLogger(f"skywire.app.{name}")
        """Whose lines are kept for this instance."""
        self.owner: Final = Owner(name)
        self.answers: Final = Answers()
        """What it answers, beside what all apps do."""
        self.reported = AppStatus()
        """What the app said last of itself."""
        self._surroundings = surroundings
        self._depends = depends
        self._ports = ports
        self._drain = drain
        self._served = 0

    @property
    def data_dir(self) -> Path:
        """A folder for the files of this instance; made when it is first asked for, for its owner alone."""
        folder = self._surroundings.data / self.name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def report(self, trouble: str | None, **facts: str | float | bool | None) -> None:
        """Say how this app is, from evidence.

        Args:
            trouble: what does not work, in one line; None when all does.
            facts: what else is worth knowing.
        """
        self.reported = AppStatus(trouble, facts)

    def port(self, spec: PortSpec) -> int:
        """The number of a port in this mode, as configured.

        Raises:
            NotInThisMode: the port is not served in this mode.
        """
        default = spec.tcp if self.mode is RunMode.TCP_STANDALONE else spec.overlay
        number = self._ports.get(spec.name, default)
        if number is None:
            raise NotInThisMode(f"{self.name} does not serve {spec.name!r} as {self.mode}")
        return number

    def serve(
        self,
        port: PortSpec | int,
        handler: Handler,
        *,
        label: str = "",
        peers: Container[PubKey] = frozenset(),
        hidden: bool = False,
    ) -> AbstractAsyncContextManager[None]:
        """Serve a port on every network of this mode while the block runs; its end ends the connections.

        Args:
            port: one of the definition's, or a number.
            handler: serves one connection to its end.
            label: what it is, for people; the app's name unless given.
            peers: the keys that are admitted; none but this node's own unless given.
            hidden: leave it out of public lists, and never forward to it.

        Raises:
            NotInThisMode: the port is not served in this mode.
            PortTaken: on entry, when somebody serves it.
        """
        return self._counted(
            self._surroundings.ports.serving(
                port if isinstance(port, int) else self.port(port),
                handler,
                label=label or self.name,
                owner=self.owner,
                peers=peers,
                networks=MODE_RULES[self.mode].networks,
                hidden=hidden,
                drain=self._drain,
            )
        )

    @property
    def serves(self) -> frozenset[str]:
        """The networks that it serves something on now."""
        return MODE_RULES[self.mode].networks if self._served else frozenset()

    def answer(self, command: Command[A, R], function: Callable[[A], Awaitable[R]]) -> None:
        """Answer a command of the definition from now on."""
        self.answers.add(command, function)

    def answer_stream(self, command: StreamCommand[A, R], function: Callable[[A], AsyncIterator[R]]) -> None:
        """Answer a streaming command of the definition from now on."""
        self.answers.add_stream(command, function)

    async def dial(self, address: Address, *, options: DialOptions = DialOptions()) -> Conn:
        """Connect to a peer, on behalf of this instance.

        Raises:
            NotInThisMode: this process has no such network.
            DialError: one of its subclasses says why.
        """
        network = self._surroundings.networks.get(address.network)
        if network is None:
            hint = f"; as {RunMode.TCP_STANDALONE} it would have" if address.network == TCP else ""
            raise NotInThisMode(f"{self.name} runs as {self.mode}, which has no {address.network} network{hint}")
        conn = await network.dial(address, owner=self.owner, options=options)
        self._surroundings.connections.add(conn, Direction.OUT)
        return conn

    def listen_local(self, where: HostPort, *, label: str = "") -> AbstractAsyncContextManager[TcpListener]:
        """Listen on a local TCP port while the block runs: the only way to open one.

        Raises:
            ListenError: it cannot be used.
        """
        return self._surroundings.local_ports.listen(where, owner=self.name, label=label or self.name)

    def serve_web(
        self, app: ASGIApp, where: HostPort, *, label: str = "page", inline_styles: bool = False
    ) -> AbstractAsyncContextManager[WebPage]:
        """Serve a page for people at this machine while the block runs, behind the one check of all pages.

        It is for asyncio.

        Args:
            app: an ASGI application; it sees no request that has not passed the check. Browsers find it in a folder,
                its ``root_path``, so that its links are relative.
            where: a loopback address; port 0 lets the system choose.
            label: what it is, for people.
            inline_styles: whether scripts of the page may make styles, as terminal emulators do.

        Raises:
            PageRefused: on entry, it is no loopback address, or the event loop is none of asyncio.
            ListenError: on entry, the address cannot be used; the text names the app that has it, if one has.
        """
        from skywire.app.web import serving_page

        surroundings = self._surroundings
        return serving_page(
            app,
            where,
            ports=surroundings.local_ports,
            session=surroundings.page_sessions.of(self.name, label),
            owner=self.name,
            label=label,
            inline_styles=inline_styles,
        )

    def facility(self, facility: Facility[T]) -> T:
        """What a facility gives.

        Raises:
            FacilityAbsent: it is not here, or the definition does not name it in its dependencies.
        """
        if facility not in (*self._depends.requires, *self._depends.wants):
            raise FacilityAbsent(f"{self.name} does not name {facility} among what it requires or wants")
        return self._surroundings.facilities.get(facility)

    @asynccontextmanager
    async def _counted(self, serving: AbstractAsyncContextManager[None]) -> AsyncIterator[None]:
        async with serving:
            self._served += 1
            try:
                yield
            finally:
                self._served -= 1
