"""Changes of the tables, each within a transaction of somebody else."""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from skywire.apps.skychat import rows
from skywire.apps.skychat.contract import Delivery, Direction, FileOffer
from skywire.apps.skychat.rows import Kind
from skywire.wire.skychat import BareText, Deleted, Seen, Written

ROW_BYTES: Final = 100
"""What a message counts beside its text."""


@final
@dataclass(frozen=True, slots=True)
class Settled:
    """A peer has got something that waited for it."""

    kind: Kind
    id: str


Incoming: TypeAlias = BareText | Written | Seen | Deleted | Settled
"""What a peer has sent, its acknowledgements put to what they are for."""


@final
@dataclass(frozen=True, slots=True)
class Taking:
    """Where what a peer sends goes, within one transaction."""

    database: sqlite3.Connection
    peer: str
    now: float


def take(at: Taking, incoming: Incoming) -> str:
    """Keep one thing that a peer has sent; the id that it is to be told of, or nothing."""
    match incoming:
        case Settled(kind, id):
            dequeue(at.database, at.peer, kind, id)
            if kind is Kind.MESSAGE:
                advance(at.database, at.peer, id, Delivery.DELIVERED)
            return ""
        case BareText(text):
            _receive(at, secrets.token_hex(8), text, "", receipt=False)
            return ""
        case Written():
            _receive(
                at, incoming.id or secrets.token_hex(8), incoming.body, incoming.reply_to, receipt=bool(incoming.id)
            )
        case Seen(id):
            dequeue(at.database, at.peer, Kind.MESSAGE, id)
            advance(at.database, at.peer, id, Delivery.READ)
        case Deleted(id):
            found = at.database.execute(
                "SELECT number, delivery FROM messages WHERE peer = ? AND direction = 'in' AND id = ? AND NOT deleted",
                (at.peer, id),
            ).fetchone()
            if found is not None:
                wipe(at.database, found[0], Delivery(found[1]))
                dequeue(at.database, at.peer, Kind.READ, id)
            elif not is_known(at.database, at.peer, id):
                at.database.execute("INSERT INTO gone (peer, id) VALUES (?, ?)", (at.peer, id))
    return incoming.id if incoming.ack else ""


def _receive(at: Taking, id: str, text: str, reply_to: str, *, receipt: bool) -> None:  # noqa: A002
    if not is_known(at.database, at.peer, id):
        insert(
            at.database, at.peer, Direction.IN, id, text, at.now, Delivery.DELIVERED, reply_to, None, receipt=receipt
        )


def is_known(database: sqlite3.Connection, peer: str, id: str) -> bool:  # noqa: A002
    """Whether what a peer has sent came before, or was taken back before it came."""
    return (
        database.execute(
            "SELECT 1 FROM messages WHERE peer = ?1 AND direction = 'in' AND id = ?2"
            " UNION ALL SELECT 1 FROM gone WHERE peer = ?1 AND id = ?2",
            (peer, id),
        ).fetchone()
        is not None
    )


def insert(
    database: sqlite3.Connection,
    peer: str,
    direction: Direction,
    id: str,  # noqa: A002
    text: str,
    now: float,
    delivery: Delivery,
    reply_to: str,
    file: FileOffer | None,
    *,
    receipt: bool = False,
) -> None:
    number = count(database)
    database.execute(
        "INSERT INTO messages (number, change, peer, direction, id, text, time, delivery, reply_to, receipt, file,"
        " open, size) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)",
        (
            *(number, number, peer, direction.value, id, text, now, delivery.value, reply_to, receipt),
            *(rows.file_text(file), ROW_BYTES + len(text.encode())),
        ),
    )


def change(database: sqlite3.Connection, number: int, what: str, *values: object) -> None:
    database.execute(
        f"UPDATE messages SET {what}, change = ? WHERE number = ?",  # noqa: S608 - texts of this module
        (*values, count(database), number),
    )


def wipe(database: sqlite3.Connection, number: int, delivery: Delivery) -> None:
    change(
        database,
        number,
        "deleted = 1, text = '', file = NULL, open = 0, size = ?, delivery = ?",
        ROW_BYTES,
        delivery.value,
    )


_ORDER: Final = tuple(Delivery)


def advance(database: sqlite3.Connection, peer: str, id: str, delivery: Delivery) -> None:  # noqa: A002
    """Bring a message of ours on; it never goes back."""
    found = database.execute(
        "SELECT number, delivery FROM messages WHERE peer = ? AND direction = 'out' AND id = ?", (peer, id)
    ).fetchone()
    if found is not None and _ORDER.index(Delivery(found[1])) < _ORDER.index(delivery):
        change(database, found[0], "delivery = ?, open = 0", delivery.value)


def enqueue(database: sqlite3.Connection, peer: str, kind: Kind, id: str, now: float) -> None:  # noqa: A002
    database.execute(
        "INSERT OR IGNORE INTO outbox (peer, kind, id, time) VALUES (?, ?, ?, ?)", (peer, kind.value, id, now)
    )


def dequeue(database: sqlite3.Connection, peer: str, kind: Kind, id: str) -> None:  # noqa: A002
    database.execute("DELETE FROM outbox WHERE peer = ? AND kind = ? AND id = ?", (peer, kind.value, id))


def count(database: sqlite3.Connection) -> int:
    """The number of the next change."""
    database.execute("UPDATE counter SET change = change + 1")
    (change,) = database.execute("SELECT change FROM counter").fetchone()
    return int(change)


def counted(database: sqlite3.Connection) -> int:
    (size,) = database.execute("SELECT bytes FROM counter").fetchone()
    return int(size)
