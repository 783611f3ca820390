"""A machine for programs: a folder of its own where nodes of this process are found."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from anyio.from_thread import BlockingPortal, start_blocking_portal

from skywire.app.record import InstanceConfig
from skywire.app.run_mode import RunMode
from skywire.control.local import RUNTIME_VARIABLE
from tests.programs.control_node import Served, serve_node
from tests.programs.running import PATIENCE, Running

ROOT = Path(__file__).parent.parent.parent
SKYWIRE = [sys.executable, "-m", "skywire"]
VISOR = "visor-0123456789"


@dataclass
class Machine:
    """What there is.

    Args:
        folder: short, for a socket has a short path.
        portal: to the event loop in which nodes run.
    """

    folder: Path
    portal: BlockingPortal
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("SKYWIRE_", "CYCLOPTS_"))}
        self.environment = {**clean, "COLUMNS": "200", RUNTIME_VARIABLE: str(self.folder / "run")}
        self._install_apps()

    def run(
        self, line: str, *more: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``skywire`` with the words of a line, and further ones as they are."""
        return subprocess.run(
            [*SKYWIRE, *line.split(), *more],
            env={**self.environment, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    @contextmanager
    def running(self, line: str) -> Iterator[Running]:
        """Run it while the block runs."""
        with subprocess.Popen(
            [*SKYWIRE, *line.split()],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
        ) as process:
            try:
                yield Running(process)
            finally:
                process.kill()

    @contextmanager
    def node(
        self,
        *configs: InstanceConfig,
        name: str = VISOR,
        mode: RunMode = RunMode.VISOR_APP,
        program: str = "skywire 0.1.0",
    ) -> Iterator[Served]:
        """Have a node run while the block runs."""
        with self.portal.wrap_async_context_manager(
            serve_node(self.folder / name, self.folder / "run" / f"{name}.sock", *configs, mode=mode, program=program)
        ) as served:
            yield served

    def at_terminal(self, line: str, prompt: str = "", answer: str = "") -> tuple[int, str]:
        """Run it at a terminal of its own, where ``answer`` is typed when ``prompt`` is shown: exit code, all shown."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execvpe(SKYWIRE[0], [*SKYWIRE, *line.split()], {**self.environment, "TERM": "xterm"})
        shown = b""
        try:
            while select.select([terminal], [], [], PATIENCE)[0] and (piece := os.read(terminal, 4096)):
                shown += piece
                if prompt and shown.endswith(prompt.encode()):
                    os.write(terminal, f"{answer}\n".encode())
        except OSError:
            pass  # how the end of a terminal shows
        finally:
            os.close(terminal)
            _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status), shown.decode()

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that nothing tells of."""
        limit = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < limit, "it has not come to that"
            time.sleep(0.02)

    def _install_apps(self) -> None:
        """Let programs find the definitions of ``talker`` and ``murmur``, as a package that is installed would."""
        facts = self.folder / "site" / "talker-1.0.dist-info"
        facts.mkdir(parents=True)
        (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: talker\nVersion: 1.0\n")
        (facts / "entry_points.txt").write_text(
            "[skywire.apps]\ntalker = tests.programs.talker:TALKER\nmurmur = tests.programs.murmur:MURMUR\n"
        )
        before = self.environment.get("PYTHONPATH", "")
        self.environment["PYTHONPATH"] = os.pathsep.join(filter(None, [before, str(ROOT), str(facts.parent)]))


@contextmanager
def new_machine() -> Iterator[Machine]:
    """A machine without nodes."""
    folder = Path(tempfile.mkdtemp(prefix="sky-"))
    try:
        with start_blocking_portal("asyncio") as portal:
            yield Machine(folder, portal)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
