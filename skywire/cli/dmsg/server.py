"""The command ``server``: a dmsg server, and its configuration."""

from __future__ import annotations

import json
import logging
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from anyio import move_on_after, sleep_forever
from anyio.abc import TaskGroup
from cyclopts import App, Parameter

from skywire import runtime
from skywire.cli.identity import shared_passphrase
from skywire.cli.program import Json, UsageError
from skywire.cli.service import notify, until_terminated
from skywire.errors import InvalidAddress
from skywire.net.address import HostPort
from skywire.net.background import Background
from skywire.net.listening import listening_places

if TYPE_CHECKING:  # loaded only by who starts a server
    from skywire.dmsg.discovery.http_client import HttpDiscovery
    from skywire.dmsg.relay import Relay
    from skywire.dmsg.relay.config import RelayConfig

AUTH_VARIABLE: Final = "DMSG_SERVER_AUTH"
"""The environment variable with the passphrase by which the discovery takes this server for an official one."""
ANNOUNCE_SECONDS: Final = 3.0
"""For the discovery to take this server before it is called ready without that."""
SPARE_FILES: Final = 1024
"""Open files for all but sessions: handshakes under way, HTTP clients, the discovery, what the system needs."""

_log: Final = logging.getLogger("skywire.cli.server")


def add_server_command(app: App) -> None:
    """Give ``app`` the commands server start and server config gen."""
    server = App(name="server", help="A dmsg server, which relays streams between clients.")
    config = App(name="config", help="Its configuration.")
    app.command(server)
    server.command(start, name="start")
    server.command(config)
    config.command(gen, name="gen")


def gen(
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("config.json"),
    testenv: Annotated[bool, Parameter(name=["--testenv", "-t"], negative="")] = False,
    replace: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Write a configuration with a new key, and print the public key.

    Parameters
    ----------
    output:
        The file to write, readable by you only.
    testenv:
        For a network inside this machine, whose discovery is at port 9090.
    replace:
        Replace the file if it exists. The old one is kept with .bak behind its name.
    """
    from skywire.dmsg.relay.config import generate, save

    config = generate(loopback=testenv)
    save(output, config, replace=replace)
    print(config.identity.public)
    more = "" if testenv else "; set its public_address to where clients reach this machine"
    print(f"the configuration is in {output}{more}", file=sys.stderr)


def start(
    config: Path,
    /,
    *,
    auth_file: Path | None = None,
    metrics: Annotated[str | None, Parameter(name=["--metrics", "-m"])] = None,
    as_json: Json = False,
) -> None:
    """Serve dmsg clients until Ctrl-C or SIGTERM.

    One line is written when they can come.

    Parameters
    ----------
    config:
        The configuration file; config gen makes one.
    auth_file:
        A file whose first line is the passphrase of the discovery for official servers; or set DMSG_SERVER_AUTH.
    metrics:
        Where to serve figures for Prometheus: host:port, [ipv6]:port, or :port for every address of this machine.
    """
    from skywire.dmsg.discovery.http_client import HttpDiscovery
    from skywire.dmsg.relay.config import load
    from skywire.dmsg.relay.config_file import ConfigError

    try:
        listen_metrics = () if metrics is None else listening_places(metrics)
    except InvalidAddress as error:
        raise UsageError(str(error)) from None
    passphrase = shared_passphrase(auth_file, AUTH_VARIABLE)
    settings = load(config)
    try:
        discovery = HttpDiscovery(settings.discovery)
    except ValueError as error:
        raise ConfigError(f"{config}: discovery: {error}") from None
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("skywire").setLevel(settings.level)
    for name, _ in settings.unknown:
        _log.warning("%s: the key %r means nothing here", config, name[:100])
    _allow_files(settings.max_sessions + SPARE_FILES)
    server = _Server(settings, discovery, passphrase, listen_metrics, as_json=as_json)
    runtime.run(until_terminated, server.serve)


@dataclass(frozen=True)
class _Server:
    config: RelayConfig
    discovery: HttpDiscovery
    passphrase: str = field(repr=False)
    listen_metrics: Sequence[HostPort]
    as_json: bool

    async def serve(self) -> None:
        """Serve until cancelled; then the entry is taken back."""
        from skywire.dmsg.relay import Relay

        config = self.config
        async with self.discovery as discovery, Background() as task_group:
            relay = Relay(
                config.identity,
                listen=listening_places(config.local_address),
                discovery=discovery,
                public_address=config.public_address,
                max_sessions=config.max_sessions,
                passphrase=self.passphrase,
                update_seconds=config.update_seconds,
            )
            try:
                await self._run(relay, task_group)
            finally:
                notify("STOPPING=1")

    async def _run(self, relay: Relay, task_group: TaskGroup) -> None:
        from skywire.dmsg.relay.health import health_app
        from skywire.http.server import HttpServer

        health = HttpServer(health_app(time.time_ns()), listen=listening_places(self.config.health_endpoint_address))
        await task_group.start(health.serve)
        metrics_places: Sequence[HostPort] = ()
        if self.listen_metrics:
            from skywire.dmsg.relay.metrics import RelayMetrics

            figures = RelayMetrics(relay.stats)
            server = HttpServer(figures.app, listen=self.listen_metrics)
            await task_group.start(server.serve)
            task_group.start_soon(figures.run)
            metrics_places = server.addresses
        await task_group.start(relay.serve)
        with move_on_after(ANNOUNCE_SECONDS) as waiting:
            await relay.announced()
        is_announced = not waiting.cancelled_caught
        self._show(relay, health.addresses, metrics_places, announced=is_announced)
        notify("READY=1")
        if not is_announced:
            print("the discovery has not taken this server yet, and clients cannot find it until then", file=sys.stderr)
            await relay.announced()
            print("the discovery has taken this server", file=sys.stderr)
        await sleep_forever()

    def _show(self, relay: Relay, health: Sequence[HostPort], metrics: Sequence[HostPort], *, announced: bool) -> None:
        addresses = [str(where) for where in relay.addresses]
        health_urls = [f"http://{where}/health" for where in health]
        metrics_urls = [f"http://{where}/metrics" for where in metrics]
        if self.as_json:
            facts = {
                "public_key": relay.public.hex(),
                "addresses": addresses,
                "announced": announced,
                "health": health_urls,
                "metrics": metrics_urls,
            }
            print(json.dumps(facts), flush=True)
        else:
            more = f", its figures at {' and '.join(metrics_urls)}" if metrics_urls else ""
            at, health_at = " and ".join(addresses), " and ".join(health_urls)
            print(f"the server {relay.public} is at {at}, its health at {health_at}{more}", flush=True)


def _allow_files(wanted: int) -> None:
    """Have as many open files as there can be sessions, as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY != soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        if allowed < wanted:
            _log.warning("max_sessions needs %d open files, and the system allows %d: see ulimit -Hn", wanted, allowed)
