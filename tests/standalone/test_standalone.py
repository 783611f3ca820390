"""One app alone: reached on its one network, controlled as in a visor, and the process ends when it does."""

from __future__ import annotations

import logging
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from anyio import CancelScope, Event, create_task_group, fail_after, sleep_forever
from anyio.abc import TaskStatus

from skywire import PkTcpNetwork, SecKey, embedded, keyfile
from skywire.app.definition import Isolation
from skywire.app.dependency import Dependencies, Instance
from skywire.app.facility import DMSG, VISOR_API
from skywire.app.host import AppHost, NotInThisMode
from skywire.app.limits import RestartPolicy
from skywire.app.run_mode import RunMode
from skywire.app.status import State
from skywire.control.apps import FixedInstances
from skywire.control.client import RemoteError
from skywire.control.local import controlling, find, listening_locally
from skywire.core.folder import FolderTaken
from skywire.errors import KeyFileError
from skywire.net.address import Address
from skywire.net.conn import Owner
from skywire.net.errors import ListenError
from skywire.standalone.blueprint import Blueprint, OnTcp
from skywire.standalone.errors import CannotRun, KeyTaken
from skywire.standalone.neighbours import require_unused, socket_name
from skywire.standalone.own_key import make_own_key
from skywire.standalone.standalone import Standalone, running
from skywire.visor.visor import running as running_visor
from tests.app.site import QUICK, definition, instance
from tests.dmsg.raw_client import dmsg
from tests.dmsg.registry import Registry
from tests.dmsg.relaying import SWIFT, serving_relay
from tests.pktcp.attacker import PATIENCE, until
from tests.standalone.sites import alone, blueprint, greeter, on_dmsg
from tests.visor import sites
from tests.visor.sites import api_of

pytestmark = pytest.mark.anyio

ME = Owner("tester")


def state(node: Standalone) -> State:
    return node.launcher.get(node.name).state


async def ended(node: Standalone) -> None:
    with fail_after(PATIENCE):
        await node.ended.wait()


async def test_on_tcp_it_is_reached_where_it_says(tmp_path: Path) -> None:
    peer = PkTcpNetwork(SecKey.generate())
    async with alone(blueprint(tmp_path, instance(greeter()))) as node:
        await node.reachable()
        (address,) = node.addresses
        assert (address.network, address.host) == ("tcp", "127.0.0.1")
        assert address.port == node.launcher.get("greeter").ports["greeting"]
        async with await peer.dial(address, owner=ME) as conn:
            assert await conn.receive() == f"hello {peer.public}".encode()
        assert [each.name for each in node.launcher.list()] == ["greeter"]
        node.check()


async def test_on_dmsg_it_is_reached_by_its_key_and_answers_pings(tmp_path: Path) -> None:
    identity = SecKey.generate()
    async with (
        embedded.start(limits=SWIFT) as network,
        alone(blueprint(tmp_path, instance(greeter()), on_dmsg(network.discovery), identity=identity)) as node,
        network.client(limits=SWIFT) as peer,
    ):
        assert node.addresses == (Address("dmsg", identity.public, 4000),)
        with fail_after(PATIENCE):
            await node.reachable()
        assert node.core.facilities.presence()["dmsg"].offline is None
        async with await peer.dial(dmsg(identity, 4000), owner=ME) as conn:
            assert await conn.receive() == f"hello {peer.public}".encode()
        async with running_visor(sites.blueprint(tmp_path / "visor", discovery=network.discovery)) as visor:
            with fail_after(PATIENCE):
                assert 0 < await visor.api.network.ping(identity.public) < 5


async def test_a_network_that_does_not_work_degrades_it_with_the_reason_until_it_does(tmp_path: Path) -> None:
    registry = Registry()
    made = blueprint(tmp_path, instance(greeter()), on_dmsg(registry), limits=QUICK)
    async with alone(made) as node:
        for _ in range(2):
            await until(lambda: state(node) is State.DEGRADED)
            assert node.launcher.get("greeter").reason.startswith("dmsg does not work just now: ")
            async with serving_relay(SWIFT, discovery=registry):
                await until(lambda: state(node) is State.RUNNING)
        assert node.launcher.get("greeter").failures == 0
        assert not node.ended.is_set()


