"""How a network hands one admitted connection to its dispatcher."""

from __future__ import annotations

import logging
from typing import Final

from anyio import BrokenResourceError, ClosedResourceError, EndOfStream

from skywire.net.conn import Conn
from skywire.net.network import Dispatcher

_log: Final = logging.getLogger("skywire.net")


async def serve_conn(dispatcher: Dispatcher, conn: Conn) -> None:
    """Let ``dispatcher`` serve ``conn`` to its end, then close it; a handler's failure stays with its connection."""
    try:
        await dispatcher.handle(conn)
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
