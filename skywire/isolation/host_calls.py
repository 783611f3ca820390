"""What the app of another process is given of its host: within limits, and on behalf of its own instance alone."""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Final, Protocol, final

from anyio import TASK_STATUS_IGNORED, CancelScope, Event, sleep_forever
from anyio.abc import TaskGroup, TaskStatus

from skywire.app.host import AppHost
from skywire.app.local_ports import LocalPorts
from skywire.app.status import AppStatus, Fact
from skywire.app.typed_json import MisfitError
from skywire.errors import SkywireError
from skywire.isolation.interfaces import (
    FIRST_NUMBER,
    MAX_DIALS,
    MAX_FACTS,
    MAX_LINE,
    MAX_LINES,
    MAX_LISTENING,
    MAX_SERVED,
    MAX_TEXT,
    RELAYED,
    RemoteLine,
)
from skywire.isolation.link import HandOverFailed
from skywire.keys import PubKey
from skywire.net.address import MAX_PORT, Address, HostPort
from skywire.net.conn import Conn
from skywire.net.network import EVERYONE, DialOptions

MAX_ADDRESSES: Final = 16
"""Addresses of one local listener."""


class TooMuch(SkywireError):
    """An app's process asks for more at a time than one process may have."""


class Carry(Protocol):
    """Hands a connection to the app's process, and carries what is said on it to its end; reports the hand-over."""

    async def __call__(
        self, number: int, conn: Conn, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED
    ) -> None: ...


@final
class _Served:
    """A port that is being served."""

    def __init__(self) -> None:
        self.scope: Final = CancelScope()
        self.over: Final = Event()


