"""A shell on another node while what is between breaks: not a byte of it is lost or doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from tests.programs.cut_link import Link, linking
from tests.programs.pty_places import PtyPair, pty_pair
from tests.programs.running import PATIENCE

LINES = 30_000
COUNT = f"i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i + 1)); done; read x; echo $x; exit 6"
"""Says something that is easy to check, and waits for a word."""
EXPECTED = "".join(f"line {number}\n" for number in range(LINES)).encode() + b"good bye\n"


@pytest.fixture(scope="module")
def pair() -> Iterator[PtyPair]:
    with pty_pair() as pair:
        yield pair


@pytest.fixture
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


@dataclass
class Counting:
    """The program that counts.

    Args:
        process: by which it is used.
        said: what it says.
    """

    process: subprocess.Popen[bytes]
    said: IO[bytes]

    def complaint(self) -> bytes:
        """The next thing that is complained of."""
        assert self.process.stderr is not None
        return self.process.stderr.readline()

    def end(self) -> bytes:
        """It says what it has to, once and in order; what else was complained of."""
        _, complaints = self.process.communicate(b"good bye\n", timeout=PATIENCE)
        self.said.seek(0)
        assert self.said.read() == EXPECTED
        assert self.process.returncode == 6
        return complaints


@contextmanager
def counting(pair: PtyPair, link: Link) -> Iterator[Counting]:
    key, _, _ = pair.far.removeprefix("tcp://").partition("@")
    words = pair.words("exec", f"{key}@127.0.0.1:{link.port}", "--", "sh", "-c", COUNT)
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            words,
            env=pair.client.environment,
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield Counting(process, said)
        finally:
            process.kill()


def test_a_link_that_is_cut_again_and_again(pair: PtyPair, portal: BlockingPortal) -> None:
    port = int(pair.far.rpartition(":")[2])
    with portal.wrap_async_context_manager(linking(port)) as link, counting(pair, link) as program:
        for cut in range(1, 6):
            portal.call(link.until_passed, cut * 30_000)
            portal.call(link.cut)
            portal.call(link.mend)
        complaints = program.end()
    assert b"trying again" in complaints
    assert b"connected again" in complaints


def test_a_laptop_that_sleeps_and_wakes_up_elsewhere(pair: PtyPair, portal: BlockingPortal) -> None:
    """It is stopped, its connections are gone when it goes on, and there is no network at first."""
    port = int(pair.far.rpartition(":")[2])
    with portal.wrap_async_context_manager(linking(port)) as link, counting(pair, link) as program:
        portal.call(link.until_passed, 60_000)
        asleep = [pair.asking.process.pid, program.process.pid]
        for pid in asleep:
            os.kill(pid, signal.SIGSTOP)
        portal.call(link.cut)
        for pid in asleep:
            os.kill(pid, signal.SIGCONT)
        complaints = program.complaint()
        portal.call(link.mend)
        complaints += program.end()
    assert b"trying again" in complaints
    assert b"connected again" in complaints
