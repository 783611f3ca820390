"""The command ``skywire app attach``: be the process that an attached app instance runs in."""

from __future__ import annotations

from skywire import runtime
from skywire.app.api import Attachment
from skywire.cli.control.nodes import Node, run_on
from skywire.cli.control.reach import LOCAL, Reach
from skywire.cli.program import UsageError
from skywire.cli.service import notify, until_terminated
from skywire.isolation.inside import attach as run_attached


def attach(name: str, /, *, reach: Reach = LOCAL) -> None:
    """Run an app instance here, for the node that it belongs to, until that, the instance or Ctrl-C ends it."""
    if reach.via is not None:
        raise UsageError("a process attaches to a node of this machine, not to one elsewhere")

    async def work(node: Node) -> Attachment:
        return await node.ask(node.apps.attachment(name))

    where = run_on(reach, work, instance=name)

    async def serve() -> None:
        notify("READY=1")
        await run_attached(where.socket, where.token_file)

    runtime.run(until_terminated, serve)
