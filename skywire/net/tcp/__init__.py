"""TCP streams, as fast as the running event loop gives them.

On asyncio they are protocols of the loop itself, since every byte goes through here: a round trip takes a third less
time than through a portable stream. On other loops they are anyio's.
"""

from __future__ import annotations

from skywire.net.tcp.contract import Handler, Sink, SocketAddress, TcpListener, TcpStream
from skywire.net.waiter import runs_on_asyncio

__all__ = ["Handler", "Sink", "SocketAddress", "TcpListener", "TcpStream", "connect", "listen"]


async def connect(host: str, port: int) -> TcpStream:
    """Make a TCP connection; of a name's several addresses the one that answers first is taken.

    Raises:
        OSError: nobody answers, or the name is not known.
    """
    if runs_on_asyncio():
        from skywire.net.tcp import on_asyncio

        return await on_asyncio.connect(host, port)
    from skywire.net.tcp import on_anyio

    return await on_anyio.connect(host, port)


async def listen(host: str, port: int) -> TcpListener:
    """Listen on every address that ``host`` stands for.

    Args:
        host: an IP address or host name.
        port: 0 lets the system choose.

    Raises:
        OSError: an address cannot be used.
    """
    if runs_on_asyncio():
        from skywire.net.tcp import on_asyncio

        return await on_asyncio.listen(host, port)
    from skywire.net.tcp import on_anyio

    return await on_anyio.listen(host, port)
