"""The command ``disc``: a dmsg discovery."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from anyio import sleep_forever
from cyclopts import App, Parameter

from skywire import runtime
from skywire.cli.identity import identity_from, shared_passphrase
from skywire.cli.program import Json, UsageError
from skywire.cli.service import notify, until_terminated
from skywire.dmsg.discovery.directory import Directory
from skywire.dmsg.discovery.memory import MemoryStore
from skywire.dmsg.discovery.over_dmsg import serve_over_dmsg
from skywire.dmsg.discovery.store import Store
from skywire.errors import InvalidAddress, InvalidKey
from skywire.keys import PubKey, SecKey
from skywire.net.address import MAX_PORT, HostPort
from skywire.net.background import Background
from skywire.net.listening import listening_places
from skywire.wire.discovery import Rules

AUTH_VARIABLE: Final = "DMSG_DISC_AUTH"
"""The environment variable with the passphrase that makes servers official."""
KEY_VARIABLE: Final = "DMSG_DISC_SK"
"""The environment variable with the secret key under which the discovery is served over dmsg, too."""


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
    key_file: Path | None = None,
    passphrase_file: Path | None = None,
    dmsg_port: int = 80,
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
        Where to serve figures for Prometheus, by HTTP under /metrics.
    key_file:
        A file with a key, under which it is served over dmsg, too, by all its servers; or set DMSG_DISC_SK.
    passphrase_file:
        The first line of this file opens the key file; else it is asked for.
    dmsg_port:
        The port there.
    """
    if not 1 <= dmsg_port <= MAX_PORT:
        raise UsageError(f"a port is 1 to {MAX_PORT}, not {dmsg_port}")
    identity = identity_from(key_file, passphrase_file, KEY_VARIABLE)
    monitors = _texts(whitelist_keys)
    for text in monitors:
        _key(text)
    rules = Rules(
        allow_loopback=test_mode,
        load_testing=enable_load_testing,
        passphrase=shared_passphrase(auth_file, AUTH_VARIABLE),
        official_servers=frozenset(_key(text) for text in _texts(official_servers)),
        network_monitors=frozenset(monitors),
    )
    store: Store = MemoryStore()
    if redis is not None:
        store = _redis_store(redis)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    service = _Service(
        Directory(store, rules),
        store,
        _places(addr),
        () if metrics is None else _places(metrics),
        identity,
        dmsg_port,
        as_json=as_json,
    )
    runtime.run(until_terminated, service.serve)


@dataclass(frozen=True)
class _Service:
    directory: Directory
    store: Store
    listen: Sequence[HostPort]
    listen_metrics: Sequence[HostPort]
    identity: SecKey | None
    dmsg_port: int
    as_json: bool

    async def serve(self) -> None:
        """Serve until cancelled."""
        from skywire.dmsg.discovery.metrics import DiscoveryMetrics
        from skywire.dmsg.discovery.service import HTTP_LIMITS, DiscoveryApp
        from skywire.http.server import HttpServer

        figures = DiscoveryMetrics()
        app = DiscoveryApp(self.directory)
        server = HttpServer(app, listen=self.listen, limits=HTTP_LIMITS)
        metrics = HttpServer(figures.app, listen=self.listen_metrics)
        async with aclosing(self.store), Background() as task_group:
            await task_group.start(server.serve)
            await task_group.start(metrics.serve)
            task_group.start_soon(self.directory.maintain, figures.update)
            if self.identity is not None:
                task_group.start_soon(serve_over_dmsg, self.directory, app, self.identity, self.dmsg_port)
            self._show(server.addresses, metrics.addresses)
            notify("READY=1")
            try:
                await sleep_forever()
            finally:
                notify("STOPPING=1")

    def _show(self, listening: Sequence[HostPort], metrics: Sequence[HostPort]) -> None:
        urls = [f"http://{where}" for where in listening]
        metrics_urls = [f"http://{where}/metrics" for where in metrics]
        dmsg_url = "" if self.identity is None else f"dmsg://{self.identity.public}:{self.dmsg_port}"
        if self.as_json:
            facts = {"urls": urls, "metrics": metrics_urls, **({"dmsg": dmsg_url} if dmsg_url else {})}
            print(json.dumps(facts), flush=True)
        else:
            more = f", its figures at {' and '.join(metrics_urls)}" if metrics_urls else ""
            also = f", and at {dmsg_url} once there is a server" if dmsg_url else ""
            print(f"the discovery is at {' and '.join(urls)}{also}{more}", flush=True)


def _redis_store(url: str) -> Store:
    from skywire.dmsg.discovery.redis_store import RedisStore

    try:
        parts = urlsplit(url)
        if parts.password is not None or "password" in parts.query:
            raise UsageError("who can list processes can read arguments: the password of Redis is in REDIS_PASSWORD")
        return RedisStore(url)
    except ValueError:
        # Why is not told: what cannot be read may have a password anywhere.
        raise UsageError(
            "--redis is not the address of a Redis: that is redis://host:6379, rediss://host:6379 or unix:///path"
        ) from None


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
