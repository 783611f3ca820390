"""``dmsg cat``: everything arrives, whoever ends first."""

from __future__ import annotations

import os
import pty
import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from anyio import EndOfStream, sleep_forever

from skywire import Conn
from tests.programs.running import DMSG, PATIENCE, Network, Running, Stream, sha256

BIG = random.Random(6).randbytes(3_000_000)


@contextmanager
def listening(
    network: Network, *arguments: str | Path, stdin: Stream = subprocess.DEVNULL, stdout: Stream = subprocess.PIPE
) -> Iterator[tuple[Running, str]]:
    """One that waits, and where."""
    with network.running("cat", "-l", "5000", "--allow-all", *arguments, stdin=stdin, stdout=stdout) as program:
        yield program, program.line("stderr").removeprefix("waiting at ")


@pytest.fixture
def big(tmp_path: Path) -> Path:
    file = tmp_path / "big"
    file.write_bytes(BIG)
    return file


@pytest.mark.parametrize("linger", ["0", "0.3"])
def test_what_is_piped_in_arrives(network: Network, linger: str) -> None:
    with listening(network) as (listener, address):
        done = network.run("cat", address.removeprefix("dmsg://"), "--linger", linger, data=b"hi\n", program=DMSG)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        assert listener.end()[:2] == (0, "hi\n")


def test_a_file_to_who_dials(network: Network, big: Path) -> None:
    with big.open("rb") as source, listening(network, stdin=source) as (listener, address):
        done = network.run("cat", address)
        assert (done.returncode, sha256(done.stdout)) == (0, sha256(BIG))
        assert listener.end()[0] == 0


