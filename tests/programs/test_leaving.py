"""The end of a long-lived program: within its limit, whatever hangs."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

PROGRAM = """
import asyncio, threading
import anyio
from skywire import runtime
from skywire.cli.service import Leaving

async def hang():
    await asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)  # as names are looked up

async def main():
    halted = anyio.Event()
    async with Leaving(1.0) as leaving:
        print("runs", flush=True)
        {body}

runtime.run(main)
"""
BODIES = {
    "before it runs": "await anyio.sleep_forever()",
    "in its clean-up": """
        try:
            await leaving.told(halted)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep_forever()""",
    "in a thread": """
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(hang)
            await leaving.told(halted)
            task_group.cancel_scope.cancel()""",
    "in a question about itself": """
        leaving.hold_ups = lambda: 1 / 0
        await leaving.told(halted)
        await anyio.sleep_forever()""",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("errors", ["read", "gone"])
def test_it_ends_within_its_limit(body: str, errors: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(body=body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert process.stdout.readline() == b"runs\n"
            if errors == "gone":
                process.stderr.close()
            process.send_signal(signal.SIGTERM)
            told = time.monotonic()
            assert process.wait(20) == 1
            assert 0.9 < time.monotonic() - told < 10
        finally:
            process.kill()
