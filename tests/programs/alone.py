"""Apps that run alone, as their users run them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.programs.running import PATIENCE, Running
from tests.programs.visor_program import Node

DMSG = (sys.executable, "-m", "skywire_dmsg")
TCP = (sys.executable, "-m", "skywire_standalone")
SKYWIRE = (sys.executable, "-m", "skywire")


def commands(help_text: str) -> set[str]:
    """The commands that a help lists."""
    return set(re.findall(r"^│ ([a-z][a-z-]*) ", help_text, re.MULTILINE))


@dataclass(frozen=True)
class Facts:
    """What an app says of itself with --json, when it serves."""

    name: str
    app: str
    mode: str
    public_key: str
    addresses: list[str]
    data: str


@dataclass
class Place:
    """A folder for the data of apps, and a machine on which they are found.

    Args:
        node: a visor that may run beside them, with the definitions that are offered here.
    """

    node: Node

    @property
    def environment(self) -> dict[str, str]:
        found = {**self.node.environment, "XDG_DATA_HOME": str(self.node.folder / "share")}
        if self.node.discovery:
            found["SKYWIRE_DMSG_DISC"] = self.node.discovery
        return found

    def run(
        self, program: tuple[str, ...], *words: str | Path, more: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end."""
        return subprocess.run(
            [*program, *map(str, words)],
            env={**self.environment, **(more or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            start_new_session=True,
        )

    def skywire(self, line: str) -> str:
        """Run ``skywire``, which has to go well: what it writes."""
        done = self.run(SKYWIRE, *line.split())
        assert done.returncode == 0, done.stderr
        return done.stdout

    def apps(self) -> dict[str, dict[str, object]]:
        """What ``skywire app ls`` lists, by the name of the process."""
        return {each["node"]: each for each in json.loads(self.skywire("app ls --json"))["apps"]}

    def start(self, program: tuple[str, ...], *words: str | Path, more: Mapping[str, str] | None = None) -> Running:
        """Begin to run a program."""
        return Running(
            subprocess.Popen(
                [*program, *map(str, words)],
                env={**self.environment, **(more or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                bufsize=0,
            )
        )

    @contextmanager
    def running(
        self, program: tuple[str, ...], *words: str | Path, more: Mapping[str, str] | None = None
    ) -> Iterator[tuple[Running, Facts]]:
        """Run an app while the block runs, which begins when it serves; what it says of itself."""
        running = self.start(program, *words, "--json", more=more)
        with running.process:
            try:
                yield running, Facts(**json.loads(running.line()))
            finally:
                running.process.kill()
