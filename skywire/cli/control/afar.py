"""Nodes elsewhere, over dmsg."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from skywire.cli.control.reach import Reach
from skywire.cli.dmsg.connection import KEY_VARIABLE, Options, peer_address
from skywire.cli.program import NotReached, Refused, UsageError
from skywire.control.client import Client
from skywire.control.over_dmsg import CONTROL_PORT, dial
from skywire.dmsg.discovery.contract import DiscoveryUnreachable
from skywire.net.errors import PeerRefused


@asynccontextmanager
async def dialled(reach: Reach) -> AsyncIterator[tuple[Client, str, str]]:
    """The node of ``--via``, with a name for it, and with what its operator does so that we may do more.

    Raises:
        UsageError: the options do not say where it is, how to get there, or who we are.
        Refused: it does not let our key control it.
        NotReached: the discovery does not answer.
        DialError: it cannot be reached.
    """
    address = peer_address(reach.via or "", default_port=CONTROL_PORT)
    if address.port != CONTROL_PORT:
        raise UsageError(f"a node is controlled on port {CONTROL_PORT}, and no other: --via dmsg://<public key>")
    if reach.key_file is None and KEY_VARIABLE not in os.environ:
        raise UsageError(f"a node elsewhere asks who we are: give our secret key with --key-file, or in {KEY_VARIABLE}")
    connection = Options(
        disc=reach.disc,
        server=reach.server,
        key_file=reach.key_file,
        passphrase_file=reach.passphrase_file,
        timeout=reach.timeout,
    ).connection()
    grant = f"; its operator may let you: skywire cli visor grant {connection.identity.public}"
    async with connection.network(sessions=0) as network, AsyncExitStack() as stack:
        try:
            client = await stack.enter_async_context(dial(network, address.pk, options=connection.dial_options))
        except PeerRefused as error:
            raise Refused(f"{error}{grant} control") from error
        except DiscoveryUnreachable as error:
            raise NotReached(str(error)) from error
        yield client, f"dmsg://{str(address.pk)[:10]}", grant
