"""How programs run: in processes of their own, since running changes the settings of the whole process."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, signal
import anyio, skywire

async def leave():
    raise SystemExit(3)

async def go_on():
    for _ in range(3):
        try:
            async with anyio.create_task_group() as task_group:
                task_group.start_soon(leave)
        except BaseExceptionGroup as group:
            print(*group.exceptions)
    await anyio.sleep(0)
    print("went on")

async def fail():
    raise ValueError("no")

async def be_interrupted():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        await anyio.sleep(30)
    finally:
        print("cleaned up", flush=True)

skywire.run({name})
"""


def run(name: str, *, before: str = "") -> subprocess.CompletedProcess[str]:
    script = before + PROGRAM.format(name=name)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)


NO_UVLOOP = "import sys; sys.modules['uvloop'] = None\n"


def test_system_exit_of_another_task_is_its_own_failure() -> None:
    for before in ("", NO_UVLOOP):
        done = run("go_on", before=before)
        assert (done.returncode, done.stdout) == (0, "3\n3\n3\nwent on\n"), done.stderr


def test_system_exit_of_the_program_ends_it() -> None:
    assert run("leave").returncode == 3


def test_what_the_program_raises_comes_out() -> None:
    done = run("fail")
    assert done.returncode == 1
    assert done.stderr.endswith("ValueError: no\n")


def test_interrupting_cancels_the_program_first() -> None:
    done = run("be_interrupted")
    assert done.stdout == "cleaned up\n"
    assert done.stderr.endswith("KeyboardInterrupt\n")
