"""Both ends as processes: what a kill leaves, and that memory stays flat however large the file is."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.transfer.sides import some_bytes

LARGE = 96 << 20
GROWTH = 24 << 20
"""Bytes that an end may need for a transfer of whatever size."""


@contextmanager
def role(name: str, *parameters: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.transfer.ends", name, *parameters]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def told(process: subprocess.Popen[str]) -> dict[str, object]:
    """The next that a process says."""
    assert process.stdout is not None
    facts: dict[str, object] = json.loads(process.stdout.readline())
    return facts


def number(facts: dict[str, object], name: str) -> float:
    value = facts[name]
    assert isinstance(value, int | float)
    return value


def transfer(path: Path, folder: Path, network: str) -> tuple[dict[str, object], float, float]:
    """Send a file between two processes: what the receiver says, and how much memory each end needed for it."""
    with ExitStack() as stack:
        url = str(told(stack.enter_context(role("relay")))["url"]) if network == "dmsg" else ""
        server = stack.enter_context(role("serve", url, str(path)))
        serving = told(server)
        fetched = told(stack.enter_context(role("fetch", url, str(serving["address"]), str(folder))))
        sent = told(server)
    return (
        fetched,
        number(sent, "peak") - number(serving, "before"),
        number(fetched, "peak") - number(fetched, "before"),
    )


@pytest.mark.parametrize("network", ["tcp", "dmsg"])
def test_memory_is_flat(tmp_path: Path, network: str) -> None:
    path = tmp_path / "large"
    block = some_bytes(1 << 20)
    with path.open("wb") as file:
        for _ in range(LARGE >> 20):
            file.write(block)
    fetched, sender_growth, receiver_growth = transfer(path, tmp_path / "received", network)
    assert (tmp_path / "received" / "file.bin").read_bytes() == path.read_bytes()
    assert number(fetched, "size") == LARGE
    assert max(sender_growth, receiver_growth) < GROWTH


def test_a_killed_receiver_goes_on(tmp_path: Path) -> None:
    content = some_bytes(5_000_000)
    path = tmp_path / "file"
    path.write_bytes(content)
    folder = tmp_path / "received"
    part = folder / "file.bin.part"
    with (
        role("stop", str(path), "3200000") as server,
        role("fetch", "", str(told(server)["address"]), str(folder)) as process,
    ):
        wait_until(lambda: part.exists() and part.stat().st_size >= 2_000_000)
        process.kill()
        process.wait()
    left = part.stat().st_size
    assert content.startswith(part.read_bytes())
    with role("serve", "", str(path)) as server, role("fetch", "", str(told(server)["address"]), str(folder)) as again:
        fetched = told(again)
    assert number(fetched, "resumed") == left >= 2_000_000
    assert (folder / "file.bin").read_bytes() == content
    assert [each.name for each in folder.iterdir()] == ["file.bin"]


def wait_until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)
