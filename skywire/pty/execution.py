"""Running a program to its end, and having all that it said at once."""

from __future__ import annotations

import time
from typing import final

from anyio import create_task_group, move_on_after

from skywire.keys import PubKey
from skywire.pty.errors import PtyError
from skywire.pty.session import Attachment
from skywire.pty.sessions import Sessions
from skywire.wire.pty.session import MAX_PIECE, STDERR, STDOUT, Ended, NewSession, Receive, Send
from skywire.wire.pty.shell import EXEC_MS, MAX_OUTPUT, MAX_STDIN, Command, Execution, Outcome


@final
class _Gathered:
    """What an output has said, up to a limit."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.truncated = False

    async def run(self, attachment: Attachment, output: int) -> None:
        have = 0
        while piece := (await attachment.receive(Receive(output, have))).data:
            have += len(piece)
            room = MAX_OUTPUT - len(self.data)
            self.data += piece[:room]
            self.truncated = self.truncated or len(piece) > room


async def execute(sessions: Sessions, owner: PubKey, execution: Execution, over: str) -> Outcome:
    """Run a program in a session of its own.

    Raises:
        PtyError: it cannot be started.
    """
    if len(execution.stdin) > MAX_STDIN:
        raise PtyError(f"a program gets at most {MAX_STDIN} bytes of input so")
    command = Command(execution.name, execution.arguments, environment=execution.environment)
    session = sessions.start(owner, NewSession(command, terminal=False), over)
    attachment, stdout, stderr = session.attach(), _Gathered(), _Gathered()
    started = time.monotonic()
    ended: Ended | None = None

    async def give() -> None:
        for start in range(0, len(execution.stdin), MAX_PIECE):
            await attachment.send(Send(start, execution.stdin[start : start + MAX_PIECE]))
        await attachment.send(Send(len(execution.stdin), b"", end=True))

    try:
        with move_on_after((execution.timeout_ms or EXEC_MS) / 1000):
            async with create_task_group() as giving:
                giving.start_soon(give)
                async with create_task_group() as gathering:
                    gathering.start_soon(stdout.run, attachment, STDOUT)
                    gathering.start_soon(stderr.run, attachment, STDERR)
                ended = await attachment.wait()
                giving.cancel_scope.cancel()
    finally:
        session.end()
    return Outcome(
        bytes(stdout.data),
        bytes(stderr.data),
        stdout.truncated,
        stderr.truncated,
        -1 if ended is None else ended.code,
        ended is None,
        int((time.monotonic() - started) * 1000),
    )
