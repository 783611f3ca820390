"""What a definition may be, and the smallest one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from anyio import sleep_forever
from anyio.abc import TaskStatus

from skywire.app import DMSG, App, AppHost, Dependencies, FacilityAbsent, NoOptions, NotInThisMode, PortSpec, PortTaken
from skywire.app.loaded import DefinitionError, load
from skywire.app.run_mode import RunMode
from skywire.keys import SecKey
from skywire.net.address import Address, HostPort
from skywire.net.conn import CORE, Conn
from skywire.net.errors import ListenError
from tests.app.site import instance, site

GREETING = PortSpec("greeting", overlay=4000, tcp=4001)


@dataclass(frozen=True)
class Options:
    greeting: str = "Hello"


async def run(host: AppHost, options: Options, *, task_status: TaskStatus[None]) -> None:
    async def greet(conn: Conn) -> None:
        await conn.send(f"{options.greeting}, {conn.remote.pk}!".encode())

    async with host.serve(GREETING, greet):
        task_status.started()
        await sleep_forever()


HELLO = App(name="hello", summary="Greets whoever connects.", options=Options, run=run, ports=(GREETING,))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("mode", "network", "port"), [(RunMode.VISOR_APP, "dmsg", 4000), (RunMode.TCP_STANDALONE, "tcp", 4001)]
)
async def test_a_small_app_greets_in_every_mode(tmp_path: Path, mode: RunMode, network: str, port: int) -> None:
    async with site(tmp_path, instance(load(HELLO)), mode=mode) as here:
        await here.until("hello", "running")
        registry = here.registry
        assert registry.get(network, port) is not None
        async with registry.self_dial(port, owner=CORE) as conn:
            assert await conn.receive() == f"Hello, {here.surroundings.public}!".encode()
        await here.launcher.stop("hello")
        assert registry.list() == ()


@pytest.mark.anyio
async def test_the_host_gives_what_the_mode_has_and_no_more(tmp_path: Path) -> None:
    hosts: list[AppHost] = []

    async def keep(host: AppHost, options: NoOptions, *, task_status: TaskStatus[None]) -> None:
        hosts.append(host)
        task_status.started()
        await sleep_forever()

    local = PortSpec("page", local=8001)
    app = App(name="keeper", summary="Keeps.", options=NoOptions, run=keep, ports=(GREETING, local))
    async with site(tmp_path, instance(load(app)), instance(load(replace(app, name="other", ports=())))) as here:
        await here.until("keeper", "running")
        await here.until("other", "running")
        host, other = sorted(hosts, key=lambda each: each.name)
        key = SecKey.generate().public
        with pytest.raises(NotInThisMode, match="runs as visor-app, which has no tcp network; as tcp-standalone"):
            await host.dial(Address("tcp", key, 80, "localhost"))
        with pytest.raises(FacilityAbsent, match="keeper does not name dmsg"):
            host.facility(DMSG)
        with pytest.raises(NotInThisMode, match="does not serve 'page' as visor-app"):
            host.port(local)
        assert host.data_dir == tmp_path / "keeper"
        assert host.data_dir.stat().st_mode & 0o777 == 0o700
        async with host.serve(GREETING, greet_nobody):
            with pytest.raises(PortTaken, match="is served by keeper"):
                async with other.serve(4000, greet_nobody):
                    pass
        async with host.listen_local(HostPort("127.0.0.1", 0), label="page") as listener:
            address = listener.addresses[0]
            (port,) = here.surroundings.local_ports.list()
            assert (port.address, port.owner, port.label) == (address, "keeper", "page")
            with pytest.raises(ListenError):
                async with other.listen_local(HostPort(*address)):
                    pass
        assert here.surroundings.local_ports.list() == ()


async def greet_nobody(conn: Conn) -> None:
    """Never called."""


@pytest.mark.anyio
async def test_an_app_gets_the_facilities_that_it_names(tmp_path: Path) -> None:
    reasons: list[str] = []

    async def want(host: AppHost, options: NoOptions, *, task_status: TaskStatus[None]) -> None:
        try:
            host.facility(DMSG)
        except FacilityAbsent as error:
            reasons.append(str(error))
        task_status.started()
        await sleep_forever()

    app = App(name="wants", summary="Wants.", options=NoOptions, run=want, dependencies=Dependencies(wants=(DMSG,)))
    async with site(tmp_path, instance(load(app))) as here:
        await here.until("wants", "running")
    assert reasons == ["dmsg is absent: this process does not have it"]


@dataclass(frozen=True)
class Needy:
    key: str


@dataclass
class Soft:
    key: str = ""


@pytest.mark.parametrize(
    ("app", "reason"),
    [
        (replace(HELLO, name="Hello World"), "a name is up to 64 small letters"),
        (replace(HELLO, name="-hello"), "a name is up to 64 small letters"),
        (replace(HELLO, name="core"), "the name 'core' is taken by the process itself"),
        (replace(HELLO, name="dmsg"), "the name 'dmsg' is taken by the process itself"),
        (replace(HELLO, name="h" * 65), "a name is up to 64 small letters"),
        (replace(HELLO, api_version=99), "install a newer skywire"),
        (replace(HELLO, modes=frozenset()), "names no mode"),
        (replace(HELLO, ports=(GREETING, GREETING)), "several ports of one name"),
    ],
)
def test_a_definition_that_breaks_the_contract_is_refused(app: App[Options], reason: str) -> None:
    with pytest.raises(DefinitionError, match=reason):
        load(app)


async def run_needy(host: AppHost, options: Needy, *, task_status: TaskStatus[None]) -> None:
    """Never called."""


async def run_soft(host: AppHost, options: Soft, *, task_status: TaskStatus[None]) -> None:
    """Never called."""


def test_options_are_a_frozen_dataclass_with_defaults() -> None:
    with pytest.raises(DefinitionError, match="option 'key' of needy has no default"):
        load(App(name="needy", summary="", options=Needy, run=run_needy))
    with pytest.raises(DefinitionError, match="are not a frozen dataclass"):
        load(App(name="soft", summary="", options=Soft, run=run_soft))


def test_options_are_of_the_definition() -> None:
    with pytest.raises(DefinitionError, match="hello takes Options, not NoOptions"):
        load(HELLO).bind(NoOptions())