@final
class HostCalls:
    """See :class:`skywire.isolation.interfaces.HostAPI`.

    Args:
        host: of the instance.
        local_ports: of this process.
        tasks: in which ports are served and dialled connections carried.
        carry: see there.
        failed: is told why the app has failed.
    """

    def __init__(
        self,
        host: AppHost,
        local_ports: LocalPorts,
        tasks: TaskGroup,
        carry: Carry,
        failed: Callable[[str], None],
    ) -> None:
        self._host = host
        self._local_ports = local_ports
        self._tasks = tasks
        self._carry = carry
        self._failed = failed
        self._served: dict[int, _Served] = {}
        self._listening: dict[int, ExitStack] = {}
        self._dials = 0

    async def serve(self, number: int, port: int, label: str, peers: tuple[PubKey, ...] | None, hidden: bool) -> None:
        """See the protocol."""
        self._check_number(number)
        if not 1 <= port <= MAX_PORT:
            raise MisfitError(f"host.serve.port: a port is 1 to {MAX_PORT}, this is {port}")
        if len(self._served) >= MAX_SERVED:
            raise TooMuch(f"a process serves {MAX_SERVED} ports at most")
        await self._tasks.start(self._serve, number, port, label[:MAX_TEXT], peers, hidden)

    async def unserve(self, number: int) -> None:
        """See the protocol."""
        served = self._served.get(number)
        if served is not None:
            served.scope.cancel()
            await served.over.wait()

    async def dial(self, number: int, address: Address, timeout: float) -> None:
        """See the protocol."""
        self._check_number(number)
        if not timeout > 0:
            raise MisfitError(f"host.dial.timeout: it is above 0 seconds, this is {timeout}")
        if self._dials >= MAX_DIALS:
            raise TooMuch(f"a process makes {MAX_DIALS} connections at a time, the others have to wait")
        self._dials += 1
        try:
            conn = await self._host.dial(address, options=DialOptions(timeout))
            try:
                await self._tasks.start(self._carry_dialled, number, conn)
            except BaseException:
                with CancelScope(shield=True):
                    await conn.aclose()
                raise
        finally:
            self._dials -= 1

    async def listening(self, number: int, addresses: tuple[HostPort, ...], label: str) -> None:
        """See the protocol."""
        self._check_number(number)
        if len(self._listening) >= MAX_LISTENING or len(addresses) > MAX_ADDRESSES:
            raise TooMuch(f"a process listens {MAX_LISTENING} times at most, on {MAX_ADDRESSES} addresses each")
        places = [(each.host, each.port) for each in addresses]
        stack = self._listening[number] = ExitStack()
        stack.enter_context(self._local_ports.noted(places, owner=self._host.name, label=label[:MAX_TEXT]))

    async def not_listening(self, number: int) -> None:
        """See the protocol."""
        if (stack := self._listening.pop(number, None)) is not None:
            stack.close()

    async def report(self, status: AppStatus) -> None:
        """See the protocol."""
        facts: dict[str, Fact] = {
            name[:MAX_TEXT]: value[:MAX_TEXT] if isinstance(value, str) else value
            for name, value in list(status.facts.items())[:MAX_FACTS]
        }
        trouble = None if status.trouble is None else status.trouble[:MAX_TEXT]
        self._host.reported = AppStatus(trouble, facts)

    async def log(self, lines: tuple[RemoteLine, ...], dropped: int) -> None:
        """See the protocol."""
        if len(lines) > MAX_LINES:
            raise TooMuch(f"at most {MAX_LINES} lines are taken at a time")
        if dropped:
            self._host.log.warning("%d lines before this one came too fast", dropped)
        for line in lines:
            level = min(max(line.level, logging.DEBUG), logging.CRITICAL)
            if self._host.log.isEnabledFor(level):
                text = line.text[:MAX_LINE]
                # A record of its own: loggers by names that the other process makes up would stay for ever.
                self._host.log.handle(
                    logging.makeLogRecord(
                        {"name": line.logger[:MAX_TEXT], "levelno": level, "levelname": logging.getLevelName(level)}
                        | {"msg": "%s", "args": (text,), RELAYED: True}
                    )
                )

    async def failed(self, reason: str) -> None:
        """See the protocol."""
        self._failed(reason[:MAX_TEXT] or "it failed, and did not say why")

    def close(self) -> None:
        """Forget what it has open on this machine."""
        for stack in self._listening.values():
            stack.close()
        self._listening.clear()

    async def _serve(
        self,
        number: int,
        port: int,
        label: str,
        peers: tuple[PubKey, ...] | None,
        hidden: bool,
        *,
        task_status: TaskStatus[None],
    ) -> None:
        served = self._served[number] = _Served()
        admitted = EVERYONE if peers is None else frozenset(peers)
        try:
            with served.scope:
                async with self._host.serve(port, self._handler(number), label=label, peers=admitted, hidden=hidden):
                    task_status.started()
                    await sleep_forever()
        finally:
            del self._served[number]
            served.over.set()

    def _handler(self, number: int) -> Callable[[Conn], Awaitable[None]]:
        async def handle(conn: Conn) -> None:
            try:
                await self._carry(number, conn)
            except (HandOverFailed, TooMuch) as error:
                self._host.log.warning("%r is closed: %s", conn, error)

        return handle

    async def _carry_dialled(self, number: int, conn: Conn, *, task_status: TaskStatus[None]) -> None:
        handed_over = _Noted(task_status)
        try:
            await self._carry(number, conn, task_status=handed_over)
        except Exception:
            if not handed_over.reported:
                raise
            self._host.log.exception("%r failed", conn)  # costs no other connection

    def _check_number(self, number: int) -> None:
        if not FIRST_NUMBER <= number <= sys.maxsize or number in self._served or number in self._listening:
            raise MisfitError(f"a number is new, and {FIRST_NUMBER} to {sys.maxsize}, this is {number}")


@final
class _Noted(TaskStatus[None]):
    """Passes on that a task has started, and remembers it."""

    def __init__(self, status: TaskStatus[None]) -> None:
        self.reported = False
        self._status = status

    def started(self, value: None = None) -> None:
        self.reported = True
        self._status.started()
