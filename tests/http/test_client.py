"""The client over our networks, on every event loop; the server, which needs asyncio, has a thread of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest
from anyio import CancelScope, create_task_group, create_tcp_listener, fail_after, sleep, sleep_forever
from anyio.abc import SocketAttribute, SocketStream, TaskStatus
from anyio.from_thread import start_blocking_portal
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import Receive, Scope, Send

from skywire import (
    EVERYONE,
    Conn,
    DialTimeout,
    MemoryHub,
    MemoryNetwork,
    Network,
    PeerRefused,
    PkTcpNetwork,
    SecKey,
    SingleHandler,
    StreamBroken,
    Unreachable,
    __version__,
)
from skywire.http.client import http_client
from skywire.http.server import http_handler
from skywire.net.handshake import respond
from tests.http.apps import PIECE, big, by_path, count, echo
from tests.http.serving import LOOPBACK, PATIENCE, read_until
from tests.loops import every_loop as anyio_backend  # noqa: F401 - a fixture
from tests.net.meetings import CLIENT, ME, SERVER, STRANGER

pytestmark = pytest.mark.anyio

PATIENT = httpx.Timeout(PATIENCE)

unexhausted = pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
"""On trio, httpx leaves a body that nobody reads to its end to the garbage collector."""


@dataclass
class Site:
    """Answers, and counts the connections it was asked on."""

    base_url: str = ""
    ports: set[int] = field(default_factory=set)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.ports.add(scope["client"][1])
        app = by_path({"echo": echo, "count": count, "big": self.big, "fields": self.fields, "moved": self.moved})
        await app(scope, receive, send)

    async def big(self, scope: Scope, receive: Receive, send: Send) -> None:
        await big({**scope, "path": scope["path"].removeprefix("/big")}, receive, send)

    async def fields(self, scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse(dict(Request(scope).headers))(scope, receive, send)

    async def moved(self, scope: Scope, receive: Receive, send: Send) -> None:
        await RedirectResponse(scope["query_string"].decode())(scope, receive, send)


@pytest.fixture(scope="module")
def running() -> Iterator[Site]:
    site = Site()
    network = PkTcpNetwork(SERVER, listen=[LOOPBACK])
    with start_blocking_portal() as portal:

        async def serve(*, task_status: TaskStatus[CancelScope]) -> None:
            with CancelScope() as scope:
                async with create_task_group() as task_group:
                    await task_group.start(network.serve, SingleHandler(http_handler(site), peers={CLIENT.public}))
                    task_status.started(scope)

        done, scope = portal.start_task(serve)
        site.base_url = str(network.addresses[0])
        yield site
        portal.call(scope.cancel)
        done.result()


@pytest.fixture
def site(running: Site) -> Site:
    running.ports.clear()
    return running


@pytest.fixture
async def client(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with http_client(PkTcpNetwork(CLIENT), ME, base_url=site.base_url) as client:
        yield client


async def test_get(client: httpx.AsyncClient) -> None:
    response = await client.get("/a/b?c=d")
    assert (response.status_code, response.text, response.http_version) == (200, "hello /a/b", "HTTP/1.1")


async def test_post(client: httpx.AsyncClient) -> None:
    assert (await client.post("/echo", content=PIECE * 20)).content == PIECE * 20


async def test_streams(client: httpx.AsyncClient) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield PIECE

    assert (await client.post("/count", content=body())).text.startswith(f"{100 * len(PIECE)} ")
    size = 0
    async with client.stream("GET", "/big/100") as response:
        async for piece in response.aiter_raw():
            assert len(piece) <= 2**17
            size += len(piece)
    assert size == 100 * len(PIECE)


async def test_fields(client: httpx.AsyncClient, site: Site) -> None:
    fields = (await client.get("/fields")).json()
    assert fields["host"] == site.base_url.rpartition("@")[2]
    assert fields["user-agent"] == f"skywire/{__version__}"
    assert fields["accept-encoding"] == "identity"
    assert "authorization" not in fields


async def test_a_connection_for_each_request(client: httpx.AsyncClient, site: Site) -> None:
    for _ in range(3):
        await client.get("/")
    assert len(site.ports) == 3


async def test_connections_may_be_used_again(site: Site) -> None:
    async with http_client(PkTcpNetwork(CLIENT), ME, base_url=site.base_url, reuse_seconds=4) as client:
        for _ in range(3):
            await client.get("/")
    assert len(site.ports) == 1


async def test_many_requests_at_a_time(site: Site) -> None:
    async with (
        http_client(PkTcpNetwork(CLIENT), ME, base_url=site.base_url, reuse_seconds=4, connections=5) as client,
        create_task_group() as task_group,
    ):

        async def ask(number: int) -> None:
            assert (await client.get(f"/{number}")).text == f"hello /{number}"

        for number in range(50):
            task_group.start_soon(ask, number)
    assert 1 <= len(site.ports) <= 5


@unexhausted
async def test_an_answer_that_is_not_read_to_its_end(client: httpx.AsyncClient) -> None:
    async with client.stream("GET", "/big/1000") as response:
        assert response.status_code == 200
    async with client.stream("GET", "/big/1000") as response:
        assert await anext(response.aiter_raw())
    assert (await client.get("/")).status_code == 200


@pytest.mark.parametrize("url", ["http://example.com/", "https://example.com/", "ftp://example.com/", "/relative", ""])
async def test_nothing_is_sent_to_the_open_internet(url: str) -> None:
    async with http_client(PkTcpNetwork(CLIENT), ME) as client:
        with pytest.raises(httpx.UnsupportedProtocol, match="nothing is sent to another one"):
            await client.get(url)


async def test_redirects(client: httpx.AsyncClient, site: Site) -> None:
    for to in ("there", "./there", "/there", f"{site.base_url}/there"):
        response = await client.get(f"/moved?{to}", follow_redirects=True)
        assert (response.text, str(response.url)) == ("hello /there", f"{site.base_url}/there")
    with pytest.raises(httpx.UnsupportedProtocol):
        await client.get("/moved?http://example.com/", follow_redirects=True)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("tcp://127.0.0.1:80/", "a public key"),
        ("tcp://00@127.0.0.1:80/", "a public key"),
        (f"tcp://{SERVER.public}:password@127.0.0.1:80/", "it names a user"),
        (f"tcp://{SERVER.public}@127.0.0.1:0/", "a port is"),
        ("memory://127.0.0.1/", "a public key"),
        (f"memory://user@{SERVER.public}/", "it names a user"),
    ],
)
async def test_addresses_that_are_none(url: str, reason: str) -> None:
    networks: dict[str, Network] = {"tcp": PkTcpNetwork(CLIENT), "memory": MemoryNetwork(CLIENT, MemoryHub())}
    async with http_client(networks, ME) as client:
        with pytest.raises(httpx.InvalidURL, match=f"cannot be reached: .*{reason}"):
            await client.get(url)


@asynccontextmanager
async def by_hand(handler: Callable[[Conn], Awaitable[None]], identity: SecKey = SERVER) -> AsyncIterator[MemoryHub]:
    """A server whose answers are written out."""
    hub = MemoryHub()
    async with create_task_group() as task_group:
        await task_group.start(MemoryNetwork(identity, hub).serve, SingleHandler(handler, peers=EVERYONE))
        yield hub
        task_group.cancel_scope.cancel()


@asynccontextmanager
async def memory_client(
    handler: Callable[[Conn], Awaitable[None]], timeout: httpx.Timeout = PATIENT
) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        by_hand(handler) as hub,
        http_client(MemoryNetwork(CLIENT, hub), ME, base_url=f"memory://{SERVER.public}", timeout=timeout) as client,
    ):
        yield client


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_what_is_written() -> None:
    """To the last byte, for a URL without a port."""
    requests: list[bytes] = []

    async def handler(conn: Conn) -> None:
        requests.append(await read_until(conn, b"\r\n\r\n"))
        await conn.send(OK)

    async with memory_client(handler) as client:
        assert (await client.get("/path", headers={"Accept": "text/plain"})).text == "ok"
    (request,) = requests
    assert sorted(request.split(b"\r\n")) == sorted(
        [
            b"GET /path HTTP/1.1",
            b"Host: %s" % str(SERVER.public).encode(),
            b"User-Agent: skywire/%s" % __version__.encode(),
            b"Accept: text/plain",
            b"Accept-Encoding: identity",
            b"Connection: keep-alive",
            b"",
            b"",
        ]
    )


@pytest.mark.parametrize(("port", "number"), [("", 80), (":80", 80), (":8080", 8080)])
async def test_ports(port: str, number: int) -> None:
    ports: list[int] = []

    async def handler(conn: Conn) -> None:
        ports.append(conn.local.port)
        assert f"Host: {SERVER.public}{port}\r\n".encode() in await read_until(conn, b"\r\n\r\n")
        await conn.send(OK)

    async with memory_client(handler) as client:
        assert (await client.get(f"memory://{SERVER.public}{port}/")).text == "ok"
    assert ports == [number]


async def test_a_connection_is_of_one_peer_and_one_network() -> None:
    """Also where host and port are the same."""

    async def say_who(conn: Conn) -> None:
        while True:
            await read_until(conn, b"\r\n\r\n")
            who = f"{conn.local.pk} {conn.remote.pk}".encode()
            await conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(who), who))

    async with by_hand(say_who) as hub, create_task_group() as task_group:
        other = MemoryNetwork(STRANGER, hub)
        await task_group.start(other.serve, SingleHandler(say_who, peers=EVERYONE))
        networks: dict[str, Network] = {"memory": MemoryNetwork(CLIENT, hub), "other": other}
        async with http_client(networks, ME) as client:
            for _ in range(2):
                for name, me in (("memory", CLIENT), ("other", STRANGER)):
                    for peer in (SERVER, STRANGER):
                        said = (await client.get(f"{name}://{peer.public}/")).text
                        assert said == f"{peer.public} {me.public}"
        task_group.cancel_scope.cancel()


async def end_at_once(conn: Conn) -> None:
    await read_until(conn, b"\r\n\r\n")


async def break_off(conn: Conn) -> None:
    await read_until(conn, b"\r\n\r\n")
    await conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")


async def talk_nonsense(conn: Conn) -> None:
    await read_until(conn, b"\r\n\r\n")
    await conn.send(b"nonsense\r\n\r\n")


async def never_end_the_head(conn: Conn) -> None:
    await read_until(conn, b"\r\n\r\n")
    await conn.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await conn.send(b"X: " + b"x" * 1000 + b"\r\n")


@pytest.mark.parametrize("handler", [end_at_once, break_off, talk_nonsense, never_end_the_head])
async def test_servers_that_break_the_rules(handler: Callable[[Conn], Awaitable[None]]) -> None:
    async with memory_client(handler) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/")


async def test_a_server_that_says_nothing() -> None:
    async def handler(conn: Conn) -> None:
        await sleep_forever()

    async with memory_client(handler, httpx.Timeout(PATIENCE, read=0.05)) as client:
        with pytest.raises(httpx.ReadTimeout, match=r"sent no whole head of an answer in 0\.05 s"):
            await client.get("/")


INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize("piece", [INTERIM, OK[:1]], ids=["interim answers", "one byte after another"])
async def test_a_server_that_is_long_about_its_head(piece: bytes) -> None:
    async def handler(conn: Conn) -> None:
        await conn.send(b"HTTP/1.1 103 Early Hints\r\nX: ")
        while True:
            await conn.send(b"x" if piece != INTERIM else b"\r\n\r\n" + INTERIM[:-4])
            await sleep(0.01)

    async with memory_client(handler, httpx.Timeout(PATIENCE, read=0.1)) as client:
        with fail_after(PATIENCE), pytest.raises(httpx.ReadTimeout, match=r"sent no whole head of an answer in 0\.1 s"):
            await client.get("/")


async def test_a_server_that_sends_interim_answers_for_ever() -> None:
    async def handler(conn: Conn) -> None:
        while True:
            await conn.send(INTERIM * 100)

    async with memory_client(handler, httpx.Timeout(None)) as client:
        with fail_after(PATIENCE), pytest.raises(httpx.RemoteProtocolError, match="more than 262144 bytes before"):
            await client.get("/")


async def test_interim_answers() -> None:
    async def handler(conn: Conn) -> None:
        await read_until(conn, b"\r\n\r\n")
        await conn.send(INTERIM * 100 + OK)

    async with memory_client(handler) as client:
        assert (await client.get("/")).text == "ok"


async def test_a_body_may_take_longer_than_a_head() -> None:
    pieces = 30

    async def handler(conn: Conn) -> None:
        await read_until(conn, b"\r\n\r\n")
        await conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (pieces * len(PIECE)))
        for _ in range(pieces):
            await conn.send(PIECE)
            await sleep(0.01)

    async with memory_client(handler, httpx.Timeout(PATIENCE, read=0.2)) as client:
        assert len((await client.get("/")).content) == pieces * len(PIECE)


async def test_an_answer_may_be_the_body_of_another_request(client: httpx.AsyncClient) -> None:
    async with client.stream("GET", "/big/100") as response:
        answer = await client.post("/count", content=response.aiter_raw())
    assert answer.text.startswith(f"{100 * len(PIECE)} ")


@unexhausted
@pytest.mark.parametrize("length", ["1", "50"])
async def test_a_body_of_another_length_than_announced(length: str) -> None:
    async def handler(conn: Conn) -> None:
        await sleep_forever()

    async with memory_client(handler) as client:
        with pytest.raises(httpx.LocalProtocolError, match="declared Content-Length"):
            await client.post("/", content=b"body", headers={"Content-Length": length})


@unexhausted
async def test_a_server_that_takes_nothing() -> None:
    async def handler(conn: Conn) -> None:
        await sleep_forever()

    async with memory_client(handler, httpx.Timeout(PATIENCE, write=0.05)) as client:
        with pytest.raises(httpx.WriteTimeout, match=r"took nothing for 0\.05 s"):
            await client.post("/", content=PIECE * 100)


@unexhausted
async def test_a_server_that_refuses_an_upload_halfway() -> None:
    async def handler(conn: Conn) -> None:
        await conn.receive()
        await conn.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    async with memory_client(handler) as client:
        assert (await client.post("/", content=PIECE * 100)).status_code == 413


async def test_a_connection_that_breaks() -> None:
    async def break_inside_a_record(stream: SocketStream) -> None:
        async with stream:
            secured = await respond(stream, SERVER)
            if not secured.received:
                await stream.receive()
            await stream.send(b"\x00\xff sealed")

    listener = await create_tcp_listener(local_host="127.0.0.1")
    async with listener, create_task_group() as task_group:
        task_group.start_soon(listener.serve, break_inside_a_record)
        port = listener.extra(SocketAttribute.local_port)
        async with http_client(PkTcpNetwork(CLIENT), ME) as client:
            with pytest.raises(httpx.ReadError, match="ended inside a record") as caught:
                await client.get(f"tcp://{SERVER.public}@127.0.0.1:{port}/")
        task_group.cancel_scope.cancel()
    assert isinstance(caught.value.__cause__, StreamBroken)


@unexhausted
async def test_a_connection_that_breaks_while_it_is_written_to() -> None:
    """There is no answer, so that it is the first error that counts."""

    async def leave(conn: Conn) -> None:
        await conn.receive()

    async with memory_client(leave) as client:
        with pytest.raises((httpx.RemoteProtocolError, httpx.WriteError)):
            await client.post("/", content=PIECE * 100)


async def test_no_network_there() -> None:
    with pytest.raises(httpx.ConnectError, match="cannot reach memory://") as caught:
        async with http_client(MemoryNetwork(CLIENT, MemoryHub()), ME) as client:
            await client.get(f"memory://{SERVER.public}/")
    assert isinstance(caught.value.__cause__, Unreachable)


async def test_another_key_is_there(site: Site) -> None:
    url = site.base_url.replace(str(SERVER.public), str(STRANGER.public))
    async with http_client(PkTcpNetwork(CLIENT), ME) as client:
        with pytest.raises(httpx.ConnectError, match="is its public key right") as caught:
            await client.get(url)
    assert isinstance(caught.value.__cause__, PeerRefused)


async def test_nobody_answers_in_time() -> None:
    async with await create_tcp_listener(local_host="127.0.0.1") as silent:
        port = silent.extra(SocketAttribute.local_port)
        timeout = httpx.Timeout(PATIENCE, connect=0.05)
        async with http_client(PkTcpNetwork(CLIENT), ME, timeout=timeout) as client:
            with pytest.raises(httpx.ConnectTimeout, match="no answer in time") as caught:
                await client.get(f"tcp://{SERVER.public}@127.0.0.1:{port}/")
    assert isinstance(caught.value.__cause__, DialTimeout)


async def test_without_time_limits(site: Site) -> None:
    async with http_client(PkTcpNetwork(CLIENT), ME, base_url=site.base_url, timeout=httpx.Timeout(None)) as client:
        assert (await client.get("/")).status_code == 200
