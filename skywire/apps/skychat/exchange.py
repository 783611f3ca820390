"""What comes from peers goes to the store and is acknowledged then; what waits in the store goes to peers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, final

from anyio.abc import TaskGroup

from skywire.app import AppHost, NotInThisMode
from skywire.app.run_mode import MODE_RULES, RunMode
from skywire.apps.skychat import CHAT
from skywire.apps.skychat.access import Access, Pace
from skywire.apps.skychat.contract import ChatError
from skywire.apps.skychat.courier import Courier
from skywire.apps.skychat.database import StoreFull
from skywire.apps.skychat.edits import Incoming, Settled
from skywire.apps.skychat.limits import LinkLimits
from skywire.apps.skychat.link import Link, LinkBroken
from skywire.apps.skychat.links import Links
from skywire.apps.skychat.rows import Kind
from skywire.apps.skychat.store import Store
from skywire.errors import ProtocolError
from skywire.keys import PubKey
from skywire.net.address import Address
from skywire.net.conn import Conn
from skywire.net.errors import DialError
from skywire.net.network import DialOptions
from skywire.wire.skychat import Acked, BareText, Form, Seen, Written
from skywire.wire.skychat import Event as Said

_OVERLAYS: Final = ("dmsg", "skynet")
"""In the order in which they are tried."""
_MESSAGES: Final = BareText | Written
"""What takes room."""


class NoAddress(DialError):
    """Nothing says where a peer is."""

    def __init__(self, peer: PubKey) -> None:
        super(DialError, self).__init__(
            f"nothing says where {peer} is: it has to connect, or its address to stand in the option peers"
        )


@final
class Exchange:
    """See the module.

    Args:
        host: of the app.
        store: what is kept.
        access: who may write.
        peers: on TCP, where peers are that a connection is kept with.
        bare: the peers that spoke as in 2024 when they spoke last.
        limits: times and counts.
        tasks: runs connections that we dial, and couriers.
        got: is told of each message that a peer has got, by the peer and the id.
    """

    def __init__(
        self,
        host: AppHost,
        store: Store,
        access: Access,
        *,
        peers: Iterable[Address],
        bare: Iterable[PubKey],
        limits: LinkLimits,
        tasks: TaskGroup,
        got: Callable[[PubKey, str], None],
    ) -> None:
        self.links: Final = Links(host.public, limits)
        self._host = host
        self._log: logging.Logger = host.log
        self._store = store
        self._access = access
        self._addresses: Mapping[PubKey, Address] = {each.pk: each for each in peers if each.pk != host.public}
        self._bare = set(bare)
        self._limits = limits
        self._tasks = tasks
        self._got = got
        self._pace = Pace(limits.per_minute)
        self._couriers: dict[PubKey, Courier] = {}

    async def start(self) -> None:
        """Take up what waits, and the connections that are kept."""
        waited_for = await self._store.waited_for()
        for peer in (*waited_for, *(self._addresses if self._on_tcp else ())):
            self.wake(peer)

    def wake(self, peer: PubKey) -> None:
        """Something waits for a peer."""
        if (courier := self._couriers.get(peer)) is not None:
            courier.wake()
            return
        keep = self._on_tcp and peer in self._addresses
        made = Courier(peer, self._store, self, keep=keep, limits=self._limits, log=self._log)
        self._couriers[peer] = made
        self._tasks.start_soon(self._run_courier, made, peer)

    def trouble(self, peer: PubKey) -> str:
        """Why a peer cannot be reached; empty unless that was tried."""
        courier = self._couriers.get(peer)
        return "" if courier is None else courier.trouble

    async def serve(self, conn: Conn) -> None:
        """Serve a connection that a peer has made."""
        peer = conn.remote.pk
        if peer == self._host.public or not self._has_room(peer):
            return
        link = self._link(conn, dialled=False)
        self.links.add(link)
        if (courier := self._couriers.get(peer)) is not None:
            courier.connected()
        await self._run(link)

    def best(self, peer: PubKey) -> Link | None:
        """See :class:`skywire.apps.skychat.courier.Reach`."""
        return self.links.best(peer)

    def trim(self, peer: PubKey) -> None:
        """See :class:`skywire.apps.skychat.courier.Reach`."""
        self.links.trim(peer)

    async def dial(self, peer: PubKey) -> Link:
        """See :class:`skywire.apps.skychat.courier.Reach`."""
        link = self._link(await self._connect(peer), dialled=True)
        self.links.add(link)  # at once, or the next look would find none, and another would be made
        self._tasks.start_soon(self._run, link)
        return link

    async def settle(self, peer: PubKey, settled: Sequence[Settled]) -> None:
        """See :class:`skywire.apps.skychat.courier.Reach`."""
        await self._store.settle(peer, settled)
        for each in settled:
            self._settled(peer, each)

    async def speaks(self, peer: PubKey, form: Form) -> None:
        """See :class:`skywire.apps.skychat.courier.Reach`."""
        bare = form is Form.BARE
        if bare != (peer in self._bare) and peer in self._access.known:
            await self._store.set_bare(peer, bare)
            (self._bare.add if bare else self._bare.discard)(peer)

    @property
    def _on_tcp(self) -> bool:
        return self._host.mode is RunMode.TCP_STANDALONE

    def _link(self, conn: Conn, *, dialled: bool) -> Link:
        assumed = Form.BARE if conn.remote.pk in self._bare else None
        return Link(conn, dialled=dialled, assumed=assumed, limits=self._limits)

    def _has_room(self, peer: PubKey) -> bool:
        """Whether another connection can be served; a stranger, or who has several, makes room for one who is known."""
        if len(self.links) < self._limits.connections:
            return True
        if peer not in self._access.known:
            return False
        other = self.links.strangest(self._access.known) or (None if self.links.best(peer) else self.links.doubled())
        if other is not None:
            other.end("it made room for a peer that is known")
        return other is not None

    async def _connect(self, peer: PubKey) -> Conn:
        """A connection by the first network that leads there.

        Raises:
            DialError: none does.
        """
        failure: DialError = NoAddress(peer)
        for address in self._ways(peer):
            try:
                return await self._host.dial(address, options=DialOptions(timeout=self._limits.dial_seconds))
            except NotInThisMode:
                continue
            except DialError as error:
                failure = error
        raise failure

    def _ways(self, peer: PubKey) -> list[Address]:
        if self._on_tcp:
            return [self._addresses[peer]] if peer in self._addresses else []
        networks = MODE_RULES[self._host.mode].networks
        return [Address(each, peer, CHAT.overlay or 1) for each in _OVERLAYS if each in networks]

    async def _run_courier(self, courier: Courier, peer: PubKey) -> None:
        try:
            await courier.run()
        finally:
            del self._couriers[peer]

    async def _run(self, link: Link) -> None:
        """Take what a peer says until its connection ends."""
        try:
            with link.alive():
                await self._listen(link)
        finally:
            self.links.remove(link)
            if (courier := self._couriers.get(link.peer)) is not None:
                courier.look()
            await link.close()

    async def _listen(self, link: Link) -> None:
        try:
            while True:
                said = await link.receive()
                if link.spoken is not None:
                    await self.speaks(link.peer, link.spoken)
                known = link.peer in self._access.known
                size = self._limits.batch if known else 1
                for start in range(0, len(said), size):
                    if not known:
                        await self._pace.wait(link.peer)
                    await self._take(link, said[start : start + size], known=known)
        except LinkBroken as error:
            link.reason = str(error)
        except ProtocolError as error:
            link.reason = str(error)
            self._log.warning("%s does not speak as a chat does: %s", link.peer, error)
        except ChatError as error:
            link.reason = f"what it sent could not be kept: {error}"
            self._log.warning("nothing more is taken of %s for now: %s", link.peer, error)
        except Exception:  # ours, and not to cost the others
            link.reason = "it failed here; the log says how"
            self._log.exception("the connection with %s failed", link.peer)

    async def _take(self, link: Link, said: Sequence[Said], *, known: bool) -> None:
        """Keep what a peer says; only then it is told so."""
        peer = link.peer
        courier = self._couriers.get(peer)
        incoming = [self._meant(courier, each) for each in said if not (link.full and isinstance(each, _MESSAGES))]
        try:
            acks = await self._keep(peer, incoming, known=known)
        except StoreFull as error:
            if link.spoken is Form.BARE:
                raise  # it would wait for nothing: so it sees at least that this was not taken
            acks = await self._keep_some(peer, incoming, known=known)
            link.full = True
            self._log.warning("messages of %s are not taken for now, and it will send them again: %s", peer, error)
        if came := sum(isinstance(each, _MESSAGES) for each in incoming):
            self._log.info("%s of %s", "a message" if came == 1 else f"{came} messages", peer)
        if courier is not None:
            courier.look()
        if acks and link.spoken is Form.FRAMED:
            await link.send([Acked(each) for each in acks])

    async def _keep_some(self, peer: PubKey, incoming: Sequence[Incoming], *, known: bool) -> list[str]:
        """Keep what there is room for: messages up to the first that has none, and what takes none."""
        acks: list[str] = []
        has_room = True
        for each in incoming:
            is_message = isinstance(each, _MESSAGES)
            if has_room or not is_message:
                try:
                    acks += await self._keep(peer, [each], known=known)
                except StoreFull:
                    if not is_message:
                        raise
                    has_room = False
        return acks

    async def _keep(self, peer: PubKey, incoming: Sequence[Incoming], *, known: bool) -> list[str]:
        """Keep what has come; the ids that the peer is to be told of."""
        acks = await self._store.take(peer, incoming, now=time.time(), known=known)
        for each in incoming:
            if isinstance(each, Settled):
                self._settled(peer, each)
            elif isinstance(each, Seen):
                self._settled(peer, Settled(Kind.MESSAGE, each.id))
        return acks

    def _meant(self, courier: Courier | None, said: Said) -> Incoming:
        if not isinstance(said, Acked):
            return said
        return Settled(Kind.MESSAGE, said.id) if courier is None else courier.meant(said.id)

    def _settled(self, peer: PubKey, what: Settled) -> None:
        if (courier := self._couriers.get(peer)) is not None:
            courier.settled(what)
        if what.kind is Kind.MESSAGE:
            self._got(peer, what.id)