async def test_it_is_found_and_stopping_it_ends_the_process_when_who_asked_has_the_answer(tmp_path: Path) -> None:
    sockets = tmp_path / "run"
    for number in range(5):
        made = blueprint(tmp_path / str(number), instance(greeter()), sockets=sockets)
        async with alone(made) as node:
            (found,) = await find(sockets)
            assert found.name == f"tcp-greeter-{made.identity.public.hex()[:10]}"
            async with controlling(found.path) as client:
                api = api_of(client)
                hello = await api.process.hello()
                assert (hello.public, hello.mode) == (made.identity.public, RunMode.TCP_STANDALONE)
                assert {"apps.stop", "events.events", "process.halt"} <= set(hello.methods)
                assert not [name for name in hello.methods if name.startswith(("network.", "config."))]
                assert (await api.apps.restart("greeter")).state is State.RUNNING
                assert not node.ended.is_set()
                assert (await api.apps.stop("greeter")).state is State.STOPPED
            await ended(node)
            node.check()
        assert await find(sockets) == ()


async def test_what_is_stopped_for_a_while_comes_back(tmp_path: Path) -> None:
    async with alone(blueprint(tmp_path, instance(greeter()))) as node:
        assert (await node.launcher.stop("greeter", back_in=0.05)).state is State.STOPPED
        await until(lambda: state(node) is State.RUNNING)
        assert not node.ended.is_set()


async def test_what_is_critical_is_not_ended_by_mistake(tmp_path: Path) -> None:
    sockets = tmp_path / "run"
    async with alone(blueprint(tmp_path / "one", instance(greeter(critical=True)), sockets=sockets)) as node:
        async with controlling((await find(sockets))[0].path) as client:
            api = api_of(client)
            with pytest.raises(RemoteError, match="stopping greeter would take away greeter"):
                await api.apps.stop("greeter")
            with pytest.raises(RemoteError, match="ending greeter would take away greeter"):
                await api.process.halt()
            assert not node.ended.is_set()
            await api.process.halt(knowing=True)
        await ended(node)
    async with alone(blueprint(tmp_path / "two", instance(greeter()), sockets=sockets)) as node:
        async with controlling((await find(sockets))[0].path) as client:
            await api_of(client).process.halt()
        await ended(node)


async def test_it_is_what_its_command_line_says(tmp_path: Path) -> None:
    sockets = tmp_path / "run"
    async with (
        alone(blueprint(tmp_path / "one", instance(greeter()), sockets=sockets)) as node,
        controlling((await find(sockets))[0].path) as client,
    ):
        apps = api_of(client).apps
        for change in (
            apps.add("greeter", "another"),
            apps.remove("greeter"),
            apps.configure("greeter", {}),
            apps.arrange("greeter", auto_start=False),
        ):
            with pytest.raises(RemoteError, match="runs one app, as its command line says") as refused:
                await change
            assert refused.value.kind == FixedInstances.__name__
        assert (await apps.get("greeter")).state is State.RUNNING
        assert await apps.options("greeter") == {}
        assert state(node) is State.RUNNING


async def test_a_key_that_a_process_here_uses_on_dmsg_is_refused_there_and_taken_on_tcp(tmp_path: Path) -> None:
    sockets, identity = tmp_path / "run", SecKey.generate()
    made = blueprint(tmp_path / "two", instance(greeter()), on_dmsg(Registry()), identity=identity, sockets=sockets)
    visor = sites.blueprint(tmp_path / "one", identity=identity, sockets=sockets)
    async with running_visor(visor) as node:
        with pytest.raises(KeyTaken, match=f"is the key of visor-{str(node.public)[:10]}, which runs on this machine"):
            async with running(made):
                pass
        made_on_tcp = blueprint(tmp_path / "three", instance(greeter()), identity=identity, sockets=sockets)
        async with alone(made_on_tcp), alone(replace(made, identity=SecKey.generate())):
            assert len(await find(sockets)) == 3
    async with alone(made):
        with pytest.raises(KeyTaken, match="is the key of dmsg-greeter-"):
            async with running(replace(made, folder=tmp_path / "four")):
                pass


