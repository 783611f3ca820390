"""Serving a network for as long as a block runs, and one admitted connection to its end."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from anyio import BrokenResourceError, ClosedResourceError, EndOfStream, get_cancelled_exc_class
from anyio.lowlevel import checkpoint_if_cancelled

from skywire.net.background import Background
from skywire.net.conn import Conn
from skywire.net.network import Dispatcher, Network
from skywire.net.waiter import cancelled_by_asyncio

_log: Final = logging.getLogger("skywire.net")


@asynccontextmanager
async def serving(network: Network, dispatcher: Dispatcher) -> AsyncIterator[None]:
    """Serve while the block runs, which begins when peers can connect.

    Raises: see :meth:`skywire.net.network.Network.serve`.
    """
    async with Background() as task_group:
        await task_group.start(network.serve, dispatcher)
        yield


async def serve_conn(dispatcher: Dispatcher, conn: Conn) -> None:
    """Let ``dispatcher`` serve ``conn`` to its end, then close it; a handler's failure stays with its connection."""
    try:
        await dispatcher.handle(conn)
    except get_cancelled_exc_class():
        await checkpoint_if_cancelled()
        if cancelled_by_asyncio():
            raise
        # It strayed out of something else that was cancelled; passed on it would end all that this task group does.
        _log.exception("the handler of %r was ended by a cancellation that was not for it", conn)
    except Exception as error:
        if _is_an_end(error):
            _log.debug("%r ended with %r", conn, error)
        else:
            _log.exception("the handler of %r failed", conn)
    finally:
        await conn.aclose()


def _is_an_end(error: Exception) -> bool:
    """Whether this is no more than a connection that ended, which no handler has to care for."""
    if isinstance(error, ExceptionGroup):
        return all(_is_an_end(each) for each in error.exceptions)
    return isinstance(error, EndOfStream | BrokenResourceError | ClosedResourceError)
