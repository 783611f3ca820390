"""A whole node: its core, its apps, and what it says of itself."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import pytest
from anyio import create_task_group, fail_after, sleep_forever, wait_all_tasks_blocked
from anyio.abc import TaskStatus

from skywire import SecKey, embedded
from skywire.app.api import ProcessAPI, Severity
from skywire.app.dependency import Dependencies
from skywire.app.facility import DMSG, SKYNET, VISOR_API
from skywire.app.host import AppHost
from skywire.app.loaded import broken
from skywire.app.record import InstanceConfig
from skywire.app.status import State
from skywire.control.client import connected
from skywire.control.local import controlling, find
from skywire.core.folder import FolderError, FolderTaken
from skywire.errors import NetworkError
from skywire.net.conn import CORE, Owner
from skywire.visor.visor import Visor, running, socket_name
from tests.app.site import QUICK, definition, instance
from tests.dmsg.raw_client import dmsg
from tests.dmsg.registry import Registry
from tests.dmsg.relaying import SWIFT, serving_relay
from tests.pktcp.attacker import until
from tests.visor.sites import api_of, blueprint, calling, visor

pytestmark = pytest.mark.anyio

REQUIRES_DMSG = Dependencies(requires=(DMSG,))


async def in_state(node: Visor, name: str, *states: State) -> str:
    """Wait until an instance is in one of these states; the reason."""
    await until(lambda: node.launcher.get(name).state in states)
    return node.launcher.get(name).reason


async def test_a_visor_is_reached_through_the_network_and_answers_pings(tmp_path: Path) -> None:
    greeter = instance(definition("greeter", depends=REQUIRES_DMSG))
    async with (
        embedded.start(limits=SWIFT) as network,
        running(blueprint(tmp_path, greeter, discovery=network.discovery)) as node,
    ):
        await in_state(node, "greeter", State.RUNNING)
        await until(lambda: node.facilities.presence()["dmsg"].offline is None)
        info = await node.api.network.info()
        assert info.public == node.public
        assert info.servers == (network.relays[0].public,)
        assert info.memory > 1 << 20
        async with running(blueprint(tmp_path / "other", discovery=network.discovery)) as other:
            with fail_after(20):
                assert 0 < await other.api.network.ping(node.public) < 5
                assert await other.api.network.public_ip() == "127.0.0.1"
            with pytest.raises(NetworkError):
                await other.api.network.ping(SecKey.generate().public)


async def test_without_a_way_into_the_network_the_rest_runs(tmp_path: Path) -> None:
    needy = instance(definition("needy", depends=REQUIRES_DMSG))
    async with visor(tmp_path, needy, instance(definition("modest"))) as node:
        await in_state(node, "modest", State.RUNNING)
        assert await in_state(node, "needy", State.BLOCKED) == (
            "it requires dmsg, which is absent: no discovery and no servers are configured: set dmsg.discovery"
        )
        with pytest.raises(NetworkError, match="no discovery and no servers are configured"):
            await node.api.network.ping(node.public)
        findings = {each.subject: each for each in await node.api.network.doctor()}
        assert findings["dmsg"].severity is Severity.RED
        assert findings["skynet"].severity is Severity.GREEN
        assert findings["app needy"].severity is Severity.YELLOW
        assert findings["app modest"].severity is Severity.GREEN
        assert findings["disk"].text.endswith(f"free for {tmp_path}")


async def test_no_network_at_boot_and_a_relay_that_goes_are_told_and_pass(tmp_path: Path) -> None:
    registry = Registry()
    greeter = instance(definition("greeter", depends=REQUIRES_DMSG))
    async with running(blueprint(tmp_path, greeter, discovery=registry, limits=QUICK)) as node:
        reason = await in_state(node, "greeter", State.DEGRADED)
        assert reason in {
            "dmsg does not work just now: no server has been reached yet",
            "dmsg does not work just now: the discovery has no server for us",
        } or reason.startswith("dmsg does not work just now: it is being connected")
        for _ in range(2):
            async with serving_relay(SWIFT, discovery=registry):
                await in_state(node, "greeter", State.RUNNING)
            assert (await in_state(node, "greeter", State.DEGRADED)).startswith("dmsg does not work just now: ")
        assert node.launcher.get("greeter").failures == 0
        findings = {each.subject: each for each in await node.api.network.doctor()}
        assert findings["dmsg"].severity is Severity.RED
        assert "goes on by itself" in findings["dmsg"].hint


async def test_the_absent_overlay_has_a_reason(tmp_path: Path) -> None:
    rider = instance(definition("rider", depends=Dependencies(requires=(SKYNET,))))
    async with visor(tmp_path, rider) as node:
        assert await in_state(node, "rider", State.BLOCKED) == (
            "it requires skynet, which is absent: this version has no routed overlay: no transports, no router"
        )
        absent = {each.name for each in (await node.api.network.info()).facilities if each.absent is not None}
        assert absent == {"dmsg", "discovery", "skynet", "transports"}


async def test_all_ports_are_listed_those_of_the_core_too(tmp_path: Path) -> None:
    async with visor(tmp_path) as node:
        await node.api.apps.add("hello", "hello")
        served = {each.port: each for each in await node.api.network.ports()}
        assert set(served) == {7, 3435, 4000}
        assert (served[7].label, served[7].owner, served[7].hidden) == ("dmsgctrl", "core", False)
        assert (served[3435].label, served[3435].hidden) == ("control", True)
        assert (served[4000].owner, served[4000].networks) == ("hello", ("dmsg", "skynet"))
        assert await node.api.network.listeners() == ()


async def test_an_app_can_ask_the_visor(tmp_path: Path) -> None:
    curious = instance(definition("curious", depends=Dependencies(requires=(VISOR_API,))))
    async with visor(tmp_path, curious) as node:
        await in_state(node, "curious", State.RUNNING)
        api = node.facilities.get(VISOR_API)
        assert [each.name for each in await api.apps.list()] == ["curious"]


async def test_control_on_this_machine(tmp_path: Path) -> None:
    sockets = tmp_path / "run"
    async with running(blueprint(tmp_path / "one", sockets=sockets)) as node:
        (found,) = await find(sockets)
        assert found.name == socket_name(node.public)
        async with controlling(found.path) as client:
            api = api_of(client)
            hello = await api.process.hello()
            assert (hello.public, hello.mode) == (node.public, "visor-app")
            assert hello.program.startswith("skywire visor ")
            assert {"apps.list", "config.grant", "events.events", "network.info", "process.halt"} <= set(hello.methods)
            assert any("Visor" in each or "serve" in each for each in await api.process.tasks())
    assert await find(sockets) == ()


async def test_a_socket_that_cannot_be_made_costs_no_more_than_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "file"
    file.touch()
    async with running(blueprint(tmp_path / "one", instance(definition("modest")), sockets=file)) as node:
        await in_state(node, "modest", State.RUNNING)
    assert "no control from this machine" in caplog.text


async def test_two_visors_with_one_folder_is_one_too_many(tmp_path: Path) -> None:
    async with visor(tmp_path) as node:
        with pytest.raises(FolderTaken, match="is it running already"):
            async with visor(tmp_path):
                pass
        assert (await node.api.process.hello()).public == node.public
    async with visor(tmp_path):
        pass
    with pytest.raises(FolderError, match="cannot use"):
        async with visor(Path("/dev/null/there")):
            pass


async def test_its_own_log_is_read_and_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "skywire")
    async with visor(tmp_path) as node, calling(node) as api:
        followed = api.process.follow_log(logging.WARNING)
        assert isinstance(followed, AsyncGenerator)
        logged = logging.getLogger("skywire.test")

        async def write() -> None:
            await wait_all_tasks_blocked()
            logged.info("not told")
            logged.warning("told")

        async with create_task_group() as task_group, aclosing(followed) as lines:
            task_group.start_soon(write)
            with fail_after(10):
                assert (await anext(lines)).text == "skywire.test: told"
        texts = [each.text for each in await api.process.log()]
        assert f"skywire.visor: the visor {node.public} runs" in texts


async def test_two_nodes_of_one_process_keep_what_their_own_apps_say(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "skywire")

    async def speak(host: AppHost, task_status: TaskStatus[None]) -> None:
        host.log.info("I am of %s", host.public)
        task_status.started()
        await sleep_forever()

    speaker = instance(definition("speaker", speak))
    async with visor(tmp_path / "one", speaker) as one, visor(tmp_path / "two", speaker) as two:
        for node in (one, two):
            await in_state(node, "speaker", State.RUNNING)
            assert [line.text for line in await node.api.apps.log("speaker")] == [
                f"skywire.app.speaker: I am of {node.public}"
            ]
            runs = [line.text for line in await node.api.process.log() if line.text.endswith(" runs")]
            assert runs == [f"skywire.visor: the visor {node.public} runs"]


async def test_what_cannot_be_loaded_is_listed_and_costs_no_other(tmp_path: Path) -> None:
    lost = InstanceConfig(name="vpn", app=broken("vpn-client", "there is no app 'vpn-client'"))
    async with visor(tmp_path, lost, instance(definition("modest"))) as node:
        await in_state(node, "modest", State.RUNNING)
        assert await in_state(node, "vpn", State.ERRORED) == "there is no app 'vpn-client'"


async def test_a_self_dial_reaches_control(tmp_path: Path) -> None:
    async with visor(tmp_path) as node, node.registry.self_dial(3435, owner=CORE) as conn, connected(conn) as client:
        assert (await client.of(ProcessAPI, "process").hello()).public == node.public


async def test_control_is_closed_to_strangers(tmp_path: Path) -> None:
    async with embedded.start(limits=SWIFT) as network, network.client(limits=SWIFT) as stranger:
        identity = SecKey.generate()
        async with running(blueprint(tmp_path, discovery=network.discovery, identity=identity)) as node:
            await until(lambda: node.facilities.presence()["dmsg"].offline is None)
            with pytest.raises(NetworkError):
                await stranger.dial(dmsg(identity, 3435), owner=Owner("stranger"))
