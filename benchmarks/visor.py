"""A node with many apps, and the commands that ask it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import anyio
from anyio import create_task_group

import skywire
from benchmarks import roles
from benchmarks.reading import Parameters, answer
from skywire import SecKey
from skywire.app.api import EventsAPI, NetworkAPI
from skywire.app.catalogue import Catalogue
from skywire.app.status import State
from skywire.control.local import RUNTIME_VARIABLE, controlling, find
from skywire.net.conn import CORE
from skywire.visor.assembly import assemble, way_in
from skywire.visor.config.file import ConfigFile
from skywire.visor.config.settings import resolve
from skywire.visor.visor import Visor, running

HELLO: Final = Path(__file__).parent.parent / "examples" / "hello_app"
FIRST_PORT: Final = 10_000
LIMIT: Final = 60.0
"""Seconds for a node to come up."""
LOOK: Final = 0.5
"""Seconds between two looks at a node that is not connected yet."""
PROGRAM: Final = str(Path(sys.executable).parent / "skywire")


@contextmanager
def folder(apps: int, discovery: str = "") -> Iterator[Path]:
    """The configuration of a node with so many instances of the example app."""
    identity = SecKey.generate()
    rows = [
        {"name": f"hello-{number}", "app": "hello", "auto_start": True, "port": FIRST_PORT + number}
        for number in range(apps)
    ]
    tree = {
        "sk": identity.expose_hex(),
        "dmsg": {"discovery": discovery, "sessions_count": 1},
        "launcher": {"apps": rows},
        "local_path": "./local",
    }
    with tempfile.TemporaryDirectory(prefix="skywire-benchmark-") as name:
        path = Path(name)
        descriptor = os.open(path / "skywire-config.json", os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(tree, file)
        yield path


@asynccontextmanager
async def _node(path: Path) -> AsyncIterator[Visor]:
    """The node of a configuration, as the program runs it."""
    sys.path.append(str(HELLO))
    file = ConfigFile.load(path / "skywire-config.json")
    settings = resolve(file, {}, {})
    catalogue = Catalogue({"hello": "hello_app:HELLO"}, [])
    async with way_in(settings) as discovery:
        blueprint = assemble(settings, discovery, file=file, catalogue=catalogue, sockets=path / "run")
        async with running(blueprint) as node:
            yield node


async def _all_run(node: Visor) -> None:
    """Wait until all instances run, and have each answered once."""
    with anyio.fail_after(LIMIT), node.events.subscribe() as events:
        while any(info.state is not State.RUNNING for info in node.launcher.list()):
            await events.next()
        async with create_task_group() as task_group:
            for info in node.launcher.list():
                task_group.start_soon(_greeted, node, info.ports["greeting"])


async def _greeted(node: Visor, port: int) -> None:
    async with node.registry.self_dial(port, owner=CORE) as conn:
        assert (await conn.receive()).startswith(b"Hello, ")


def apps(parameters: Parameters) -> None:
    """Come up, have each app greet, and tell when that was."""

    async def run() -> None:
        logging.getLogger("skywire").setLevel(logging.INFO)
        path = Path(parameters.text("folder"))
        async with _node(path) as node:
            await _all_run(node)
            moment = time.time()
        logs = len(list((path / "local" / "log").glob("hello-*.log")))
        answer(moment=moment, logs=logs)

    skywire.run(run)


def serve(parameters: Parameters) -> None:
    """Be a node until ended."""

    async def run() -> None:
        async with _node(Path(parameters.text("folder"))) as node:
            await _all_run(node)
            answer(apps=len(node.launcher.list()))
            await anyio.sleep_forever()

    skywire.run(run)


def start_seconds(count: int) -> float:
    """From the start of a process until so many apps run, each with a port, a log file, and one answered call."""
    with folder(count) as path:
        began = time.time()
        done = roles.client("visor.apps", {"folder": str(path)})
        assert done["logs"] == count
        return done["moment"] - began


def command_ms(*arguments: str, apps: int) -> float:
    """A command as a whole process, beside a node with so many apps."""
    with folder(apps) as path, roles.server("visor.serve", {"folder": str(path)}):
        return _whole_process_ms(*arguments, runtime=path / "run")


def _whole_process_ms(*arguments: str, runtime: Path) -> float:
    environment = {**os.environ, RUNTIME_VARIABLE: str(runtime)}
    began = time.perf_counter()
    # Its end is seen by that of its output: with a limit alone, Python looks for it every 50 ms only.
    subprocess.run([PROGRAM, *arguments], env=environment, stdout=subprocess.PIPE, check=True, timeout=LIMIT)
    return (time.perf_counter() - began) * 1e3


def version_ms() -> float:
    """The least that the program can be asked."""
    return _whole_process_ms("--version", runtime=Path(tempfile.gettempdir()))


def idle_mib() -> float:
    """What a visor with its own apps occupies, connected and with nothing to do."""
    with (
        roles.server("dmsg.discovery", {}) as discovery,
        roles.server("dmsg.relay", discovery),
        folder(0, str(discovery["url"])) as path,
    ):
        environment = {**os.environ, RUNTIME_VARIABLE: str(path / "run")}
        command = [PROGRAM, "visor", "-c", str(path / "skywire-config.json")]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline()
                return anyio.run(_memory_mib, path / "run")
            finally:
                process.terminate()


async def _memory_mib(runtime: Path) -> float:
    (found,) = await find(runtime)
    async with controlling(found.path) as client:
        network, events = client.of(NetworkAPI, "network"), client.of(EventsAPI, "events").events("facility")
        with anyio.fail_after(LIMIT):
            info = await network.info()
            while any(each.offline for each in info.facilities):
                with anyio.move_on_after(LOOK):  # it may have come between the two calls
                    await anext(events)
                info = await network.info()
        return info.memory / (1 << 20)
