"""Which commands the programs list, and which are there all the same."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from skywire.app.catalogue import Catalogue
from skywire.app.run_mode import RunMode
from skywire.apps import BUILT_IN
from tests.programs.alone import DMSG, SKYWIRE, TCP, Place, commands
from tests.programs.visor_program import ROOT, Node

TOOLS = {"cat", "curl", "http", "iperf", "probe", "ip"}
SERVICES = {"disc", "server"}
OFFERED = {"hello", "gate", "keeper", "stubborn", "chatter"}
"""By another package, in every mode."""
PLACED = ("socks-server", "socks-client", "socks-web", "tunnel", "many")
"""By a third one, at places of their own."""
TELLING = """
import atexit, sys
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
from skywire_standalone.main import main
main()
"""
"""Runs ``standalone``, which then tells what it has loaded."""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(Node(tmp_path))


def built_in(mode: RunMode) -> set[str]:
    """The first words of the apps that come along and run in a mode."""
    catalogue = Catalogue(BUILT_IN, [])
    found = [catalogue.get(offer.name) for offer in catalogue.offers]
    return {each.cli[0] for each in found if mode in each.modes}


def listed(place: Place, program: tuple[str, ...], *words: str) -> set[str]:
    done = place.run(program, *words)
    assert (done.returncode, done.stderr) == (0, "")
    return commands(done.stdout)


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_each_program_lists_what_it_is_for(place: Place, words: tuple[str, ...]) -> None:
    assert listed(place, SKYWIRE, *words) == {"app", "cli", "completion", "demo", "dmsg", "visor"}
    assert listed(place, SKYWIRE, "dmsg", *words) == TOOLS | SERVICES
    apps_on_dmsg = built_in(RunMode.DMSG_STANDALONE) | OFFERED
    assert listed(place, DMSG, *words) == TOOLS | SERVICES | {"conf"} | apps_on_dmsg
    assert listed(place, TCP, *words) == {"conf"} | built_in(RunMode.TCP_STANDALONE) | OFFERED
    assert {"debug", "log-server", "pty", "skychat"} <= apps_on_dmsg
    assert "debug" not in built_in(RunMode.TCP_STANDALONE)


@pytest.mark.parametrize("name", ["log-server", "debug", "pty", "skychat", "hello"])
def test_what_skywire_does_not_list_can_be_called(place: Place, name: str) -> None:
    shown = [place.run(program, name, "--help") for program in ((*SKYWIRE, "dmsg"), DMSG)]
    assert [each.returncode for each in shown] == [0, 0]
    one, other = (each.stdout.partition("\n")[2] for each in shown)
    assert one == other
    assert "--key-file" in one
    ports = Catalogue(BUILT_IN, []).get(name).ports if name in BUILT_IN else ()
    assert all(f"{port.name} on {port.overlay}" in one for port in ports)


def test_the_help_of_an_app_has_its_options_and_is_made_without_its_behaviour(place: Place) -> None:
    done = place.run((sys.executable, "-c", TELLING), "log-server", "--help")
    for word in ("--allow", "--local", "--folder", "--listen", "--visor-key", "--key-file", "--port", "--restart"):
        assert f"{word} " in done.stdout
    assert "Options of log-server" in done.stdout
    assert "--disc" not in done.stdout
    loaded = set(done.stderr.split())
    assert "skywire.apps.log_server" in loaded
    assert loaded.isdisjoint(
        {
            "skywire.apps.debug",
            "skywire.apps.log_server.serving",
            "skywire.apps.skychat",
            "skywire.dmsg.network",
            "skywire.pktcp.network",
            "skywire.standalone.standalone",
            "hello_app",
        }
    )


def test_an_app_that_cannot_be_loaded_is_told_and_costs_no_other(place: Place) -> None:
    facts = place.node.folder / "offers" / "broken-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (facts / "entry_points.txt").write_text("[skywire.apps]\nbroken = tests.programs.nothing:HERE\n")
    done = place.run(TCP, "--help")
    assert done.returncode == 0
    assert "It cannot be loaded: app broken of broken cannot be loaded" in done.stdout
    assert {"hello", "log-server"} <= commands(done.stdout)
    done = place.run(TCP, "broken")
    assert (done.returncode, "app broken of broken cannot be loaded" in done.stderr) == (1, True)


def test_apps_with_a_place_of_their_own_on_the_command_line(place: Place) -> None:
    offers = place.node.folder / "offers" / "node_apps-1.dist-info" / "entry_points.txt"
    names = "\n".join(f"{name} = tests.programs.placed_apps:{name.upper().replace('-', '_')}" for name in PLACED)
    offers.write_text(f"[skywire.apps]\n{names}\n")
    assert {"socks", "tunnel", "many"} <= listed(place, TCP)
    assert "For tests of <all> `kinds`." in place.run(TCP, "--help").stdout
    shown = place.run(TCP, "many", "--help").stdout
    assert "For tests of <all> `kinds`." in shown
    assert "tcp://<key>@<host> of *all* peers_ [here] (list: address; may be repeated)" in shown
    assert listed(place, TCP, "socks", "--help") == {"client"}
    for words in [("socks", "client"), ("socks-client",), ("socks",), ("socks-server",), ("tunnel", "far", "end")]:
        done = place.run(TCP, *words, "--help")
        assert (done.returncode, done.stderr) == (0, ""), words
        assert "--key-file" in done.stdout, words
    done = place.run(TCP, "socks", "web")
    assert (done.returncode, done.stdout) == (2, "")
    assert "socks-web does not run as tcp-standalone" in done.stderr
    assert "use dmsg socks-web (dmsg-standalone)" in done.stderr


def test_the_commands_of_the_units_have_their_flags(place: Place) -> None:
    text = (ROOT / "docs" / "how-to" / "standalone.md").read_text()
    programs = {"dmsg": DMSG, "standalone": TCP}
    found = re.findall(r"^ExecStart=/opt/skywire/bin/(\S+) (\S+) (.+)$", text, re.MULTILINE)
    assert [program for program, _, _ in found] == ["dmsg", "standalone"]
    for program, app, words in found:
        shown = place.run(programs[program], app, "--help").stdout
        flags = [word for word in words.split() if word.startswith("--")]
        assert flags
        assert [flag for flag in flags if f"{flag} " not in shown] == []
