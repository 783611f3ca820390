"""A far program in a pipe: its input, output and errors are those of this process."""

from __future__ import annotations

import signal
import sys
from typing import Final

from anyio import create_task_group, move_on_after, open_signal_receiver

from skywire.apps.pty.standard_streams import IN, read, write
from skywire.pty.far_program import Connect, FarProgram, far_program
from skywire.wire.pty.session import STDERR, STDOUT, Ended, NewSession

TIMED_OUT: Final = 124
"""The exit code when a program took too long."""
SIGNALLED: Final = 128
"""And the number of the signal is the exit code of a program that was ended by one."""


async def run_pipe(connect: Connect, wish: NewSession | str, seconds: float) -> int:
    """Run it to its end; gives the exit code.

    Args:
        connect: to the host.
        wish: what to run, or the session to go on with.
        seconds: that it may take; 0 for any time.

    Raises:
        SkywireError: the host says no, or cannot be reached.
    """
    async with far_program(connect, wish, complain) as program:
        with move_on_after(seconds or float("inf")) as limit:
            ended = await _attend(program)
            await program.end()
            return exit_code(ended)
        assert limit.cancelled_caught
        await program.end()
        sys.stderr.write(f"skywire: it was ended after {seconds:g} s\n")
        return TIMED_OUT


def exit_code(ended: Ended) -> int:
    """As shells tell it."""
    return SIGNALLED + ended.signal if ended.signal else ended.code


async def _attend(program: FarProgram) -> Ended:
    async with create_task_group() as beside:
        beside.start_soon(_give, program)
        beside.start_soon(_pass_signals, program)
        async with create_task_group() as outputs:
            outputs.start_soon(_take, program, STDOUT)
            if not program.terminal:
                outputs.start_soon(_take, program, STDERR)
        ended = await program.wait()
        beside.cancel_scope.cancel()
    return ended


async def _give(program: FarProgram) -> None:
    """Its input is ours, to the end of that."""
    while data := await read(IN):
        await program.send(data)
    await program.end_input()


async def _take(program: FarProgram, output: int) -> None:
    while data := await program.receive(output):
        await write(output, data)  # the numbers of the outputs are those of the descriptors


async def _pass_signals(program: FarProgram) -> None:
    with open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGQUIT) as signals:
        async for number in signals:
            await program.signal(number)


def complain(trouble: str | None) -> None:
    """Tell of the connection."""
    text = "connected again" if trouble is None else f"{trouble}; trying again"
    sys.stderr.write(f"skywire: {text}\n")
