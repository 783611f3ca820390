"""Control of a node elsewhere through a visor of this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from anyio import connect_unix, create_task_group, fail_after

from skywire import PeerRefused, SecKey, Unreachable, embedded
from skywire.app.api import Grant
from skywire.app.interface import Role
from skywire.app.status import State
from skywire.control.client import RemoteError
from skywire.control.local import LocalControlError
from skywire.control.passage import LONGEST_ANSWER, SUFFIX, through
from skywire.visor.visor import Visor, running, socket_name
from tests.app.site import definition, instance
from tests.dmsg.relaying import SWIFT
from tests.pktcp.attacker import until
from tests.visor.sites import api_of, blueprint
from tests.visor.test_control import gone

pytestmark = pytest.mark.anyio


@dataclass
class Pair:
    """Two visors; the first may control the second.

    Args:
        here: on this machine.
        path: of the socket to go through.
        elsewhere: another one.
    """

    here: Visor
    path: Path
    elsewhere: Visor


@asynccontextmanager
async def pair(folder: Path, role: Role | None = Role.CONTROL) -> AsyncIterator[Pair]:
    ours = SecKey.generate()
    grants = [] if role is None else [Grant(ours.public, role, "control")]
    sockets = folder / "run"
    app = instance(definition("app"))
    async with (
        embedded.start(limits=SWIFT) as network,
        running(blueprint(folder / "a", identity=ours, discovery=network.discovery, sockets=sockets)) as here,
        running(blueprint(folder / "b", app, discovery=network.discovery, grants=grants)) as elsewhere,
    ):
        await until(lambda: not any(each.facilities.presence()["dmsg"].offline for each in (here, elsewhere)))
        yield Pair(here, sockets / f"{socket_name(ours.public)}{SUFFIX}", elsewhere)


async def test_through_a_visor_with_its_key(tmp_path: Path) -> None:
    async with pair(tmp_path) as two, through(two.path, "dmsg", two.elsewhere.public) as client:
        api = api_of(client)
        assert (await api.process.hello()).public == two.elsewhere.public
        assert (await api.apps.restart("app")).state is State.RUNNING
        with pytest.raises(RemoteError, match="needs the role admin, you have control"):
            await api.process.halt(knowing=True)
        (conn,) = await api.apps.connections()
        assert conn.peer == two.here.public


async def test_many_at_a_time(tmp_path: Path) -> None:
    async with pair(tmp_path) as two:

        async def ask() -> None:
            async with through(two.path, "dmsg", two.elsewhere.public) as client:
                for _ in range(5):
                    assert (await api_of(client).process.hello()).public == two.elsewhere.public

        async with create_task_group() as task_group:
            for _ in range(20):
                task_group.start_soon(ask)
        await until(lambda: not two.elsewhere.core.connections.of("core"))


async def test_who_is_not_let_in_is_told(tmp_path: Path) -> None:
    async with pair(tmp_path, None) as two:
        with pytest.raises(PeerRefused):
            async with through(two.path, "dmsg", two.elsewhere.public):
                pass
        with pytest.raises(Unreachable):
            async with through(two.path, "dmsg", SecKey.generate().public):
                pass


async def test_the_end_of_one_side_is_the_end_of_both(tmp_path: Path) -> None:
    async with pair(tmp_path) as two, through(two.path, "dmsg", two.elsewhere.public) as client:
        api = api_of(client)
        await api.process.hello()
        await two.elsewhere.api.config.revoke(two.here.public, knowing=True)
        with fail_after(20):
            await gone(api)


async def test_who_says_nothing_useful_is_left(tmp_path: Path) -> None:
    async with pair(tmp_path) as two:
        for nonsense in (b"x" * 66, b"02" * 33, b"\xff" * 66):
            async with await connect_unix(two.path) as stream:
                await stream.send(nonsense)
                with fail_after(10):
                    assert (await stream.receive(LONGEST_ANSWER)).startswith(b"unreachable ")
        async with await connect_unix(two.path) as stream:
            await stream.send(b"02")
        async with through(two.path, "dmsg", two.elsewhere.public) as client:
            await api_of(client).process.hello()


async def test_nobody_is_there(tmp_path: Path) -> None:
    with pytest.raises(LocalControlError, match="nobody can be reached"):
        async with through(tmp_path / "none.via", "dmsg", SecKey.generate().public):
            pass
