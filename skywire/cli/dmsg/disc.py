"""The command ``disc``: a dmsg discovery."""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from anyio import create_task_group, open_signal_receiver
from anyio.abc import TaskGroup
from cyclopts import App, Parameter

from skywire import runtime
from skywire.cli.program import Json, UsageError
from skywire.dmsg.discovery.directory import Directory
from skywire.dmsg.discovery.memory import MemoryStore
from skywire.dmsg.discovery.store import Store
from skywire.errors import InvalidAddress, InvalidKey
from skywire.keys import PubKey
from skywire.net.address import HostPort
from skywire.net.errors import ListenError
from skywire.net.listening import listening_places
from skywire.wire.discovery import Rules

AUTH_VARIABLE: Final = "DMSG_DISC_AUTH"
"""The environment variable with the passphrase that makes servers official."""
MAX_AUTH_FILE: Final = 1024
"""Bytes that are read of the file with that passphrase."""


def add_disc_command(app: App) -> None:
    """Give ``app`` the command disc."""
    app.command(disc, name="disc")


def disc(
    *,
    addr: Annotated[str, Parameter(name=["--addr", "-a"])] = ":9090",
    redis: str | None = None,
    auth_file: Path | None = None,
    official_servers: str = "",
    whitelist_keys: str = "",
    test_mode: Annotated[bool, Parameter(name=["--test-mode", "-t"], negative="")] = False,
    enable_load_testing: Annotated[bool, Parameter(negative="")] = False,
    metrics: Annotated[str | None, Parameter(name=["--metrics", "-m"])] = None,
    as_json: Json = False,
) -> None:
    """Serve a dmsg discovery, the directory of who is reached through which servers.

    One line is written when it serves. It ends by Ctrl-C or SIGTERM.

    Parameters
    ----------
    addr:
        Where to listen: host:port, [ipv6]:port, or :port for every address of this machine.
    redis:
        The database, as redis://host:6379; its password is in REDIS_PASSWORD. Without it entries are in memory.
    auth_file:
        A file whose first line is the passphrase by which servers become official; or set DMSG_DISC_AUTH.
    official_servers:
        Keys of servers that are official without it, with commas between them.
    whitelist_keys:
        Keys of network monitors, which may remove entries of others, with commas between them.
    test_mode:
        Take servers at loopback addresses.
    enable_load_testing:
        Check no signature, no time and no order of updates.
    metrics:
        Where to serve figures for Prometheus, by HTTP on every path.
    """
    monitors = _texts(whitelist_keys)
    for text in monitors:
        _key(text)
    rules = Rules(
        allow_loopback=test_mode,
        load_testing=enable_load_testing,
        passphrase=_passphrase(auth_file),
        official_servers=frozenset(_key(text) for text in _texts(official_servers)),
        network_monitors=frozenset(monitors),
    )
    store: Store = MemoryStore()
    if redis is not None:
        parts = urlsplit(redis)
        if parts.password is not None or "password" in parts.query:
            raise UsageError("who can list processes can read arguments: the password of Redis is in REDIS_PASSWORD")
        from skywire.dmsg.discovery.redis_store import RedisStore

        try:
            store = RedisStore(redis)
        except ValueError as error:
            raise UsageError(f"not the address of a Redis: {error}") from None
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    service = _Service(
        Directory(store, rules), store, _places(addr), () if metrics is None else _places(metrics), as_json=as_json
    )
    runtime.run(service.serve)


@dataclass(frozen=True)
class _Service:
    directory: Directory
    store: Store
    listen: Sequence[HostPort]
    listen_metrics: Sequence[HostPort]
    as_json: bool

    async def serve(self) -> None:
        """Serve until SIGTERM comes, or be cancelled."""
        failure: ListenError | BrokenPipeError | None = None
        async with aclosing(self.store), create_task_group() as task_group:
            with open_signal_receiver(signal.SIGTERM) as signals:
                try:
                    await self._start(task_group)
                except (ListenError, BrokenPipeError) as error:
                    failure = error
                else:
                    await anext(signals)
            task_group.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _start(self, task_group: TaskGroup) -> None:
        from skywire.dmsg.discovery.metrics import DiscoveryMetrics
        from skywire.dmsg.discovery.service import DiscoveryApp
        from skywire.http.server import HttpServer

        figures = DiscoveryMetrics()
        server = HttpServer(DiscoveryApp(self.directory), listen=self.listen)
        metrics = HttpServer(figures.app, listen=self.listen_metrics)
        await task_group.start(server.serve)
        await task_group.start(metrics.serve)
        task_group.start_soon(self.directory.maintain, figures.update)
        urls = [f"http://{where}" for where in server.addresses]
        metrics_urls = [f"http://{where}/metrics" for where in metrics.addresses]
        if self.as_json:
            print(json.dumps({"urls": urls, "metrics": metrics_urls}), flush=True)
        else:
            more = f", its figures at {' and '.join(metrics_urls)}" if metrics_urls else ""
            print(f"the discovery is at {' and '.join(urls)}{more}", flush=True)


def _texts(line: str) -> list[str]:
    return [text.strip() for text in line.split(",") if text.strip()]


def _key(text: str) -> PubKey:
    try:
        return PubKey.from_hex(text)
    except InvalidKey as error:
        raise UsageError(f"{text[:100]!r}: {error}") from None


def _places(text: str) -> Sequence[HostPort]:
    try:
        return listening_places(text)
    except InvalidAddress as error:
        raise UsageError(str(error)) from None


def _passphrase(file: Path | None) -> str:
    if file is None:
        return os.environ.get(AUTH_VARIABLE, "")
    try:
        with file.open("rb") as source:
            line = source.read(MAX_AUTH_FILE).decode("utf-8").partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the passphrase from {file}: {error}") from error
    if not line:
        raise UsageError(f"the first line of {file} is empty, and an empty passphrase is none")
    return line
