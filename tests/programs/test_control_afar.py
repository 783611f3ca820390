"""``--via``: nodes elsewhere, over a real dmsg network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from skywire import Conn, SecKey, keyfile
from skywire.app.interface import Role
from skywire.app.loaded import load
from skywire.control.over_dmsg import CONTROL_PORT
from tests.app.site import instance
from tests.programs.control_node import Served
from tests.programs.machine import Machine, new_machine
from tests.programs.running import Network
from tests.programs.talker import TALKER

OURS = SecKey(b"\x41" * 32)
VISOR = SecKey(b"\x42" * 32)
VIA = f"--via dmsg://{VISOR.public}"


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with new_machine() as machine:
        yield machine


@pytest.fixture(scope="module")
def node(machine: Machine, network: Network) -> Iterator[Served]:
    """A node that is controlled over dmsg: ours may control it, others may read."""
    with machine.node(instance(load(TALKER)), name="elsewhere") as served:
        machine.portal.call(served.site.until, "talker", "running")

        async def take(conn: Conn) -> None:
            role = Role.CONTROL if conn.remote.pk == OURS.public else Role.READ
            await served.endpoint.serve(conn, role, str(conn.remote.pk))

        with network.peer({CONTROL_PORT: take}, VISOR):
            machine.environment["SKYWIRE_DMSG_DISC"] = network.served.disc
            machine.environment["SKYWIRE_RUNTIME_DIR"] = str(machine.folder / "none")
            yield served


def test_a_node_elsewhere(machine: Machine, node: Served, tmp_path: Path) -> None:
    file = tmp_path / "key"
    keyfile.save(file, OURS)
    ours = {"SKYWIRE_DMSG_SK": OURS.expose_hex()}
    assert machine.run(f"{VIA} cli visor pk", environment=ours).stdout == f"{node.public}\n"
    assert machine.run(f"app talker status {VIA} --key-file {file}").stdout.startswith("talker\n")
    (found,) = json.loads(machine.run(f"app {VIA} ls --json", environment=ours).stdout)["apps"]
    assert found["name"] == "talker"
    done = machine.run(f"app talker count --last 2 {VIA}", environment=ours)
    assert done.stdout == "number 1\nnumber 2\n", done.stderr
    done = machine.run(f"app talkr stop {VIA}", environment=ours)
    assert (done.returncode, "did you mean talker?" in done.stderr) == (1, True)


def test_who_may_less_is_told_what_to_do(machine: Machine, node: Served) -> None:
    other = SecKey(b"\x43" * 32)
    done = machine.run(f"app talker stop {VIA}", environment={"SKYWIRE_DMSG_SK": other.expose_hex()})
    assert (done.returncode, done.stdout) == (4, "")
    assert "apps.stop needs the role control, you have read" in done.stderr
    assert f"skywire cli visor grant {other.public} control" in done.stderr
    done = machine.run(f"cli visor halt {VIA}", environment={"SKYWIRE_DMSG_SK": other.expose_hex()})
    assert f"skywire cli visor grant {other.public} admin" in done.stderr


def test_a_node_that_does_not_take_control(machine: Machine, node: Served, network: Network) -> None:
    async def never(conn: Conn) -> None:
        raise AssertionError

    ours = {"SKYWIRE_DMSG_SK": OURS.expose_hex()}
    with network.peer({80: never}) as key:
        done = machine.run(f"--via dmsg://{key} cli visor pk", environment=ours)
        assert (done.returncode, done.stdout) == (4, "")
        assert f"skywire cli visor grant {OURS.public} control" in done.stderr
    nobody = SecKey(b"\x44" * 32).public
    done = machine.run(f"--via dmsg://{nobody} --timeout 5 cli visor pk", environment=ours)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("--via skynet://x cli visor pk", "an address is dmsg://"),
        (f"{VIA}:80 cli visor pk", "a node is controlled on port 3435"),
        ("--timeout 0 app ls", "--timeout is above 0"),
    ],
)
def test_what_makes_no_sense(machine: Machine, node: Served, line: str, reason: str) -> None:
    done = machine.run(line)
    assert (done.returncode, done.stdout) == (2, "")
    assert reason in done.stderr


def test_without_a_key_of_ours_a_visor_of_this_machine_is_wanted(machine: Machine, node: Served) -> None:
    for line in (f"{VIA} cli visor pk", f"{VIA} --node x app ls"):
        done = machine.run(line)
        assert (done.returncode, done.stdout) == (3, "")
        assert "Or go there with a key of your own: --key-file, or SKYWIRE_DMSG_SK" in done.stderr
