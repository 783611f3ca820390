"""The command ``probe``: what of the network answers, and how fast."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from typing import Final, final

from anyio import CapacityLimiter, EndOfStream, create_task_group, fail_after
from rich.console import Console
from rich.table import Table
from rich.text import Text

from skywire.cli.dmsg.connection import CONCURRENCY, DEFAULTS, Connection, Options, printable, public_key, run
from skywire.cli.program import ExitCode, Json, show_json
from skywire.dmsg.control import CONTROL_PORT, ping
from skywire.dmsg.discovery.contract import Discovery
from skywire.dmsg.limits import Limits
from skywire.dmsg.mux import clock
from skywire.dmsg.mux_stream import MuxStream
from skywire.dmsg.network import DMSG, DmsgNetwork
from skywire.dmsg.places import place_of
from skywire.dmsg.session import ClientSession, open_session
from skywire.errors import NetworkError, ProtocolError
from skywire.keys import PubKey, SecKey
from skywire.net.address import Address
from skywire.net.conn import Owner
from skywire.wire.entry import Entry

OWNER: Final = Owner("probe")
PING_SECONDS: Final = 10.0
"""For a server or peer to answer a ping."""


def probe(*peers: str, as_json: Json = False, options: Options = DEFAULTS) -> None:
    """Tell which parts of the network answer, and how fast: discovery, servers, peers.

    Parameters
    ----------
    peers:
        Public keys of peers to ping, too.
    """
    keys = tuple(dict.fromkeys(public_key(text) for text in peers))
    report = _Report()

    async def tool(connection: Connection) -> None:
        async with connection.discovery() as discovery, connection.network() as network:
            await _Probe(connection, discovery, network, report).run(keys)

    run(options, tool)
    if as_json:
        show_json(asdict(report))
    else:
        _show(report)
    if not report.complete:
        sys.exit(ExitCode.UNREACHABLE)


@dataclass
class _DiscoveryFacts:
    url: str
    seconds: float | None = None
    error: str | None = None


@dataclass
class _ServerFacts:
    key: str
    address: str
    type: str
    free_sessions: int | None
    connect_seconds: float | None = None
    ping_seconds: float | None = None
    post_quantum: bool | None = None
    error: str | None = None


@dataclass
class _PeerFacts:
    key: str
    registered: bool | None = None
    servers: list[str] = field(default_factory=list)
    dial_seconds: float | None = None
    ping_seconds: float | None = None
    error: str | None = None


@dataclass
class _Report:
    """What is told; the fields are those of the JSON."""

    complete: bool = False
    discovery: _DiscoveryFacts | None = None
    servers: list[_ServerFacts] = field(default_factory=list)
    peers: list[_PeerFacts] = field(default_factory=list)


@final
class _Probe:
    def __init__(self, connection: Connection, discovery: Discovery, network: DmsgNetwork, report: _Report) -> None:
        self._connection = connection
        self._discovery = discovery
        self._network = network
        self._report = report
        self._limiter = CapacityLimiter(CONCURRENCY)

    async def run(self, peers: tuple[PubKey, ...]) -> None:
        """Fill the report."""
        report = self._report
        entries = await self._list_servers()
        async with create_task_group() as task_group:
            for entry in entries:
                task_group.start_soon(self._probe_server, entry, self._new_server(entry))
            for key in peers:
                report.peers.append(_PeerFacts(str(key)))
                task_group.start_soon(self._probe_peer, key, report.peers[-1])
        failed = [each for each in report.servers if each.error is not None]
        report.complete = (
            (report.discovery is None or report.discovery.error is None)
            and not (failed and (self._connection.servers or len(failed) == len(report.servers)))
            and bool(report.servers)
            and all(each.error is None for each in report.peers)
        )

    async def _list_servers(self) -> list[Entry]:
        if self._connection.servers:
            return list(self._connection.servers)
        facts = self._report.discovery = _DiscoveryFacts(self._connection.shown_url)
        started = clock()
        try:
            entries = await self._discovery.all_servers()
        except (NetworkError, ProtocolError) as error:
            facts.error = printable(str(error))
            return []
        facts.seconds = _rounded(clock() - started)
        return entries

    def _new_server(self, entry: Entry) -> _ServerFacts:
        part = entry.server
        facts = _ServerFacts(
            str(entry.static),
            "" if part is None else printable(part.address),
            "" if part is None else printable(part.server_type),
            None if part is None or self._connection.servers else part.available_sessions,
        )
        self._report.servers.append(facts)
        return facts

    async def _probe_server(self, entry: Entry, facts: _ServerFacts) -> None:
        place = place_of(entry)
        if place is None:
            facts.error = "its address is none"
            return
        seconds = self._connection.timeout
        limits = Limits() if seconds is None else Limits(connect_seconds=seconds, session_handshake_seconds=seconds)
        async with self._limiter:
            started = clock()
            try:
                # A key of its own: with ours, this session would end the one that the network has with this server.
                session = await open_session(place.key, place.where, SecKey.generate(), take=_refuse, limits=limits)
                facts.connect_seconds = _rounded(clock() - started)
                facts.post_quantum = session.post_quantum
                facts.ping_seconds = _rounded(await _ping_server(session, seconds or PING_SECONDS))
            except (OSError, NetworkError, ProtocolError) as error:
                facts.error = printable(str(error)) or "no answer in time"

    async def _probe_peer(self, key: PubKey, facts: _PeerFacts) -> None:
        async with self._limiter:
            try:
                entry = await self._discovery.entry(key)
                if not self._connection.servers:
                    facts.registered = entry is not None
                if entry is not None and entry.client is not None:
                    facts.servers = [str(server) for server in entry.client.delegated_servers or ()]
                started = clock()
                address = Address(DMSG, key, CONTROL_PORT)
                async with await self._network.dial(
                    address, owner=OWNER, options=self._connection.dial_options
                ) as conn:
                    facts.dial_seconds = _rounded(clock() - started)
                    facts.ping_seconds = _rounded(await ping(conn, timeout=self._connection.timeout or PING_SECONDS))
            except EndOfStream:
                facts.error = "it ended the stream instead of an answer"
            except (OSError, NetworkError, ProtocolError) as error:
                facts.error = printable(str(error)) or "no answer in time"


async def _ping_server(session: ClientSession, seconds: float) -> float:
    """The round trip of one ping; ends the session."""
    async with create_task_group() as task_group:
        task_group.start_soon(session.run)
        answer: float | NetworkError | TimeoutError
        try:
            with fail_after(seconds):
                answer = await session.ping()
        except (NetworkError, TimeoutError) as error:
            answer = error
        await session.aclose()
    if isinstance(answer, Exception):
        raise answer
    return answer


def _refuse(session: ClientSession, stream: MuxStream) -> None:
    stream.reset()


def _rounded(seconds: float) -> float:
    return round(seconds, 6)


def _show(report: _Report) -> None:
    console = Console()
    if report.discovery is not None:
        answer = report.discovery.error or _milliseconds(report.discovery.seconds)
        console.print(f"discovery {report.discovery.url}: {answer}", markup=False, highlight=False)
    table = Table("server", "address", "type", "free", "connect", "ping", "post-quantum")
    for server in report.servers:
        free = "" if server.free_sessions is None else str(server.free_sessions)
        times = (
            [server.error, ""] if server.error else map(_milliseconds, (server.connect_seconds, server.ping_seconds))
        )
        quantum = "" if server.post_quantum is None else "yes" if server.post_quantum else "no"
        table.add_row(*map(Text, (server.key, server.address, server.type, free, *times, quantum)))
    if report.servers:
        table.columns[0].overflow = table.columns[1].overflow = "fold"
        console.print(table)
    table = Table("peer", "servers", "dial", "ping")
    for peer in report.peers:
        times = _times(peer.error, peer.dial_seconds, peer.ping_seconds)
        table.add_row(*map(Text, (peer.key, "\n".join(peer.servers), *times)))
    if report.peers:
        table.columns[0].overflow = table.columns[1].overflow = "fold"
        console.print(table)


def _times(error: str | None, *seconds: float | None) -> list[str]:
    """Two cells of a table."""
    return [error, ""] if error is not None else [_milliseconds(each) for each in seconds]


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.1f} ms"
