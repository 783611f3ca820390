"""What a chat keeps: messages with a count of their changes, and what waits for each peer.

Whatever belongs together is one transaction, and is on disk when a call returns.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar, final

from anyio import CancelScope, Event

from skywire.apps.skychat import edits, room, rows
from skywire.apps.skychat.contract import ChatError, ChatMessage, Contact, Delivery, Direction, FileOffer
from skywire.apps.skychat.database import Database
from skywire.apps.skychat.edits import Incoming, Settled
from skywire.apps.skychat.room import StoreLimits
from skywire.apps.skychat.rows import Figures, Kind, Waiting
from skywire.keys import PubKey
from skywire.wire.skychat import BareText, Written

T = TypeVar("T")


@final
class Store:
    """See the module; made by :func:`opened`."""

    def __init__(self, database: Database, limits: StoreLimits) -> None:
        self.trouble: str | None = database.trouble
        """Why it does not work as it should: from its opening, or from the last time that it was written to."""
        self._opened_with: Final = database.trouble
        self._database = database
        self._limits = limits
        self._changed = Event()
        self._is_over = False

    async def write(
        self,
        peer: PubKey,
        id: str,  # noqa: A002
        text: str,
        *,
        now: float,
        reply_to: str = "",
        file: FileOffer | None = None,
    ) -> None:
        """Keep a message of ours until the peer has it; the peer may write to us from then on.

        Args:
            peer: to whom.
            id: new.
            text: the words.
            now: Unix time in seconds.
            reply_to: id of the message that it answers.
            file: what it carries; then somebody else delivers it, and says so by :meth:`set_delivery`.

        Raises:
            StoreFull: too much waits for that peer, or the disk is full; nothing was kept.
            ChatError: the disk fails.
        """

        def work(database: sqlite3.Connection) -> None:
            database.execute(
                "INSERT INTO contacts (peer, allowed) VALUES (?, 1) ON CONFLICT (peer) DO UPDATE SET allowed = 1",
                (str(peer),),
            )
            edits.insert(database, str(peer), Direction.OUT, id, text, now, Delivery.QUEUED, reply_to, file)
            if file is None:
                edits.enqueue(database, str(peer), Kind.MESSAGE, id, now)
            room.make(database, self._limits, peer, Direction.OUT)

        await self._write(work)

    async def take(self, peer: PubKey, incoming: Sequence[Incoming], *, now: float, known: bool = True) -> list[str]:
        """Keep what a peer has sent: all of it, or nothing when this raises.

        Args:
            peer: who.
            incoming: in the order in which it came.
            now: Unix time in seconds.
            known: whether the peer is allowed by itself; others share half of the room.

        Returns:
            The ids that it is to be told of.

        Raises:
            StoreFull: too much of it has not been read, or the disk is full.
            ChatError: the disk fails.
        """

        def work(database: sqlite3.Connection) -> list[str]:
            acks = [edits.take(edits.Taking(database, str(peer), now), each) for each in incoming]
            if any(isinstance(each, BareText | Written) for each in incoming):
                room.make(database, self._limits, peer, Direction.IN, known=known)
            return [each for each in acks if each]

        return await self._write(work)

    async def waiting(self, peer: PubKey, limit: int) -> tuple[Waiting, ...]:
        """What a peer is to get next, in order."""
        return await self._database.run(lambda database: rows.waiting(database, peer, limit))

    async def waited_for(self) -> tuple[PubKey, ...]:
        """The peers for whom something waits."""
        return await self._database.run(rows.waited_for)

    async def settle(self, peer: PubKey, settled: Iterable[Settled]) -> None:
        """Note that a peer has got what waited for it."""
        await self.take(peer, tuple(settled), now=0.0)

    async def mark_read(self, peer: PubKey, number: int, *, now: float) -> bool:
        """See :meth:`skywire.apps.skychat.contract.Chat.mark_read`; whether anything is to be told to the peer."""

        def work(database: sqlite3.Connection) -> bool:
            found = database.execute(
                "SELECT number, id, receipt FROM messages WHERE peer = ? AND open = 1 AND direction = 'in'"
                " AND number <= ? ORDER BY number",
                (str(peer), number),
            ).fetchall()
            for each, id, receipt in found:  # noqa: A001
                edits.change(database, each, "delivery = 'read', open = 0")
                if receipt:
                    edits.enqueue(database, str(peer), Kind.READ, id, now)
            room.prune(database, self._limits, peer)
            return any(receipt for _, _, receipt in found)

        return await self._write(work)

    async def delete(self, peer: PubKey, id: str, *, now: float) -> None:  # noqa: A002
        """See :meth:`skywire.apps.skychat.contract.Chat.delete`."""

        def work(database: sqlite3.Connection) -> None:
            message = rows.one(database, peer, Direction.OUT, id)
            if message is None:
                raise ChatError(f"there is no message {id!r} of ours to {peer}")
            if message.deleted:
                return
            delivery = Delivery.REFUSED if message.delivery is Delivery.QUEUED else message.delivery
            edits.wipe(database, message.number, delivery)
            edits.dequeue(database, str(peer), Kind.MESSAGE, id)
            edits.enqueue(database, str(peer), Kind.DELETE, id, now)

        await self._write(work)

    async def name(self, peer: PubKey, alias: str) -> None:
        """See :meth:`skywire.apps.skychat.contract.Chat.name`."""

        def work(database: sqlite3.Connection) -> None:
            for other, taken in database.execute("SELECT peer, alias FROM contacts WHERE alias <> ''"):
                if alias and taken.casefold() == alias.casefold() and other != str(peer):
                    raise ChatError(f"{taken!r} is the name of {other} already")
            database.execute(
                "INSERT INTO contacts (peer, alias) VALUES (?, ?) ON CONFLICT (peer) DO UPDATE SET alias = ?",
                (str(peer), alias, alias),
            )

        await self._write(work)

    async def set_delivery(self, peer: PubKey, id: str, delivery: Delivery) -> None:  # noqa: A002
        """How far a message of ours has come; what would go back is passed over."""
        await self._write(lambda database: edits.advance(database, str(peer), id, delivery))

    async def set_file(self, peer: PubKey, direction: Direction, id: str, file: FileOffer) -> None:  # noqa: A002
        """How far the file of a message is."""

        def work(database: sqlite3.Connection) -> None:
            message = rows.one(database, peer, direction, id)
            if message is not None and not message.deleted and message.file != file:
                edits.change(database, message.number, "file = ?", rows.file_text(file))

        await self._write(work)

    async def take_file(self, peer: PubKey, id: str, text: str, file: FileOffer, *, now: float) -> None:  # noqa: A002
        """Keep a file's offer of a peer; one that is there already stays as it is.

        Raises: see :meth:`take`.
        """

        def work(database: sqlite3.Connection) -> None:
            if rows.one(database, peer, Direction.IN, id) is None:
                edits.insert(database, str(peer), Direction.IN, id, text, now, Delivery.DELIVERED, "", file)
                room.make(database, self._limits, peer, Direction.IN)

        await self._write(work)

    async def history(self, peer: PubKey | None, before: int, limit: int) -> tuple[ChatMessage, ...]:
        """See :meth:`skywire.apps.skychat.contract.Chat.history`."""
        return await self._database.run(lambda database: rows.history(database, peer, before, limit))

    async def one(self, peer: PubKey, direction: Direction, id: str) -> ChatMessage | None:  # noqa: A002
        """One message; None where there is none."""
        return await self._database.run(lambda database: rows.one(database, peer, direction, id))

    async def with_files(self) -> tuple[ChatMessage, ...]:
        """All messages that carry a file, the oldest first."""
        return await self._database.run(rows.with_files)

    async def changed(self, since: int, limit: int) -> tuple[ChatMessage, ...]:
        """Messages that have changed since, in the order of their changes; waits until there is one.

        Raises:
            ChatError: the store is closed.
        """
        while True:
            if self._is_over:
                raise ChatError("the chat has ended")
            changed = self._changed
            found = await self._database.run(lambda database: rows.changed(database, since, limit))
            if found:
                return found
            await changed.wait()

    async def figures(self) -> Figures:
        """How much there is."""
        return await self._database.run(rows.figures)

    async def contacts(self, always: Iterable[PubKey]) -> tuple[Contact, ...]:
        """Peers with what is known of them here, the last spoken to first."""
        return await self._database.run(lambda database: rows.contacts(database, always))

    async def allowed(self) -> frozenset[PubKey]:
        """The peers that were written to."""
        return await self._peers("SELECT peer FROM contacts WHERE allowed")

    async def bare(self) -> frozenset[PubKey]:
        """The peers that spoke as in 2024 when they spoke last."""
        return await self._peers("SELECT peer FROM contacts WHERE bare")

    async def set_bare(self, peer: PubKey, bare: bool) -> None:
        """Note what a peer speaks."""
        await self._write(
            lambda database: database.execute(
                "INSERT INTO contacts (peer, bare) VALUES (?, ?) ON CONFLICT (peer) DO UPDATE SET bare = ?",
                (str(peer), bare, bare),
            )
        )

    async def sweep(self, *, now: float) -> None:
        """Let go what is too old. What nobody has read stays."""
        await self._write(lambda database: room.sweep(database, self._limits, now))

    async def _peers(self, query: str) -> frozenset[PubKey]:
        def work(database: sqlite3.Connection) -> frozenset[PubKey]:
            return frozenset(PubKey.from_hex(peer) for (peer,) in database.execute(query))

        return await self._database.run(work)

    def end(self) -> None:
        """Tell who waits for changes that there will be none."""
        self._is_over = True
        self._changed.set()

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Change something, and tell who waits for changes."""
        try:
            done = await self._database.run(work)
        except ChatError as error:
            if error.__cause__ is not None:  # the disk, not the question
                self.trouble = str(error)
            raise
        else:
            self.trouble = self._opened_with
            return done
        finally:  # whoever is cancelled meanwhile: it may be on disk
            self._changed.set()
            self._changed = Event()


@asynccontextmanager
async def opened(path: Path, limits: StoreLimits = StoreLimits()) -> AsyncIterator[Store]:
    """A store while the block runs.

    Raises:
        ChatError: see :meth:`skywire.apps.skychat.database.Database.open`.
    """
    database = await Database.open(path)
    store = Store(database, limits)
    try:
        yield store
    finally:
        store.end()
        with CancelScope(shield=True):
            await database.close()
