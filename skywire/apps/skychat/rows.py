"""Messages and contacts as the tables have them: what is only read."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final, final

from skywire.app.typed_json import decode_object, encode
from skywire.apps.skychat.contract import ChatMessage, Contact, Delivery, Direction, FileOffer
from skywire.keys import PubKey

_MESSAGE: Final = (
    "SELECT change, number, id, peer, direction, text, time, delivery, reply_to, deleted, file FROM messages"
)


@final
@unique
class Kind(StrEnum):
    """What waits for a peer."""

    MESSAGE = "message"
    READ = "read"
    DELETE = "delete"


@final
@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that a peer has not got yet.

    Args:
        kind: what.
        id: of the message that it is or concerns.
        text: of a message.
        reply_to: of a message.
    """

    kind: Kind
    id: str
    text: str = ""
    reply_to: str = ""


@final
@dataclass(frozen=True, slots=True)
class Figures:
    """How much there is.

    Args:
        change: number of the last change.
        stored: messages.
        bytes: that they count.
        waiting: messages that their peers have not got yet.
    """

    change: int
    stored: int
    bytes: int
    waiting: int


def history(database: sqlite3.Connection, peer: PubKey | None, before: int, limit: int) -> tuple[ChatMessage, ...]:
    """See :meth:`skywire.apps.skychat.contract.Chat.history`."""
    wanted: list[str] = []
    values: list[object] = []
    if peer is not None:
        wanted, values = ["peer = ?"], [str(peer)]
    if before:
        wanted, values = [*wanted, "number < ?"], [*values, before]
    where = f"WHERE {' AND '.join(wanted)}" if wanted else ""
    rows = database.execute(f"{_MESSAGE} {where} ORDER BY number DESC LIMIT ?", (*values, limit))
    return tuple(_message(row) for row in rows)[::-1]


def changed(database: sqlite3.Connection, since: int, limit: int) -> tuple[ChatMessage, ...]:
    """Messages that have changed since, in the order of their changes."""
    rows = database.execute(f"{_MESSAGE} WHERE change > ? ORDER BY change LIMIT ?", (since, limit))
    return tuple(_message(row) for row in rows)


def one(database: sqlite3.Connection, peer: PubKey, direction: Direction, id: str) -> ChatMessage | None:  # noqa: A002
    """One message."""
    found = database.execute(
        f"{_MESSAGE} WHERE peer = ? AND direction = ? AND id = ?", (str(peer), direction.value, id)
    ).fetchone()
    return None if found is None else _message(found)


def with_files(database: sqlite3.Connection) -> tuple[ChatMessage, ...]:
    """All messages that carry a file, the oldest first."""
    return tuple(_message(row) for row in database.execute(f"{_MESSAGE} WHERE file IS NOT NULL ORDER BY number"))


def waiting(database: sqlite3.Connection, peer: PubKey, limit: int) -> tuple[Waiting, ...]:
    """What a peer is to get next, in order."""
    rows = database.execute(
        "SELECT o.kind, o.id, m.text, m.reply_to FROM outbox o LEFT JOIN messages m"
        " ON o.kind = 'message' AND m.peer = o.peer AND m.direction = 'out' AND m.id = o.id"
        " WHERE o.peer = ? ORDER BY o.place LIMIT ?",
        (str(peer), limit),
    )
    return tuple(Waiting(Kind(kind), id, text or "", reply_to or "") for kind, id, text, reply_to in rows)  # noqa: A001


def waited_for(database: sqlite3.Connection) -> tuple[PubKey, ...]:
    """The peers for whom something waits."""
    return tuple(PubKey.from_hex(peer) for (peer,) in database.execute("SELECT DISTINCT peer FROM outbox"))


def figures(database: sqlite3.Connection) -> Figures:
    """How much there is."""
    change, stored, size = database.execute("SELECT change, stored, bytes FROM counter").fetchone()
    (waits,) = database.execute("SELECT count(*) FROM outbox WHERE kind = 'message'").fetchone()
    return Figures(change, stored, size, waits)


def contacts(database: sqlite3.Connection, always: Iterable[PubKey]) -> tuple[Contact, ...]:
    """Peers with what the tables know of them, the last spoken to first.

    Args:
        database: with the tables.
        always: peers that are told even where nothing is known of them.
    """
    found = {str(peer): Contact(peer, allowed=False) for peer in always}
    for peer, last, unread in database.execute(
        "SELECT peer, max(time), sum(direction = 'in' AND delivery = 'delivered' AND NOT deleted)"
        " FROM messages GROUP BY peer"
    ):
        found[peer] = Contact(PubKey.from_hex(peer), allowed=False, unread=unread, last=last)
    for peer, alias, allowed in database.execute("SELECT peer, alias, allowed FROM contacts"):
        there = found.get(peer)
        unread, last = (0, 0.0) if there is None else (there.unread, there.last)
        found[peer] = Contact(PubKey.from_hex(peer), alias, bool(allowed), unread=unread, last=last)
    waits: dict[str, int] = dict(
        database.execute("SELECT peer, count(*) FROM outbox WHERE kind = 'message' GROUP BY peer").fetchall()
    )
    told = (
        Contact(each.peer, each.alias, each.allowed, "", waits.get(peer, 0), each.unread, each.last)
        for peer, each in found.items()
    )
    return tuple(sorted(told, key=lambda each: (-each.last, each.peer)))


def file_text(file: FileOffer | None) -> str | None:
    """A file as it is kept."""
    return None if file is None else json.dumps(encode(file), ensure_ascii=False)


def _message(row: tuple[int, int, str, str, str, str, float, str, str, int, str | None]) -> ChatMessage:
    change, number, id, peer, direction, text, time, delivery, reply_to, deleted, file = row  # noqa: A001
    return ChatMessage(
        change=change,
        number=number,
        id=id,
        peer=PubKey.from_hex(peer),
        direction=Direction(direction),
        text=text,
        time=time,
        delivery=Delivery(delivery),
        reply_to=reply_to,
        deleted=bool(deleted),
        file=None if file is None else decode_object(FileOffer, json.loads(file), "file"),
    )
