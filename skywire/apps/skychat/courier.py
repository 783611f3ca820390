"""Brings one peer what waits for it, in order, however often the connection breaks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, Protocol, final

from anyio import Event, current_time, move_on_after

from skywire.apps.skychat.contract import ChatError
from skywire.apps.skychat.edits import Settled
from skywire.apps.skychat.limits import LinkLimits
from skywire.apps.skychat.link import Link, LinkBroken
from skywire.apps.skychat.rows import Kind, Waiting
from skywire.apps.skychat.store import Store
from skywire.errors import NetworkError
from skywire.keys import PubKey
from skywire.net.backoff import Backoff
from skywire.wire.skychat import Deleted, Envelope, Form, Seen, Written, encode


class Reach(Protocol):
    """Where a courier finds connections."""

    def best(self, peer: PubKey) -> Link | None:
        """The connection that there is."""
        ...

    async def dial(self, peer: PubKey) -> Link:
        """A new one.

        Raises:
            NetworkError: it cannot be made.
        """
        ...

    def trim(self, peer: PubKey) -> None:
        """End what is not needed any more."""
        ...

    async def settle(self, peer: PubKey, settled: Sequence[Settled]) -> None:
        """Note that a peer has got what waited for it."""
        ...

    async def speaks(self, peer: PubKey, form: Form) -> None:
        """Remember what a peer speaks."""
        ...


@final
class Courier:
    """See the module.

    Args:
        peer: to whom.
        store: what waits there.
        reach: how.
        keep: whether a connection is kept even when nothing waits.
        limits: times and counts.
        log: where failures go that are ours.
    """

    def __init__(
        self, peer: PubKey, store: Store, reach: Reach, *, keep: bool, limits: LinkLimits, log: logging.Logger
    ) -> None:
        self.trouble = ""
        """Why the peer cannot be reached."""
        self._peer: Final = peer
        self._store = store
        self._reach = reach
        self._keep = keep
        self._limits = limits
        self._log = log
        self._backoff = Backoff(limits.retry_seconds, 2.0, limits.longest_retry_seconds)
        self._in_flight: list[Waiting] = []
        self._more = Event()
        self._connected = Event()
        self._stirred = Event()
        self._acknowledged = 0.0  # when the peer last was known to listen, by the clock of the event loop

    def wake(self) -> None:
        """There is more for the peer."""
        self._more.set()
        self._stirred.set()

    def connected(self) -> None:
        """The peer has connected to us."""
        self._backoff.succeeded()
        self._connected.set()
        self.wake()

    def look(self) -> None:
        """Something has happened to a connection with the peer."""
        self._stirred.set()

    def meant(self, id: str) -> Settled:  # noqa: A002
        """What an acknowledgement is for: the first on its way with this id, or else a message of an earlier try."""
        kind = next((each.kind for each in self._in_flight if each.id == id), Kind.MESSAGE)
        return Settled(kind, id)

    def settled(self, what: Settled) -> None:
        """The store knows that something has come."""
        self._in_flight = [each for each in self._in_flight if (each.kind, each.id) != (what.kind, what.id)]
        self._acknowledged = current_time()
        self._stirred.set()

    async def run(self) -> None:
        """Work until nothing waits; for ever, where a connection is kept."""
        while True:
            self._more = Event()
            link: Link | None = None
            try:
                batch = _fitting(await self._store.waiting(self._peer, self._limits.window), self._limits.window_bytes)
                if not batch and not self._keep:
                    if self._more.is_set():
                        continue
                    return
                link = self._reach.best(self._peer) or await self._reach.dial(self._peer)
                if batch:
                    await self._deliver(link, batch)
                else:
                    await self._stay(link)
            except NetworkError as error:
                self.trouble = str(error)
                other = self._reach.best(self._peer)
                if other is None or other is link:
                    await self._wait()
            except ChatError as error:
                self.trouble = str(error)
                await self._wait()
            except Exception:
                self._log.exception("delivery to %s failed", self._peer)
                self.trouble = "delivery failed; the log says how"
                await self._wait()
            else:
                self._backoff.succeeded()
                self.trouble = ""
            finally:
                self._in_flight = []

    async def _wait(self) -> None:
        """Wait before the next attempt."""
        self._log.debug("%s cannot be reached: %s", self._peer, self.trouble)
        wait, eager = self._backoff.failed(), self._limits.eager_seconds
        connected, more = self._connected, self._more = Event(), Event()
        with move_on_after(min(wait, eager)):
            await connected.wait()
            return
        with move_on_after(max(0.0, wait - eager)):
            await more.wait()

    async def _stay(self, link: Link) -> None:
        """Have the connection until it ends, or until something waits."""
        since = current_time()
        while link.live and not self._more.is_set() and self._reach.best(self._peer) is link:
            await self._stir()
        if not link.live and current_time() - since < self._limits.ack_seconds:
            silent = link.spoken is None
            raise LinkBroken(f"{link.reason}, without a word: does the peer allow this key?" if silent else link.reason)

    async def _stir(self) -> None:
        """Wait until something happens."""
        self._stirred = Event()
        await self._stirred.wait()

    async def _deliver(self, link: Link, batch: Sequence[Waiting]) -> None:
        with link.used():
            if link.spoken is None and link.assumed is None and not link.dialled:
                with move_on_after(self._limits.first_seconds):
                    await link.heard.wait()
            if link.form is Form.BARE:
                await self._deliver_bare(link, batch)
            else:
                await self._deliver_framed(link, batch)
        self._reach.trim(self._peer)

    async def _deliver_framed(self, link: Link, batch: Sequence[Waiting]) -> None:
        # In front of the messages, so that whoever acknowledges one of those has had them.
        receipts = [each for each in batch if each.kind is not Kind.MESSAGE]
        messages = [each for each in batch if each.kind is Kind.MESSAGE]
        self._in_flight = [*receipts, *messages]
        await link.send([_envelope(each) for each in self._in_flight])
        self._acknowledged = current_time()
        while link.spoken is not Form.BARE and any(each.kind is Kind.MESSAGE for each in self._in_flight):
            await self._come_on(link)
        if link.spoken is Form.BARE:
            return  # all of it is still there, and goes as the peer understands it
        if not messages:
            await self._await_receipts(link)
            if self._more.is_set():
                return  # they go again, in front of what comes now, and do no harm twice
        await self._reach.settle(self._peer, [Settled(each.kind, each.id) for each in self._in_flight])

    async def _come_on(self, link: Link) -> None:
        """Wait until something happens.

        Raises:
            LinkBroken: the peer acknowledges nothing.
        """
        if not link.live:
            raise LinkBroken(link.reason)
        seconds = self._limits.ack_seconds
        with move_on_after(self._acknowledged + seconds - current_time()) as waiting:
            await self._stir()
        if waiting.cancelled_caught:
            link.end(f"the peer acknowledged nothing for {seconds:g} s")
            raise LinkBroken(link.reason)

    async def _await_receipts(self, link: Link) -> None:
        """Give receipts the time to come; peers need not acknowledge them."""
        until = current_time() + self._limits.receipt_seconds
        while self._in_flight and link.live and not self._more.is_set() and (left := until - current_time()) > 0:
            with move_on_after(left):
                await self._stir()
        if not link.live:
            raise LinkBroken(link.reason)

    async def _deliver_bare(self, link: Link, batch: Sequence[Waiting]) -> None:
        """As to a peer of 2024, which acknowledges nothing: what was sent on a connection that lives has come."""
        for each in batch:
            if each.kind is Kind.MESSAGE and each.text:
                await link.send_bare(each.text)
        if link.spoken is None:  # a peer that is of today by now ends such a connection
            with move_on_after(self._limits.receipt_seconds):
                await link.ended.wait()
        if not link.live:
            if link.spoken is None:
                await self._reach.speaks(self._peer, Form.FRAMED)
            raise LinkBroken(link.reason)
        await self._reach.settle(self._peer, [Settled(each.kind, each.id) for each in batch])


def _fitting(batch: Sequence[Waiting], size: int) -> Sequence[Waiting]:
    """What of it has so many bytes in frames; the first in any case."""
    for count, each in enumerate(batch):
        size -= len(encode(_envelope(each)))
        if size < 0:
            return batch[: max(1, count)]
    return batch


def _envelope(waiting: Waiting) -> Envelope:
    match waiting.kind:
        case Kind.MESSAGE:
            return Written(waiting.id, waiting.text, reply_to=waiting.reply_to)
        case Kind.READ:
            return Seen(waiting.id)
        case Kind.DELETE:
            return Deleted(waiting.id)
