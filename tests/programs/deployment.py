"""A whole dmsg network for programs to use: discovery over HTTP, and relays.

``python -m tests.programs.deployment`` serves one until its standard input ends. It first writes one line of JSON; each
line that it reads is a command of the shell to run beside it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from skywire import HostPort, embedded
from skywire.dmsg.discovery.service import DiscoveryApp
from skywire.http.server import HttpServer


@dataclass(frozen=True)
class Served:
    """What runs.

    Args:
        deployment: for clients in the same process.
        disc: address of the discovery.
        servers: each as ``<key>@<host>:<port>``.
    """

    deployment: embedded.Deployment
    disc: str
    servers: tuple[str, ...]


@asynccontextmanager
async def serve_deployment(relays: int = 1) -> AsyncIterator[Served]:
    """Serve while the block runs."""
    async with embedded.start(relays=relays) as deployment, anyio.create_task_group() as task_group:
        server = HttpServer(DiscoveryApp(deployment.directory), listen=[HostPort("127.0.0.1", 0)])
        await task_group.start(server.serve)
        yield Served(
            deployment,
            f"http://{server.addresses[0]}",
            tuple(f"{relay.public}@{relay.addresses[0]}" for relay in deployment.relays),
        )
        task_group.cancel_scope.cancel()


async def main() -> None:
    async with serve_deployment() as served:
        sys.stdout.write(json.dumps({"disc": served.disc, "servers": served.servers}) + "\n")
        sys.stdout.flush()
        environment = {**os.environ, "SKYWIRE_DMSG_DISC": served.disc}
        children = []
        while line := await anyio.to_thread.run_sync(sys.stdin.readline):
            children.append(subprocess.Popen(line, shell=True, env=environment, start_new_session=True))  # noqa: ASYNC220
        for child in children:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


if __name__ == "__main__":
    anyio.run(main)
