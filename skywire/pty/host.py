"""The end that runs programs."""

from __future__ import annotations

import logging
from typing import Final, final

from anyio import BrokenResourceError, ClosedResourceError
from anyio.abc import ByteStream

from skywire.errors import ProtocolError
from skywire.keys import PubKey
from skywire.netrpc import ConnectionEnded, serve_calls
from skywire.pty.opening import hear
from skywire.pty.service import pty_service
from skywire.pty.sessions import Sessions
from skywire.wire.pty.opening import ACCEPTED, PTY, REJECTED
from skywire.wire.pty.shell import MAX_STDIN

MAX_MESSAGE: Final = MAX_STDIN + 65536
"""Bytes of the largest value that a client may send."""

_log: Final = logging.getLogger("skywire.pty")


@final
class PtyHost:
    """Serves connections of clients; who may connect has been decided before.

    Args:
        sessions: that it begins, and that clients attach to.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def serve(self, stream: ByteStream, peer: PubKey) -> None:
        """Serve one connection to its end.

        Args:
            stream: of the client; not closed here.
            peer: its key, which is proven.
        """
        try:
            request = await hear(stream)
            if request.path != PTY:
                await stream.send(REJECTED)
                return
            await stream.send(ACCEPTED)
            with pty_service(peer, self._sessions) as service:
                await serve_calls(stream, service, max_message=MAX_MESSAGE)
        except ProtocolError as error:
            _log.warning("%s talks nonsense: %s", peer, error)
        except (ConnectionEnded, BrokenResourceError, ClosedResourceError) as error:
            _log.debug("the connection of %s ended: %s", peer, error)
