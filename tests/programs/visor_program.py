"""Nodes as their users run them: ``skywire visor`` with a file, controlled through its socket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import anyio

from skywire import SecKey
from skywire.app.api import VisorAPI
from skywire.control.local import SUFFIX, controlling
from skywire.visor.visor import socket_name
from tests.programs.node_apps import OFFERED
from tests.programs.running import PATIENCE, Running
from tests.visor.sites import api_of

T = TypeVar("T")

ROOT = Path(__file__).parent.parent.parent


@dataclass
class Node:
    """A folder with a configuration, and what runs by it.

    Args:
        folder: of the file and the data.
        discovery: URL of the discovery; empty for none.
        identity: its key.
        sockets: a folder whose name is short enough for sockets.
    """

    folder: Path
    discovery: str = ""
    identity: SecKey = field(default_factory=SecKey.generate)
    sockets: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="sky-")))

    def __post_init__(self) -> None:
        offers = self.folder / "offers" / "node_apps-1.dist-info"
        offers.mkdir(parents=True)
        names = "\n".join(f"{name} = tests.programs.node_apps:{name.upper()}" for name in OFFERED)
        (offers / "METADATA").write_text("Metadata-Version: 2.1\nName: node-apps\nVersion: 1\n")
        (offers / "entry_points.txt").write_text(f"[skywire.apps]\n{names}\nhello = hello_app:HELLO\n")

    @property
    def config(self) -> Path:
        return self.folder / "skywire-config.json"

    @property
    def socket(self) -> Path:
        return self.sockets / f"{socket_name(self.identity.public)}{SUFFIX}"

    @property
    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SKYWIRE_")}
        paths = [self.folder / "offers", ROOT / "examples" / "hello_app", ROOT]
        return {
            **clean,
            "COLUMNS": "200",
            "SKYWIRE_RUNTIME_DIR": str(self.sockets),
            "PYTHONPATH": os.pathsep.join([*map(str, paths), os.environ.get("PYTHONPATH", "")]),
        }

    def configure(self, *apps: Mapping[str, object], **settings: object) -> None:
        """Write the configuration."""
        tree = {
            "version": "0.1.0",
            "sk": self.identity.expose_hex(),
            "pk": str(self.identity.public),
            "dmsg": {"discovery": self.discovery, "sessions_count": 1},
            "launcher": {"apps": [{"auto_start": True, **app} for app in apps]},
            "local_path": "./local",
            **settings,
        }
        self.write(json.dumps(tree, indent="\t"))

    def write(self, text: str) -> None:
        """Write the configuration as it is."""
        self.config.touch(mode=0o600)
        self.config.write_text(text)

    def start(self, *arguments: str, **more: str) -> Running:
        """Begin to run the node."""
        return Running(
            subprocess.Popen(
                [sys.executable, "-m", "skywire", "visor", "-c", str(self.config), *arguments],
                env={**self.environment, **more},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                bufsize=0,
            )
        )

    @contextmanager
    def running(self, *arguments: str, **more: str) -> Iterator[Running]:
        """Run the node while the block runs, which begins when it is ready."""
        program = self.start(*arguments, **more)
        with program.process:
            try:
                assert "runs" in program.line()
                yield program
            finally:
                program.process.kill()

    def refused(self, *arguments: str, **more: str) -> tuple[int, str]:
        """Run the node, which does not come up: exit code, and what it says."""
        program = self.start(*arguments, **more)
        with program.process:
            try:
                code, out, err = program.end()
            finally:
                program.process.kill()
        assert out == ""
        return code, err

    def ask(self, question: Callable[[VisorAPI], Awaitable[T]]) -> T:
        """Ask the running node."""

        async def main() -> T:
            with anyio.fail_after(PATIENCE):
                async with controlling(self.socket) as client:
                    return await question(api_of(client))

        return anyio.run(main)

    def until(self, condition: Callable[[VisorAPI], Awaitable[bool]]) -> None:
        """Wait until something is so."""

        async def wait(api: VisorAPI) -> None:
            while not await condition(api):  # noqa: ASYNC110 - it is so in another process
                await anyio.sleep(0.02)

        self.ask(wait)

    def states(self) -> dict[str, str]:
        """The state of each app."""

        async def look(api: VisorAPI) -> dict[str, str]:
            return {each.name: each.state.value for each in await api.apps.list()}

        return self.ask(look)

    def reason(self, name: str) -> str:
        """Why an app is as it is."""

        async def look(api: VisorAPI) -> str:
            return (await api.apps.get(name)).reason

        return self.ask(look)
