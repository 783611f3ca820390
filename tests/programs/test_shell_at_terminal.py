"""``skywire app pty shell`` and ``exec`` as their users run them."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.programs.alone import SKYWIRE
from tests.programs.pty_places import PtyPair, pty_pair
from tests.programs.running import PATIENCE
from tests.programs.screen import Terminal


@pytest.fixture(scope="module")
def pair() -> Iterator[PtyPair]:
    with pty_pair() as pair:
        yield pair


PLAIN = ("--norc", "--noprofile")


def until_ready(terminal: Terminal) -> None:
    """A shell with a prompt that is known."""
    terminal.type("PS1='ready> '; clear\r")
    terminal.until("ready>")
    terminal.until_gone("PS1=")


def test_a_shell_with_vim_sizes_and_interrupts(pair: PtyPair) -> None:
    with pair.shell(pair.far, "bash", *PLAIN) as terminal:
        until_ready(terminal)
        terminal.type("stty size; echo $TERM\r")
        terminal.until("40 100", "xterm-256color")
        terminal.resize(30, 90)
        terminal.type("clear; stty size\r")
        terminal.until("30 90")
        terminal.type("clear; sh -c 'echo $((20 + 3)); sleep 1000'\r")
        terminal.until("23")
        terminal.type("\x03")
        terminal.until("^C", "ready>")
        terminal.type("echo $?\r")
        terminal.until("130")
        terminal.type("clear; printf '\\xc3\\xa4\\xe6\\xbc\\xa2 \\033[31mred\\033[0m\\n'\r")
        terminal.until("ä漢 red")
        terminal.type("clear; vim -u NONE -n note.txt\r")
        terminal.until("~", "note.txt")
        terminal.type("ifirst line\x1b:wq\r")
        terminal.until("ready>")
        terminal.type("clear; cat note.txt; rm note.txt\r")
        terminal.until("first line")
        terminal.type("exit 5\r")
        assert terminal.end() == 5


def test_leaving_and_coming_back(pair: PtyPair) -> None:
    with pair.shell(pair.far, "bash", *PLAIN) as terminal:
        until_ready(terminal)
        terminal.type("x=here\r~?")
        terminal.until("leave; the session goes on")
        terminal.type("\r~d")
        shown = terminal.until("Come back with:")
        assert terminal.end() == 0
    session = shown.replace("\n", "").split("--session ")[1].split()[0]
    (listed,) = json.loads(pair.run("sessions", "--peer", pair.far).stdout)["sessions"]
    assert listed["id"] == session
    assert not listed["attached"]
    with pair.shell(pair.far, "--session", session) as terminal:
        terminal.type("echo it is $x\r")
        terminal.until("it is here")
        terminal.type("\r~.")
        assert terminal.end() == 0
    assert json.loads(pair.run("sessions", "--peer", pair.far).stdout)["sessions"] == []


def test_exec_gives_what_the_program_gives(pair: PtyPair) -> None:
    data = bytes(range(256)) * 8192  # 2 MiB
    done = pair.run("exec", pair.far, "--", "sh", "-c", "cat; echo oh >&2; exit 7", data=data)
    assert done.returncode == 7
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()
    assert done.stderr == b"oh\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--time-limit", "0.5", "--", "sleep", "1000"), 124, b"it was ended after 0.5 s"),
        (("--", "sh", "-c", "kill -9 $$"), 137, b""),
        (("--", "no-such-program"), 255, b"no-such-program: command not found"),
        ((), 255, b"what is to run is missing"),
    ],
)
def test_exit_codes(pair: PtyPair, words: tuple[str, ...], code: int, said: bytes) -> None:
    done = pair.run("exec", pair.far, *words)
    assert (done.returncode, said in done.stderr) == (code, True), done


def test_a_node_that_is_not_there_is_no_exit_code_of_a_program(pair: PtyPair) -> None:
    words = [*SKYWIRE, "app", "pty", "exec", "--node", "nobody", pair.far, "--", "true"]
    done = subprocess.run(words, env=pair.client.environment, capture_output=True, timeout=PATIENCE, check=False)
    assert done.returncode == 255
    assert b"nobody" in done.stderr


def test_there_is_no_page_unless_it_is_asked_for(pair: PtyPair) -> None:
    done = pair.run("page")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"set its option local to one as 127.0.0.1:0" in done.stderr


def test_signals_reach_the_program(pair: PtyPair) -> None:
    talk = "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.1; done"
    with subprocess.Popen(
        pair.words("exec", pair.far, "--", "sh", "-c", talk),
        env=pair.client.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"ready\n"
        program.send_signal(signal.SIGINT)
        assert program.stdout.readline() == b"caught\n"
        assert program.wait(PATIENCE) == 9
