"""What the dmsg tools share: their options, the way into the network, and how they fail."""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import httpx
from anyio import move_on_after
from cyclopts import Parameter

from skywire import runtime
from skywire.cli.identity import identity_from
from skywire.cli.program import NotReached, UsageError, reason_of
from skywire.dmsg.discovery.contract import Discovery, DiscoveryUnreachable
from skywire.dmsg.discovery.direct import DirectDiscovery
from skywire.dmsg.discovery.http_client import TIMEOUT_SECONDS, HttpDiscovery
from skywire.dmsg.errors import SessionOver
from skywire.dmsg.network import DMSG, DmsgNetwork
from skywire.errors import InvalidAddress, InvalidKey, SkywireError
from skywire.keys import PubKey, SecKey
from skywire.net.address import Address, HostPort
from skywire.net.network import DialOptions
from skywire.wire.entry import Entry, ServerPart

DISC_VARIABLE: Final = "SKYWIRE_DMSG_DISC"
"""The environment variable with the address of the discovery."""
KEY_VARIABLE: Final = "SKYWIRE_DMSG_SK"
"""The environment variable with the secret key."""
SETTLE_SECONDS: Final = 60.0
"""For what was sent to reach the servers before a tool leaves."""
CONCURRENCY: Final = 16
"""Servers or peers that are asked at the same time."""

_log: Final = logging.getLogger("skywire.cli.dmsg")


class FileFailed(SkywireError):
    """A local file or stream cannot be read or written."""


@Parameter(name="*")
@dataclass(frozen=True)
class Options:
    """The options of every tool.

    Parameters
    ----------
    disc:
        The discovery, as http://HOST:PORT; or set SKYWIRE_DMSG_DISC.
    server:
        A server to use instead of a discovery, as KEY@HOST:PORT. May be repeated; everyone is then taken to be on
        these servers.
    key_file:
        The file with our secret key. Without it, the key is in SKYWIRE_DMSG_SK, or a new one is made.
    passphrase_file:
        The first line of this file opens the key file; else it is asked for.
    timeout:
        Seconds to connect, 20 unless given, and to wait for each answer; for who listens, to be reachable.
    verbose:
        Tell more; -vv tells everything.
    quiet:
        Tell nothing but results and errors.
    """

    disc: Annotated[str | None, Parameter(name=["--disc", "-D"])] = None
    server: Annotated[tuple[str, ...], Parameter(name="--server", negative="", show_default=False)] = ()
    key_file: Path | None = None
    passphrase_file: Path | None = None
    timeout: float | None = None
    verbose: Annotated[int, Parameter(name=["--verbose", "-v"], count=True, show_default=False)] = 0
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative="")] = False

    def connection(self) -> Connection:
        """What the options say.

        Raises:
            UsageError: they make no sense, or do not say how to get into the network.
            KeyFileError: the key file cannot be used.
        """
        if self.timeout is not None and not 0 < self.timeout < math.inf:
            raise UsageError("--timeout is above 0 seconds")
        way = way_in(self.disc, self.server)
        identity = identity_from(self.key_file, self.passphrase_file, KEY_VARIABLE) or SecKey.generate()
        return Connection(identity, way, self.timeout, self.quiet)


DEFAULTS: Final = Options()
"""No option given."""


@dataclass(frozen=True)
class WayIn:
    """How to get into the network.

    Args:
        url: of the discovery; empty when there is none.
        servers: entries of the servers to use without one.
    """

    url: str = field(repr=False)
    servers: tuple[Entry, ...]

    @property
    def sessions(self) -> int:
        """Servers to be reachable through unless said otherwise: one that a discovery knows, or all that are named."""
        return 0 if self.servers else 1

    @asynccontextmanager
    async def discovery(self, timeout: float = TIMEOUT_SECONDS) -> AsyncIterator[Discovery]:
        """The discovery, until the block ends.

        Args:
            timeout: seconds for each answer.
        """
        if self.servers:
            yield DirectDiscovery(self.servers)
            return
        try:
            http = HttpDiscovery(self.url, timeout=timeout)
        except ValueError as error:
            raise UsageError(f"the address of the discovery: {error}") from None
        async with http:
            yield http


def way_in(disc: str | None, server: tuple[str, ...]) -> WayIn:
    """What the options say, and the environment.

    Raises:
        UsageError: they do not say how to get into the network, or it makes no sense.
    """
    if disc and server:
        raise UsageError("either a discovery finds the servers or they are named: use --disc or --server, not both")
    servers = tuple(server_entry(text) for text in server)
    url = disc or ("" if servers else os.environ.get(DISC_VARIABLE, ""))
    if not (servers or url):
        raise UsageError(
            "there is no way into the network yet: name a discovery with --disc http://<host>:<port> or in "
            f"{DISC_VARIABLE}, or servers with --server <public key>@<host>:<port>"
        )
    if url and not url.startswith(("http://", "https://")):
        raise UsageError("a discovery is reached by http:// or https://")
    return WayIn(url, servers)


