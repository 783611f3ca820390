"""``skywire app NAME chat`` as its users run it: at a terminal, and behind a pipe."""

from __future__ import annotations

import os
import signal
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from skywire.apps.skychat.contract import Delivery, FileOffer
from tests.apps.skychat.memory_chat import BOB, CAROL, MemoryChat
from tests.programs.control_node import Served
from tests.programs.machine import SKYWIRE, Machine, new_machine
from tests.programs.murmur import murmuring
from tests.programs.running import PATIENCE
from tests.programs.screen import Terminal, at_terminal

HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m\rover\u202egpj.exe\x00\nfake: line"
HARMLESS = r"\x1b[2J\x1b]0;owned\x07\x9b31m\rover\u202egpj.exe\x00"
CTRL_C, CTRL_D, CTRL_Z, ALT_ENTER = "\x03", "\x04", "\x1a", "\x1b\r"


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with new_machine() as machine:
        yield machine


@pytest.fixture
def chat() -> MemoryChat:
    return MemoryChat()


@pytest.fixture
def node(machine: Machine, chat: MemoryChat) -> Iterator[Served]:
    with machine.node(murmuring(chat)) as served:
        machine.portal.call(served.site.until, "murmur", "running")
        yield served


@contextmanager
def talking(machine: Machine, *words: str) -> Iterator[Terminal]:
    with at_terminal([*SKYWIRE, "app", "murmur", "chat", *words], machine.environment) as terminal:
        terminal.until("Ctrl-D ends", "\n>")
        yield terminal


def piped(machine: Machine, data: bytes, *words: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*SKYWIRE, "app", "murmur", "chat", *words],
        input=data,
        env=machine.environment,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


# --- at a terminal


def test_what_comes_stands_above_what_is_being_written(machine: Machine, chat: MemoryChat, node: Served) -> None:
    machine.portal.call(lambda: chat.receive("from the past"))
    machine.portal.call(lambda: chat.meet(alias="Bob"))
    with talking(machine, "Bob") as terminal:
        terminal.until(f"Bob is {BOB}", "Bob: from the past", "not connected")
        machine.until(lambda: BOB in chat.read)
        terminal.type("half a mess")
        terminal.until("> half a mess")
        machine.portal.call(lambda: chat.receive("an interruption"))
        machine.portal.call(lambda: chat.receive("not for here", peer=CAROL))
        machine.portal.call(lambda: chat.receive("and another"))
        shown = terminal.until("Bob: an interruption", "Bob: and another", "> half a mess")
        assert shown.index("an interruption") < shown.index("and another") < shown.index("> half a mess")
        assert "not for here" not in shown
        terminal.type("age\r")
        shown = terminal.until("you: half a message  [queued]", "1 queued")
        assert "> half" not in shown
        (sent,) = chat.sent()
        assert (sent.peer, sent.text) == (BOB, "half a message")
        machine.until(
            lambda: all(each.delivery is not Delivery.DELIVERED for each in chat.messages.values() if each.peer == BOB)
        )

        machine.portal.call(lambda: chat.change(sent, delivery=Delivery.DELIVERED))
        shown = terminal.until("delivered: half a message")
        assert "queued\n" not in shown.splitlines()[-1]
        machine.portal.call(lambda: chat.change(sent, delivery=Delivery.READ))
        terminal.until("read: half a message")
        machine.portal.call(lambda: chat.meet(network="dmsg"))
        terminal.until("connected over dmsg")
        terminal.type(CTRL_D)
        assert terminal.end() == 0


def test_what_peers_write_commands_nothing(machine: Machine, chat: MemoryChat, node: Served) -> None:
    machine.portal.call(lambda: chat.receive(HOSTILE))
    machine.portal.call(lambda: chat.meet(alias="B\x1b[2Job", network="d\x1b[2J"))
    with talking(machine, str(BOB)) as terminal:
        shown = terminal.until(HARMLESS, r"d\x1b[2J")
        machine.portal.call(
            lambda: chat.receive("live " + HOSTILE, file=FileOffer("a\x1b[2J\nb", 5, trouble="\x1b[2J"))
        )
        shown = terminal.until("live " + HARMLESS, r"[file a\x1b[2J b, 0 of 5 bytes, \x1b[2J]")
        assert shown.count("\n      fake: line") == 2, "a further line does not look like another message"
        assert r"B\x1b[2Job: " in shown
        for command in (b"\x1b[2J", b"\x1b]0;", b"\x9b31m", "\u202e".encode(), b"\x00"):
            assert command not in terminal.received
        terminal.type(CTRL_D)
        assert terminal.end() == 0


def test_history_is_as_long_as_asked_and_shown_once(machine: Machine, chat: MemoryChat, node: Served) -> None:
    for number in range(30):
        machine.portal.call(chat.receive, f"number {number}.")
    with talking(machine, str(BOB), "--history", "3") as terminal:
        machine.portal.call(lambda: chat.receive("number 30."))
        shown = terminal.until("number 30.")
        assert [number for number in range(31) if f"number {number}." in shown] == [27, 28, 29, 30]
        assert shown.count("number 29.") == 1
        # A message that is older than what is shown is no news.
        old = next(each for each in chat.messages.values() if each.text == "number 1.")
        machine.portal.call(lambda: chat.change(old, text="number 1, edited"))
        machine.portal.call(lambda: chat.receive("number 31."))
        assert "edited" not in terminal.until("number 31.")
        terminal.type(CTRL_D)
        assert terminal.end() == 0


