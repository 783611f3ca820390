"""Nodes elsewhere, over dmsg."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from skywire.cli.control.nodes import visor_here
from skywire.cli.control.reach import Reach
from skywire.cli.dmsg.connection import KEY_VARIABLE, Options, peer_address
from skywire.cli.program import NotReached, Refused, UsageError
from skywire.control import passage
from skywire.control.client import Client
from skywire.control.over_dmsg import CONTROL_PORT, dial
from skywire.dmsg.discovery.contract import DiscoveryUnreachable
from skywire.keys import PubKey
from skywire.net.address import Address
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
        opened = _through_visor(reach, address)
    else:
        opened = _with_key(reach, address)
    async with opened as found:
        yield found


@asynccontextmanager
async def _through_visor(reach: Reach, address: Address) -> AsyncIterator[tuple[Client, str, str]]:
    """Through a visor of this machine, with its key."""
    try:
        visor = await visor_here(reach)
    except NotReached as error:
        raise NotReached(f"{error}. Or go there with a key of your own: --key-file, or {KEY_VARIABLE}") from None
    path = visor.found.path.with_suffix(passage.SUFFIX)
    hint = _hint(visor.hello.public)
    async with AsyncExitStack() as stack:
        try:
            client = await stack.enter_async_context(passage.through(path, address.network, address.pk))
        except PeerRefused as error:
            raise Refused(f"{error}{hint} control") from error
        yield client, _name(address), hint


@asynccontextmanager
async def _with_key(reach: Reach, address: Address) -> AsyncIterator[tuple[Client, str, str]]:
    """By ourselves, with a key of our own."""
    connection = Options(
        disc=reach.disc,
        server=reach.server,
        key_file=reach.key_file,
        passphrase_file=reach.passphrase_file,
        timeout=reach.timeout,
    ).connection()
    hint = _hint(connection.identity.public)
    async with connection.network(sessions=0) as network, AsyncExitStack() as stack:
        try:
            client = await stack.enter_async_context(dial(network, address.pk, options=connection.dial_options))
        except PeerRefused as error:
            raise Refused(f"{error}{hint} control") from error
        except DiscoveryUnreachable as error:
            raise NotReached(str(error)) from error
        yield client, _name(address), hint


def _name(address: Address) -> str:
    return f"{address.network}://{str(address.pk)[:10]}"


def _hint(ours: PubKey) -> str:
    return f"; its operator may let you: skywire cli visor grant {ours}"
