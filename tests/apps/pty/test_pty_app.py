"""The app as its launcher has it: who comes in, who is shut out, and what it is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
from anyio import fail_after
from anyio.abc import ByteStream

from skywire import PeerRefused, PubKey, SecKey
from skywire.app.trial import Trial, trial
from skywire.apps.pty import PTY, PTY_APP, PtyOptions
from skywire.control.local import connect_locally
from skywire.errors import SkywireError
from skywire.pty.far_program import FarProgram, far_program
from skywire.pty.opening import ask
from skywire.wire.pty.opening import PTY as PTY_PATH
from skywire.wire.pty.opening import Request
from skywire.wire.pty.session import Ended, NewSession
from skywire.wire.pty.shell import Command
from tests.pty.far_host import all_of, until

pytestmark = pytest.mark.anyio

PATIENCE = 20.0
GUEST, OTHER = SecKey.generate().public, SecKey.generate().public
TALK = NewSession(Command("sh", ("-c", "echo hello; read x; exit 3")), terminal=False)


@asynccontextmanager
async def used(app: Trial, peer: PubKey, wish: NewSession | str = TALK) -> AsyncIterator[FarProgram]:
    @asynccontextmanager
    async def connect() -> AsyncIterator[ByteStream]:
        async with app.dial(PTY, peer=peer) as conn:
            await ask(conn, Request(PTY_PATH))
            yield conn

    async with far_program(connect, wish) as program:
        yield program


async def sessions(app: Trial) -> list[dict[str, object]]:
    answer = cast("dict[str, list[dict[str, object]]]", await app.call("sessions"))
    return answer["sessions"]


async def test_it_is_closed_unless_somebody_is_named() -> None:
    with fail_after(PATIENCE):
        async with trial(PTY_APP) as app:
            assert app.info.critical
            with pytest.raises(PeerRefused):
                async with app.dial(PTY, peer=GUEST):
                    pass
            async with used(app, app.public) as program:
                await program.send(b"\n")
                assert await all_of(program) == b"hello\n"
                assert await program.wait() == Ended(3)


async def test_who_is_named_by_the_options_or_allowed_comes_in() -> None:
    with fail_after(PATIENCE):
        async with trial(PTY_APP, PtyOptions(allow=(GUEST,))) as app:
            await app.call("allow", {"key": str(OTHER)})
            for peer in (GUEST, OTHER):
                async with used(app, peer) as program:
                    await until(program, b"hello")
                    await program.end()


async def test_who_is_denied_without_sessions_is_out_at_once() -> None:
    with fail_after(PATIENCE):
        async with trial(PTY_APP) as app:
            await app.call("allow", {"key": str(GUEST)})
            answer = cast("dict[str, object]", await app.call("deny", {"key": str(GUEST)}))
            assert answer["until"] == 0
            with pytest.raises(PeerRefused):
                async with app.dial(PTY, peer=GUEST):
                    pass


async def test_who_is_denied_with_sessions_keeps_them_until_that_is_confirmed() -> None:
    with fail_after(PATIENCE):
        async with trial(PTY_APP) as app:
            await app.call("allow", {"key": str(GUEST)})
            async with used(app, GUEST) as program:
                await until(program, b"hello")
                answer = cast("dict[str, object]", await app.call("deny", {"key": str(GUEST)}))
                assert cast("float", answer["until"]) > 0
                assert f"confirm {GUEST}" in str(answer["hint"])
                with pytest.raises(PeerRefused):
                    async with app.dial(PTY, peer=GUEST):
                        pass
                assert len(await sessions(app)) == 1
                await app.call("confirm", {"key": str(GUEST)})
                with pytest.raises(SkywireError, match=r"not admitted|no such session"):
                    await program.send(b"more")
            with pytest.raises(SkywireError, match="nothing to confirm"):
                await app.call("confirm", {"key": str(GUEST)})


async def test_sessions_are_listed_and_ended() -> None:
    with fail_after(PATIENCE):
        async with trial(PTY_APP, PtyOptions(allow=(GUEST,))) as app, used(app, GUEST) as program:
            (listed,) = await sessions(app)
            assert (listed["id"], listed["key"], listed["attached"]) == (program.id, str(GUEST), True)
            assert str(listed["command"]).startswith("sh -c echo hello")
            with pytest.raises(SkywireError, match="there is no session"):
                await app.call("end", {"session": "0" * 24})
            await app.call("end", {"session": program.id})
            assert await program.wait() == Ended(-1)


async def test_its_local_socket_is_for_its_user_alone(sockets: Path) -> None:
    with fail_after(PATIENCE):
        async with trial(PTY_APP) as app:
            way = cast("dict[str, str]", await app.call("way", {"peer": str(GUEST)}))
            assert way["address"] == f"dmsg://{GUEST}:22"
            socket = Path(way["socket"])
            assert socket.is_relative_to(sockets)
            assert socket.stat().st_mode & 0o777 == 0o600
            assert socket.parent.stat().st_mode & 0o777 == 0o700

            @asynccontextmanager
            async def connect() -> AsyncIterator[ByteStream]:
                async with await connect_locally(socket) as stream:
                    await ask(stream, Request(PTY_PATH))
                    yield stream

            async with far_program(connect, TALK) as program:
                await until(program, b"hello")
        assert not socket.exists()


async def test_its_end_ends_all_programs() -> None:
    with fail_after(PATIENCE):
        wish = NewSession(Command("sh", ("-c", "echo $$; sleep 1000")))
        async with trial(PTY_APP) as app, used(app, app.public, wish) as program:
            pid = int(await until(program, b"\n"))
            assert Path(f"/proc/{pid}").exists()
        assert not Path(f"/proc/{pid}").exists()
