"""The file in which a chat is kept: SQLite, in one thread at a time, and never overwritten when it is not ours."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self, TypeVar, final

from anyio import CapacityLimiter, to_thread

from skywire.apps.skychat.contract import ChatError

T = TypeVar("T")

APPLICATION: Final = 0x536B4368
"""Says in the file's header whose it is: ``SkCh``."""
SCHEMA: Final = 1
"""Version of the tables."""
_WAIT_SECONDS: Final = 2.0
_LOG: Final = 1 << 22
"""Bytes that the write-ahead log may keep."""
_SUFFIXES: Final = ("", "-wal", "-shm", "-journal")
_TABLES: Final = """
CREATE TABLE counter (change INTEGER NOT NULL, bytes INTEGER NOT NULL, stored INTEGER NOT NULL);
INSERT INTO counter VALUES (0, 0, 0);
CREATE TABLE messages (
    number INTEGER PRIMARY KEY,
    change INTEGER NOT NULL UNIQUE,
    peer TEXT NOT NULL,
    direction TEXT NOT NULL,
    id TEXT NOT NULL,
    text TEXT NOT NULL,
    time REAL NOT NULL,
    delivery TEXT NOT NULL,
    reply_to TEXT NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0,
    receipt INTEGER NOT NULL DEFAULT 0,
    file TEXT,
    open INTEGER NOT NULL,
    size INTEGER NOT NULL,
    UNIQUE (peer, direction, id)
);
CREATE INDEX messages_of_peer ON messages (peer, number);
CREATE INDEX messages_open ON messages (peer, open, number, direction, size);
CREATE INDEX messages_settled ON messages (number) WHERE open = 0;
CREATE TRIGGER messages_more AFTER INSERT ON messages BEGIN
    UPDATE counter SET bytes = bytes + new.size, stored = stored + 1;
END;
CREATE TRIGGER messages_less AFTER DELETE ON messages BEGIN
    UPDATE counter SET bytes = bytes - old.size, stored = stored - 1;
END;
CREATE TRIGGER messages_other AFTER UPDATE OF size ON messages BEGIN
    UPDATE counter SET bytes = bytes + new.size - old.size;
END;
CREATE TABLE outbox (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    peer TEXT NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    time REAL NOT NULL,
    UNIQUE (peer, kind, id)
);
CREATE INDEX outbox_of_peer ON outbox (peer, place);
CREATE TABLE contacts (
    peer TEXT PRIMARY KEY,
    alias TEXT NOT NULL DEFAULT '',
    allowed INTEGER NOT NULL DEFAULT 0,
    bare INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
"""
_GONE: Final = """
CREATE TABLE IF NOT EXISTS gone (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    peer TEXT NOT NULL,
    id TEXT NOT NULL,
    UNIQUE (peer, id)
);
CREATE INDEX IF NOT EXISTS gone_of_peer ON gone (peer, place);
CREATE TRIGGER IF NOT EXISTS messages_gone AFTER DELETE ON messages WHEN old.direction = 'in' BEGIN
    INSERT OR IGNORE INTO gone (peer, id) VALUES (old.peer, old.id);
END;
CREATE TRIGGER IF NOT EXISTS gone_before AFTER INSERT ON gone BEGIN
    DELETE FROM gone WHERE place <= new.place - 8192;
    DELETE FROM gone WHERE peer = new.peer AND place <=
        (SELECT place FROM gone WHERE peer = new.peer ORDER BY place DESC LIMIT 1 OFFSET 256);
END;
"""
"""What is kept no more, or was taken back before it came: its peer may send it again. More than is ever on its way."""


class StoreFull(ChatError):
    """There is no room for more; what was there is still there."""


class _Unfit(Exception):
    """A file is damaged, or not ours."""


