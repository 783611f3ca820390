"""The debug app: who may look, and what they see."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from skywire.app.facility import VISOR_API
from skywire.app.launcher import UnfitInstance
from skywire.app.run_mode import RunMode
from skywire.app.trial import trial
from skywire.apps.debug import DEBUG, HTTP, DebugOptions
from skywire.apps.debug.memory import look
from skywire.apps.debug.sockets import open_sockets
from skywire.keys import SecKey
from skywire.net.errors import PeerRefused
from tests.apps.asking import get
from tests.apps.node import node

pytestmark = pytest.mark.anyio

STRANGER = SecKey.generate().public
FRIEND = SecKey.generate().public
PATHS = ("/", "/tasks", "/memory", "/ports")
JSON = "Accept: application/json"


@pytest.mark.parametrize("path", PATHS)
async def test_only_allowed_keys_and_this_node_itself_come_in(path: str) -> None:
    async with trial(DEBUG, DebugOptions(allow=(FRIEND,))) as app:
        with pytest.raises(PeerRefused):
            await get(app, HTTP, path, peer=STRANGER)
        for peer in (FRIEND, None):
            answer = await get(app, HTTP, path, peer=peer)
            assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
            assert answer.headers["x-content-type-options"] == "nosniff"
            answer = await get(app, HTTP, path, JSON, peer=peer)
            assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
            assert answer.json()
        assert (await get(app, HTTP, "/nothing")).status == 404
    async with trial(DEBUG) as app:
        with pytest.raises(PeerRefused):
            await get(app, HTTP, path, peer=FRIEND)
        assert (await get(app, HTTP, path)).status == 200


async def test_it_is_hidden(tmp_path: Path) -> None:
    async with node(tmp_path) as here, trial(DEBUG, facilities=here.facilities) as app:
        registration = app._registry.get("dmsg", 6060)
        assert registration is not None
        assert registration.hidden


async def test_it_has_no_tcp_mode() -> None:
    async with trial(DEBUG, mode=RunMode.DMSG_STANDALONE) as app:
        assert (await get(app, HTTP, "/")).text == "/tasks\n/memory\n/ports\n"
    with pytest.raises(UnfitInstance, match="cannot run as tcp-standalone"):
        async with trial(DEBUG, mode=RunMode.TCP_STANDALONE):
            pass


async def test_tasks_have_their_owner_and_place() -> None:
    async with trial(DEBUG) as app:
        text = (await get(app, HTTP, "/tasks")).text
        assert "[debug]" in text
        assert "[core]" in text
        assert "serve (" in text
        tasks = (await get(app, HTTP, "/tasks", JSON)).json()
        assert isinstance(tasks, list)
        assert {"name", "owner", "depth", "where"} == set(tasks[0])


async def test_memory() -> None:
    async with trial(DEBUG) as app:
        found = (await get(app, HTTP, "/memory", JSON)).json()
        assert isinstance(found, dict)
        assert 1 << 20 < found["resident"] <= found["peak"] + (64 << 20)
        assert found["kinds"][0]["count"] > 100
        assert "resident" in (await get(app, HTTP, "/memory")).text


def test_counting_objects_has_an_end() -> None:
    found = look(0.0)
    assert 0 < found.counted < found.objects


async def test_ports_and_sockets(tmp_path: Path) -> None:
    async with node(tmp_path) as here, trial(DEBUG, facilities=here.facilities) as app:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            text = (await get(app, HTTP, "/ports")).text
            assert "6060   dmsg         debug (debug) hidden 0 connections" in text
            assert "127.0.0.1 8001 skychat (page)" in text
            assert f"tcp   listening    127.0.0.1:{port}" in text.splitlines()
            found = (await get(app, HTTP, "/ports", JSON)).json()
            assert isinstance(found, dict)
            assert {"served", "listeners", "sockets"} == set(found)
        here.facilities.withdraw(VISOR_API, "it is going down")
        text = (await get(app, HTTP, "/ports")).text
        assert "served ports are not known: visor-api is absent: it is going down" in text


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_sockets_of_this_process(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        port = listener.getsockname()[1]
        name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        with socket.create_connection((host, port)) as client:
            own = client.getsockname()[1]
            found = {(each.kind, each.local, each.remote, each.state) for each in open_sockets()}
        assert ("tcp", name, "", "listening") in found
        other = f"[{host}]:{own}" if ":" in host else f"{host}:{own}"
        assert ("tcp", other, name, "established") in found
    assert name not in {each.local for each in open_sockets()}


def test_where_the_system_tells_nothing_there_is_nothing(tmp_path: Path) -> None:
    assert open_sockets(tmp_path) == ()