async def test_who_is_called_so_and_does_not_answer_counts_as_one_who_uses_the_key(tmp_path: Path) -> None:
    identity, sockets = SecKey.generate().public, tmp_path / "run"
    (tmp_path / "run").mkdir(mode=0o700)
    (sockets / "leftover.sock").touch()
    async with (
        listening_locally(sockets / f"{socket_name(RunMode.DMSG_STANDALONE, 'hung', identity)}.sock"),
        listening_locally(sockets / "another-0123456789.sock"),
    ):
        with pytest.raises(KeyTaken, match="dmsg-hung-"):
            await require_unused(identity, sockets, seconds=0.05)
        await require_unused(SecKey.generate().public, sockets, seconds=0.05)


def test_the_name_of_a_socket_is_short_and_ends_with_the_key() -> None:
    public = SecKey(b"\x07" * 32).public
    for name in ("x" * 64, "x" * 31 + "-" + "y" * 32):
        made = socket_name(RunMode.TCP_STANDALONE, name, public)
        assert len(made) < 64
        assert made.endswith(f"x-{public.hex()[:10]}")
        assert "--" not in made


async def test_an_app_that_cannot_run_ends_the_process_with_the_reason(tmp_path: Path) -> None:
    async def fail(host: AppHost, task_status: TaskStatus[None]) -> None:
        raise OSError("its disk is gone")

    elsewhere = definition("elsewhere", modes=frozenset({RunMode.VISOR_APP}))
    needy = definition("needy", depends=Dependencies(requires=(VISOR_API,)))
    networked = definition("networked", depends=Dependencies(requires=(DMSG,)))
    paired = definition("paired", depends=Dependencies(requires=(Instance("other"),)))
    for number, (config, reason) in enumerate(
        [
            (instance(elsewhere), "elsewhere cannot run as tcp-standalone, only as visor-app"),
            (
                instance(needy),
                "is blocked: it requires visor-api, which is absent: this app runs beside no visor",
            ),
            (instance(networked), "requires dmsg, which is absent: this app runs as tcp-standalone"),
            (instance(paired), "paired is errored: "),
            (instance(definition("broken", fail)), "broken is errored: OSError: its disk is gone"),
        ]
    ):
        async with running(blueprint(tmp_path / str(number), config)) as node:
            await ended(node)
            assert not node.serving.is_set()
            with pytest.raises(CannotRun) as caught:
                node.check()
            assert reason in str(caught.value)


async def test_an_app_that_fails_is_tried_again_as_its_policy_says(tmp_path: Path) -> None:
    tries: list[str] = []

    async def fail_at_first(host: AppHost, task_status: TaskStatus[None]) -> None:
        tries.append(host.name)
        if len(tries) < 4:
            raise OSError("not yet")
        task_status.started()
        await sleep_forever()

    flaky = instance(definition("flaky", fail_at_first), restart=RestartPolicy.ON_FAILURE)
    async with alone(blueprint(tmp_path / "one", flaky, limits=QUICK)) as node:
        assert len(tries) == 4
        node.check()
    tries.clear()
    impatient = replace(QUICK, most_failures=2)
    async with running(blueprint(tmp_path / "two", flaky, limits=impatient)) as node:
        await ended(node)
        with pytest.raises(CannotRun, match="given up after 2 failures in a row, the last: OSError: not yet"):
            node.check()


async def test_an_app_that_does_not_end_when_it_is_stopped_ends_the_process_with_the_place(tmp_path: Path) -> None:
    release = Event()

    async def resist(host: AppHost, task_status: TaskStatus[None]) -> None:
        task_status.started()
        with CancelScope(shield=True):
            await release.wait()

    async with alone(blueprint(tmp_path, instance(definition("stubborn", resist)), limits=QUICK)) as node:
        assert (await node.launcher.stop("stubborn")).state is State.STUCK
        await ended(node)
        with pytest.raises(CannotRun, match="stubborn is stuck: it does not end; it waits in"):
            node.check()
        assert set(node.launcher.places) == {"stubborn"}
        release.set()


