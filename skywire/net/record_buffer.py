"""Received records that wait for the caller, as records or as bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import final


@final
class RecordBuffer:
    """A queue of records, none empty. It sets no limit of its own: who fills it knows when to stop."""

    __slots__ = ("_records", "size")

    def __init__(self) -> None:
        self._records: deque[bytes] = deque()
        self.size = 0
        """Bytes in all waiting records."""

    def put(self, records: Sequence[bytes]) -> None:
        """Append records."""
        self._records.extend(records)
        self.size += sum(map(len, records))

    def take_record(self) -> bytes:
        """Remove the first record, or what :meth:`take_bytes` left of it. There must be one."""
        record = self._records.popleft()
        self.size -= len(record)
        return record

    def take_records(self, max_bytes: int) -> list[bytes]:
        """Remove the first record, and those behind it that fit into so many bytes with it. There must be one.

        Args:
            max_bytes: at least 1.
        """
        records = self._records
        if self.size <= max_bytes:
            taken = list(records)
            records.clear()
            self.size = 0
            return taken
        taken = [records.popleft()]
        room = max_bytes - len(taken[0])
        while len(records[0]) <= room:
            record = records.popleft()
            room -= len(record)
            taken.append(record)
        self.size -= sum(map(len, taken))
        return taken

    def take_bytes(self, max_bytes: int) -> bytes:
        """Remove 1 to ``max_bytes`` bytes: whole records, as many as fit, or the head of the first. There must be one.

        Args:
            max_bytes: at least 1.
        """
        records = self._records
        if self.size <= max_bytes:
            data = records[0] if len(records) == 1 else b"".join(records)
            records.clear()
            self.size = 0
            return data
        room = max_bytes
        parts: list[bytes] = []
        while len(records[0]) <= room:
            record = records.popleft()
            room -= len(record)
            parts.append(record)
        if not parts:
            parts.append(records[0][:room])
            records[0] = records[0][room:]
            room = 0
        self.size -= max_bytes - room
        return b"".join(parts)
