"""What each app does between two processes, whatever the mode: the proof that it works in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from skywire.app.api import AppsAPI
from skywire.app.run_mode import RunMode
from tests.matrix.sides import Plan, Side
from tests.programs.running import PATIENCE
from tests.programs.screen import at_terminal

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


def chat(mode: RunMode, discovery: str) -> None:
    """A message each way, and a file."""
    ports = {"chat": 1, "files": 64}
    alice, bob = (Plan.make(mode, "skychat", ports) for _ in range(2))
    with (
        alice.running(discovery, _chat_options(alice, bob)) as one,
        bob.running(discovery, _chat_options(bob, alice)) as other,
    ):
        _say(one, other, "Good day, Bob")
        _say(other, one, "Good day, Alice")
        path = one.folder / "letter.txt"
        path.write_bytes(os.urandom(1_000_000))
        one.ask(lambda apps: apps.app_call("skychat", "send-file", {"peer": other.key, "path": str(path)}))
        came = other.ask(lambda apps: _file(apps, one.key))
        if Path(came).read_bytes() != path.read_bytes():
            raise Unmet("another file came than was sent")


def _chat_options(own: Plan, other: Plan) -> dict[str, object]:
    if own.mode is RunMode.TCP_STANDALONE:
        return {"peers": [other.addresses["chat"]], "local": "127.0.0.1:0"}
    return {"allow": [other.key], "local": "127.0.0.1:0"}


def _say(one: Side, other: Side, text: str) -> None:
    sent = one.ask(lambda apps: apps.app_call("skychat", "send", {"peer": other.key, "text": text, "wait": 30.0}))
    there = other.ask(lambda apps: apps.app_call("skychat", "history", {"peer": one.key}))
    assert isinstance(sent, dict)
    assert isinstance(there, dict)
    if not sent["acked"] or there["messages"][-1]["text"] != text:
        raise Unmet(f"{text!r} was sent ({sent}), and there is {there}")


def use_shell(mode: RunMode, discovery: str) -> None:
    """A program in a pipe with its exit status, and a shell at a terminal."""
    ports = {"pty": 22}
    host, guest = (Plan.make(mode, "pty", ports) for _ in range(2))
    with host.running(discovery, {"allow": [guest.key]}), guest.running(discovery) as side:
        environment = {**os.environ, "SKYWIRE_RUNTIME_DIR": str(side.socket.parent)}
        words = [sys.executable, "-m", "skywire", "app", "pty"]
        address = host.addresses["pty"]
        done = subprocess.run(
            [*words, "exec", address, "--", "sh", "-c", "tr a-z A-Z; exit 7"],
            env=environment,
            input=b"good day",
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        if (done.returncode, done.stdout) != (7, b"GOOD DAY"):
            raise Unmet(f"exit code {done.returncode}, {done.stdout!r}, {done.stderr[-300:]!r}")
        with at_terminal([*words, "shell", address, "sh"], environment) as terminal:
            terminal.type("echo $((40 + 2))\r")
            terminal.until("42")
            terminal.type("exit 5\r")
            if (code := terminal.end()) != 5:
                raise Unmet(f"the shell ended with {code}")


async def _file(apps: AppsAPI, peer: str) -> str:
    """Where the file that a peer sends is, once it is there."""
    changes = apps.app_stream("skychat", "changes", {"since": 0})
    async for message in changes:
        assert isinstance(message, dict)
        if message["peer"] == peer and message["file"] is not None and message["file"]["path"]:
            return str(message["file"]["path"])
    raise Unmet("the app has ended")


EXCHANGES = (
    Exchange("skychat", "a message each way, and a file of 1 MB", chat),
    Exchange("pty", "a program in a pipe with its exit status, and a shell at a terminal", use_shell),
    Exchange("hello", "a greeting; the package of a third party", greet),
    Exchange("log-server", "GET /health", fetch_health),
)
