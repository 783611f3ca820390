"""The behaviour of the remote shell."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from anyio import Event
from anyio.abc import ByteStream, TaskStatus

from skywire.app import AppHost, NoOptions, RunMode
from skywire.apps.pty import (
    ALLOW,
    ALLOWED,
    CONFIRM,
    DENY,
    END,
    PTY,
    SESSIONS,
    WAY,
    AllowedKeys,
    Denied,
    Done,
    EndArguments,
    KeyArguments,
    PeerArguments,
    PtyOptions,
    SessionInfo,
    SessionList,
    Way,
    WayArguments,
)
from skywire.apps.pty.access import CONFIRM_SECONDS, Access
from skywire.apps.pty.page_serving import serving_terminals
from skywire.apps.pty.peers import address_of
from skywire.control.local import connect_locally, runtime_folder, serving_callers
from skywire.keys import PubKey
from skywire.net.address import TCP, Address
from skywire.net.conn import Conn
from skywire.netrpc import Caller, calling
from skywire.pty.errors import PtyError
from skywire.pty.far_calls import asked
from skywire.pty.far_program import Connect
from skywire.pty.gateway import Gateway
from skywire.pty.host import PtyHost
from skywire.pty.limits import SessionLimits
from skywire.pty.opening import ask
from skywire.pty.printable import printable
from skywire.pty.sessions import Sessions, hosting
from skywire.wire.pty import opening
from skywire.wire.pty.session import END_SESSION, SessionFacts
from skywire.wire.pty.session import SESSIONS as LIST_SESSIONS

if TYPE_CHECKING:
    from skywire.app.web import WebPage

ALLOWED_FILE: Final = "allowed.json"
"""Its name, in the folder of the app."""
_DMSG: Final = "dmsg"


async def serve(host: AppHost, options: PtyOptions, *, task_status: TaskStatus[None]) -> None:
    """Serve until cancelled."""
    limits = SessionLimits(options.per_key, options.sessions, keep_seconds=60.0 * options.keep_minutes)
    access = Access(host.data_dir / ALLOWED_FILE, host.public, options.allow)
    async with hosting(limits, host.log) as sessions:
        pty = _Pty(host, sessions, access)
        async with (
            host.serve(PTY, pty.serve, label="pty", peers=access),
            serving_callers(pty.socket, pty.gateway.serve),
            serving_terminals(host, options, pty.connect_to) as page,
        ):
            pty.answer()
            task_status.started()
            await pty.look_after(page)


@final
class _Pty:
    """One instance that runs."""

    def __init__(self, host: AppHost, sessions: Sessions, access: Access) -> None:
        self._host = host
        self._sessions = sessions
        self._access = access
        self._network = TCP if host.mode is RunMode.TCP_STANDALONE else _DMSG
        self._pty = PtyHost(sessions, host.log)
        self._change = Event()
        self.gateway: Final = Gateway(self._pty, host.public, self._dial, self._network, self, host.log)
        self.socket: Final = socket_path(host)
        sessions.watchers.append(self._tell)

    async def serve(self, conn: Conn) -> None:
        """Serve one connection."""
        await self._pty.serve(conn, conn.remote.pk, conn.network)

    async def look_after(self, page: WebPage | None) -> None:
        """Say how it is, until cancelled."""
        address = None if page is None else str(page.address)
        while True:
            self._host.report(self._access.trouble, sessions=len(self._sessions), socket=str(self.socket), page=address)
            await self._change.wait()

    def answer(self) -> None:
        """Answer the commands of the app from now on."""
        host = self._host

        async def tell_way(wanted: WayArguments) -> Way:
            return Way(str(self.socket), str(address_of(wanted.peer, self._network)))

        async def allowed(_: NoOptions) -> AllowedKeys:
            return AllowedKeys(self._access.all())

        host.answer(WAY, tell_way)
        host.answer(ALLOWED, allowed)
        host.answer(ALLOW, self._allow)
        host.answer(DENY, self._deny)
        host.answer(CONFIRM, self._confirm)
        host.answer(SESSIONS, self._list)
        host.answer(END, self._end)

    async def _allow(self, wanted: KeyArguments) -> Done:
        if await self._access.allow(wanted.key):
            self._host.log.warning("%s may run programs here from now on", wanted.key)
        self._tell()
        return Done()

    async def _deny(self, wanted: KeyArguments) -> Denied:
        has_sessions = bool(self._sessions.of(wanted.key))
        until = await self._access.deny(wanted.key, CONFIRM_SECONDS if has_sessions else None)
        self._host.log.warning("%s may not run programs here any more%s", wanted.key, ", for now" if until else "")
        self._tell()
        if not until:
            self._pty.dismiss(wanted.key)
            return Denied(0.0, f"{wanted.key} may not run programs here any more")
        return Denied(
            until,
            f"{wanted.key} has sessions here, and may again in {CONFIRM_SECONDS:g} s unless you say"
            f" `skywire app {self._host.name} confirm {wanted.key}`: this ends its sessions. Be sure"
            " that you do not need them to get in yourself.",
        )

    async def _confirm(self, wanted: KeyArguments) -> Done:
        if not self._access.is_denied_for_now(wanted.key):
            raise PtyError(f"there is nothing to confirm: {wanted.key} has not been denied, or it was too long ago")
        await self._access.deny(wanted.key, None)
        self._pty.dismiss(wanted.key)
        self._tell()
        return Done()

    async def _list(self, wanted: PeerArguments) -> SessionList:
        if not wanted.peer:
            return SessionList(tuple(_info(each.owner, each.facts) for each in self._sessions.all))
        async with self._far(wanted.peer) as caller:
            found = await asked(caller, LIST_SESSIONS, None)
        return SessionList(tuple(_info(self._host.public, each) for each in found))

    async def _end(self, wanted: EndArguments) -> Done:
        if wanted.peer:
            async with self._far(wanted.peer) as caller:
                await asked(caller, END_SESSION, wanted.session)
            return Done()
        for each in self._sessions.all:
            if each.id == wanted.session:
                each.end()
                return Done()
        raise PtyError(f"there is no session {wanted.session!r} here; see `skywire app {self._host.name} sessions`")

    def connect_to(self, peer: str) -> Connect:
        """What connects to the host that words name, this one for no words.

        Raises:
            NoPeer: they name none.
        """
        address = address_of(peer, self._network) if peer.strip() else None

        @asynccontextmanager
        async def connect() -> AsyncIterator[ByteStream]:
            connection = connect_locally(self.socket) if address is None else self._host.dial(address)
            async with await connection as stream:
                await ask(stream, opening.Request(opening.PTY))
                yield stream

        return connect

    @asynccontextmanager
    async def _far(self, peer: str) -> AsyncIterator[Caller]:
        async with self._dial(address_of(peer, self._network)) as stream:
            await ask(stream, opening.Request(opening.PTY))
            async with calling(stream) as caller:
                yield caller

    @asynccontextmanager
    async def _dial(self, address: Address) -> AsyncIterator[ByteStream]:
        async with await self._host.dial(address) as conn:
            yield conn

    def _tell(self) -> None:
        self._change.set()
        self._change = Event()

    # What upstream's programs ask of its list of keys.

    def keys(self) -> tuple[PubKey, ...]:
        """See :class:`skywire.pty.gateway.AllowList`."""
        return self._access.keys()

    async def add(self, keys: Iterable[PubKey]) -> None:
        """See :class:`skywire.pty.gateway.AllowList`."""
        there = [key for key in keys if not await self._access.allow(key)]
        self._tell()
        if there:
            raise PtyError(f"skipping append for {','.join(map(str, there))}. Already exists")

    async def remove(self, keys: Iterable[PubKey]) -> None:
        """See :class:`skywire.pty.gateway.AllowList`."""
        there, failures = {each.key for each in self._access.all()}, list[str]()
        for key in there.intersection(keys):
            try:
                await self._deny(KeyArguments(key))
            except PtyError as error:
                failures.append(str(error))
        if failures:
            raise PtyError("; ".join(failures))


def _info(key: PubKey, facts: SessionFacts) -> SessionInfo:
    return SessionInfo(facts.id, key, printable(facts.command), facts.started, facts.attached, facts.terminal)


def socket_path(host: AppHost) -> Path:
    """Where programs of this machine reach an instance: short, and one for each node and mode."""
    return runtime_folder() / "pty" / f"{host.name}-{host.mode}-{str(host.public)[:16]}.sock"
