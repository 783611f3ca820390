"""Programs on a far host, over connections that break."""

from __future__ import annotations

import hashlib
import signal

import anyio
import pytest

from skywire import SecKey
from skywire.net.address import Address
from skywire.net.memory import MEMORY
from skywire.pty.errors import PtyError
from skywire.pty.far_program import far_program
from skywire.pty.limits import SessionLimits
from skywire.wire.pty.session import STDERR, Ended, NewSession
from skywire.wire.pty.shell import Command, WindowSize
from tests.pty.far_host import all_of, far_host, until

pytestmark = pytest.mark.anyio

PATIENCE = 20.0


async def test_what_it_says_and_how_it_ends() -> None:
    with anyio.fail_after(PATIENCE):
        async with (
            far_host() as host,
            host.program("sh", "-c", "echo out; echo err >&2; exit 7", terminal=False) as program,
        ):
            assert await all_of(program) == b"out\n"
            assert await all_of(program, STDERR) == b"err\n"
            assert await program.wait() == Ended(7)
        async with far_host() as host, host.program("sh", "-c", "kill -9 $$", terminal=False) as program:
            assert await all_of(program) == b""
            assert await program.wait() == Ended(-1, signal.SIGKILL)


async def test_its_input_and_the_end_of_it() -> None:
    with anyio.fail_after(PATIENCE):
        async with far_host() as host, host.program("cat", terminal=False) as program:
            await program.send(b"one ")
            await program.send(b"two")
            await program.end_input()
            assert await all_of(program) == b"one two"
            assert await program.wait() == Ended(0)


async def test_a_terminal_of_its_own() -> None:
    with anyio.fail_after(PATIENCE):
        async with far_host() as host, host.program("sh", size=WindowSize(100, 30)) as program:
            await program.send(b"stty size; ps -o tty= -p $$; echo $(( 40 + 1 ))\n")
            said = await until(program, b"41")
            assert b"30 100" in said
            assert b"pts/" in said  # it is the controlling one
            await program.resize(WindowSize(70, 20))
            await program.send(b"stty size\n")
            assert b"20 70" in await until(program, b"20 70")
            await program.send(b"sh -c 'echo $((20 + 3)); sleep 1000'\n")
            await until(program, b"23")
            await program.send(b"\x03")
            await program.send(b"echo $(( 6 * 7 ))\n")
            await until(program, b"42")
            await program.send(b"exit 3\n")
            await all_of(program)
            assert await program.wait() == Ended(3)


async def test_its_world_has_no_secrets_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYWIRE_SK", "secret")
    with anyio.fail_after(PATIENCE):
        async with far_host() as host, host.program("env", terminal=False) as program:
            said = (await all_of(program)).decode()
    assert "secret" not in said
    assert "HOME=" in said
    assert f"SKYWIRE_PTY_PEER={host.near.pk}" in said


async def test_what_cannot_be_run() -> None:
    with anyio.fail_after(PATIENCE):
        async with far_host() as host:
            with pytest.raises(PtyError, match="no-such-program: command not found"):
                async with host.program("no-such-program"):
                    pass
            for wish, why in (
                (NewSession(Command("ls"), folder="/no/such"), "no such folder"),
                (NewSession(Command("ls", ("\0",))), "zero byte"),
                (NewSession(Command("ls", environment=("=x",))), "NAME=value"),
            ):
                with pytest.raises(PtyError, match=why):
                    async with far_program(host.connect, wish):
                        pass
            assert not len(host.sessions)


