"""The demo, as people run it first of all."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.programs.running import PATIENCE, Running

DEMO = [sys.executable, "-m", "skywire", "demo"]


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A machine on which nothing runs."""
    sockets = tempfile.mkdtemp(prefix="sky-")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SKYWIRE_")}
    yield {**clean, "COLUMNS": "200", "SKYWIRE_RUNTIME_DIR": sockets, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    shutil.rmtree(sockets)


def test_it_tells_each_step_and_leaves_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(DEMO, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    steps = re.findall(r"^ *([0-9.]+) s  (.*)$", done.stdout, re.MULTILINE)
    assert [text.split(":")[0] for _, text in steps] == [
        "a discovery and a relay run",
        "alice is on the network, reached by its key alone",
        "bob is on the network, reached by its key alone",
        "alice to bob",
        "bob to alice",
    ]
    times = [float(seconds) for seconds, _ in steps]
    assert times == sorted(times)
    for name in ("alice", "bob"):
        assert re.search(rf"^{name} +skychat +running", done.stdout, re.MULTILINE)
        assert re.search(rf"^{name} +log-server +running", done.stdout, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []


def test_kept_it_is_there_for_others_until_ctrl_c(environment: dict[str, str], tmp_path: Path) -> None:
    with subprocess.Popen(
        [*DEMO, "--keep", "--json"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    ) as process:
        program = Running(process)
        try:
            facts = json.loads(program.line())
            assert {name: node["apps"] for name, node in facts["visors"].items()} == {
                name: {"skychat": "running", "log-server": "running"} for name in ("alice", "bob")
            }
            assert all(
                url.startswith("http://127.0.0.1:")
                for node in facts["visors"].values()
                for url in node["pages"].values()
            )
            listed = subprocess.run(
                [sys.executable, "-m", "skywire", "app", "ls", "--json"],
                env=environment,
                capture_output=True,
                timeout=PATIENCE,
                check=True,
            )
            assert len({each["node"] for each in json.loads(listed.stdout)["apps"]}) == 2
            program.signal(signal.SIGINT)
            code, out, err = program.end()
            assert (code, out, err) == (0, "", "")
        finally:
            process.kill()
    assert list(tmp_path.iterdir()) == []
