"""Joins a connection to its end in another process."""

from __future__ import annotations

from contextlib import suppress
from typing import Final, final

from anyio import (
    BrokenResourceError,
    CancelScope,
    ClosedResourceError,
    EndOfStream,
    create_task_group,
    move_on_after,
)

from skywire.isolation.passed_conn import PassedConn
from skywire.net.conn import Conn

PUMP_SIZE: Final = 262144
"""Bytes that are passed on at a time."""
TELL_SECONDS: Final = 1.0
"""For the process to take the word that a connection broke."""


async def pump(conn: Conn, passed: PassedConn) -> None:
    """Pass all records on, both ways, until either side closes the connection or it breaks; closes both.

    Args:
        conn: the connection itself.
        passed: its end in the other process.
    """
    await _Pump(conn, passed).run()


@final
class _Pump:
    def __init__(self, conn: Conn, passed: PassedConn) -> None:
        self._conn = conn
        self._passed = passed
        self._broken = False  # whether the connection itself failed
        self._scope = CancelScope()

    async def run(self) -> None:
        try:
            with self._scope:
                async with create_task_group() as task_group:
                    task_group.start_soon(self._inwards)
                    task_group.start_soon(self._outwards)
            if self._broken:
                with move_on_after(TELL_SECONDS), suppress(BrokenResourceError, ClosedResourceError):
                    await self._passed.send_broken()
        finally:
            with CancelScope(shield=True):
                await self._passed.aclose()
                await self._conn.aclose()

    async def _inwards(self) -> None:
        """From the peer to the process."""
        while True:
            try:
                records = await self._conn.receive_records(PUMP_SIZE)
            except EndOfStream:
                break
            except (BrokenResourceError, ClosedResourceError):
                self._end(broken=True)
                return
            try:
                await self._passed.send_records(records)
            except (BrokenResourceError, ClosedResourceError):
                return  # what the app sent before it closed its end is still passed on by the other direction
        # Whether the app goes on sending is for it to decide; when it closes its end, all is over.
        with suppress(BrokenResourceError, ClosedResourceError):
            await self._passed.end()

    async def _outwards(self) -> None:
        """From the process to the peer."""
        while True:
            try:
                records = await self._passed.receive_records(PUMP_SIZE)
            except EndOfStream:
                break
            except (BrokenResourceError, ClosedResourceError):
                self._end()
                return
            if not await self._send(records):
                return
        if self._passed.ended and self._conn.half_close:
            try:
                await self._conn.send_eof()
            except (BrokenResourceError, ClosedResourceError):
                self._end(broken=True)
                return
            await self._passed.wait_closed()
        self._end()

    async def _send(self, records: list[bytes]) -> bool:
        try:
            await self._conn.send_records(records)
        except (BrokenResourceError, ClosedResourceError):
            self._end(broken=True)
            return False
        return True

    def _end(self, *, broken: bool = False) -> None:
        self._broken = self._broken or broken
        self._scope.cancel()
