"""Clients that may use a host, and mean it no good."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import psutil
import pytest
from anyio.abc import ByteStream
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skywire import SecKey
from skywire.net.address import Address
from skywire.net.memory import MEMORY
from skywire.netrpc import CallFailed
from skywire.pty.child import Child
from skywire.pty.errors import CannotRun, PtyError, Refused
from skywire.pty.launch import Launch, launch_of
from skywire.pty.limits import SessionLimits
from skywire.pty.opening import ask
from skywire.wire.gob import RpcWriter
from skywire.wire.pty.opening import ACCEPTED, PTY, REJECTED, Request
from skywire.wire.pty.session import (
    ATTACH,
    MAX_PIECE,
    RECEIVE,
    SEND,
    SESSIONS,
    SIGNAL,
    START_SESSION,
    STDERR,
    STDOUT,
    WAIT,
    Ended,
    NewSession,
    Receive,
    Send,
)
from skywire.wire.pty.shell import (
    EXEC,
    PING,
    READ,
    RESIZE,
    START,
    STOP,
    WRITE,
    Command,
    Execution,
    WindowSize,
)
from tests.pty.far_host import LIMITS, all_of, far_host, until, until_true

pytestmark = pytest.mark.anyio

PATIENCE = 20.0


def a_stranger() -> Address:
    return Address(MEMORY, SecKey.generate().public, 1)


async def to_the_end(stream: ByteStream) -> bytes:
    data = b""
    try:
        while True:
            data += await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return data


@asynccontextmanager
async def leaving_nothing() -> AsyncIterator[None]:
    """That neither a process nor a descriptor is left behind."""
    me = psutil.Process()
    children, descriptors = len(me.children(recursive=True)), me.num_fds()
    yield
    await until_true(lambda: len(me.children(recursive=True)) <= children)
    await until_true(lambda: me.num_fds() <= descriptors)


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"\0", b""),
        (b"\x02\xff\xfe", b""),
        (b"\x01/", b""),
        (b"\x05other", REJECTED + b"this host does not have other"),
        (b"\x11dmsgpty/whitelist", REJECTED + b"this host does not have dmsgpty/whitelist"),
        (b"\xff" + b"x" * 255, REJECTED + b"this host does not have " + b"x" * 255),
        (b"\x0cdmsgpty/pty?", ACCEPTED),
    ],
)
async def test_openings(said: bytes, answer: bytes) -> None:
    with anyio.fail_after(PATIENCE):
        async with far_host() as host, host.raw() as stream:
            await stream.send(said)
            if answer == ACCEPTED:
                assert await stream.receive(1) == ACCEPTED
            else:
                assert await to_the_end(stream) == answer


@pytest.mark.parametrize("said", [b"", b"\xff", b"\x0bdmsgpty/pt"])
async def test_an_opening_that_never_ends(said: bytes) -> None:
    with anyio.fail_after(PATIENCE):
        async with far_host(opening_seconds=0.05) as host, host.raw() as stream:
            if said:
                await stream.send(said)
            assert await to_the_end(stream) == b""


async def test_calls_before_there_is_a_session() -> None:
    with anyio.fail_after(PATIENCE):
        async with far_host() as host, host.calls() as caller:
            for call in (
                lambda: caller.call(READ, 100),
                lambda: caller.call(WRITE, b"x"),
                lambda: caller.call(RESIZE, WindowSize(1, 1)),
                lambda: caller.call(STOP, None),
                lambda: caller.call(RECEIVE, Receive(STDOUT, 0)),
                lambda: caller.call(SEND, Send(0, b"x")),
                lambda: caller.call(WAIT, None),
                lambda: caller.call(SIGNAL, signal.SIGKILL),
            ):
                with pytest.raises(CallFailed, match="no active pty session"):
                    await call()
            await caller.call(PING, None)
            assert await caller.call(SESSIONS, None) == ()


async def test_sessions_one_after_another_on_a_connection() -> None:
    with anyio.fail_after(PATIENCE):
        async with far_host() as host, host.calls() as caller:
            for word in ("one", "two"):
                await caller.call(START, Command("echo", (word,)))
                for method, wish in ((START, Command("echo")), (START, Command(""))):
                    with pytest.raises(CallFailed, match="a pty session is already running"):
                        await caller.call(method, wish)
                with pytest.raises(CallFailed, match="a pty session is already running"):
                    await caller.call(START_SESSION, NewSession(Command("echo")))
                with pytest.raises(CallFailed, match="a pty session is already running"):
                    await caller.call(ATTACH, "0123456789abcdef")
                assert await caller.call(READ, 100) == f"{word}\r\n".encode()
                with pytest.raises(CallFailed, match="EOF"):
                    await caller.call(READ, 100)
                await caller.call(STOP, None)


async def test_sizes_of_reads() -> None:
    with anyio.fail_after(PATIENCE):
        async with far_host() as host, host.calls() as caller:
            await caller.call(START, Command("sh", ("-c", "yes | head -c 300000")))
            for size in (-1, -(2**63)):
                with pytest.raises(CallFailed, match="negative"):
                    await caller.call(READ, size)
            assert await caller.call(READ, 0) == b""
            one, much = await caller.call(READ, 1), await caller.call(READ, 2**63 - 1)
            assert len(one) == 1
            assert 1 <= len(much) <= 1 << 16


async def test_reads_and_writes_at_once() -> None:
    """Each byte is given once, and each is taken."""
    said: list[bytes] = []
    with anyio.fail_after(PATIENCE):
        async with far_host() as host, host.calls() as caller:
            await caller.call(START, Command("sh", ("-c", "stty raw -echo; echo ready; exec cat")))
            assert await caller.call(READ, 100) == b"ready\n"

            async def read() -> None:
                while len(b"".join(said)) < 400_000:
                    said.append(await caller.call(READ, 1000))

            async def write(byte: bytes) -> None:
                assert await caller.call(WRITE, byte * 50_000) == 50_000

            async with anyio.create_task_group() as tasks:
                for number in range(8):
                    tasks.start_soon(write, b"%d" % number)
                tasks.start_soon(read)
                tasks.start_soon(read)
                await until_true(lambda: len(b"".join(said)) == 400_000)
                tasks.cancel_scope.cancel()
    assert all(b"".join(said).count(b"%d" % number) == 50_000 for number in range(8))


async def test_attaching_to_what_is_not_there_or_not_ours() -> None:
    with anyio.fail_after(PATIENCE):
        async with far_host() as host, host.program("cat") as program, host.calls(a_stranger()) as caller:
            for id_ in (program.id, "0123456789abcdef"):
                with pytest.raises(CallFailed, match="no such session"):
                    await caller.call(ATTACH, id_)
            for id_ in ("", "x", "../" * 8):
                with pytest.raises(CallFailed, match="16 to 64 letters and digits"):
                    await caller.call(START_SESSION, NewSession(Command("cat"), id=id_ or "é" * 20))
            with pytest.raises(CallFailed, match="no such session"):
                await caller.call(ATTACH, "\x1b[2J")


async def test_what_the_system_does_not_take() -> None:
    with anyio.fail_after(PATIENCE):
        async with leaving_nothing(), far_host() as host, host.calls() as caller:
            for new, why in (
                (NewSession(Command("x" * 70_000)), "command not found"),
                (NewSession(Command("/" + "x/" * 40_000)), "command not found"),
                (NewSession(Command("/")), "command not found"),
                (NewSession(Command("cat"), folder="x" * 70_000), "no such folder"),
                (NewSession(Command("cat"), folder="/etc/passwd"), "no such folder"),
                (NewSession(Command("cat", ("x" * 200_000,))), "cat: Argument list too long"),
                (NewSession(Command("cat", ("x",) * 5000)), "at most 4096 words"),
                (NewSession(Command("cat", environment=("A=" + "x" * 200_000,))), "cat: Argument list too long"),
                (NewSession(Command("cat", environment=("=x",))), "NAME=value"),
                (NewSession(Command("c\0at")), "zero byte"),
            ):
                with pytest.raises(CallFailed, match=why) as caught:
                    await caller.call(START_SESSION, new)
                assert len(caught.value.reason) <= 500
            with pytest.raises(CallFailed, match="at most 1048576 bytes"):
                await caller.call(EXEC, Execution("cat", stdin=bytes((1 << 20) + 1)))
            assert not len(host.sessions)


def begun_with(descriptors: int, launch: Launch) -> Child | None:
    """A program, or None if it takes more descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))
    try:
        return Child(launch)
    except CannotRun as error:
        if "Too many open files" not in str(error):
            raise
        return None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("terminal", [True, False])
