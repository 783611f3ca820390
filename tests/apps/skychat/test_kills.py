"""Either side is killed at any moment: every message is shown once, in order.

The long form, with its report on standard output::

    SKYCHAT_KILLS=200 pytest -s tests/apps/skychat/test_kills.py --timeout 1800
"""

from __future__ import annotations

import os
import random
import select
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.apps.skychat.killed import ENOUGH, SHOWN

KILLS = int(os.environ.get("SKYCHAT_KILLS", "6"))
PATIENCE = 60.0
LONGEST_LIFE = 0.7
"""Seconds that a process lives at most once it serves."""
ROOT = Path(__file__).parents[3]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Side:
    """One of the two, however often it is started."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._command = [sys.executable, "-m", "tests.apps.skychat.killed", str(folder), *arguments]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            self._command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0
        )
        assert self.line() == "up"

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate(timeout=PATIENCE)

    def line(self) -> str:
        assert self.process is not None
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], PATIENCE)[0], "nothing was written"
        return self.process.stdout.readline().decode().rstrip()


@contextmanager
def sides(folder: Path) -> Iterator[tuple[Side, Side]]:
    ports = [str(free_port()), str(free_port())]
    writer = Side(folder, "31", "32", *ports, "writer")
    reader = Side(folder, "32", "31", *reversed(ports), "reader")
    try:
        writer.start()
        reader.start()
        yield writer, reader
    finally:
        writer.kill()
        reader.kill()


@pytest.mark.timeout(120 + 10 * KILLS)
def test_killed_at_any_moment(tmp_path: Path) -> None:
    dice, began, killed = random.Random(), time.monotonic(), Counter[str]()
    with sides(tmp_path) as (writer, reader):
        for number in range(KILLS):
            side = (writer, reader)[number % 2]
            time.sleep(dice.uniform(0, LONGEST_LIFE))  # the moment is what is tried
            side.kill()
            killed["writer" if side is writer else "reader"] += 1
            side.start()
        (tmp_path / ENOUGH).touch()
        last = int(writer.line().removeprefix("done "))
        shown = tmp_path / SHOWN
        until = time.monotonic() + PATIENCE
        while not shown.exists() or len(shown.read_text().splitlines()) < last:
            assert time.monotonic() < until, "some are never shown"
            select.select([], [], [], 0.05)
        lines = [line.split() for line in shown.read_text().splitlines()]
    assert last >= KILLS
    assert [int(text) for _, _, text in lines] == list(range(1, last + 1))
    assert len({id_ for _, id_, _ in lines}) == last
    changes = [int(change) for change, _, _ in lines]
    assert changes == sorted(set(changes))
    sys.stdout.write(f"{dict(killed)} killed, {last} messages, each shown once, {time.monotonic() - began:.0f} s\n")
