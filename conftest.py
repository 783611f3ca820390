"""Runs the examples of the documentation as tests: ``python`` blocks as programs, ``console`` blocks in a shell."""

from __future__ import annotations

import fnmatch
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser


def run_console(example: Example) -> None:
    """Run each line that begins with ``$``; what it prints must match the lines below it (``...`` matches anything)."""
    folder: Path = example.namespace.setdefault("console_folder", Path(tempfile.mkdtemp(prefix="skywire-docs-")))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for block in str(example.parsed).removeprefix("$ ").split("\n$ "):
        command, _, expected = block.partition("\n")
        done = subprocess.run(
            command,
            shell=True,
            cwd=folder,
            env={**os.environ, "PATH": path, "COLUMNS": "120"},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
        pattern = expected.strip().replace("[", "[[]").replace("...", "*")
        printed = done.stdout.strip() if done.returncode == 0 else done.stderr.strip()
        assert fnmatch.fnmatchcase(printed, pattern), f"$ {command}\n{done.stdout}{done.stderr}\nexpected:\n{expected}"


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), CodeBlockParser("console", run_console)],
    patterns=["README.md", "docs/*.md", "docs/*/*.md"],
).pytest()