async def test_not_a_byte_is_lost_or_doubled_however_often_it_breaks() -> None:
    """Both directions at once, through a program that gives back what it gets."""
    sent = bytes(range(256)) * 4096  # 1 MiB
    got = hashlib.sha256()
    count = 0
    with anyio.fail_after(60):
        async with far_host() as host, host.program("cat", terminal=False) as program:

            async def give() -> None:
                for start in range(0, len(sent), 10_000):
                    await program.send(sent[start : start + 10_000])
                await program.end_input()

            async def take() -> None:
                nonlocal count
                while data := await program.receive():
                    got.update(data)
                    count += len(data)

            async def disturb() -> None:
                for part in range(1, 20):
                    while count < part * len(sent) // 21:
                        await anyio.lowlevel.checkpoint()
                    await host.break_connections()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(give)
                tasks.start_soon(take)
                tasks.start_soon(disturb)
            assert await program.wait() == Ended(0)
    assert count == len(sent)
    assert got.digest() == hashlib.sha256(sent).digest()


async def test_trouble_is_told_and_the_program_goes_on_meanwhile() -> None:
    with anyio.fail_after(PATIENCE):
        async with far_host() as host, host.program("sh", "-c", "read x; echo $x; read y; echo done") as program:
            await program.send(b"first\n")
            await until(program, b"first")
            host.there = False
            noticed = host.noticed
            await host.break_connections()
            await noticed.wait()
            assert host.notices
            assert host.notices[-1] is not None
            host.there = True
            await program.send(b"second\n")
            await until(program, b"done")
            assert host.notices[-1] is None


async def test_another_client_of_the_same_key_takes_over() -> None:
    with anyio.fail_after(PATIENCE):
        async with far_host() as host, host.program("cat") as one, far_program(host.connect, one.id) as other:
            with pytest.raises(PtyError, match="attached to elsewhere"):
                await one.receive()
            await other.send(b"mine\n")
            await until(other, b"mine")


async def test_nobody_else_sees_or_gets_a_session() -> None:
    stranger = Address(MEMORY, SecKey.generate().public, 1)
    with anyio.fail_after(PATIENCE):
        async with far_host() as host, host.program("cat") as program:
            assert [each.id for each in host.sessions.of(host.near.pk)] == [program.id]
            assert host.sessions.of(stranger.pk) == ()
            for wish in (program.id, NewSession(Command("cat"), id=program.id)):
                with pytest.raises(PtyError, match="no such session"):
                    async with far_program(lambda: host.connect(stranger), wish):
                        pass


async def test_limits() -> None:
    with anyio.fail_after(PATIENCE):
        async with far_host(SessionLimits(per_key=2, all_keys=3)) as host, host.program("cat"), host.program("cat"):
            with pytest.raises(PtyError, match="you have 2 sessions on this host"):
                async with host.program("cat"):
                    pass
            stranger = Address(MEMORY, SecKey.generate().public, 1)
            async with far_program(lambda: host.connect(stranger), NewSession(Command("cat"))):
                other = Address(MEMORY, SecKey.generate().public, 1)
                with pytest.raises(PtyError, match="this host has 3 sessions"):
                    async with far_program(lambda: host.connect(other), NewSession(Command("cat"))):
                        pass


async def test_one_that_nobody_uses_ends_in_time() -> None:
    with anyio.fail_after(PATIENCE):
        async with far_host(SessionLimits(keep_seconds=0.05)) as host:
            ended = anyio.Event()
            host.sessions.watchers.append(lambda: None if len(host.sessions) else ended.set())
            async with host.program("sh", "-c", "sleep 1000"):
                assert len(host.sessions) == 1
            await ended.wait()


async def test_to_end_it_ends_the_program() -> None:
    with anyio.fail_after(PATIENCE):
        async with far_host() as host:
            ended = anyio.Event()
            host.sessions.watchers.append(lambda: None if len(host.sessions) else ended.set())
            async with host.program("sh", "-c", "trap '' HUP; echo ready; while :; do sleep 1; done") as program:
                await until(program, b"ready")
                await program.end()
                await ended.wait()


async def test_a_program_that_nobody_listens_to_waits() -> None:
    with anyio.fail_after(PATIENCE):
        limits = SessionLimits(kept_bytes=100_000)
        async with (
            far_host(limits) as host,
            host.program("sh", "-c", "yes | head -c 3000000", terminal=False) as program,
        ):
            while (await program.receive()) != b"":
                pass
            assert await program.wait() == Ended(0)
