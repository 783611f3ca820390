"""Listening on a local TCP address, with our own error."""

from __future__ import annotations

from skywire.net.address import HostPort
from skywire.net.errors import ListenError
from skywire.net.tcp import TcpListener, listen


async def listen_on(where: HostPort) -> TcpListener:
    """Listen on every address that the host stands for.

    Raises:
        ListenError: one cannot be used.
    """
    try:
        return await listen(where.host, where.port)
    except OSError as error:
        raise ListenError(f"cannot listen on {where}: {error.strerror or error}") from error
