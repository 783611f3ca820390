"""``python -m tests.matrix``: a line for each app and mode as it is done, and a table at the end."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table

from skywire.app.run_mode import RunMode
from tests.matrix.exchanges import EXCHANGES, Exchange, Unmet

ABSENT = ("skysocks", "skysocks-client", "skynet-srv", "skynet-client", "resolver", "vpn-server", "vpn-client")
"""Apps that are not built yet; hypervisor as well."""


@contextmanager
def deployment() -> Iterator[str]:
    """A discovery and a relay in a process; the URL of the discovery."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.programs.deployment"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield str(json.loads(process.stdout.readline())["disc"])
        process.stdin.close()


def tried(exchange: Exchange, mode: RunMode, discovery: str) -> str:
    """What came of it, in words."""
    if mode not in exchange.modes:
        return "not-allowed"
    began = time.perf_counter()
    try:
        exchange.run(mode, discovery)
    except (Unmet, AssertionError, OSError, subprocess.SubprocessError) as error:
        print(f"{exchange.app} {mode}: {type(error).__name__}: {error}", file=sys.stderr)
        return "FAILED"
    return f"ok {time.perf_counter() - began:.2f}"


def main() -> int:
    table = Table("app", *(mode.value for mode in RunMode), "what is exchanged")
    failed = 0
    with deployment() as discovery:
        for exchange in EXCHANGES:
            results = []
            for mode in RunMode:
                results.append(tried(exchange, mode, discovery))
                print(f"{exchange.app} {mode} {results[-1]}", flush=True)
            failed += results.count("FAILED")
            table.add_row(exchange.app, *results, exchange.summary)
    for app in (*ABSENT, "hypervisor"):
        print(f"{app} absent")
        table.add_row(app, *["absent"] * len(RunMode), "not built yet")
    Console(width=140).print(table)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
