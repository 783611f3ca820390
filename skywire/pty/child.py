"""A program of this machine that runs, with a terminal or with pipes."""

from __future__ import annotations

import os
import signal
import termios
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, TypeAlias, final

from anyio import CancelScope, move_on_after, notify_closing, wait_readable, wait_writable

from skywire.pty.errors import CannotRun
from skywire.pty.launch import Launch
from skywire.pty.readiness import readiness
from skywire.wire.pty.session import STDERR, STDOUT, Ended
from skywire.wire.pty.shell import WindowSize

_INPUT: Final = 0
_END_OF_FILE: Final = b"\x04"
_READ_SIZE: Final = 1 << 16
_CHANGE_FOLDER: Final = 'cd -- "$1" || exit 125; shift; exec "$@"'
"""For the shell, since a program that is spawned begins in the folder of its parent."""

_Actions: TypeAlias = list[tuple[object, ...]]
_Ends: TypeAlias = dict[int, int]
"""Our ends of what a program has, by the numbers that they have there."""


@final
class Child:
    """A program that runs; to be closed.

    Raises:
        CannotRun: it cannot be started.
    """

    def __init__(self, launch: Launch) -> None:
        self.terminal: Final = launch.size is not None
        """Whether it has one; else it has pipes."""
        self._ended: Ended | None = None
        with ExitStack() as theirs, ExitStack() as ours:
            try:
                ends, actions = _pipes(theirs, ours) if launch.size is None else _terminal(launch.size, theirs, ours)
                self.pid: Final = os.posix_spawn(
                    "/bin/sh",
                    ["/bin/sh", "-c", _CHANGE_FOLDER, "sh", launch.folder, launch.path, *launch.words[1:]],
                    launch.environment,
                    file_actions=actions,
                    setsid=True,
                    setsigmask=(),
                    setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
                )
                self._process: Final = _handle(self.pid)
            except OSError as error:
                raise CannotRun(f"{launch.words[0]}: {error.strerror}") from error
            ours.pop_all()
        self._ends = ends
        for descriptor in ends.values():
            os.set_blocking(descriptor, False)
        self._readiness: Final = {output: readiness(ends[output]) for output in self.outputs}

    @property
    def outputs(self) -> tuple[int, ...]:
        """The numbers of its outputs."""
        return (STDOUT,) if self.terminal else (STDOUT, STDERR)

    async def read(self, output: int) -> bytes:
        """What it says, once it does; empty when nothing more can come."""
        while True:
            try:
                return os.read(self._ends[output], _READ_SIZE)
            except BlockingIOError:
                await self._readiness[output].wait()
            except OSError:  # of a terminal that nobody has open any more
                return b""

    def read_at_once(self, output: int) -> bytes:
        """What it has said already; empty for nothing."""
        try:
            return os.read(self._ends[output], _READ_SIZE)
        except OSError:
            return b""

    def write_at_once(self, data: bytes | memoryview) -> int:
        """Give it what input it takes without waiting; how many bytes that was. What it takes no more is nobody's."""
        if _INPUT not in self._ends:
            return len(data)
        try:
            return os.write(self._ends[_INPUT], data) if data else 0
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)

    async def write(self, data: bytes) -> None:
        """Give it input, all of it."""
        view = memoryview(data)
        while view := view[self.write_at_once(view) :]:
            await wait_writable(self._ends[_INPUT])

    async def end_input(self) -> None:
        """Say that there is no more input; where it has a terminal, as a person at it would."""
        if self.terminal:
            await self.write(_END_OF_FILE)
        elif _INPUT in self._ends:
            self._close(_INPUT)

    def resize(self, size: WindowSize) -> None:
        """Tell it that its terminal has another size; where it has none, nothing happens."""
        if self.terminal and STDOUT in self._ends:
            termios.tcsetwinsize(self._ends[STDOUT], (size.rows, size.columns))

    def signal(self, number: int) -> None:
        """Send a signal to the program that runs in front in its terminal, or to it and what it has started."""
        group = self.pid
        if self.terminal and STDOUT in self._ends:
            with suppress(OSError):
                group = os.tcgetpgrp(self._ends[STDOUT]) or group
        self._signal(group, number)

    async def wait(self) -> Ended:
        """How it ended, once it has."""
        while self._ended is None:
            found = self._look()
            if found is None:
                await wait_readable(self._process)
            elif found.si_code == os.CLD_EXITED:
                self._ended = Ended(found.si_status)
            else:
                self._ended = Ended(-1, found.si_status)
        return self._ended

    async def close(self, grace_seconds: float) -> None:
        """End it, kindly first, and hang up on its jobs. Idempotent.

        Its own process group is killed when it is still there after the time of grace. Jobs in other groups, as shells
        make them, are hung up on and no more, so that ``nohup`` does what it is for; and what has made a session of its
        own, as daemons do, is not touched. Of a program that ended by itself only the terminal is taken away.

        Args:
            grace_seconds: for it to end by itself.
        """
        if not self._ends:
            return
        with CancelScope(shield=True):
            if self._ended is None:
                for group in {self.pid, *_groups(self.pid)}:
                    self._signal(group, signal.SIGHUP)
                    self._signal(group, signal.SIGCONT)
                with move_on_after(grace_seconds):
                    await self.wait()
            if self._ended is None:
                self._signal(self.pid, signal.SIGKILL)
                await self.wait()
        for number in list(self._ends):
            self._close(number)
        os.close(self._process)
        self._reap()

    def _look(self) -> os.waitid_result | None:
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)

    def _reap(self) -> None:
        """Until now nobody else could get the number of its group."""
        os.waitpid(self.pid, 0)

    def _signal(self, group: int, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)

    def _close(self, number: int) -> None:
        descriptor = self._ends.pop(number)
        if number in self._readiness:
            self._readiness[number].close()
        if descriptor not in self._ends.values():
            notify_closing(descriptor)
            os.close(descriptor)


def _handle(pid: int) -> int:
    """A descriptor that tells when a program has ended; one for which there is none is ended at once."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def _groups(session: int) -> set[int]:
    """The process groups of a session: each job of a shell is one."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            if os.getsid(int(process.name)) == session:
                found.add(os.getpgid(int(process.name)))
    return found


def _terminal(size: WindowSize, theirs: ExitStack, ours: ExitStack) -> tuple[_Ends, _Actions]:
    near, far = os.openpty()
    ours.callback(os.close, near)
    theirs.callback(os.close, far)
    termios.tcsetwinsize(far, (size.rows, size.columns))
    # The leader of a session that opens a terminal gets it as its own.
    actions: _Actions = [(os.POSIX_SPAWN_OPEN, 0, os.ttyname(far), os.O_RDWR, 0)]
    actions += [(os.POSIX_SPAWN_DUP2, 0, number) for number in (STDOUT, STDERR)]
    return {_INPUT: near, STDOUT: near}, actions


def _pipes(theirs: ExitStack, ours: ExitStack) -> tuple[_Ends, _Actions]:
    ends: _Ends = {}
    actions: _Actions = []
    for number in (_INPUT, STDOUT, STDERR):
        reading, writing = os.pipe()
        near, far = (writing, reading) if number == _INPUT else (reading, writing)
        ours.callback(os.close, near)
        theirs.callback(os.close, far)
        ends[number] = near
        actions.append((os.POSIX_SPAWN_DUP2, far, number))
    return ends, actions
