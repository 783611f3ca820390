"""Websockets on connections of the HTTP server: uvicorn's protocol, which uses the library ``websockets``."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, final

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from skywire.http.transport import SOCKET_APP

_log: Final = logging.getLogger("skywire.http.protocol")
_silent: Final = logging.getLogger("skywire.http.protocol.silent")
"""For what would log all that is typed and read, and each mistake of a client."""
_silent.disabled = True


@final
class SocketProtocol(WebSocketsSansIOProtocol):
    """One websocket. Its application is in the extra information of the transport."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        app: ASGIApp = transport.get_extra_info(SOCKET_APP)

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            await app(scope, receive, send)
            if self.initial_response is not None:
                self.handshake_complete = True  # it was refused, which is no mistake of the application

        self.app = serve
        self.logger = _log
        self.conn.logger = _silent
        self.conn.debug = False
