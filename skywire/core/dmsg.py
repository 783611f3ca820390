"""The dmsg network of a process with apps, and whether it works."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from anyio import sleep

from skywire.app.facility import DISCOVERY, DMSG
from skywire.core.core import Core
from skywire.dmsg.discovery.contract import Discovery
from skywire.dmsg.network import DmsgNetwork
from skywire.net.background import Background

LOOK_SECONDS: Final = 0.5
"""Between two looks at whether the network works."""
CONNECTING: Final = "it is being connected"


@asynccontextmanager
async def on_dmsg(core: Core, dmsg: DmsgNetwork, discovery: Discovery) -> AsyncIterator[None]:
    """Serve what is registered on dmsg while the block runs, and tell all the while whether that works.

    Args:
        core: of the process.
        dmsg: its client, which has been entered.
        discovery: where that one looks others up.
    """
    core.facilities.provide(DMSG, dmsg, offline=CONNECTING)
    core.facilities.provide(DISCOVERY, discovery)
    async with Background() as tasks:
        tasks.start_soon(dmsg.serve, core.registry)
        tasks.start_soon(_watch, core, dmsg)
        yield


async def _watch(core: Core, dmsg: DmsgNetwork) -> None:
    known: str | None = CONNECTING
    while True:
        await sleep(LOOK_SECONDS)
        trouble = dmsg.trouble
        if trouble != known:
            known = trouble
            core.facilities.report(DMSG, trouble)
            core.events.publish("facility", DMSG.name, offline=trouble)
