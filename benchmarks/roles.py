"""Runs each side of a measurement in a process of its own.

A role is a function of this package that takes parameters and yields JSON objects: a server yields where it listens, a
client yields its result. The first line a role prints is what it yields first.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, TypeAlias

Parameters: TypeAlias = Mapping[str, str | int | float]

ROLE_LIMIT: Final = 120.0
"""Seconds that one role may take."""


def _command(role: str, parameters: Parameters) -> list[str]:
    return [sys.executable, "-m", "benchmarks.role", role, json.dumps(dict(parameters))]


def _answer(text: str, role: str) -> dict[str, float | str]:
    if not text:
        raise RuntimeError(f"the role {role} ended without an answer")
    answer: object = json.loads(text)
    assert isinstance(answer, dict)
    return {str(name): value for name, value in answer.items() if isinstance(value, str | int | float)}


@contextmanager
def server(role: str, parameters: Parameters) -> Iterator[dict[str, float | str]]:
    """A role that serves until the block ends; gives what it answered first."""
    with subprocess.Popen(_command(role, parameters), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield _answer(process.stdout.readline(), role)
        finally:
            process.terminate()
            process.wait(ROLE_LIMIT)


def client(role: str, parameters: Parameters) -> dict[str, float]:
    """Run a role to its end; gives the numbers it answered."""
    done = subprocess.run(_command(role, parameters), stdout=subprocess.PIPE, text=True, timeout=ROLE_LIMIT, check=True)
    return {name: float(value) for name, value in _answer(done.stdout, role).items()}
