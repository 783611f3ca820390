"""A client of a discovery that speaks HTTP."""

from __future__ import annotations

import math
from typing import Final, Self, final

import anyio
import httpx

from skywire.dmsg.discovery.client import DiscoveryClient
from skywire.dmsg.discovery.contract import DiscoveryBroken, DiscoveryUnreachable
from skywire.errors import NetworkError
from skywire.wire.discovery import Action, Route

TIMEOUT_SECONDS: Final = 10.0
"""For a request as a whole, from finding the host to the last byte of the answer."""
MAX_CONNECTIONS: Final = 8
"""Most connections at a time; more requests wait their turn."""
KEPT_SECONDS: Final = 20.0
"""For which an idle connection is kept; upstream's discovery ends it after 30."""

_PATHS: Final = {
    Action.GET_ENTRY: ("GET", "/dmsg-discovery/entry/"),
    Action.POST_ENTRY: ("POST", "/dmsg-discovery/entry/"),
    Action.DELETE_ENTRY: ("DELETE", "/dmsg-discovery/entry"),
    Action.AVAILABLE_SERVERS: ("GET", "/dmsg-discovery/available_servers"),
    Action.ALL_SERVERS: ("GET", "/dmsg-discovery/all_servers"),
}
_LOST: Final = "without sending"
"""What the library says when the connection was closed before the end of an answer, other than for what is no HTTP."""
_HEADERS: Final = {"accept": "application/json", "accept-encoding": "identity"}
"""Answers are not to be compressed: a little of that could be a lot of memory."""


@final
class HttpDiscovery(DiscoveryClient):
    """A discovery over HTTP, on asyncio and trio; an asynchronous context manager, or closed by :meth:`aclose`.

    Redirections are refusals, and proxies of the environment are not used: a visor is not a browser, and most that
    are named there cannot be reached from a service.

    Args:
        url: of the discovery, as far as what it has in common: ``http://host:9090``, or with another transport
            ``dmsg://<key>:80``. A user and password in it are sent, and never shown.
        timeout: seconds, see TIMEOUT_SECONDS.
        transport: carries the requests instead of TCP; closed together with this.

    Raises:
        ValueError: that is no URL, or it has a query, or the timeout is not above 0.
    """

    def __init__(
        self, url: str, *, timeout: float = TIMEOUT_SECONDS, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        if not 0 < timeout < math.inf:
            raise ValueError("the timeout of a discovery is above 0 seconds")
        base, auth = _parse(url)
        super().__init__(str(base).rstrip("/"))
        self._timeout = timeout
        self._client = httpx.AsyncClient(
            base_url=base,
            auth=auth,
            headers=_HEADERS,
            transport=transport,
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=KEPT_SECONDS),
            timeout=None,  # noqa: S113 - the whole of a request has one instead
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _ask(self, route: Route, body: bytes, limit: int) -> tuple[int, bytes]:
        method, path = _PATHS[route.action]
        request = self._client.build_request(method, path + route.key, content=body or None)
        try:
            with anyio.fail_after(self._timeout):
                response = await self._client.send(request, stream=True)
                try:
                    return response.status_code, await _read(response, limit)
                finally:
                    await response.aclose()
        except TimeoutError:
            raise DiscoveryUnreachable(
                f"the discovery {self._name} did not answer within {self._timeout:g} seconds"
            ) from None
        except httpx.RemoteProtocolError as error:
            if _LOST in str(error):
                raise self._unreachable(error) from error
            raise DiscoveryBroken(f"the discovery {self._name} does not speak HTTP: {error}") from error
        except (httpx.HTTPError, NetworkError, OSError) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> DiscoveryUnreachable:
        return DiscoveryUnreachable(f"cannot reach the discovery {self._name}: {str(error) or type(error).__name__}")


def _parse(text: str) -> tuple[httpx.URL, httpx.BasicAuth | None]:
    """The URL, and who is named in it: the library writes each URL into its log."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ValueError(f"not the URL of a discovery: {error}") from None
    if not url.scheme or not url.host or url.query or url.fragment:
        raise ValueError("the URL of a discovery is http://host:port, perhaps with a path")
    auth = httpx.BasicAuth(url.username, url.password) if url.userinfo else None
    return url.copy_with(userinfo=b""), auth


async def _read(response: httpx.Response, limit: int) -> bytes:
    """The body as it was sent, cut off somewhere beyond the limit."""
    body = bytearray()
    with anyio.CancelScope() as enough:
        async for piece in response.aiter_raw():
            if len(body) <= limit:
                body += piece
            else:
                # Leaving the loop would leave the library's generators to the garbage collector; this ends them.
                enough.cancel()
    return bytes(body)
