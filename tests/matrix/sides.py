"""An app that runs in one of the modes, as its users run it."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import anyio

from skywire import SecKey, keyfile
from skywire.app.api import AppsAPI
from skywire.app.run_mode import RunMode
from skywire.control.local import SUFFIX, controlling
from tests.programs.alone import DMSG, TCP, Place
from tests.programs.running import PATIENCE
from tests.programs.visor_program import Node

T = TypeVar("T")
PROGRAMS = {RunMode.DMSG_STANDALONE: DMSG, RunMode.TCP_STANDALONE: TCP}


@dataclass(frozen=True)
class Side:
    """A process with an app.

    Args:
        key: that peers see.
        addresses: where each of its ports is reached, by the name of the port.
        app: name of the instance.
        folder: of its data.
        socket: by which it is controlled.
    """

    key: str
    addresses: Mapping[str, str]
    app: str
    folder: Path
    socket: Path

    def ask(self, question: Callable[[AppsAPI], Awaitable[T]]) -> T:
        """Ask it something, as other programs of this machine do."""

        async def main() -> T:
            with anyio.fail_after(PATIENCE):
                async with controlling(self.socket) as client:
                    return await question(client.of(AppsAPI, "apps"))

        return anyio.run(main)


@dataclass(frozen=True)
class Plan:
    """A process with an app, before it runs; its key and its TCP ports are known to others from the start.

    Args:
        mode: in which it runs.
        app: name of the definition.
        ports: the overlay ports of the app, by name.
        identity: its key.
        tcp: the TCP ports, likewise.
    """

    mode: RunMode
    app: str
    ports: Mapping[str, int]
    identity: SecKey
    tcp: Mapping[str, int]

    @classmethod
    def make(cls, mode: RunMode, app: str, ports: Mapping[str, int]) -> Plan:
        """With a new key, and ports that are free."""
        first = _free_ports(len(ports))
        return cls(mode, app, ports, SecKey.generate(), {name: first + at for at, name in enumerate(ports)})

    @property
    def key(self) -> str:
        return str(self.identity.public)

    @property
    def addresses(self) -> Mapping[str, str]:
        if self.mode is RunMode.TCP_STANDALONE:
            return {name: f"tcp://{self.key}@127.0.0.1:{port}" for name, port in self.tcp.items()}
        return {name: f"dmsg://{self.key}:{port}" for name, port in self.ports.items()}

    @contextmanager
    def running(self, discovery: str, options: Mapping[str, object] = {}) -> Iterator[Side]:
        """Run it while the block runs.

        Args:
            discovery: URL of the discovery.
            options: of the app, as JSON.
        """
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sky-")))
            node = Node(folder, discovery, identity=self.identity)
            stack.callback(shutil.rmtree, node.sockets, ignore_errors=True)
            if self.mode is RunMode.VISOR_APP:
                node.configure({"name": self.app, "options": dict(options)})
                stack.enter_context(node.running())
            else:
                stack.enter_context(Place(node).running(PROGRAMS[self.mode], *self._words(folder, options)))
            (path,) = node.sockets.glob(f"*{SUFFIX}")
            yield Side(self.key, self.addresses, self.app, folder, path)

    def _words(self, folder: Path, options: Mapping[str, object]) -> list[str]:
        keyfile.save(folder / "its.key", self.identity)
        words = [self.app, "--key-file", str(folder / "its.key"), "--data", str(folder / "data")]
        if self.mode is RunMode.TCP_STANDALONE:
            words += [word for name, port in self.tcp.items() for word in ("--port", f"{name}={port}")]
        for name, value in options.items():
            texts = value if isinstance(value, list | tuple) else [value]
            words += [word for text in texts for word in (f"--{name}", str(text))]
        return words


def _free_ports(count: int) -> int:
    """The first of so many that are free, one behind the other."""
    while True:
        with ExitStack() as stack:
            probe = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            first: int = probe.getsockname()[1]
            try:
                for at in range(1, count):
                    stack.enter_context(socket.create_server(("127.0.0.1", first + at)))
            except (OSError, OverflowError):
                continue
            return first
