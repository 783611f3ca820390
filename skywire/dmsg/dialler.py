"""Opens streams to peers: by any server that has them, one after the other.

Source: protocol-dmsg.md section 5.2.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final, final

from anyio import aclose_forcefully, current_effective_deadline, current_time, fail_after

from skywire.dmsg.discovery.contract import Discovery
from skywire.dmsg.entries import EntryCache
from skywire.dmsg.errors import DmsgRefused, DmsgUnreachable, SessionOver
from skywire.dmsg.limits import Limits
from skywire.dmsg.places import ServerPlace, place_of
from skywire.dmsg.pool import SessionPool
from skywire.dmsg.ports import EphemeralPorts, NoPortLeft
from skywire.dmsg.session import ClientSession
from skywire.dmsg.stream_handshake import IPAddress, request_ip, request_stream
from skywire.errors import NetworkError, ProtocolError
from skywire.keys import PubKey, SecKey
from skywire.net.address import Address
from skywire.net.conn import Owner
from skywire.net.errors import DialError, DialTimeout, HandshakeAborted
from skywire.net.record_conn import RecordConn
from skywire.wire.dmsg_errors import DmsgError, ErrorCode
from skywire.wire.entry import Entry

_log: Final = logging.getLogger("skywire.dmsg")

LEAST_SECONDS: Final = 5.0
"""For one server at least, when several have to share the time of a dial."""


class ServerFailed(NetworkError):
    """A server could not be reached, or its session ended; another one may do."""


@final
class Dialler:
    """Makes connections.

    Args:
        identity: our key.
        discovery: knows servers, for look-ups of our address.
        entries: knows peers and servers.
        pool: makes sessions.
        limits: times and counts.
    """

    def __init__(
        self, identity: SecKey, discovery: Discovery, entries: EntryCache, pool: SessionPool, limits: Limits
    ) -> None:
        self._identity = identity
        self._discovery = discovery
        self._entries = entries
        self._pool = pool
        self._limits = limits
        self._ports = EphemeralPorts()

    async def dial(self, address: Address, owner: Owner) -> RecordConn:
        """Open a stream. The caller limits the time.

        Raises:
            DialError: one of its subclasses.
        """
        entry = self._entries.known(address.pk)
        if entry is not None:
            try:
                return await self._dial_by(entry, address, owner)
            except (DialError, TimeoutError) as error:
                # What is remembered may be outdated.
                self._entries.drop(address.pk)
                if isinstance(error, TimeoutError) and current_time() >= current_effective_deadline():
                    raise
                fresh = await self._fetch(address)
                if fresh == entry:
                    raise
                entry = fresh
        else:
            entry = await self._fetch(address)
        try:
            return await self._dial_by(entry, address, owner)
        except (DialError, TimeoutError):
            self._entries.drop(address.pk)
            raise

    async def public_ip(self, servers: Iterable[PubKey]) -> IPAddress:
        """Ask one of the servers, or any when none is named, from which address it sees us.

        Raises:
            NetworkError: none could tell.
        """
        failures: list[str] = []
        for server in list(servers) or await self._any_servers():
            try:
                session = await self._session(server)
                with fail_after(self._limits.stream_handshake_seconds):
                    return await self._ask_ip(session)
            except (NetworkError, ProtocolError, TimeoutError) as error:
                failures.append(f"{server}: {str(error) or 'no answer in time'}")
        raise NetworkError(f"no server told our address: {'; '.join(failures) or 'there is none'}")

    async def _any_servers(self) -> list[PubKey]:
        live = [session.server for session in self._pool]
        if live:
            return live
        entries = await self._discovery.available_servers()
        for entry in entries:
            self._entries.remember(entry)
        return [entry.static for entry in entries if entry.static is not None]

    async def _ask_ip(self, session: ClientSession) -> IPAddress:
        port = self._ports.take()
        stream = None
        try:
            stream = await session.open_stream()
            return await request_ip(stream, session.seal, self._identity, port, session.server)
        finally:
            self._ports.free(port)
            if stream is not None:
                await aclose_forcefully(stream)

    async def _fetch(self, address: Address) -> Entry:
        """The entry of a peer.

        Raises:
            DmsgUnreachable: there is none, or the discovery does not say.
        """
        try:
            entry = await self._entries.fetch(address.pk)
        except (NetworkError, ProtocolError) as error:
            raise DmsgUnreachable(address, ErrorCode.ENTRY_NOT_FOUND, str(error)) from error
        if entry is None:
            raise DmsgUnreachable(address, ErrorCode.ENTRY_NOT_FOUND)
        return entry

    async def _dial_by(self, entry: Entry, address: Address, owner: Owner) -> RecordConn:
        """Open a stream by the servers that an entry names, those first with which there is a session."""
        if entry.client is None:
            raise DmsgUnreachable(address, ErrorCode.ENTRY_NOT_CLIENT)
        servers = list(dict.fromkeys(entry.client.delegated_servers or ()))
        if not servers:
            raise DmsgUnreachable(address, ErrorCode.NO_DELEGATED_SERVERS)
        servers.sort(key=lambda server: self._pool.get(server) is None)
        failures: list[DialError] = []
        for left, server in zip(range(len(servers), 0, -1), servers, strict=True):
            share = max((current_effective_deadline() - current_time()) / left, LEAST_SECONDS)
            try:
                with fail_after(min(share, self._limits.stream_handshake_seconds)):
                    return await self._dial_through(server, address, owner)
            except TimeoutError:
                if current_time() >= current_effective_deadline():
                    raise
                failures.append(DialTimeout(address, f"no answer through server {server} in time"))
            except DialError as error:
                failures.append(error)
            _log.debug("%s", failures[-1])
        # What a server said of the peer tells more than that another one was not reached.
        raise max(failures, key=lambda error: (isinstance(error, DmsgRefused), isinstance(error, DialTimeout)))

    async def _dial_through(self, server: PubKey, address: Address, owner: Owner) -> RecordConn:
        for is_last in (False, True):
            try:
                return await self._open(await self._session(server), address, owner)
            except ServerFailed as error:
                raise DmsgUnreachable(address, ErrorCode.NO_SERVER_REACHABLE, str(error)) from error
            except SessionOver as error:
                # It may have died unnoticed, or its first bytes came too early for the server: another one is tried.
                if is_last:
                    raise DmsgUnreachable(address, ErrorCode.SESSION_CLOSED, str(error)) from error
        raise AssertionError("the last try returns or raises")

    async def _session(self, server: PubKey) -> ClientSession:
        session = self._pool.get(server)
        if session is not None:
            return session
        known = self._entries.known(server)
        place = _place(server, known) if known else await self._fetch_place(server)
        try:
            return await self._connect(place)
        except ServerFailed:
            # What is remembered may be outdated.
            if known is None or (moved := await self._fetch_place(server)) == place:
                raise
            return await self._connect(moved)

    async def _fetch_place(self, server: PubKey) -> ServerPlace:
        try:
            entry = await self._entries.fetch(server)
        except (NetworkError, ProtocolError) as error:
            raise ServerFailed(f"server {server}: {ErrorCode.ENTRY_NOT_FOUND.text}: {error}") from error
        if entry is None:
            raise ServerFailed(f"server {server}: {ErrorCode.ENTRY_NOT_FOUND.text}")
        return _place(server, entry)

    async def _connect(self, place: ServerPlace) -> ClientSession:
        try:
            return await self._pool.connect(place)
        except (OSError, NetworkError, ProtocolError) as error:
            self._entries.drop(place.key)
            raise ServerFailed(f"server {place.key} at {place.where}: {str(error) or 'no answer in time'}") from error

    async def _open(self, session: ClientSession, address: Address, owner: Owner) -> RecordConn:
        try:
            port = self._ports.take()
        except NoPortLeft as error:
            raise DmsgUnreachable(address, ErrorCode.PORT_OCCUPIED, str(error)) from error
        try:
            stream = await session.open_stream(lambda: self._ports.free(port))
        except BaseException:
            self._ports.free(port)
            raise
        try:
            agreed = await request_stream(stream, session.seal, self._identity, port, address.pk, address.port)
            return RecordConn(
                stream,
                agreed.keys,
                local=Address(address.network, self._identity.public, port),
                remote=address,
                owner=owner,
                half_close=False,
                received=agreed.received,
                post_quantum=agreed.post_quantum,
            )
        except BaseException as error:
            await aclose_forcefully(stream)
            if isinstance(error, HandshakeAborted):
                raise DmsgRefused(
                    address, ErrorCode.REJECTED, "it is not there any more, or nothing listens on that port"
                ) from error
            if isinstance(error, DmsgError):
                raise DmsgRefused(address, error.code, error.cause) from error
            if isinstance(error, ProtocolError):
                raise DmsgRefused(address, ErrorCode.RESPONSE_SIGNATURE, str(error)) from error
            raise


def _place(server: PubKey, entry: Entry) -> ServerPlace:
    place = place_of(entry)
    if place is None:
        raise ServerFailed(f"server {server}: {ErrorCode.ENTRY_NOT_SERVER.text}, or without a usable address")
    return place
