"""Apps alone in a process, for tests."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from anyio import fail_after, sleep_forever
from anyio.abc import TaskStatus

from skywire import EVERYONE, Conn, SecKey
from skywire.app.catalogue import Catalogue
from skywire.app.host import AppHost
from skywire.app.limits import LauncherLimits
from skywire.app.loaded import LoadedDef
from skywire.app.port import PortSpec
from skywire.app.record import InstanceConfig
from skywire.dmsg.discovery.contract import Discovery
from skywire.standalone.blueprint import Blueprint, OnDmsg, OnTcp, Place
from skywire.standalone.standalone import Standalone, running
from tests.app.site import definition
from tests.dmsg.relaying import SWIFT
from tests.pktcp.attacker import PATIENCE

GREETING = PortSpec("greeting", overlay=4000, tcp=4000)


async def greet(host: AppHost, task_status: TaskStatus[None]) -> None:
    """Say who came."""

    async def handle(conn: Conn) -> None:
        await conn.send(f"hello {conn.remote.pk}".encode())

    async with host.serve(GREETING, handle, peers=EVERYONE):
        task_status.started()
        await sleep_forever()


def greeter(*, critical: bool = False) -> LoadedDef:
    """An app that serves in every mode."""
    return definition("greeter", greet, ports=[GREETING], critical=critical)


def free_port() -> int:
    """A TCP port of loopback that nobody has."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def on_dmsg(discovery: Discovery) -> OnDmsg:
    """On a network of a test."""
    return OnDmsg(discovery=discovery, limits=SWIFT)


def blueprint(
    folder: Path,
    instance: InstanceConfig,
    place: Place | None = None,
    *,
    identity: SecKey | None = None,
    sockets: Path | None = None,
    limits: LauncherLimits = LauncherLimits(),
) -> Blueprint:
    """An app alone; on key-encrypted TCP, at a port that is free, unless a place is given."""
    if place is None:
        instance = replace(instance, ports={port.name: free_port() for port in instance.app.definition.ports})
    return Blueprint(
        identity=SecKey.generate() if identity is None else identity,
        place=OnTcp() if place is None else place,
        instance=instance,
        folder=folder,
        catalogue=Catalogue({}, []),
        sockets=sockets,
        launcher_limits=limits,
    )


@asynccontextmanager
async def alone(made: Blueprint) -> AsyncIterator[Standalone]:
    """An app that serves, while the block runs."""
    async with running(made) as node:
        with fail_after(PATIENCE):
            await node.serving.wait()
        yield node