def test_files_in_both_directions(network: Network, big: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    with (
        big.open("rb") as source,
        theirs.open("wb") as target,
        listening(network, "--linger", "1", stdin=source, stdout=target) as (listener, address),
    ):
        done = network.run("cat", address, "--linger", "1", data=BIG[::-1])
        assert (done.returncode, sha256(done.stdout)) == (0, sha256(BIG))
        assert listener.end()[0] == 0
    assert sha256(theirs.read_bytes()) == sha256(BIG[::-1])


def test_a_reader_that_takes_its_time(network: Network, big: Path) -> None:
    with listening(network) as (listener, address):
        with big.open("rb") as source, network.running("cat", address, "--linger", "0", stdin=source) as program:
            # The pipe is full long before all of it is through, and the dialling end waits.
            first = listener.read(1)
            assert program.process.poll() is None
            rest = listener.read()
            assert program.end()[0] == 0
        assert sha256(first + rest) == sha256(BIG)


def test_a_question_and_an_answer(network: Network) -> None:
    async def answer(conn: Conn) -> None:
        question = await conn.receive()
        await conn.send(b"you said " + question)

    with network.peer({9: answer}) as key:
        done = network.run("cat", f"{key}:9", data=b"hello")
    assert (done.returncode, done.stdout) == (0, b"you said hello")


def test_an_interruption(network: Network) -> None:
    async def greet(conn: Conn) -> None:
        await conn.send(b"hi")
        with pytest.raises(EndOfStream):
            await conn.receive()

    with network.peer({9: greet}) as key, network.running("cat", f"{key}:9") as program:
        assert program.read(2) == b"hi"
        program.signal(signal.SIGINT)
        assert program.end()[0] == 130


def test_silence_ends_it(network: Network) -> None:
    async def hold(conn: Conn) -> None:
        await sleep_forever()

    with network.peer({9: hold}) as key:
        assert network.run("cat", f"{key}:9", "--linger", "0.1").returncode == 0
        assert network.run("cat", f"{key}:9", "--linger", "0.1", data=b"x").returncode == 0


def test_the_peer_ends_it_while_our_input_goes_on(network: Network) -> None:
    async def greet(conn: Conn) -> None:
        await conn.send(b"bye")

    with network.peer({9: greet}) as key, network.running("cat", f"{key}:9", stdin=subprocess.PIPE) as program:
        assert program.read() == b"bye"
        assert program.process.wait(PATIENCE) == 0


def test_the_peer_ends_it_at_a_terminal(network: Network) -> None:
    async def greet(conn: Conn) -> None:
        await conn.send(b"bye")

    ours, theirs = pty.openpty()
    with network.peer({9: greet}) as key, network.running("cat", f"{key}:9", stdin=theirs) as program:
        os.close(theirs)
        assert program.end()[:2] == (0, "bye")
    os.close(ours)


def test_a_terminal_that_is_gone_is_the_end_of_the_input(network: Network) -> None:
    ours, theirs = pty.openpty()
    with (
        listening(network) as (listener, address),
        network.running("cat", address, "--linger", "0", stdin=theirs) as program,
    ):
        os.close(theirs)
        os.write(ours, b"typed\n")
        assert listener.line() == "typed"
        os.close(ours)
        assert program.end()[0] == 0


def test_who_does_not_take_everything(network: Network, big: Path) -> None:
    """From a file: a pipe may be empty for a moment, and then nothing waits that the peer could have taken."""

    async def leave(conn: Conn) -> None:
        await conn.receive()

    with (
        big.open("rb") as source,
        network.peer({9: leave}) as key,
        network.running("cat", f"{key}:9", stdin=source) as program,
    ):
        returned, out, errors = program.end()
    assert (returned, out, errors.count("\n")) == (1, "", 1)


def test_nobody_reads_the_output(network: Network, big: Path) -> None:
    with big.open("rb") as source, listening(network, stdin=source) as (listener, address):
        with network.running("cat", address) as program:
            program.read(1)
            program.read_no_more()
            assert program.end()[::2] == (1, "")
        code, _, err = listener.end()
        assert code == 1
        assert len(err.splitlines()) == 2


def test_without_standard_streams(network: Network) -> None:
    async def greet(conn: Conn) -> None:
        await conn.send(b"bye")

    with network.peer({9: greet}) as key:
        command = " ".join([*DMSG, "cat", f"{key}:9"])
        no_input = subprocess.run(
            f"exec {command} <&-",
            shell=True,
            env=network.environment,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        no_output = subprocess.run(
            f"exec {command} >&-",
            shell=True,
            env=network.environment,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
            check=False,
        )
    assert (no_input.returncode, no_input.stdout) == (0, b"bye")
    assert no_output.returncode == 1
    assert b"there is no standard output" in no_output.stderr


def test_one_after_another(network: Network) -> None:
    with listening(network, "--keep") as (listener, address):
        for text in (b"one", b"two"):
            assert network.run("cat", address, "--linger", "0", data=text).returncode == 0
        assert listener.read(6) == b"onetwo"
        listener.signal(signal.SIGTERM)
        code, _, err = listener.end()
        assert code == 0
        assert err.count("is there") == 2


def test_only_one_at_a_time(network: Network) -> None:
    with listening(network, "--keep") as (listener, address):
        with network.running("cat", address, stdin=subprocess.PIPE) as first:
            assert "is there" in listener.line("stderr")
            done = network.run("cat", address, data=b"x")
            assert done.returncode == 4
            assert first.process.stdin is not None
            first.process.stdin.close()
            first.process.stdin = None
            first.signal(signal.SIGINT)
            assert first.end()[0] == 130
        # What a peer does wrong is told, and others may come.
        assert network.run("cat", address, "--linger", "0", data=b"y").returncode == 0
        listener.signal(signal.SIGINT)
        assert listener.end()[:2] == (130, "y")


def test_a_peer_that_breaks_off_is_told_of(network: Network, big: Path) -> None:
    with big.open("rb") as source, listening(network, "--keep", stdin=source) as (listener, address):
        with network.running("cat", address) as program:
            program.read(1)
            program.process.kill()
        assert "is there" in listener.line("stderr")
        assert listener.line("stderr")
        assert network.run("cat", address, "--linger", "1", data=b"y").returncode == 0
        listener.signal(signal.SIGTERM)
        assert listener.end()[:2] == (0, "y")


def test_nobody_there(network: Network) -> None:
    with network.peer({}) as key:
        assert network.run("cat", f"{key}:9").returncode == 4
    assert network.run("cat", f"{key}:9").returncode == 3
