"""An app that runs as a child of this process: it may crash, leak or hang alone, and does not outlive us."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, final

from anyio import CancelScope, get_cancelled_exc_class, move_on_after, open_process
from anyio.abc import Process, TaskStatus

from skywire.app.host import AppHost
from skywire.app.instance import InstanceFailed
from skywire.app.status import AppStatus
from skywire.isolation.interfaces import Assignment
from skywire.isolation.output import Output
from skywire.isolation.session import Session
from skywire.net.background import Background
from skywire.net.local_socket import LocalSocket

KILL_SECONDS: Final = 5.0
"""For the system to end a process that it was told to kill."""
INHERITED: Final = frozenset(
    {"PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH"}
    | {"SKYWIRE_RUNTIME_DIR"}
)
"""Variables of this process that a child gets as well; its configuration may set others. Not all of ours, as a secret
key may be among them."""

_log: Final = logging.getLogger("skywire.isolation")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ChildLimits:
    """Times in seconds."""

    leave_seconds: float = 5.0
    """For a child that has ended its app to end by itself."""
    term_seconds: float = 2.0
    """For one that was sent SIGTERM, before it is killed."""


@final
class ChildInstance:
    """See :class:`skywire.app.instance.AppInstance`.

    Args:
        host: of the instance.
        assign: says what is to run; may raise.
        session: makes one over a link.
        environment: variables that its configuration sets.
        limits: for its end.
    """

    def __init__(
        self,
        host: AppHost,
        assign: Callable[[], Assignment],
        session: Callable[[LocalSocket], Session],
        environment: Mapping[str, str],
        limits: ChildLimits,
    ) -> None:
        self._host = host
        self._assign = assign
        self._new_session = session
        self._environment = environment
        self._limits = limits
        self._session: Session | None = None
        self._stopping = False
        self._scope = CancelScope()

    async def start(self, *, task_status: TaskStatus[None]) -> None:
        """See the protocol."""
        with self._scope:
            await self._run(task_status)

    async def stop(self) -> None:
        """See the protocol."""
        self._stopping = True
        if self._session is None:
            self._scope.cancel()
        else:
            await self._session.stop()

    def status(self) -> AppStatus:
        """See the protocol."""
        return self._host.reported

    async def _run(self, task_status: TaskStatus[None]) -> None:
        assignment = self._assign()
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        link = LocalSocket(near)
        async with link, self._spawned(far) as process, Background() as watching:
            session = self._session = self._new_session(link)
            watching.start_soon(_watch, process, session)
            await session.run(assignment, task_status.started)
            await link.aclose()
        if session.failure is not None:
            raise InstanceFailed(session.failure)
        if not self._stopping:
            reason = describe_end(process.returncode)
            self._host.log.error("%s failed: %s", self._host.name, reason)
            raise InstanceFailed(reason)

    @asynccontextmanager
    async def _spawned(self, far: socket.socket) -> AsyncIterator[Process]:
        """A child process while the block runs; nothing of it is left afterwards."""
        log = self._host.log
        with ExitStack() as stack:
            stack.callback(far.close)
            output = stack.enter_context(Output(lambda line: log.info("%s", line)))
            errors = stack.enter_context(Output(lambda line: log.warning("%s", line)))
            with CancelScope(shield=True):  # or nobody would know of it
                process = await open_process(
                    [sys.executable, "-P", "-m", "skywire.isolation", str(far.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=output.writer,
                    stderr=errors.writer,
                    env=child_environment(os.environ, self._environment),
                    start_new_session=True,
                    pass_fds=(far.fileno(),),
                )
            far.close()
            output.close_writer()
            errors.close_writer()
            patience = self._limits.leave_seconds
            async with Background() as reading:
                reading.start_soon(output.read)
                reading.start_soon(errors.read)
                try:
                    yield process
                except get_cancelled_exc_class():
                    patience = 0.0
                    raise
                finally:
                    with CancelScope(shield=True):
                        await self._end(process, patience)

    async def _end(self, process: Process, patience: float) -> None:
        """Have no process of its group be left."""
        await _wait(process, patience)
        if process.returncode is None:
            _signal_group(process, signal.SIGTERM)
            await _wait(process, self._limits.term_seconds)
        _signal_group(process, signal.SIGKILL)
        await _wait(process, KILL_SECONDS)
        if process.returncode is None:
            _log.error("process %d of %s cannot be killed, and is left behind", process.pid, self._host.name)


def child_environment(own: Mapping[str, str], configured: Mapping[str, str]) -> dict[str, str]:
    """The variables of a child.

    Args:
        own: those of this process.
        configured: for this child.
    """
    passed = {name: own[name] for name in own if name in INHERITED}
    return passed | {"PYTHONUNBUFFERED": "1"} | dict(configured)


def describe_end(code: int | None) -> str:
    """How a process ended, for people.

    Args:
        code: its exit code, or a signal's number below 0; None where it does not end.
    """
    if code is None:
        return "its process left the link, and cannot be ended"
    if code >= 0:
        return f"its process ended with exit code {code}"
    with suppress(ValueError):
        return f"it was killed by signal {-code} ({signal.Signals(-code).name})"
    return f"it was killed by signal {-code}"


async def _watch(process: Process, session: Session) -> None:
    await process.wait()
    session.end()


async def _wait(process: Process, seconds: float) -> None:
    if process.returncode is None:
        with move_on_after(seconds):
            await process.wait()


def _signal_group(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