@final
class Database:
    """One open file; made by :meth:`open`.

    Every piece of work is one transaction, in a worker thread, and the next begins when it has ended.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, trouble: str | None) -> None:
        self.trouble: Final = trouble
        """What was wrong with the file that was there before; None when nothing was."""
        self._path = path
        self._connection = connection
        self._limiter = CapacityLimiter(1)
        self._lock = threading.Lock()  # a task that asyncio itself cancels leaves its thread behind

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open a file, or make it, for its owner alone.

        A file that is damaged or of something else is kept, under another name, and a new one is begun.

        Raises:
            ChatError: it cannot be used: another process has it, a newer version wrote it, or the disk does not let us.
        """
        return await to_thread.run_sync(cls._open, path)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do a piece of work as one transaction: all of it is on disk when this returns, or none when it raises.

        Raises:
            StoreFull: the disk is full.
            ChatError: the disk fails, or what the work itself raises.
        """
        return await to_thread.run_sync(self._work, work, limiter=self._limiter)

    async def close(self) -> None:
        """Close it."""
        await to_thread.run_sync(self._close, limiter=self._limiter)

    @classmethod
    def _open(cls, path: Path) -> Self:
        trouble = None
        try:
            connection = _connect(path)
        except _Unfit as error:
            kept = _put_aside(path)
            trouble = f"{path} {error}; it is kept as {kept.name}, and a new history was begun"
            try:
                connection = _connect(path)
            except _Unfit as again:
                raise ChatError(f"{path} {again}") from None
            # Whoever remembers a change of the old file is to see all of the new one.
            connection.execute("UPDATE counter SET change = ?", (time.time_ns() // 10**6,))
        return cls(path, connection, trouble)

    def _work(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            connection = self._connection
            try:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    done = work(connection)
                    connection.execute("COMMIT")
                except BaseException:
                    with contextlib.suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise _told(self._path, error) from error
            return done

    def _close(self) -> None:
        with self._lock:
            self._connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    """Open and check a file.

    Raises:
        _Unfit: it is damaged or not ours.
        ChatError: it cannot be used.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        path.chmod(0o600)
        connection = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise ChatError(f"the history {path} cannot be opened: {error}") from error
    try:
        _prepare(path, connection)
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.OperationalError):
            raise _told(path, error) from error
        if isinstance(error, sqlite3.DatabaseError):
            raise _Unfit(f"is damaged ({error})") from error
        raise
    return connection


def _prepare(path: Path, connection: sqlite3.Connection) -> None:
    for pragma in (
        "locking_mode = EXCLUSIVE",
        "synchronous = FULL",
        "secure_delete = ON",
        "journal_size_limit = 4194304",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION and (tables or application or version):
        raise _Unfit("is no history of a chat")
    if version > SCHEMA:
        raise ChatError(f"the history {path} was written by a newer version of this program: use that one")
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    if not tables:
        connection.executescript(
            f"BEGIN EXCLUSIVE; PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {SCHEMA};"
            f" {_TABLES} {_GONE} COMMIT;"
        )
        return
    found = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != ("ok",):
        raise _Unfit(f"is damaged ({' '.join(str(found[0]).split())[:200]})")
    connection.executescript(_GONE)  # the first files had none of it


def _put_aside(path: Path) -> Path:
    """Give a file another name, with what belongs to it; the new name."""
    stem = f"{path.name}.kept-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    kept, number = path.with_name(stem), 1
    while kept.exists():
        kept, number = path.with_name(f"{stem}-{number}"), number + 1
    try:
        for suffix in _SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(kept.with_name(kept.name + suffix))
    except OSError as error:
        raise ChatError(f"the history {path} is damaged, and cannot be put aside: {error}") from error
    return kept


def _told(path: Path, error: sqlite3.Error) -> ChatError:
    """An error of the database, in words."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(f"nothing more can be written to {path}, for the disk is full: make room, and try again")
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return ChatError(f"another process has the history {path}: end it, or give this one another name")
    return ChatError(f"the history {path} cannot be used: {error}")
