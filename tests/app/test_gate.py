"""What may lock the operator out is refused unless they know, whatever way it comes."""

from __future__ import annotations

from pathlib import Path

import pytest

from skywire.app.dependency import AnyOf, Dependencies, Instance
from skywire.app.facility import RPC
from skywire.app.gate import CriticalRefusal
from tests.app.site import Site, definition, instance, site

pytestmark = pytest.mark.anyio

PTY = definition("pty", critical=True, depends=Dependencies(requires=(Instance("router"),)))
ROUTER = definition("router")


async def refuse_all_ways(here: Site, name: str) -> None:
    launcher = here.launcher
    before = here.states()
    with pytest.raises(CriticalRefusal, match=f"stopping {name} would take away pty.*--i-know-what-im-doing.*--for"):
        await launcher.stop(name)
    with pytest.raises(CriticalRefusal, match=f"restarting {name}"):
        await launcher.restart(name)
    with pytest.raises(CriticalRefusal, match=f"removing {name}"):
        await launcher.remove(name)
    with pytest.raises(CriticalRefusal, match=f"reconfiguring {name}"):
        await launcher.reconfigure(launcher.config(name))
    assert here.states() == before


async def test_a_critical_instance_is_kept(tmp_path: Path) -> None:
    async with site(tmp_path, instance(PTY), instance(ROUTER)) as here:
        await here.until("pty", "running")
        await refuse_all_ways(here, "pty")
        assert (await here.launcher.stop("pty", knowing=True)).state == "stopped"


async def test_so_is_what_it_requires(tmp_path: Path) -> None:
    async with site(tmp_path, instance(PTY), instance(ROUTER)) as here:
        await here.until("pty", "running")
        await refuse_all_ways(here, "router")
        assert (await here.launcher.restart("router", knowing=True)).state == "running"
        await here.until("pty", "running")
        await here.launcher.remove("router", knowing=True)
        await here.until("pty", "errored")


async def test_one_of_several_that_it_can_do_with_may_go(tmp_path: Path) -> None:
    pty = definition("pty", critical=True, depends=Dependencies(requires=(AnyOf("router"),)))
    async with site(tmp_path, instance(pty), instance(ROUTER, "one"), instance(ROUTER, "two")) as here:
        await here.until("pty", "running")
        await here.until("two", "running")
        assert (await here.launcher.stop("one")).state == "stopped"
        await refuse_all_ways(here, "two")


async def test_one_that_is_not_meant_to_run_is_no_loss(tmp_path: Path) -> None:
    async with site(tmp_path, instance(PTY, auto_start=False), instance(ROUTER)) as here:
        await here.until("router", "running")
        assert (await here.launcher.stop("router")).state == "stopped"
        await here.launcher.remove("pty")


async def test_one_that_is_meant_to_run_and_does_not_is_one(tmp_path: Path) -> None:
    async with site(tmp_path, instance(PTY), instance(ROUTER, auto_start=False)) as here:
        await here.until("pty", "blocked")
        with pytest.raises(CriticalRefusal):
            await here.launcher.stop("pty")


async def test_the_ways_to_reach_this_node_are_critical_themselves(tmp_path: Path) -> None:
    hypervisor = definition("hypervisor", depends=Dependencies(requires=(RPC,)))
    async with site(tmp_path, instance(PTY), instance(ROUTER), instance(hypervisor)) as here:
        await here.until("pty", "running")
        assert here.launcher.losses("rpc") == ("rpc",)
        assert here.launcher.losses("hypervisor") == ()
        assert here.launcher.losses("router", "dmsg") == ("dmsg", "pty")
        with pytest.raises(CriticalRefusal, match=r"^halting this node would take away rpc, pty") as refused:
            here.launcher.guard("halting this node", "rpc", "pty", "router")
        assert refused.value.losses == ("rpc", "pty")
        here.launcher.guard("halting this node", "rpc", "pty", "router", knowing=True)
        here.launcher.guard("editing the allow-list of hypervisor", "hypervisor")
