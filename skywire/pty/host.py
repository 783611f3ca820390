"""The end that runs programs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from logging import Logger
from typing import Final, final

from anyio import BrokenResourceError, CancelScope, ClosedResourceError
from anyio.abc import ByteStream

from skywire.errors import ProtocolError
from skywire.keys import PubKey
from skywire.netrpc import ConnectionEnded, serve_calls
from skywire.pty.copying import Copying
from skywire.pty.opening import OPENING_SECONDS, hear, refuse
from skywire.pty.service import pty_service
from skywire.pty.sessions import Sessions
from skywire.wire.pty.opening import ACCEPTED, FILES, PTY, REJECTED, Request
from skywire.wire.pty.shell import MAX_STDIN

MAX_MESSAGE: Final = MAX_STDIN + 65536
"""Bytes of the largest value that a client may send."""


@final
class PtyHost:
    """Serves clients; who may connect has been decided before.

    Args:
        sessions: that clients begin, and attach to.
        log: for what an operator wants to know of them.
        copying: of files; None for what is usual.
        opening_seconds: for a client to say what it wants.
    """

    def __init__(
        self,
        sessions: Sessions,
        log: Logger,
        copying: Copying | None = None,
        opening_seconds: float = OPENING_SECONDS,
    ) -> None:
        self._sessions = sessions
        self._log = log
        self._copying = copying or Copying(log)
        self._opening_seconds = opening_seconds
        self._open: dict[PubKey, set[CancelScope]] = {}

    @property
    def clients(self) -> int:
        """Keys that are connected."""
        return len(self._open)

    async def serve(self, stream: ByteStream, peer: PubKey, over: str) -> None:
        """Serve one connection to its end.

        Args:
            stream: of the client; not closed here.
            peer: its key, which is proven.
            over: the network, for the log.
        """

        async def give(request: Request) -> None:
            if request.path == PTY:
                await self.serve_pty(stream, peer, over)
            elif request.path == FILES:
                await self._copying.serve(stream, peer, request)
            else:
                self._log.warning("%s over %s asks for %r, which is not here", peer, over, request.path)
                await refuse(stream, REJECTED, f"this host does not have {request.path}")

        with self._counted(peer):
            await attend(stream, give, str(peer), self._log, self._opening_seconds)

    async def serve_pty(self, stream: ByteStream, peer: PubKey, over: str) -> None:
        """Serve one connection whose client has said that it wants a pty."""
        await stream.send(ACCEPTED)
        with pty_service(peer, self._sessions, over) as service:
            self._copying.add_to(service, peer)
            await serve_calls(stream, service, max_message=MAX_MESSAGE)

    def dismiss(self, peer: PubKey) -> None:
        """End all connections and sessions of a key."""
        self._log.warning("%s is dismissed: its connections and sessions are ended", peer)
        for scope in self._open.get(peer, ()):
            scope.cancel()
        self._sessions.end_all(peer)

    @contextmanager
    def _counted(self, peer: PubKey) -> Iterator[None]:
        scopes = self._open.setdefault(peer, set())
        with CancelScope() as scope:
            scopes.add(scope)
            try:
                yield
            finally:
                scopes.discard(scope)
                if not scopes:
                    self._open.pop(peer, None)


async def attend(
    stream: ByteStream,
    serve: Callable[[Request], Awaitable[None]],
    who: str,
    log: Logger,
    seconds: float = OPENING_SECONDS,
) -> None:
    """Hear what a client wants, and serve it; how its connection ends is nobody's error.

    Args:
        stream: of the client.
        serve: it to the end of its connection.
        who: it is, for the log.
        log: for what an operator wants to know.
        seconds: for it to say what it wants.
    """
    try:
        await serve(await hear(stream, seconds))
    except ProtocolError as error:
        log.warning("%s breaks the rules, its connection is ended: %s", who, error)
    except (ConnectionEnded, BrokenResourceError, ClosedResourceError) as error:
        log.debug("the connection of %s has ended: %s", who, error)
