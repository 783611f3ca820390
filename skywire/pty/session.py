"""A program that outlives the connections by which it is used."""

from __future__ import annotations

from typing import Final, final

from anyio import Event, WouldBlock, create_task_group, move_on_after
from anyio.lowlevel import checkpoint

from skywire.keys import PubKey
from skywire.pty.child import Child
from skywire.pty.errors import PtyError, TakenOver
from skywire.pty.inlet import Inlet
from skywire.pty.limits import SessionLimits
from skywire.pty.outlet import Outlet
from skywire.wire.pty.session import TAKEN_OVER, Attached, Ended, Piece, Receive, Send, SessionFacts
from skywire.wire.pty.shell import WindowSize

_IN_A_ROW: Final = 32
"""Pieces of output that are read before others get their turn."""
_LAST_BYTES: Final = 1 << 20
"""What a pipe holds at most; what a program has left behind may fill its output without end."""


@final
class Session:
    """See the module. It runs in a task of :class:`skywire.pty.sessions.Sessions`.

    Args:
        id: unguessable.
        owner: the key whose it is.
        command: what runs, in words.
        started: Unix time in seconds.
        child: the program; closed by this.
        limits: what it may cost.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 - as on the wire
        owner: PubKey,
        command: str,
        started: float,
        child: Child,
        limits: SessionLimits,
    ) -> None:
        self.id: Final = id
        self.owner: Final = owner
        self._command = command
        self._started = started
        self._child = child
        self._limits = limits
        self._outlets = {number: Outlet(limits.kept_bytes) for number in child.outputs}
        self._inlet = Inlet(child)
        self._ended: Ended | None = None
        self._over = Event()
        self._to_end = Event()
        self._attachment: Attachment | None = None
        self._moved = Event()

    @property
    def facts(self) -> SessionFacts:
        """What its owner sees of it in a list."""
        return SessionFacts(
            self.id, self._command, int(self._started), self._attachment is not None, self._child.terminal
        )

    def attach(self) -> Attachment:
        """Use it; whoever used it before does not any more."""
        self._attachment = Attachment(self)
        self._notice()
        return self._attachment

    def end(self) -> None:
        """End the program, and forget what it said."""
        self._to_end.set()

    async def run(self) -> None:
        """Run it to its end, and keep it until its end has been told, or nobody has asked for too long."""
        try:
            async with create_task_group() as tasks:
                tasks.start_soon(self._run_program)
                tasks.start_soon(self._miss)
                await self._to_end.wait()
                tasks.cancel_scope.cancel()
        finally:
            self._to_end.set()
            for outlet in self._outlets.values():
                outlet.finish()
            await self._child.close(self._limits.end_seconds)
            self._over.set()

    async def _run_program(self) -> None:
        async with create_task_group() as reading:
            for number, outlet in self._outlets.items():
                reading.start_soon(self._read, number, outlet)
            reading.start_soon(self._inlet.feed)
            ended = await self._child.wait()
            reading.cancel_scope.cancel()
        self._inlet.finish()
        for number, outlet in self._outlets.items():  # what it has said and nobody has read yet
            last = 0
            while last < _LAST_BYTES and (data := self._child.read_at_once(number)):
                outlet.put(data)
                last += len(data)
            outlet.finish()
        self._ended = ended
        self._over.set()

    async def _read(self, number: int, outlet: Outlet) -> None:
        while True:
            for _ in range(_IN_A_ROW):
                while not outlet.room:
                    await outlet.changed()
                data = await self._child.read(number)
                if not data:
                    return
                outlet.put(data)
            await checkpoint()

    async def _miss(self) -> None:
        """End it when nobody has been attached for too long."""
        while True:
            moved = self._moved
            if self._attachment is not None:
                await moved.wait()
                continue
            with move_on_after(self._limits.keep_seconds) as waiting:
                await moved.wait()
            if waiting.cancelled_caught:
                self._to_end.set()
                return

    def _notice(self) -> None:
        self._moved.set()
        self._moved = Event()
        for outlet in self._outlets.values():
            outlet.look_again()

    # What an attachment does.

    def state(self) -> Attached:
        """How far it is."""
        forgotten = [outlet.base for outlet in self._outlets.values()]
        return Attached(self.id, self._inlet.taken, self._child.terminal, *forgotten)

    def is_used_by(self, attachment: Attachment) -> bool:
        """Whether it is that one."""
        return self._attachment is attachment

    def detach(self, attachment: Attachment) -> None:
        """Let it go on alone."""
        if self._attachment is attachment:
            self._attachment = None
            self._notice()

    def outlet(self, number: int) -> Outlet:
        """One of its outputs.

        Raises:
            PtyError: it has no such.
        """
        if (found := self._outlets.get(number)) is None:
            raise PtyError("a session with a terminal has one output")
        return found

    async def take_input(self, piece: Send) -> None:
        """Give input to the program, what is new of it."""
        await self._inlet.take(piece)

    def take_input_at_once(self, piece: Send) -> None:
        """The same, or :class:`WouldBlock`."""
        self._inlet.take_at_once(piece)

    def resize(self, size: WindowSize) -> None:
        """Of its terminal."""
        self._child.resize(size)

    def signal(self, number: int) -> None:
        """To its program."""
        if self._ended is None:
            self._child.signal(number)

    async def wait(self) -> Ended:
        """How the program ended, once it has."""
        await self._over.wait()
        return self._ended or Ended(-1)


@final
class Attachment:
    """One connection's use of a session. Its calls raise :class:`TakenOver` once another one uses it."""

    def __init__(self, session: Session) -> None:
        self._session: Final = session

    @property
    def state(self) -> Attached:
        """How far the session is."""
        return self._session.state()

    async def receive(self, asked: Receive) -> Piece:
        """Output, once there is any, or it has ended.

        Raises:
            PtyError: it asks for what is not here, or there is no such output.
        """
        outlet = self._session.outlet(asked.output)
        while True:
            self._check()
            if (piece := outlet.take(asked.have, asked.most)) is not None:
                return piece
            await outlet.changed()

    def receive_at_once(self, asked: Receive) -> Piece:
        """The same, or :class:`WouldBlock`."""
        self._check()
        if (piece := self._session.outlet(asked.output).take(asked.have, asked.most)) is None:
            raise WouldBlock
        return piece

    async def send(self, piece: Send) -> None:
        """Give input; returns once the program's terminal or pipe has it.

        Raises:
            PtyError: there is a gap before it.
        """
        self._check()
        await self._session.take_input(piece)

    def send_at_once(self, piece: Send) -> None:
        """The same, or :class:`WouldBlock`."""
        self._check()
        self._session.take_input_at_once(piece)

    def resize(self, size: WindowSize) -> None:
        """Change the size of the terminal."""
        self._check()
        self._session.resize(size)

    def signal(self, number: int) -> None:
        """Send a signal to the program."""
        self._check()
        self._session.signal(number)

    async def wait(self) -> Ended:
        """How the program ended, once it has."""
        ended = await self._session.wait()
        self._check()
        return ended

    def end(self) -> None:
        """End the session."""
        self._check()
        self._session.end()

    def close(self) -> None:
        """Let the session go on alone. Idempotent."""
        self._session.detach(self)

    def _check(self) -> None:
        if not self._session.is_used_by(self):
            raise TakenOver(TAKEN_OVER)