async def test_no_descriptor_is_lost_when_there_are_too_few(terminal: bool) -> None:
    launch = launch_of(NewSession(Command("cat"), terminal=terminal))
    descriptors = before = psutil.Process().num_fds()
    while (child := begun_with(descriptors, launch)) is None:
        assert psutil.Process().num_fds() == before
        descriptors += 1
    assert descriptors > before
    await child.close(0.2)
    assert psutil.Process().num_fds() == before


@pytest.mark.parametrize("many_keys", [False, True])
async def test_a_thousand_sessions(many_keys: bool) -> None:
    limits = SessionLimits(per_key=4, all_keys=6, end_seconds=0.2)
    begun, failures = 0, set[str]()
    with anyio.fail_after(60):
        async with leaving_nothing(), far_host(limits) as host, AsyncExitStack() as stack:
            for _ in range(1000):
                async with AsyncExitStack() as one:
                    caller = await one.enter_async_context(host.calls(a_stranger() if many_keys else None))
                    try:
                        await caller.call(START, Command("sleep", ("1000",)))
                    except CallFailed as error:
                        failures.add(error.reason)
                    else:
                        begun += 1
                        stack.push_async_exit(one.pop_all())
            assert len(host.sessions) == begun
    assert begun == (6 if many_keys else 4)
    (failure,) = failures
    assert failure.startswith("this host has 6 sessions" if many_keys else "you have 4 sessions on this host")