@pytest.mark.parametrize("question", ["stop", "halt"])
async def test_who_has_it_end_is_answered_though_it_leaves_at_once(tmp_path: Path, question: str) -> None:
    sockets = tmp_path / "run"

    async def live(folder: Path, *, task_status: TaskStatus[None]) -> None:
        async with alone(blueprint(folder, instance(greeter()), sockets=sockets)) as node:
            task_status.started()
            await node.ended.wait()

    for number in range(10):
        with fail_after(PATIENCE):
            async with create_task_group() as task_group:
                await task_group.start(live, tmp_path / str(number))
                async with controlling((await find(sockets))[0].path) as client:
                    api = api_of(client)
                    if question == "stop":
                        assert (await api.apps.stop("greeter")).state is State.STOPPED
                    else:
                        await api.process.halt()


async def test_a_port_or_folder_that_another_one_has_is_told_at_once(tmp_path: Path) -> None:
    made = blueprint(tmp_path / "one", instance(greeter()))
    async with alone(made):
        with pytest.raises(FolderTaken, match="is it running already"):
            async with running(made):
                pass
        with pytest.raises(ListenError, match=str(made.instance.ports["greeting"])):
            async with running(replace(made, folder=tmp_path / "two")):
                pass
    async with alone(made):
        pass


async def test_it_runs_in_its_own_process_whatever_its_definition_wants(tmp_path: Path) -> None:
    config = replace(instance(greeter(), auto_start=False), isolation=Isolation.CHILD)
    async with alone(blueprint(tmp_path, config)) as node:
        info = node.launcher.get("greeter")
        assert (info.isolation, info.state) == (Isolation.IN_PROCESS, State.RUNNING)


async def test_networks_are_not_mixed(tmp_path: Path) -> None:
    told: list[str] = []

    async def dial(host: AppHost, task_status: TaskStatus[None]) -> None:
        task_status.started()
        with pytest.raises(NotInThisMode) as refused:
            await host.dial(dmsg(SecKey.generate(), 80))
        told.append(str(refused.value))
        await sleep_forever()

    async with alone(blueprint(tmp_path, instance(definition("dialler", dial)))):
        await until(lambda: told == ["dialler runs as tcp-standalone, which has no dmsg network"])


async def test_its_log_is_kept_with_its_data(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "skywire")

    async def speak(host: AppHost, task_status: TaskStatus[None]) -> None:
        host.log.warning("it was said")
        task_status.started()
        await sleep_forever()

    made = blueprint(tmp_path, instance(definition("speaker", speak)))
    async with alone(made) as node:
        assert [each.text.endswith("it was said") for each in await node.core.logs.read("speaker")] == [True]
        assert any("speaker is running" in each.text for each in await node.core.logs.read("core"))
    assert "it was said" in (tmp_path / "log" / "speaker.log").read_text()


def test_a_key_of_its_own_is_made_once_and_kept_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    path = make_own_key(folder)
    key = keyfile.load(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert keyfile.load(make_own_key(folder)).public == key.public
    (tmp_path / "file").touch()
    with pytest.raises(KeyFileError, match="cannot make the folder"):
        make_own_key(tmp_path / "file")


def test_a_key_that_many_make_at_the_same_moment_is_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        for number in range(20):
            paths = list(threads.map(make_own_key, [tmp_path / str(number)] * 8))
            assert len({keyfile.load(path).public for path in paths}) == 1


def test_a_place_has_one_mode_and_no_key_is_shown(tmp_path: Path) -> None:
    made = blueprint(tmp_path, instance(greeter()), OnTcp())
    assert made.mode is RunMode.TCP_STANDALONE
    assert isinstance(made, Blueprint)
    assert made.identity.expose_hex() not in repr(made)
    assert "identity" not in repr(made)
