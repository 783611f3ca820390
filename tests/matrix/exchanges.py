"""What each app does between two processes, whatever the mode: the proof that it works in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from skywire.app.run_mode import RunMode
from tests.matrix.sides import Plan
from tests.programs.running import PATIENCE

EVERYWHERE = frozenset(RunMode)


class Unmet(Exception):
    """Something else came of it."""


@dataclass(frozen=True)
class Exchange:
    """A line of the matrix.

    Args:
        app: name of the definition.
        summary: what is exchanged.
        run: does it in a mode, with the discovery of a network; raises when it does not go well.
        modes: in which it can be done.
    """

    app: str
    summary: str
    run: Callable[[RunMode, str], None]
    modes: frozenset[RunMode] = EVERYWHERE


def peer(discovery: str, *words: str, environment: Mapping[str, str] = {}) -> bytes:
    """What a peer in a process of its own gets."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.matrix.peer", *words],
        env={**os.environ, "SKYWIRE_DMSG_DISC": discovery, **environment},
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode:
        raise Unmet(done.stderr.decode()[-500:])
    return done.stdout


def greet(mode: RunMode, discovery: str) -> None:
    """The peer is greeted."""
    with Plan.make(mode, "hello", {"greeting": 4000}).running(discovery, {"greeting": "Good day"}) as side:
        said = peer(discovery, "read", side.addresses["greeting"])
    if not said.startswith(b"Good day, 0"):
        raise Unmet(f"it said {said[:100]!r}")


def fetch_health(mode: RunMode, discovery: str) -> None:
    """The peer gets what everybody may."""
    with Plan.make(mode, "log-server", {"http": 80}).running(discovery) as side:
        said = peer(discovery, "get", side.addresses["http"])
    if "started_at" not in json.loads(said):
        raise Unmet(f"it said {said[:200]!r}")


EXCHANGES = (
    Exchange("hello", "a greeting; the package of a third party", greet),
    Exchange("log-server", "GET /health", fetch_health),
)