async def test_one_that_never_takes_output() -> None:
    """The program waits, and so does whoever asks without end and does not listen."""
    with anyio.fail_after(PATIENCE):
        async with far_host(SessionLimits(kept_bytes=100_000, end_seconds=0.2)) as host:
            async with host.program("yes", terminal=False):
                (session,) = host.sessions.all
                outlet = session.outlet(STDOUT)
                await until_true(lambda: not outlet.room)
                await anyio.wait_all_tasks_blocked()
                assert outlet.end <= 100_000 + (1 << 16)
            async with host.connect() as stream, anyio.create_task_group() as tasks:
                sent = 0

                async def ask_on() -> None:
                    nonlocal sent
                    writer = RpcWriter()
                    new = START_SESSION.argument.write(NewSession(Command("yes"), terminal=False))
                    await stream.send(writer.request(START_SESSION.name, 0, START_SESSION.argument.schema, new))
                    asked = RECEIVE.argument.write(Receive(STDOUT, 0))
                    for sent in range(1, 1_000_000):
                        await stream.send(writer.request(RECEIVE.name, sent, RECEIVE.argument.schema, asked))

                tasks.start_soon(ask_on)
                await until_true(lambda: sent > 0)
                await anyio.wait_all_tasks_blocked()
                asked_then = sent
                await anyio.wait_all_tasks_blocked()
                assert sent == asked_then < 1_000_000 - 1  # nobody takes what it says any more
                tasks.cancel_scope.cancel()
            async with host.calls() as caller:
                await caller.call(PING, None)


async def test_input_for_a_program_that_does_not_read() -> None:
    with anyio.fail_after(PATIENCE):
        async with leaving_nothing(), far_host() as host, host.program("sleep", "1000", terminal=False) as program:
            (session,) = host.sessions.all

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(program.send, bytes(10 << 20))
                await until_true(lambda: session.state().taken >= MAX_PIECE)
                await anyio.wait_all_tasks_blocked()
                assert session.state().taken <= 3 * MAX_PIECE
                await program.signal(signal.SIGTERM)
                assert await program.wait() == Ended(-1, signal.SIGTERM)
                tasks.cancel_scope.cancel()


async def test_offsets_that_are_no_truth() -> None:
    with anyio.fail_after(PATIENCE):
        async with far_host() as host, host.calls() as caller:
            await caller.call(START_SESSION, NewSession(Command("cat"), terminal=False))
            await caller.call(SEND, Send(0, b"hello"))
            with pytest.raises(CallFailed, match="input is here up to byte 5, not up to byte 6"):
                await caller.call(SEND, Send(6, b"x"))
            assert (await caller.call(RECEIVE, Receive(STDOUT, 0))).data == b"hello"
            with pytest.raises(CallFailed, match="from byte 0 to byte 5, not at byte 6"):
                await caller.call(RECEIVE, Receive(STDOUT, 6))
            with anyio.move_on_after(0.01):
                await caller.call(RECEIVE, Receive(STDOUT, 5))
            with pytest.raises(CallFailed, match="from byte 5 to byte 5, not at byte 0"):
                await caller.call(RECEIVE, Receive(STDOUT, 0))


