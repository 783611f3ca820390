"""The command ``http``: serve a folder to peers."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, final

from cyclopts import Parameter

from skywire.cli.dmsg.connection import DEFAULTS, Options
from skywire.cli.dmsg.serving import (
    MAX_CONNECTIONS,
    SERVE_DEFAULTS,
    Ports,
    ServeOptions,
    check_port,
    serve_until_stopped,
)
from skywire.cli.program import Json, UsageError
from skywire.dmsg.network import DMSG
from skywire.http.client import DEFAULT_PORT
from skywire.http.files import Folder
from skywire.http.limits import HttpLimits
from skywire.http.server import http_handler
from skywire.keys import PubKey
from skywire.net.address import Address
from skywire.net.conn import Owner

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

OWNER: Final = Owner("http")
SPARE_CONNECTIONS: Final = 32
MAX_LOGGED: Final = 200
"""Most characters of a path that are logged."""

_log: Final = logging.getLogger("skywire.cli.dmsg.http")


def http(
    folder: Path = Path(),
    /,
    *,
    port: Annotated[int, Parameter(name=["--port", "-p"])] = DEFAULT_PORT,
    serve: ServeOptions = SERVE_DEFAULTS,
    as_json: Json = False,
    options: Options = DEFAULTS,
) -> None:
    """Serve a folder to peers by HTTP, for reading.

    Parameters
    ----------
    folder:
        The folder; the current one unless given.
    port:
        The dmsg port.
    """
    check_port(port)
    peers = serve.peers()
    try:
        app = Folder(folder)
    except OSError as error:
        raise UsageError(str(error)) from None

    # Below what the port takes: the connections that made room are on their way out when others come.
    limits = HttpLimits(connections=MAX_CONNECTIONS - SPARE_CONNECTIONS)
    ports = Ports({port: http_handler(_RequestLog(app), limits=limits)}, peers=peers, owner=OWNER)

    def ready(key: PubKey) -> None:
        url = f"{Address(DMSG, key, port)}/"
        print(json.dumps({"url": url, "folder": str(folder)}) if as_json else url, flush=True)

    serve_until_stopped(options, serve, ports, ready)


@final
@dataclass(frozen=True)
class _RequestLog:
    """Logs each request that was answered."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3)."""
        status, size = 0, 0

        async def send_and_count(message: Message) -> None:
            nonlocal status, size
            await send(message)
            status = message.get("status", status)
            size += len(message.get("body", b""))

        try:
            await self.app(scope, receive, send_and_count)
        finally:
            path = scope["raw_path"].decode("latin-1")[:MAX_LOGGED]
            _log.info("%s %s %r %d, %d bytes", scope["client"][0], scope["method"], path, status, size)
