"""A far program at this terminal."""

from __future__ import annotations

import os
import signal
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final, final

from anyio import CancelScope, Event, create_task_group, open_signal_receiver

from skywire.apps.pty.escapes import HELP, Escape, Escapes
from skywire.apps.pty.standard_streams import IN, OUT, read, write
from skywire.apps.pty.terminal_pipe import exit_code
from skywire.pty.far_program import Connect, FarProgram, far_program
from skywire.wire.pty.session import NewSession
from skywire.wire.pty.shell import WindowSize

_MOST_TYPED: Final = 1 << 20
"""Bytes that wait for the host; what is typed or pasted beyond waits in the terminal."""
_SIGNALLED: Final = 128
_CALM: Final = b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?1l\x1b>\x1b[?1049l\x1b[?25h\x1b[0m\r\n"
"""For what a program leaves behind that could not clean up: no mouse, no marks around what is pasted, the usual keys
and screen, a cursor, no colour."""


def at_a_terminal() -> bool:
    """Whether somebody is there."""
    return os.isatty(IN) and os.isatty(OUT)


async def run_shell(connect: Connect, wish: NewSession | str, again: str) -> int:
    """Use it until it ends, or is left; gives the exit code.

    Args:
        connect: to the host.
        wish: what to run, or the session to go on with.
        again: the words by which people come back, without the id of the session.

    Raises:
        SkywireError: the host says no, or cannot be reached.
    """
    if isinstance(wish, NewSession):
        wish = replace(wish, command=replace(wish.command, size=_size()))
    seat = _Seat()
    async with far_program(connect, wish, seat.notice) as program:
        with _raw():
            code = await seat.use(program)
            if code is None:
                _write(_CALM)
        if seat.wanted is Escape.END:
            await program.end()
        elif code is None and not program.lasting:
            _write(b"The session has ended: this host is an older one, which keeps none.\r\n")
        elif code is None:
            _write(f"The session goes on. Come back with: {again}{program.id}\r\n".encode())
        else:
            await program.end()  # it has ended; the host may forget it
        return code or 0


@final
class _Seat:
    """Somebody at this terminal."""

    def __init__(self) -> None:
        self.wanted: Escape | None = None
        self._typed = bytearray()
        self._news = Event()
        self._signal = 0

    async def use(self, program: FarProgram) -> int | None:
        """Use a program until it ends, and give its exit code; or until it is left, and give None."""
        code: int | None = None
        with CancelScope() as scope:
            async with create_task_group() as tasks:
                tasks.start_soon(self._listen, scope)
                tasks.start_soon(self._send, program)
                tasks.start_soon(self._follow_size, program)
                tasks.start_soon(self._mind_signals, scope)
                await program.resize(_size())
                while data := await program.receive():
                    await write(OUT, data)
                code = exit_code(await program.wait())
                scope.cancel()
        return _SIGNALLED + self._signal if self._signal else code

    def notice(self, trouble: str | None) -> None:
        """Tell of the connection."""
        text = "connected again" if trouble is None else f"{trouble}; trying again, ~. gives up"
        _write(f"\r\n[{text}]\r\n".encode())

    async def _listen(self, scope: CancelScope) -> None:
        """Take what is typed, and what of it is for us."""
        escapes = Escapes()
        while True:
            while len(self._typed) >= _MOST_TYPED:
                await self._news.wait()
            data = await read(IN)
            passed, escape = escapes.take(data)
            self._typed += passed
            self._tell()
            if escape is Escape.HELP:
                _write(("\r\n" + HELP.replace("\n", "\r\n")).encode())
            elif escape is not None or not data:
                self.wanted = escape or Escape.LEAVE
                scope.cancel()

    async def _send(self, program: FarProgram) -> None:
        while True:
            if self._typed:
                data = bytes(self._typed)
                await program.send(data)
                del self._typed[: len(data)]
                self._tell()
            else:
                await self._news.wait()

    async def _follow_size(self, program: FarProgram) -> None:
        with open_signal_receiver(signal.SIGWINCH) as signals:
            async for _ in signals:
                await program.resize(_size())

    async def _mind_signals(self, scope: CancelScope) -> None:
        """Leave the terminal as it was, whatever ends us."""
        with open_signal_receiver(signal.SIGTERM, signal.SIGHUP, signal.SIGINT) as signals:
            async for number in signals:
                self._signal = number
                scope.cancel()

    def _tell(self) -> None:
        self._news.set()
        self._news = Event()


@contextmanager
def _raw() -> Iterator[None]:
    """Have the terminal pass on all that is typed, as it is, while the block runs."""
    before = termios.tcgetattr(IN)
    try:
        tty.setraw(IN, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(IN, termios.TCSADRAIN, before)


def _size() -> WindowSize:
    rows, columns = termios.tcgetwinsize(OUT)
    return WindowSize(columns, rows)


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(OUT, view) :]