async def test_escape_sequences_are_only_shown() -> None:
    with anyio.fail_after(PATIENCE):
        async with far_host() as host:
            with pytest.raises(PtyError) as caught:
                async with host.program("\x1b[2J\x07"):
                    pass
            assert str(caught.value) == r"\x1b[2J\x07: command not found"
            async with host.raw() as stream:
                with pytest.raises(Refused, match=r"does not have \\x1b\]0;title\\x07"):
                    await ask(stream, Request("\x1b]0;title\x07"))


async def test_jobs_end_with_their_shell() -> None:
    """Each is a process group of its own."""
    script = "set -m; for x in 1 2 3; do sh -c 'sleep 1000 & sleep 1000' & done; echo ready; wait"
    with anyio.fail_after(PATIENCE):
        for terminal in (True, False):
            async with (
                leaving_nothing(),
                far_host() as host,
                host.program("bash", "-c", script, terminal=terminal) as program,
            ):
                await until(program, b"ready")
                (session,) = host.sessions.all
                groups = {os.getpgid(each.pid) for each in psutil.Process().children(recursive=True)}
                assert len(groups) >= 4
                session.end()


async def test_what_is_left_behind_does_not_keep_a_session_busy() -> None:
    """It says things without end, into what was the output of the program."""
    with anyio.fail_after(PATIENCE):
        async with (
            leaving_nothing(),
            far_host() as host,
            host.program("sh", "-c", "yes & yes >&2 & exit 3", terminal=False) as program,
        ):

            async def take(output: int) -> None:
                await all_of(program, output)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(take, STDOUT)
                tasks.start_soon(take, STDERR)
                assert await program.wait() == Ended(3)
            await program.end()


A_HOST = """
import anyio, logging, sys
from skywire import SecKey
from skywire.pty.limits import SessionLimits
from skywire.pty.sessions import hosting
from skywire.wire.pty.session import NewSession
from skywire.wire.pty.shell import Command

async def main():
    async with hosting(SessionLimits(), logging.getLogger()) as sessions:
        for terminal in (True, False):
            new = NewSession(Command(*(("sleep", ("1000",)) if terminal else ("cat",))), terminal=terminal)
            sessions.start(SecKey.generate().public, new, "nothing")
        print("ready", flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


def test_a_host_that_is_killed_takes_its_programs_along() -> None:
    """The system hangs up on those at a terminal, and ends the input of the others."""
    with subprocess.Popen([sys.executable, "-c", A_HOST], stdout=subprocess.PIPE) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == b"ready\n"
        programs = psutil.Process(host.pid).children(recursive=True)
        assert len(programs) == 2
        host.kill()
        host.wait()
        _, alive = psutil.wait_procs(programs, PATIENCE)
    assert not alive


def a_conversation() -> bytes:
    writer = RpcWriter()
    return b"".join(
        (
            Request(PTY).encode(),
            writer.request(START.name, 0, START.argument.schema, START.argument.write(Command("cat"))),
            writer.request(RESIZE.name, 1, RESIZE.argument.schema, RESIZE.argument.write(WindowSize(80, 24))),
            writer.request(WRITE.name, 2, WRITE.argument.schema, b"x\n"),
            writer.request(RECEIVE.name, 3, RECEIVE.argument.schema, RECEIVE.argument.write(Receive(STDOUT, 0))),
            writer.request(PING.name, 4, PING.argument.schema, ()),
            writer.request(STOP.name, 5, STOP.argument.schema, ()),
        )
    )


CONVERSATION = a_conversation()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(CONVERSATION) - 1), st.binary(max_size=6), st.booleans())
def test_damage_anywhere(place: int, put: bytes, cut: bool) -> None:
    """The host serves others, and keeps nothing of it."""
    damaged = CONVERSATION[:place] + put + (b"" if cut else CONVERSATION[place + len(put) :])

    async def run() -> None:
        with anyio.fail_after(PATIENCE):
            async with far_host(LIMITS) as host:
                async with host.raw() as stream:
                    await stream.send(damaged)
                    await anyio.wait_all_tasks_blocked()
                async with host.calls(a_stranger()) as caller:
                    await caller.call(PING, None)
                await until_true(lambda: not len(host.sessions))

    anyio.run(run)
