"""Two nodes with a pty each, alone on TCP: one may use the other's."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from skywire import SecKey, keyfile
from tests.programs.alone import SKYWIRE, TCP, Place
from tests.programs.running import PATIENCE, Running
from tests.programs.screen import Terminal, at_terminal
from tests.programs.visor_program import Node
from tests.standalone.sites import free_port


@dataclass
class PtyPair:
    """See the module.

    Args:
        client: with the one who asks.
        far: address of the other one.
        host: the other one's program.
        asking: the program of the one who asks.
        near: name of the one who asks, as ``--node`` takes it.
    """

    client: Place
    far: str
    host: Running
    asking: Running
    near: str

    def words(self, command: str, *words: str) -> list[str]:
        """The words of a command of the one who asks."""
        return [*SKYWIRE, "app", "pty", command, "--node", self.near, *words]

    def run(self, command: str, *words: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end."""
        return subprocess.run(
            self.words(command, *words),
            input=data,
            env=self.client.environment,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )

    def shell(self, *words: str) -> AbstractContextManager[Terminal]:
        """Sit at a shell of the other one while the block runs."""
        return at_terminal(self.words("shell", *words), self.client.environment)


@contextmanager
def pty_pair(*more: str) -> Iterator[PtyPair]:
    """The two while the block runs, the one who asks with more words."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sky-")))
        node = Node(folder)
        stack.callback(shutil.rmtree, node.sockets, ignore_errors=True)
        place = Place(node)
        mine, theirs = SecKey.generate(), SecKey.generate()
        programs = []
        for name, key, words in (
            ("host", theirs, ("--allow", str(mine.public))),
            ("client", mine, more),
        ):
            keyfile.save(folder / f"{name}.key", key)
            where = ("--key-file", str(folder / f"{name}.key"), "--data", str(folder / name))
            programs.append(
                stack.enter_context(place.running(TCP, "pty", *where, "--port", f"pty={free_port()}", *words))
            )
        (host, facts), (asking, own) = programs
        yield PtyPair(place, facts.addresses[0], host, asking, f"tcp-pty-{own.public_key[:10]}")
