"""What an app of another process has of its host beside networks, and what operators see of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from anyio import create_task_group

from skywire import SecKey
from skywire.app.api import AppsAPI, ConfigAPI, EventsAPI, NetworkAPI, ProcessAPI, VisorAPI
from skywire.app.definition import Isolation
from skywire.app.facility import VISOR_API
from skywire.app.interface import Role
from skywire.app.launcher import UnfitInstance
from skywire.app.status import State
from skywire.control.apps import Apps
from skywire.control.client import RemoteError, connected
from skywire.control.server import Endpoint
from skywire.net.address import Address
from skywire.net.conn import CORE
from skywire.net.memory import MEMORY, conn_pair
from tests.app.site import site
from tests.isolation.places import Place, place

pytestmark = pytest.mark.anyio

KEY = SecKey(bytes([3]) * 32).public


def visor(here: Place) -> VisorAPI:
    """A visor of which only the apps are asked."""
    apps = Apps(
        here.launcher,
        here.catalogue,
        here.logs,
        here.surroundings.connections,
        None,
        attachment=here.processes.attachment,
    )
    return VisorAPI(
        process=cast("ProcessAPI", None),
        apps=apps,
        network=cast("NetworkAPI", None),
        config=cast("ConfigAPI", None),
        events=cast("EventsAPI", None),
    )


@pytest.mark.parametrize("isolation", list(Isolation), ids=str)
async def test_the_visor_is_asked_while_it_is_there(tmp_path: Path, isolation: Isolation) -> None:
    async with place(tmp_path) as here:
        here.surroundings.facilities.provide(VISOR_API, visor(here))
        await here.run(here.config("everything", isolation))
        assert await here.call("everything", "visor") == {"text": "everything"}
        for _ in range(2):
            here.surroundings.facilities.withdraw(VISOR_API, "it is being tested")
            await answers(here, "visor-api is absent: it is being tested")
            here.surroundings.facilities.provide(VISOR_API, visor(here))
            await answers(here, "everything")


async def answers(here: Place, text: str) -> None:
    """Wait until the app says so: a facility takes a moment to get to another process."""
    said: object = None
    while said != text:
        with suppress(RemoteError):  # what it has asked the visor just then ends with the facility
            said = (await here.call("everything", "visor"))["text"]


@asynccontextmanager
async def controlled(here: Place, role: Role) -> AsyncIterator[AppsAPI]:
    endpoint = Endpoint()
    endpoint.offer("apps", AppsAPI, visor(here).apps)
    near, far = conn_pair(Address(MEMORY, KEY, 1), CORE, Address(MEMORY, KEY, 2), CORE)
    async with create_task_group() as tasks:
        tasks.start_soon(endpoint.serve, far, role, "a test")
        async with connected(near) as client:
            yield client.of(AppsAPI, "apps")


async def test_where_to_attach_is_told_to_who_controls(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await here.launcher.add(here.config("hello", Isolation.ATTACHED))
        await here.launcher.add(here.config("manners", Isolation.IN_PROCESS))
        async with controlled(here, Role.CONTROL) as apps:
            where = await apps.attachment("hello")
            assert where == here.processes.attachment("hello")
            assert where.token_file.read_text().strip() not in str(where)
            with pytest.raises(RemoteError, match="manners runs as in-process; set its isolation to attached"):
                await apps.attachment("manners")
            await apps.stop("hello")
            with pytest.raises(RemoteError, match="hello is stopped; start it before"):
                await apps.attachment("hello")
        async with controlled(here, Role.READ) as apps:
            with pytest.raises(RemoteError, match="needs the role control"):
                await apps.attachment("hello")


async def test_an_instance_is_moved_to_a_process_of_its_own(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await here.launcher.add(here.config("everything", Isolation.IN_PROCESS))
        async with controlled(here, Role.ADMIN) as apps:
            first = await apps.app_call("everything", "facts")
            info = await apps.arrange("everything", isolation=Isolation.CHILD)
            assert (info.state, info.isolation) == (State.RUNNING, Isolation.CHILD)
            second = await apps.app_call("everything", "facts")
        assert isinstance(first, dict)
        assert isinstance(second, dict)
        assert first["pid"] != second["pid"]


async def test_a_process_that_isolates_nothing_says_so(tmp_path: Path) -> None:
    async with place(tmp_path) as elsewhere:
        config = elsewhere.config("hello", Isolation.CHILD)
    async with site(tmp_path / "other", replace(config, name="booted")) as here:
        assert await here.until("booted", "errored") == (
            "this process runs no apps in other processes, and it is configured as child"
        )
        with pytest.raises(UnfitInstance, match="runs no apps in other processes"):
            await here.launcher.add(config)
