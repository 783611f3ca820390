"""Control from afar: the same calls as on this machine, over dmsg, for keys that have a role."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from skywire.control.client import Client, connected
from skywire.keys import PubKey
from skywire.net.address import Address
from skywire.net.conn import Owner
from skywire.net.network import DialOptions, Network

CONTROL_PORT: Final = 3435
"""Where a node answers; 65 is upstream's own control, with another protocol."""
OWNER: Final = Owner("control")
"""On whose behalf it is dialled."""


@asynccontextmanager
async def dial(network: Network, key: PubKey, *, options: DialOptions = DialOptions()) -> AsyncIterator[Client]:
    """Control the node of that key while the block runs.

    Args:
        network: over which; its key is the one that the node asks about.
        key: of the node.
        options: how to dial.

    Raises:
        PeerRefused: the node does not let our key control it, or does not run.
        DialError: it cannot be reached.
    """
    conn = await network.dial(Address(network.name, key, CONTROL_PORT), owner=OWNER, options=options)
    async with connected(conn) as client:
        yield client
