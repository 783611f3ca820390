"""Guards of the package: what may import what, and what must not be there."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import skywire
from skywire.app.catalogue import Catalogue
from skywire.app.run_mode import RunMode
from skywire.apps import BUILT_IN

ROOT = Path(__file__).parent.parent
IMPURE = {
    "anyio",
    "asyncio",
    "logging",
    "os",
    "pathlib",
    "random",
    "secrets",
    "select",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "time",
    "trio",
    "uuid",
    "uvloop",
}
CLI_AND_WEB = {
    "cyclopts",
    "rich",
    "nacl",
    "dataclasses_json",
    "marshmallow",
    "starlette",
    "httpx",
    "httpcore",
    "uvicorn",
    "prometheus_client",
    "prompt_toolkit",
    "h11",
    "websockets",
    "redis",
    "uvloop",
    "trio",
    "skywire_dmsg",
    "skywire_standalone",
}
FLOORS = [
    {"skywire.cli", "skywire_dmsg", "skywire_standalone"},
    {"skywire.visor", "skywire.standalone", "skywire.apps"},
    {"skywire.core"},
    {"skywire.isolation"},
    {"skywire.control"},
    {"skywire.app"},
    {"skywire.embedded"},
    {"skywire.dmsg", "skywire.pktcp"},
    {"skywire.pty"},
    {"skywire.http", "skywire.netrpc", "skywire.transfer"},
    {"skywire.net", "skywire.runtime"},
    {"skywire.wire"},
    {"skywire.keys", "skywire.keyfile"},
    {
        "skywire.errors",
        "skywire.json_document",
        "skywire.key_path",
        "skywire.known_names",
        "skywire.log_levels",
        "skywire.privatefile",
        "skywire.version",
    },
]


def imports(path: Path) -> set[str]:
    """The modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            assert node.module
            found.add(node.module)
    return found


def sources(folder: str) -> list[Path]:
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found
    return found


def floor_of(module: str) -> int | None:
    for number, modules in enumerate(FLOORS):
        if any(module == name or module.startswith(f"{name}.") for name in modules):
            return number
    return None


@pytest.mark.parametrize("path", sources("skywire/wire"), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_wire_formats_are_pure(path: Path) -> None:
    assert {name.partition(".")[0] for name in imports(path)}.isdisjoint(IMPURE)


@pytest.mark.parametrize("path", [*sources("skywire"), *sources("cmd")], ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_only_go_down(path: Path) -> None:
    relative = path.relative_to(ROOT)
    parts = relative.parts[2:] if relative.parts[0] == "cmd" else relative.parts
    here = floor_of(".".join(parts).removesuffix(".py").removesuffix(".__init__"))
    if here is None:  # the package's own front door, and `python -m skywire`
        assert relative.name in ("__init__.py", "__main__.py")
        return
    for module in imports(path):
        there = floor_of(module)
        assert there is None or there >= here, f"{relative} imports {module}, which is above it"


@pytest.mark.parametrize("path", sources("skywire"), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_other_programs_are_no_part_of_the_package(path: Path) -> None:
    assert {name.partition(".")[0] for name in imports(path)}.isdisjoint({"skywire_dmsg", "skywire_standalone"})


@pytest.mark.parametrize(
    "module", ["skywire", "skywire.app", "skywire.app.trial", *(place.partition(":")[0] for place in BUILT_IN.values())]
)
def test_importing_the_library_loads_no_program_and_no_web_library(module: str) -> None:
    code = (
        f"import sys\nfrom {module} import *\nprint('\\n'.join(sys.modules))"  # names are imported when they are used
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {name.partition(".")[0] for name in loaded}.isdisjoint(CLI_AND_WEB)
    assert not [name for name in loaded if name.startswith(("skywire.cli", "skywire.http", "skywire.visor"))]


@pytest.mark.parametrize("place", BUILT_IN.values(), ids=BUILT_IN)
def test_a_definition_can_be_looked_at_without_its_behaviour(place: str) -> None:
    module = place.partition(":")[0]
    code = (
        "import sys, skywire.app.options, skywire.apps\nfrom skywire import *\nfrom skywire.app import *\n"
        f"before = set(sys.modules); import {module}\n"
        "print('\\n'.join(set(sys.modules) - before))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    contract = f"{module}.contract"  # what can be asked of it, where others speak of that too: plain data
    assert {name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names} - {contract} == {module}


def test_the_definitions_are_fit_and_have_the_names_they_are_listed_by() -> None:
    catalogue = Catalogue(BUILT_IN, [])
    found = {offer.name: catalogue.get(offer.name).modes for offer in catalogue.offers}
    assert found == {
        "debug": {RunMode.VISOR_APP, RunMode.DMSG_STANDALONE},
        "log-server": set(RunMode),
        "pty": set(RunMode),
        "skychat": set(RunMode),
    }


def test_cmd_is_no_package_and_shadows_nothing() -> None:
    assert not (ROOT / "cmd" / "__init__.py").exists()
    subprocess.run([sys.executable, "-c", "import pdb, cmd; cmd.Cmd"], cwd=ROOT, check=True)


def test_public_names_are_there() -> None:
    assert len(set(skywire.__all__)) == len(skywire.__all__)
    for name in skywire.__all__:
        assert getattr(skywire, name) is not None


@pytest.mark.parametrize(
    ("name", "words"),
    [("echo", "hello over an encrypted connection"), ("dmsg_echo", "hello through a relay that cannot read this")],
)
def test_examples(name: str, words: str) -> None:
    done = subprocess.run(
        [sys.executable, f"examples/{name}.py"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    assert f"answered: {words}" in done.stdout
    assert done.stderr == ""
