"""What a process with an app and the process that supervises it ask of each other: the protocol of app processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, final

from skywire.app.api import FacilityInfo
from skywire.app.run_mode import RunMode
from skywire.app.status import AppStatus
from skywire.keys import PubKey
from skywire.net.address import Address, HostPort

PROTOCOL_VERSION: Final = 1
"""Of these interfaces, and of what goes over the link."""

HOST_LANE: Final = 1
"""Number of the socket on which the app's process calls :class:`HostAPI`, under the prefix ``host``."""
INSTANCE_LANE: Final = 2
"""Number of the socket on which it is called: :class:`InstanceAPI`, under the prefix ``instance``."""
VISOR_LANE: Final = 3
"""Number of the socket on which it calls the visor's own interfaces, if its definition names them."""
FIRST_NUMBER: Final = 16
"""The lowest number that the app's process may choose, for what it serves, dials and listens on."""

MAX_LANE_MESSAGE: Final = 1 << 20
"""Bytes of the longest message between the two."""
MAX_CONNS: Final = 1024
"""Connections of one process at a time."""
MAX_SERVED: Final = 64
"""Ports that one process serves at a time."""
MAX_LISTENING: Final = 64
"""Local listeners of one process at a time."""
MAX_DIALS: Final = 32
"""Dials of one process under way at a time."""
MAX_LINES: Final = 256
"""Lines of log in one call."""
MAX_LINE: Final = 16384
"""Characters of one of them; the rest is cut off."""
RELAYED: Final = "skywire_relayed"
"""The mark of log records that came from another process, so that none goes round and round."""
MAX_TEXT: Final = 1024
"""Characters of any other text that is shown to people: a label, a trouble, a fact."""
MAX_FACTS: Final = 64
"""Facts of one status."""
MAX_STREAMS: Final = 64
"""Streaming commands of one process that are under way at a time."""
MAX_ITEMS: Final = 256
"""Items of a stream in one answer."""


@final
@dataclass(frozen=True, slots=True)
class Assignment:
    """What a process is to run, and where.

    Args:
        version: of the protocol.
        name: of the instance.
        definition: name of the definition.
        place: of the definition, as ``module:attribute``.
        mode: as which it runs.
        public: the key that peers see.
        options: of the definition's class, as JSON; those that differ from the defaults, secrets included.
        ports: numbers that replace those of the definition.
        networks: names of those that it can dial on.
        facilities: what there is.
        data: the folder below which the instance has one of its own name.
        log_level: lines below it are not wanted.
    """

    version: int
    name: str
    definition: str
    place: str
    mode: RunMode
    public: PubKey
    options: Mapping[str, object]
    ports: Mapping[str, int]
    networks: tuple[str, ...]
    facilities: tuple[FacilityInfo, ...]
    data: Path
    log_level: int


@final
@dataclass(frozen=True, slots=True)
class ConnFacts:
    """The first record of each connection that is handed over.

    Args:
        local: this node's end.
        remote: the peer, whose key is proven.
        half_close: whether one direction can end alone.
    """

    local: Address
    remote: Address
    half_close: bool


@final
@dataclass(frozen=True, slots=True)
class RemoteLine:
    """A line of log.

    Args:
        level: as in :mod:`logging`.
        logger: through which it went.
        text: what was said.
    """

    level: int
    logger: str
    text: str


@final
@dataclass(frozen=True, slots=True)
class StreamPart:
    """Items of a stream that is under way.

    Args:
        items: the next ones, as JSON.
        over: whether no more will come.
    """

    items: tuple[object, ...]
    over: bool


class HostAPI(Protocol):
    """What an app in a process of its own asks of its host. All numbers are chosen by the app's process, each once."""

    async def serve(self, number: int, port: int, label: str, peers: tuple[PubKey, ...] | None, hidden: bool) -> None:
        """Serve a port; its connections are handed over under this number.

        Args:
            number: new, 16 or more.
            port: 1 to 65535.
            label: what it is, for people.
            peers: the keys that are admitted; null for all.
            hidden: whether it is left out of public lists.
        """
        ...

    async def unserve(self, number: int) -> None:
        """Serve it no more; returns when its connections have ended, as the host gives them time to."""
        ...

    async def dial(self, number: int, address: Address, timeout: float) -> None:
        """Connect to a peer; the connection is handed over under this number before the answer comes."""
        ...

    async def listening(self, number: int, addresses: tuple[HostPort, ...], label: str) -> None:
        """Tell that the app listens on local TCP ports, so that people see them."""
        ...

    async def not_listening(self, number: int) -> None:
        """Tell that it does not any more."""
        ...

    async def report(self, status: AppStatus) -> None:
        """Tell how the app is."""
        ...

    async def log(self, lines: tuple[RemoteLine, ...], dropped: int) -> None:
        """Add to the log of the instance.

        Args:
            lines: up to 256.
            dropped: how many before them were lost.
        """
        ...

    async def failed(self, reason: str) -> None:
        """Tell why the app has failed, before the process ends."""
        ...


class InstanceAPI(Protocol):
    """What is asked of an app in a process of its own."""

    async def start(self, assignment: Assignment) -> None:
        """Run; returns when the app has reported that it serves. The first call, and only once."""
        ...

    async def stop(self) -> None:
        """Have the app end; returns when it has. The process then ends the link."""
        ...

    async def facilities(self, facilities: tuple[FacilityInfo, ...]) -> None:
        """Tell what has changed in what there is."""
        ...

    async def call(self, command: str, arguments: Mapping[str, object]) -> object:
        """Answer a command of the app."""
        ...

    async def open_stream(self, number: int, command: str, arguments: Mapping[str, object]) -> None:
        """Begin to answer a streaming command; the number is new."""
        ...

    async def next_items(self, number: int) -> StreamPart:
        """Wait for the next items of a stream."""
        ...

    async def close_stream(self, number: int) -> None:
        """Nobody wants more of it."""
        ...