def test_several_lines_several_marks_and_what_is_taken_back(machine: Machine, chat: MemoryChat, node: Served) -> None:
    with talking(machine, str(BOB)) as terminal:
        terminal.type(f"one{ALT_ENTER}two\r")
        terminal.until("you: one", "\n      two  [queued]")
        terminal.type("three\r")
        terminal.until("you: three")
        assert [each.text for each in chat.sent()] == ["one\ntwo", "three"]
        for each in chat.sent():
            machine.portal.call(partial(chat.change, each, delivery=Delivery.READ))
        terminal.until("read: ")
        terminal.until_gone("queued\n")
        slip = machine.portal.call(lambda: chat.receive("a slip"))
        terminal.until("a slip")
        machine.portal.call(lambda: chat.change(slip, text="", deleted=True))
        terminal.until(f"deleted by {str(BOB)[:8]}..{str(BOB)[-4:]}: a slip")
        terminal.type(CTRL_D)
        assert terminal.end() == 0


def test_what_is_not_sent_can_be_sent_again(machine: Machine, chat: MemoryChat, node: Served) -> None:
    with talking(machine, str(BOB)) as terminal:
        terminal.type("x" * 4097 + "\r")
        terminal.until("not sent: a message has 1 to 4096 bytes")
        terminal.until("xxxx")  # there again, to be changed
        assert chat.count == 0
        terminal.type(CTRL_C)  # takes back what is written
        terminal.until_gone("xxxx")
        terminal.type("short\r")
        terminal.until("you: short")
        terminal.type(CTRL_C)
        assert terminal.end() == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_who_is_killed_leaves_the_terminal_as_it_was(machine: Machine, node: Served, number: signal.Signals) -> None:
    echoing = termios.ECHO | termios.ICANON
    with talking(machine, str(BOB)) as terminal:
        assert termios.tcgetattr(terminal.descriptor)[3] & echoing == 0
        terminal.type("half a mess")
        terminal.until("> half a mess")
        os.kill(terminal.pid, number)
        assert terminal.end() == 128 + number
        assert termios.tcgetattr(terminal.descriptor)[3] & echoing == echoing
        assert terminal.received.rindex(b"\x1b[?2004l") > terminal.received.rindex(b"\x1b[?2004h"), "as pastes were"
        assert terminal.received.rindex(b"\x1b[?25h") > terminal.received.rindex(b"\x1b[?25l"), "and the cursor"


def test_ctrl_z_is_no_part_of_a_message(machine: Machine, chat: MemoryChat, node: Served) -> None:
    with talking(machine, str(BOB)) as terminal:
        terminal.type(f"before{CTRL_Z}")
        terminal.type(" and after\r")
        terminal.until("you: before and after")
        terminal.type(CTRL_D)
        assert terminal.end() == 0
        assert [each.text for each in chat.sent()] == ["before and after"]


def test_a_node_that_ends_ends_the_conversation(machine: Machine, chat: MemoryChat) -> None:
    with machine.node(murmuring(chat)) as served:
        machine.portal.call(served.site.until, "murmur", "running")
        with talking(machine, str(BOB)) as terminal:
            machine.portal.call(chat.receive, "it goes on")
            terminal.until("it goes on")
            machine.portal.call(served.site.launcher.stop, "murmur")
            assert terminal.end() == 1
            assert "skywire: murmur is stopped" in terminal.shown


# --- behind a pipe


def test_each_line_is_sent(machine: Machine, chat: MemoryChat, node: Served) -> None:
    done = piped(machine, "one\n\ntwo é\r\nthree".encode(), str(BOB))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [(each.peer, each.text) for each in chat.sent()] == [(BOB, "one"), (BOB, "two é"), (BOB, "three")]


def test_lines_that_cannot_be_sent_are_told_and_the_others_are_sent(
    machine: Machine, chat: MemoryChat, node: Served
) -> None:
    done = piped(machine, b"one\n" + b"x" * 10_000 + b"\n\xff\n" + b"y" * 4096 + b"\nlast\n", str(BOB))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "line 2 is not sent: a message has up to 4096 bytes",
        "line 3 is not sent: it is no text in UTF-8",
    ]
    assert [each.text for each in chat.sent()] == ["one", "y" * 4096, "last"]


def test_waiting_for_the_peer_to_have_it(machine: Machine, chat: MemoryChat, node: Served) -> None:
    chat.acks = True
    done = piped(machine, b"one\ntwo\n", str(BOB), "--wait", "30")
    assert (done.returncode, done.stderr) == (0, "")
    chat.acks = False
    begun = time.monotonic()
    done = piped(machine, b"three\n", str(BOB), "--wait", "0.2")
    assert (done.returncode, done.stderr) == (1, "1 message is not delivered yet; what is queued stays so\n")
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["Nobody\x1b[2J"], 1, r"is no public key, and nobody is called so"),
        (["02" * 20], 1, "nobody is called so"),
        ([str(BOB), "--history", "501"], 2, "history is 0 to 500"),
        ([str(BOB), "--wait", "-1"], 2, "wait is 0 to"),
        ([str(BOB), "--wait", "soon"], 2, "wait"),
        ([], 2, "peer"),
    ],
)
def test_what_cannot_be_is_one_line(
    machine: Machine, chat: MemoryChat, node: Served, words: list[str], code: int, reason: str
) -> None:
    done = piped(machine, b"x\n", *words)
    assert (done.returncode, reason in done.stderr, "\x1b" in done.stderr) == (code, True, False), done.stderr
    assert chat.count == 0


def test_a_program_that_is_not_there_is_one_line(machine: Machine, node: Served) -> None:
    done = machine.run("app murmur lost")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("skywire: the program of lost cannot be loaded: ")
    assert "Talk with a peer at this terminal" in machine.run("app murmur --help").stdout
