"""Who may control a node from afar, and what the gate keeps them from doing by mistake: every way in is the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from anyio import fail_after

from skywire import PubKey, SecKey, embedded
from skywire.app.api import Grant, VisorAPI
from skywire.app.dependency import Dependencies, Instance
from skywire.app.interface import Role
from skywire.app.status import State
from skywire.control import access
from skywire.control.client import NodeGone, RemoteError
from skywire.control.local import controlling, find
from skywire.visor.visor import Visor, running
from tests.app.site import definition, instance
from tests.dmsg.relaying import SWIFT
from tests.pktcp.attacker import until
from tests.visor.sites import FullDisk, Notes, api_of, blueprint, calling, calling_from_afar

pytestmark = pytest.mark.anyio

READER, OPERATOR, OWNER = SecKey.generate(), SecKey.generate(), SecKey.generate()
GRANTS = (
    Grant(READER.public, Role.READ, "control"),
    Grant(OPERATOR.public, Role.CONTROL, "control"),
    Grant(OWNER.public, Role.ADMIN, "hypervisors"),
)
PTY = instance(definition("pty", critical=True, depends=Dependencies(requires=(Instance("ground"),))))
GROUND = instance(definition("ground"))


async def test_each_key_may_do_what_its_role_says(tmp_path: Path) -> None:
    async with running(blueprint(tmp_path, GROUND, grants=GRANTS)) as node:
        async with calling(node, READER) as api:
            assert [each.name for each in await api.apps.list()] == ["ground"]
            with pytest.raises(RemoteError, match=r"apps.stop needs the role control, you have read"):
                await api.apps.stop("ground")
        async with calling(node, OPERATOR) as api:
            assert (await api.apps.stop("ground")).state is State.STOPPED
            with pytest.raises(RemoteError, match=r"process.halt needs the role admin, you have control"):
                await api.process.halt(knowing=True)
        async with calling(node, SecKey.generate()) as api:
            with pytest.raises(NodeGone):
                await api.apps.list()


async def test_over_dmsg_too(tmp_path: Path) -> None:
    async with (
        embedded.start(limits=SWIFT) as network,
        running(blueprint(tmp_path, GROUND, grants=GRANTS, discovery=network.discovery)) as node,
    ):
        await until(lambda: node.facilities.presence()["dmsg"].offline is None)
        async with calling_from_afar(network.discovery, node, OPERATOR) as api:
            assert (await api.process.hello()).public == node.public
            assert (await api.apps.restart("ground")).state is State.RUNNING
            (conn,) = await api.apps.connections()
            assert (conn.owner, conn.peer, conn.network) == ("core", OPERATOR.public, "dmsg")


Act = Callable[[VisorAPI, bool], Awaitable[object]]


async def stop(api: VisorAPI, knowing: bool) -> object:
    return await api.apps.stop("pty", knowing)


async def stop_for_a_while(api: VisorAPI, knowing: bool) -> object:
    return await api.apps.stop("pty", knowing, 600.0)


async def restart(api: VisorAPI, knowing: bool) -> object:
    return await api.apps.restart("pty", knowing)


async def stop_what_it_requires(api: VisorAPI, knowing: bool) -> object:
    return await api.apps.stop("ground", knowing)


async def remove(api: VisorAPI, knowing: bool) -> None:
    await api.apps.remove("pty", knowing)


async def remove_what_it_requires(api: VisorAPI, knowing: bool) -> None:
    await api.apps.remove("ground", knowing)


async def configure(api: VisorAPI, knowing: bool) -> object:
    return await api.apps.configure("pty", {}, knowing=knowing)


async def disable(api: VisorAPI, knowing: bool) -> object:
    return await api.apps.arrange("pty", auto_start=False, knowing=knowing)


async def halt(api: VisorAPI, knowing: bool) -> None:
    await api.process.halt(knowing)


async def shut_out(api: VisorAPI, knowing: bool) -> None:
    await api.config.revoke(READER.public, knowing)


async def allow_less(api: VisorAPI, knowing: bool) -> None:
    await api.config.grant(OPERATOR.public, Role.READ, knowing)


ACTS: list[Act] = [
    stop,
    stop_for_a_while,
    restart,
    stop_what_it_requires,
    remove,
    remove_what_it_requires,
    configure,
    disable,
    halt,
    shut_out,
    allow_less,
]


async def directly(node: Visor, folder: Path, act: Act) -> None:
    await act(node.api, False)


async def by_the_socket(node: Visor, folder: Path, act: Act) -> None:
    (found,) = await find(folder)
    async with controlling(found.path) as client:
        await act(api_of(client), False)


async def from_afar(node: Visor, folder: Path, act: Act) -> None:
    async with calling(node, OWNER) as api:
        await act(api, False)


@pytest.mark.parametrize("way", [directly, by_the_socket, from_afar])
@pytest.mark.parametrize("act", ACTS)
async def test_the_gate_is_on_every_way(
    tmp_path: Path, act: Act, way: Callable[[Visor, Path, Act], Awaitable[None]]
) -> None:
    book = Notes()
    sockets = tmp_path / "run"
    plan = blueprint(tmp_path / "data", GROUND, PTY, grants=GRANTS, book=book, sockets=sockets)
    async with running(plan) as node:
        await until(lambda: node.launcher.get("pty").state is State.RUNNING)
        since = node.launcher.get("pty").since
        with pytest.raises(Exception, match=r"would take away .*without which you may lose access") as refused:
            await way(node, sockets, act)
        assert getattr(refused.value, "kind", type(refused.value).__name__) == "CriticalRefusal"
        assert (node.launcher.get("pty").state, node.launcher.get("pty").since) == (State.RUNNING, since)
        assert node.access.grants == GRANTS
        assert (book.rows, book.values) == ({}, {})
        assert not node.halted.is_set()


@pytest.mark.parametrize("act", ACTS)
async def test_who_knows_has_it_done(tmp_path: Path, act: Act) -> None:
    async with running(blueprint(tmp_path, GROUND, PTY, grants=GRANTS)) as node:
        await until(lambda: node.launcher.get("pty").state is State.RUNNING)
        since = node.launcher.get("pty").since
        async with calling(node, OWNER) as api:
            await act(api, True)
        changed = (
            "pty" not in {info.name for info in node.launcher.list()}
            or not node.launcher.get("pty").auto_start
            or node.launcher.get("pty").since != since
            or node.access.grants != GRANTS
            or node.halted.is_set()
        )
        assert changed


async def test_grants_change_at_once_and_are_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "DRAIN_SECONDS", 0.1)
    newcomer = SecKey.generate()
    book = Notes()
    async with (
        running(blueprint(tmp_path, grants=GRANTS, book=book)) as node,
        calling(node, OWNER) as owner,
    ):
        await owner.config.grant(newcomer.public, Role.CONTROL)
        assert book.values == {f"control.{newcomer.public}": "control"}
        async with calling(node, newcomer) as api:
            await api.apps.list()
            await owner.config.grant(newcomer.public, Role.READ, knowing=True)
            with fail_after(10):
                await gone(api)
        async with calling(node, newcomer) as api:
            await owner.config.revoke(newcomer.public, knowing=True)
            with fail_after(10):
                await gone(api)
        assert newcomer.public not in node.access
        assert book.values == {}
        with pytest.raises(RemoteError, match="may not control this node anyway"):
            await owner.config.revoke(newcomer.public, knowing=True)
        with pytest.raises(RemoteError, match="is one of the hypervisors"):
            await owner.config.grant(OWNER.public, Role.READ, knowing=True)
        await owner.config.revoke(OWNER.public, knowing=True)  # the answer still comes
        assert book.values == {"hypervisors": []}
        with fail_after(10):
            await gone(owner)


async def gone(api: VisorAPI) -> None:
    """Wait until the node has ended a connection."""
    try:
        while True:
            await api.process.hello()
    except NodeGone:
        return


async def test_what_cannot_be_written_down_is_not_done(tmp_path: Path) -> None:
    book = Notes(full=True)
    stranger: PubKey = SecKey.generate().public
    async with running(blueprint(tmp_path, grants=GRANTS, book=book)) as node:
        for change in (
            node.api.config.grant(stranger, Role.ADMIN),
            node.api.config.revoke(READER.public, knowing=True),
            node.api.config.set_log_level("debug"),
        ):
            with pytest.raises(FullDisk):
                await change
        assert node.access.grants == GRANTS


async def test_halting_is_asked_for_and_left_to_the_program(tmp_path: Path) -> None:
    async with running(blueprint(tmp_path, grants=GRANTS)) as node:
        async with calling(node, OWNER) as api:
            await api.process.halt(knowing=True)
        with fail_after(5):
            await node.halted.wait()


async def test_one_key_does_not_keep_others_out(tmp_path: Path) -> None:
    async with running(blueprint(tmp_path, GROUND, grants=GRANTS)) as node, AsyncExitStack() as stack:
        for _ in range(access.MOST_OF_ONE):
            api = await stack.enter_async_context(calling(node, READER))
            assert (await api.process.hello()).public == node.public
        async with calling(node, READER) as api:
            with pytest.raises(NodeGone), fail_after(5):
                await api.process.hello()
        async with calling(node, OWNER) as api:
            assert (await api.process.hello()).public == node.public