@dataclass(frozen=True)
class Connection:
    """How a tool gets into the network.

    Args:
        identity: its key.
        way: to where others are looked up.
        timeout: seconds; None for the default of whatever has one.
        quiet: whether to tell nothing but results and errors.
    """

    identity: SecKey = field(repr=False)
    way: WayIn
    timeout: float | None
    quiet: bool

    @property
    def dial_options(self) -> DialOptions:
        """How to dial."""
        return DialOptions() if self.timeout is None else DialOptions(timeout=self.timeout)

    @property
    def servers(self) -> tuple[Entry, ...]:
        """Entries of the servers to use without a discovery."""
        return self.way.servers

    @property
    def shown_url(self) -> str:
        """The address of the discovery without who asks it."""
        return str(httpx.URL(self.way.url).copy_with(userinfo=b""))

    @asynccontextmanager
    async def discovery(self) -> AsyncIterator[Discovery]:
        """The discovery, until the block ends."""
        async with self.way.discovery(TIMEOUT_SECONDS if self.timeout is None else self.timeout) as discovery:
            yield discovery

    @asynccontextmanager
    async def network(self, *, sessions: int | None = None) -> AsyncIterator[DmsgNetwork]:
        """The network, until the block ends.

        Args:
            sessions: servers to be reachable through; when None, one that a discovery knows, or all that are named.
        """
        if sessions is None:
            sessions = self.way.sessions
        async with (
            self.discovery() as discovery,
            DmsgNetwork(self.identity, discovery, min_sessions=sessions) as network,
        ):
            yield network

    def tell(self, text: str) -> None:
        """Tell the user something that is no result."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)


def run(options: Options, tool: Callable[[Connection], Awaitable[None]]) -> None:
    """Run a tool to its end.

    Raises:
        SkywireError: the most telling one of those with which it failed.
        OSError: its output cannot be written.
    """
    connection = options.connection()
    level = logging.ERROR if options.quiet else (logging.WARNING, logging.INFO, logging.DEBUG)[min(options.verbose, 2)]
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("skywire").setLevel(level)
    try:
        runtime.run(tool, connection)
    except Exception as error:
        _log.debug("the tool failed", exc_info=error)
        reason = reason_of(error)
        if isinstance(reason, DiscoveryUnreachable):
            raise NotReached(str(reason)) from error
        raise


async def settle(network: DmsgNetwork) -> None:
    """Wait until the servers have all that was sent to them; a session that ends breaks its streams by itself.

    Raises:
        NotReached: not in time.
    """
    with move_on_after(SETTLE_SECONDS):
        for session in network.sessions:
            # The first ping overtakes what waits to be written; when it is answered that has been written.
            pings = 2
            while pings and session.usable:
                with suppress(SessionOver):
                    await session.ping()
                    pings -= 1
        return
    raise NotReached(f"the servers have not taken within {SETTLE_SECONDS:g} s what was sent")


def peer_address(text: str, *, default_port: int | None = None) -> Address:
    """The address of a peer: ``<key>:<port>`` or ``dmsg://<key>:<port>``, without a port where there is a default.

    Raises:
        UsageError: it is none.
    """
    text = text.removeprefix(f"{DMSG}://").removesuffix("/")
    if default_port is not None and ":" not in text:
        text = f"{text}:{default_port}"
    try:
        return Address.parse(f"{DMSG}://{text}")
    except InvalidAddress as error:
        raise UsageError(str(error)) from None


def printable(text: str) -> str:
    """A text of somebody else, without what could command a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def public_key(text: str) -> PubKey:
    """A key that was given as an argument.

    Raises:
        UsageError: it is none.
    """
    try:
        return PubKey.from_hex(text)
    except InvalidKey as error:
        raise UsageError(f"{text[:100]!r}: {error}") from None


def server_entry(text: str) -> Entry:
    """The entry of a server that is given as ``<public key>@<host>:<port>``.

    Raises:
        UsageError: it is not.
    """
    key, at, place = text.partition("@")
    if not at:
        raise UsageError(f"a server is <public key>@<host>:<port>, this is {text[:100]!r}")
    try:
        where = HostPort.parse(place)
    except InvalidAddress as error:
        raise UsageError(str(error)) from None
    return Entry(public_key(key), server=ServerPart(str(where), available_sessions=1))
