"""A look inside the running process, for who works on it: tasks, memory, ports. Hidden, and closed by default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from skywire import PubKey
from skywire.app import VISOR_API, App, AppHost, Dependencies, PortSpec, RunMode
from skywire.app.options import option

if TYPE_CHECKING:
    from anyio.abc import TaskStatus

HTTP: Final = PortSpec("http", overlay=6060)


@final
@dataclass(frozen=True)
class DebugOptions:
    """See the help of each."""

    allow: tuple[PubKey, ...] = option((), help="keys that may look, beside this node's own; none: nobody else")


async def _run(host: AppHost, options: DebugOptions, *, task_status: TaskStatus[None]) -> None:
    from skywire.apps.debug.serving import serve

    await serve(host, options, task_status=task_status)


DEBUG: Final = App(
    name="debug",
    summary="Shows the tasks, the memory and the ports of this process to allowed keys.",
    options=DebugOptions,
    run=_run,
    modes=frozenset({RunMode.VISOR_APP, RunMode.DMSG_STANDALONE}),
    ports=(HTTP,),
    dependencies=Dependencies(wants=(VISOR_API,)),
)
