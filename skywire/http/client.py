"""An HTTP client over our networks: httpx, for URLs such as ``dmsg://<public key>:<port>/path``.

It never sends to the open internet: ``http`` and ``https`` are refused, redirects to them included, and no proxy or
password file of the environment is looked at. Runs on asyncio and trio.

What fails is an error of httpx, whose ``__cause__`` is the error of the network:

* httpx.ConnectError, of :class:`skywire.net.errors.DialError`; httpx.ConnectTimeout, of its DialTimeout
* httpx.ReadError and httpx.WriteError, of :class:`skywire.net.errors.StreamBroken`
* httpx.RemoteProtocolError: the answer breaks the rules of HTTP, or its head those of :data:`MAX_HEAD`
* httpx.LocalProtocolError: the request breaks them, such as by a body of another length than its head announces
* httpx.UnsupportedProtocol: none of the networks is of that name
* httpx.InvalidURL: what stands for the key is none, or the like
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, final
from urllib.parse import uses_netloc, uses_relative

import h11
import httpcore
import httpx
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream, current_time, fail_after

from skywire.errors import InvalidAddress, InvalidKey
from skywire.keys import PubKey
from skywire.net.address import TCP, Address
from skywire.net.conn import Conn, Owner
from skywire.net.errors import DialError, DialTimeout
from skywire.net.network import DialOptions, Network
from skywire.version import __version__

DEFAULT_PORT: Final = 80
"""The port of a URL that has none."""
DEFAULT_TIMEOUT: Final = httpx.Timeout(60.0, connect=20.0)
"""Seconds to connect, to wait for the whole head of a response, interim ones before it included, and for each piece of
its body, or for a piece of a request to be taken."""
MAX_HEAD: Final = 262144
"""Bytes that a peer may send before the head of its response is complete; one read may go past it. The library below
takes 100 KiB for each head, and any number of interim ones."""
DEFAULT_REUSE: Final = 0.0
"""Seconds for which a connection is kept for another request. Not at all: a Go server on a dmsg stream closes it when
the second request comes. Between programs of ours 4 seconds are safe, less than a usual server keeps it."""
DEFAULT_CONNECTIONS: Final = 100
"""Connections of one client at a time; more requests wait."""


def http_client(
    networks: Network | Mapping[str, Network],
    owner: Owner,
    *,
    base_url: str = "",
    timeout: httpx.Timeout = DEFAULT_TIMEOUT,
    reuse_seconds: float = DEFAULT_REUSE,
    connections: int = DEFAULT_CONNECTIONS,
) -> httpx.AsyncClient:
    """A client whose requests go over ``networks``; to be closed, by ``async with``.

    A URL is ``<network>://<public key>[:<port>]/path``, and on key-encrypted TCP
    ``tcp://<public key>@<host>[:<port>]/path``. The Host field of a request is what a URL says of host and port.

    Args:
        networks: one of them, or several by the scheme of the URLs that go to each.
        owner: on whose behalf its connections are.
        base_url: what a URL that is only a path is of.
        timeout: see :data:`DEFAULT_TIMEOUT`.
        reuse_seconds: see :data:`DEFAULT_REUSE`; 0 to make a connection for each request, as the Go client does.
        connections: see :data:`DEFAULT_CONNECTIONS`.
    """
    return httpx.AsyncClient(
        transport=NetworkTransport(networks, owner, reuse_seconds=reuse_seconds, connections=connections),
        base_url=base_url,
        timeout=timeout,
        # No compressed responses: a small one could grow without end in memory.
        headers={"User-Agent": f"skywire/{__version__}", "Accept-Encoding": "identity"},
        # Without it, httpx would take the key of a tcp URL for a user's name and send it as such.
        auth=httpx.Auth(),
        trust_env=False,
    )


@final
class NetworkTransport(httpx.AsyncBaseTransport):
    """What :func:`http_client` gives httpx; for a client that is set up in another way.

    Args:
        networks: see :func:`http_client`, as all of these.
        owner: as above.
        reuse_seconds: as above.
        connections: as above.
    """

    def __init__(
        self,
        networks: Network | Mapping[str, Network],
        owner: Owner,
        *,
        reuse_seconds: float = DEFAULT_REUSE,
        connections: int = DEFAULT_CONNECTIONS,
    ) -> None:
        self._networks = networks if isinstance(networks, Mapping) else {networks.name: networks}
        # Of other schemes urllib, and so httpx, would not follow a relative redirect.
        for known in (uses_relative, uses_netloc):
            known += self._networks.keys() - known
        self._pool = httpcore.AsyncConnectionPool(
            network_backend=_Dialler(self._networks, owner),
            max_connections=connections,
            max_keepalive_connections=connections if reuse_seconds > 0 else 0,
            keepalive_expiry=reuse_seconds,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; see the module for what it raises."""
        address = self._address(request.url)
        # What the pool takes for a host tells its connections apart, and comes back to the dialler.
        url = httpcore.URL(
            scheme="http", host=f"{request.url.scheme} {address}", port=address.port, target=request.url.raw_path
        )
        with _httpx_errors(), _expecting_head():
            response = await self._pool.handle_async_request(
                httpcore.Request(
                    method=request.method,
                    url=url,
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx.Response(
            response.status, headers=response.headers, stream=_Body(response), extensions=response.extensions
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    def _address(self, url: httpx.URL) -> Address:
        if url.scheme not in self._networks:
            known = ", ".join(f"{name}://" for name in self._networks)
            raise httpx.UnsupportedProtocol(
                f"{url} is not of a network that is used here ({known}), and nothing is sent to another one"
            )
        network = self._networks[url.scheme].name
        key, host = (url.username, url.host) if network == TCP else (url.host, None)
        try:
            if url.password or (url.username and network != TCP):
                raise InvalidAddress("it names a user, and there are none")
            return Address(network, PubKey.from_hex(key), DEFAULT_PORT if url.port is None else url.port, host)
        except (InvalidAddress, InvalidKey) as error:
            raise httpx.InvalidURL(f"{url} cannot be reached: {error}") from error


@final
class _Dialler(httpcore.AsyncNetworkBackend):
    """Makes the connections of a pool, whose hosts are addresses."""

    def __init__(self, networks: Mapping[str, Network], owner: Owner) -> None:
        self._networks = networks
        self._owner = owner

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        scheme, _, address_text = host.partition(" ")
        address = Address.parse(address_text)
        options = DialOptions() if timeout is None else DialOptions(timeout=timeout)
        try:
            conn = await self._networks[scheme].dial(address, owner=self._owner, options=options)
        except DialTimeout as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except DialError as error:
            raise httpcore.ConnectError(str(error)) from error
        return _Stream(conn)


@final
class _Head:
    """What may still come before the head of a response is complete."""

    def __init__(self) -> None:
        self.is_complete = False
        self._size = 0
        self._deadline: float | None = None

    def seconds(self, timeout: float) -> float:
        """What is left of the time for all of it."""
        if self._deadline is None:
            self._deadline = current_time() + timeout
        return self._deadline - current_time()

    def take(self, size: int) -> None:
        if self._size > MAX_HEAD:
            raise httpcore.RemoteProtocolError(f"the peer sent more than {MAX_HEAD} bytes before the head was complete")
        self._size += size


_expected_head: Final[ContextVar[_Head | None]] = ContextVar("_expected_head", default=None)
"""Of the request that a task is sending: the pool tells a stream what it writes, but not what of."""


@contextmanager
def _expecting_head() -> Iterator[None]:
    head = _Head()
    token = _expected_head.set(head)
    try:
        yield
    finally:
        _expected_head.reset(token)
        head.is_complete = True


@final
class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, conn: Conn) -> None:
        self._conn = conn
        self._head: _Head | None = None
        """Of the response to what was written last."""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        head = None if self._head is None or self._head.is_complete else self._head
        try:
            with fail_after(timeout if head is None or timeout is None else head.seconds(timeout)):
                data = await self._conn.receive(max_bytes)
        except EndOfStream:
            return b""
        except TimeoutError as error:
            what = f"nothing for {timeout:g} s" if head is None else f"no whole head of an answer in {timeout:g} s"
            raise httpcore.ReadTimeout(f"{self._conn.remote} sent {what}") from error
        except (BrokenResourceError, ClosedResourceError) as error:
            raise httpcore.ReadError(_reason(error, self._conn)) from error
        if head is not None:
            head.take(len(data))
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:
            return
        self._head = _expected_head.get()
        try:
            with fail_after(timeout):
                await self._conn.send(buffer)
        except TimeoutError as error:
            raise httpcore.WriteTimeout(f"{self._conn.remote} took nothing for {timeout:g} s") from error
        except (BrokenResourceError, ClosedResourceError) as error:
            raise httpcore.WriteError(_reason(error, self._conn)) from error

    async def aclose(self) -> None:
        await self._conn.aclose()


@final
class _Body(httpx.AsyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _httpx_errors():
            async for piece in self._response.aiter_stream():
                yield piece

    async def aclose(self) -> None:
        await self._response.aclose()


_HTTPX_ERRORS: Final[Mapping[type[Exception], type[httpx.TransportError]]] = {
    httpcore.ConnectTimeout: httpx.ConnectTimeout,
    httpcore.ReadTimeout: httpx.ReadTimeout,
    httpcore.WriteTimeout: httpx.WriteTimeout,
    httpcore.PoolTimeout: httpx.PoolTimeout,
    httpcore.ConnectError: httpx.ConnectError,
    httpcore.ReadError: httpx.ReadError,
    httpcore.WriteError: httpx.WriteError,
    httpcore.LocalProtocolError: httpx.LocalProtocolError,
    httpcore.RemoteProtocolError: httpx.RemoteProtocolError,
    # What the pool lets through while it sends a body.
    h11.LocalProtocolError: httpx.LocalProtocolError,
}


@contextmanager
def _httpx_errors() -> Iterator[None]:
    """Errors of the library below as those of httpx, with the network's own as their cause."""
    try:
        yield
    except tuple(_HTTPX_ERRORS) as error:
        # The pool raises an error again without its cause, but cannot take the context away.
        raise _HTTPX_ERRORS[type(error)](str(error)) from error.__context__ or error


def _reason(error: Exception, conn: Conn) -> str:
    return str(error) or f"the connection to {conn.remote} is closed"
