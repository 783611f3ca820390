"""What is kept, and what goes when there is too much: each within a transaction of somebody else."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final, final

from skywire.apps.skychat import edits
from skywire.apps.skychat.contract import Delivery, Direction
from skywire.apps.skychat.database import StoreFull
from skywire.keys import PubKey

_PIECE: Final = 100
"""Old messages that go at a time."""
_DAY: Final = 86400.0
_CLOCK_SET: Final = 1577836800.0
"""The year 2020. A clock that says less has not been set yet, as after the start of a board without a battery: how old
something from then is nobody knows, so it is not let go for its age."""


@final
@dataclass(frozen=True, slots=True)
class StoreLimits:
    """How much is kept; see the options of the app."""

    per_peer: int = 500
    total_bytes: int = 10_000_000
    days: int = 30


def make(
    database: sqlite3.Connection, limits: StoreLimits, peer: PubKey, direction: Direction, *, known: bool = True
) -> None:
    """Let go what is over the limits.

    Args:
        database: with the tables, and a new message in them.
        limits: how much is kept.
        peer: whose message is new.
        direction: which way it goes.
        known: whether the peer is allowed by itself; what others have written may take half of the room, until it is
            read.

    Raises:
        StoreFull: what was delivered and read is not enough.
    """
    total = limits.total_bytes
    prune(database, limits, peer)
    while edits.counted(database) > total:
        done = database.execute(
            "DELETE FROM messages WHERE number IN (SELECT number FROM messages WHERE open = 0 ORDER BY number LIMIT ?)",
            (_PIECE,),
        )
        if not done.rowcount:
            raise StoreFull(f"the chat is full: {total} bytes of it have not been read or delivered yet")
    (mine,) = database.execute(
        "SELECT coalesce(sum(size), 0) FROM messages WHERE peer = ? AND open = 1 AND direction = ?",
        (str(peer), direction.value),
    ).fetchone()
    if mine > total // 2:
        what = "has not been read yet" if direction is Direction.IN else "waits for it already"
        raise StoreFull(f"the chat with {peer} is full: half of the room {what}")
    if not known:
        (unread,) = database.execute(
            "SELECT sum(size) FROM messages WHERE open = 1 AND direction = ?", (direction.value,)
        ).fetchone()
        if unread > total // 2:
            raise StoreFull(f"the chat is full for {peer}, who is not allowed by name: half of the room is unread")


def prune(database: sqlite3.Connection, limits: StoreLimits, peer: PubKey) -> None:
    """Let go the oldest messages of a peer, of those that were delivered and read."""
    database.execute(
        "DELETE FROM messages WHERE number IN"
        " (SELECT number FROM messages WHERE peer = ? AND open = 0 ORDER BY number DESC LIMIT -1 OFFSET ?)",
        (str(peer), limits.per_peer),
    )


def sweep(database: sqlite3.Connection, limits: StoreLimits, now: float) -> None:
    """Let go what is too old, and give up what waits for too long. What nobody has read stays."""
    oldest = now - limits.days * _DAY
    late = database.execute(
        "SELECT peer, id FROM messages WHERE direction = 'out' AND delivery = 'queued' AND time BETWEEN ? AND ?",
        (_CLOCK_SET, oldest),
    ).fetchall()
    for peer, id in late:  # noqa: A001
        edits.advance(database, peer, id, Delivery.REFUSED)
    database.execute("DELETE FROM outbox WHERE time BETWEEN ? AND ?", (_CLOCK_SET, oldest))
    refused_before = oldest - limits.days * _DAY  # what was given up is seen for as long again
    database.execute(
        "DELETE FROM messages WHERE open = 0 AND time BETWEEN ? AND iif(delivery = 'refused' AND NOT deleted, ?, ?)",
        (_CLOCK_SET, refused_before, oldest),
    )
