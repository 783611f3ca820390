"""The log server: what this node is and does, for those whom its owner lets look, and a page for this machine.

Source: protocol-skywire.md section 5.8, upstream-2026.md section 4.8.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from skywire import HostPort, PubKey
from skywire.app import DMSG, VISOR_API, App, AppHost, Command, Dependencies, NoOptions, PortSpec
from skywire.app.options import option

if TYPE_CHECKING:
    from anyio.abc import TaskStatus

HTTP: Final = PortSpec("http", overlay=80, tcp=8083)
"""On overlays the port of the Go network. The Go program has none on key-encrypted TCP; 8083 is the first behind those
that it uses for other things."""
PAGE: Final = Command(
    "page", "The address of its page, to open in a browser on this machine; good once.", NoOptions, str
)
_ANY_LOCAL_PORT: Final = HostPort("127.0.0.1", 0)


@final
@dataclass(frozen=True)
class LogServerOptions:
    """See the help of each."""

    allow: tuple[PubKey, ...] = option(
        (), help="keys that may read logs, figures and node facts, beside this node's own; none: nobody else"
    )
    local: HostPort | None = option(_ANY_LOCAL_PORT, help="where its page is, on loopback; port 0: any; none: no page")
    folder: Path | None = option(None, help="a folder whose files everybody may read; none: no files")


async def _run(host: AppHost, options: LogServerOptions, *, task_status: TaskStatus[None]) -> None:
    from skywire.apps.log_server.serving import serve

    await serve(host, options, task_status=task_status)


LOG_SERVER: Final = App(
    name="log-server",
    summary="Shows what this node is and does: logs, apps and figures, over the network and as a local page.",
    options=LogServerOptions,
    run=_run,
    ports=(HTTP,),
    commands=(PAGE,),
    dependencies=Dependencies(wants=(VISOR_API, DMSG)),
)
