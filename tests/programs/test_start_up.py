"""What programs load before they do anything: every module costs each of their runs."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import skywire
import skywire.app
from skywire.cli import control, lazy
from skywire.cli.main import app

HEAVY = {
    "rich",
    "markdown_it",
    "pygments",
    "httpx",
    "cryptography",
    "nacl",
    "marshmallow",
    "starlette",
    "redis",
    "uvloop",
}
SKYWIRE = [sys.executable, "-X", "importtime", "-m"]


def loaded(*arguments: str) -> set[str]:
    """The modules that a program has loaded when it ends."""
    done = subprocess.run([*SKYWIRE, *arguments], capture_output=True, text=True, timeout=30, check=False)
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


@pytest.mark.parametrize("program", ["skywire", "skywire_dmsg", "skywire_standalone"])
def test_the_version_costs_next_to_nothing(program: str) -> None:
    found = loaded(program, "--version")
    assert found
    assert found.isdisjoint(HEAVY | {"asyncio", "anyio", "coincurve", "importlib.metadata"})


def test_asking_a_node_loads_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYWIRE_RUNTIME_DIR", str(tmp_path))
    found = loaded("skywire", "app", "ls")
    assert "skywire.control.local" in found
    assert found.isdisjoint(HEAVY | {"skywire.dmsg.network", "skywire.app.launcher", "importlib.metadata"})


@pytest.mark.parametrize("package", [skywire, skywire.app], ids=lambda each: each.__name__)
def test_public_names_are_imported_when_they_are_used(package: object) -> None:
    module = import_module(getattr(package, "__name__"))  # noqa: B009 - mypy knows no attributes of these
    for name in module.__all__:
        assert getattr(module, name) is not None
        assert name in dir(module)
    (said,) = [
        node
        for node in ast.parse(Path(str(module.__file__)).read_text()).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    seen = {alias.name: part.module for part in said.body if isinstance(part, ast.ImportFrom) for alias in part.names}
    # What type checkers see is what there is.
    assert seen == module._HOME_OF
    with pytest.raises(AttributeError, match="has no attribute 'bogus'"):
        module.bogus  # noqa: B018


def test_the_help_of_commands_that_are_not_loaded_is_theirs() -> None:
    tables = {
        "skywire.cli.keys": lazy.KEY_COMMANDS,
        "skywire.cli.control.listing": control.APP_COMMANDS,
        "skywire.cli.control.instance": control.REMOVE,
        "skywire.cli.control.visor": control.VISOR_COMMANDS,
        "skywire.cli.control.visor_record": control.RECORD_COMMANDS,
        "skywire.cli.control.visor_access": control.ACCESS_COMMANDS,
        "skywire.cli.control.visor_app": control.VISOR_APP_COMMANDS,
        "skywire.cli.control.arg": control.ARG_COMMANDS,
    }
    for place, texts in tables.items():
        for name, text in texts.items():
            assert said_by(place, name) == text
    for place, names in control.MODULES.items():
        for name in names:
            assert said_by(f"skywire.cli.control.{place}", name) == control.INSTANCE_COMMANDS[name]
    assert app["completion"].help == said_by("skywire.cli.completion", "completion")


def said_by(place: str, name: str) -> str:
    """What the function of a command says of itself, without its parameters."""
    function = getattr(import_module(place), name.replace("-", "_"))
    lines = [line.strip() for line in str(function.__doc__).partition("Parameters\n")[0].strip().splitlines()]
    return "\n".join(lines)
