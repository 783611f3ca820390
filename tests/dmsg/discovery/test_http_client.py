"""The HTTP client against discoveries that are slow, broken, hostile or gone."""

from __future__ import annotations

import gzip
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.abc
import httpx
import pytest
from anyio.abc import SocketAttribute, SocketStream

from skywire.dmsg.discovery.contract import DiscoveryBroken, DiscoveryUnreachable
from skywire.dmsg.discovery.directory import Directory
from skywire.dmsg.discovery.http_client import MAX_CONNECTIONS, HttpDiscovery
from skywire.dmsg.discovery.memory import MemoryStore
from skywire.dmsg.discovery.service import DiscoveryApp
from skywire.http.server import HttpServer
from skywire.net.address import HostPort
from skywire.net.errors import StreamBroken
from skywire.wire.discovery import MAX_LIST_SIZE, DiscoveryRefused, Reason, refusal
from skywire.wire.entry import MAX_ENTRY_SIZE
from tests.dmsg.discovery.loops import ON_ASYNCIO
from tests.wire.memory_discovery import ALICE, NOW, client_entry, server_entry

pytestmark = pytest.mark.anyio

Server = Callable[[SocketStream], Awaitable[None]]


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[str]:
    """The URL of a TCP server that does as it likes, once it has read a request's head."""

    async def serve(stream: SocketStream) -> None:
        async with stream:
            try:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += await stream.receive()
                await server(stream)
            except (anyio.BrokenResourceError, anyio.EndOfStream):
                pass

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as task_group,
    ):
        task_group.start_soon(listener.serve, serve)
        yield f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
        task_group.cancel_scope.cancel()


def sending(*pieces: bytes, ends: bool = True) -> Server:
    """Sends this; then the connection is closed, or left as it is."""

    async def serve(stream: SocketStream) -> None:
        for piece in pieces:
            await stream.send(piece)
        if not ends:
            await anyio.sleep_forever()

    return serve


def response(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


ENTRY = client_entry().to_json()
LIST = b"[" + server_entry().to_json() + b"]"


@pytest.mark.parametrize(
    ("server", "text"),
    [
        (sending(b"SSH-2.0-server\r\n\r\n"), "does not speak HTTP"),
        (sending(b"\x00" * 1000), "does not speak HTTP"),
        (sending(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 500_000), "does not speak HTTP"),
        (sending(response(b"")), "nonsense"),
        (sending(response(b"<html>")), "nonsense"),
        (sending(response(b"[]")), "nonsense"),
        (sending(response(b"null")), "another key"),
        (sending(response(server_entry().to_json())), "another key"),
        (sending(response(gzip.compress(ENTRY), "200 OK", "Content-Encoding: gzip")), "nonsense"),
        (sending(response(b" " * (MAX_ENTRY_SIZE + 1))), "more than 65536 bytes"),
    ],
)
async def test_answers_that_make_no_sense(server: Server, text: str) -> None:
    async with serving(server) as url, HttpDiscovery(url) as discovery:
        with pytest.raises(DiscoveryBroken, match=text) as caught:
            await discovery.entry(ALICE.public)
        assert url in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"{}", b"[1,", ENTRY])
async def test_lists_that_make_no_sense(body: bytes) -> None:
    async with serving(sending(response(body))) as url, HttpDiscovery(url) as discovery:
        with pytest.raises(DiscoveryBroken, match="nonsense"):
            await discovery.available_servers()


async def test_an_entry_that_makes_no_sense_does_not_cost_the_others() -> None:
    body = b'[{"static":1},' + server_entry().to_json() + b",null]"
    async with serving(sending(response(body))) as url, HttpDiscovery(url) as discovery:
        assert await discovery.all_servers() == [server_entry()]


@pytest.mark.parametrize(
    ("server", "text"),
    [
        (sending(), "without sending a response"),
        (sending(b"HTTP/1.1 200"), "without sending"),
        (sending(response(ENTRY)[:-1]), "without sending"),
    ],
)
async def test_answers_that_are_cut_off(server: Server, text: str) -> None:
    async with serving(server) as url, HttpDiscovery(url) as discovery:
        with pytest.raises(DiscoveryUnreachable, match=text) as caught:
            await discovery.entry(ALICE.public)
        assert url in str(caught.value)


async def send_for_ever(stream: SocketStream) -> None:
    await stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await stream.send(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        await anyio.sleep(0.0001)  # uvloop gathers what is written without a pause


async def say_wait_for_ever(stream: SocketStream) -> None:
    while True:
        await stream.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        await anyio.sleep(0.001)  # a server that is slow, not a test that waits


@pytest.mark.parametrize(
    "server",
    [
        sending(ends=False),
        sending(b"HTTP/1.1 200", ends=False),
        sending(response(ENTRY)[:-1], ends=False),
        sending(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n{\r\n", ends=False),
        say_wait_for_ever,
    ],
)
async def test_answers_that_do_not_end_in_time(server: Server) -> None:
    async with serving(server) as url, HttpDiscovery(url, timeout=0.05) as discovery:
        with pytest.raises(DiscoveryUnreachable, match=r"did not answer within 0\.05 seconds") as caught:
            await discovery.entry(ALICE.public)
        assert url in str(caught.value)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
async def test_there_is_always_a_limit(timeout: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        HttpDiscovery("http://localhost", timeout=timeout)


async def test_an_endless_answer_is_read_up_to_the_limit() -> None:
    async with serving(send_for_ever) as url, HttpDiscovery(url) as discovery:
        with pytest.raises(DiscoveryBroken, match=f"more than {MAX_ENTRY_SIZE} bytes"):
            await discovery.entry(ALICE.public)
        with pytest.raises(DiscoveryBroken, match=f"more than {MAX_LIST_SIZE} bytes"):
            await discovery.all_servers()
        with pytest.raises(DiscoveryBroken, match="more than 4096 bytes"):
            await discovery.post(client_entry())


@pytest.mark.parametrize(
    ("answer", "reason", "status"),
    [
        (response(refusal(Reason.WRONG_TIME).body, "422 no"), Reason.WRONG_TIME, 422),
        (response(b"404 page not found\n", "404 no"), Reason.UNEXPECTED, 404),
        (response(b"<html>" + b"x" * 100_000, "502 Bad Gateway"), Reason.UNEXPECTED, 502),
        (response(b"", "301 Moved", "Location: http://127.0.0.1:1/"), Reason.UNEXPECTED, 301),
        (response(b"", "405 no"), Reason.UNEXPECTED, 405),
    ],
)
async def test_refusals(answer: bytes, reason: Reason, status: int) -> None:
    async with serving(sending(answer)) as url, HttpDiscovery(url) as discovery:
        for call in (
            discovery.entry(ALICE.public),
            discovery.all_servers(),
            discovery.post(client_entry()),
            discovery.delete(client_entry()),
        ):
            with pytest.raises(DiscoveryRefused) as caught:
                await call
            assert (caught.value.reason, caught.value.status) == (reason, status)


async def test_nobody_is_there() -> None:
    async with serving(sending()) as url:
        pass
    async with HttpDiscovery(url) as discovery:
        with pytest.raises(DiscoveryUnreachable, match="cannot reach the discovery http://127"):
            await discovery.available_servers()


async def test_a_host_that_does_not_exist() -> None:
    async with HttpDiscovery("http://no-such-host.invalid") as discovery:
        with pytest.raises(DiscoveryUnreachable, match=r"no-such-host\.invalid"):
            await discovery.available_servers()


async def test_a_scheme_that_nobody_speaks() -> None:
    async with HttpDiscovery(f"dmsg://{ALICE.public}:80") as discovery:
        with pytest.raises(DiscoveryUnreachable, match=f"dmsg://{ALICE.public}:80"):
            await discovery.available_servers()


@pytest.mark.parametrize(
    "url", ["", "localhost:9090", "//host", "http://", "http://h:x", "http://h?x=1", "http://h#x", "http://h\n"]
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ValueError, match="URL of a discovery"):
        HttpDiscovery(url)


async def test_credentials_are_sent_and_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    heads: list[httpx.Headers] = []

    def answer(request: httpx.Request) -> httpx.Response:
        heads.append(request.headers)
        if len(heads) == 1:
            return httpx.Response(200, stream=httpx.ByteStream(b"nonsense"))
        raise httpx.ConnectError("no way there")

    caplog.set_level(logging.DEBUG)
    async with HttpDiscovery("http://user:secret@host/path/", transport=httpx.MockTransport(answer)) as discovery:
        with pytest.raises(DiscoveryBroken, match="the discovery http://host/path answered") as broken:
            await discovery.entry(ALICE.public)
        with pytest.raises(DiscoveryUnreachable, match="the discovery http://host/path: no way there") as unreachable:
            await discovery.entry(ALICE.public)
        assert heads[0]["authorization"] == httpx.BasicAuth("user", "secret")._auth_header
        for text in (str(broken.value), str(unreachable.value), caplog.text, repr(discovery)):
            assert "secret" not in text


async def test_what_is_asked() -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, stream=httpx.ByteStream(LIST if "servers" in request.url.path else ENTRY))

    key = ALICE.public
    async with HttpDiscovery(f"dmsg://{key}:80", transport=httpx.MockTransport(answer)) as discovery:
        assert await discovery.entry(key) == client_entry()
        assert await discovery.available_servers() == [server_entry()]
        await discovery.all_servers()
        await discovery.post(client_entry())
        await discovery.delete(client_entry())
    assert [(request.method, str(request.url)) for request in requests] == [
        ("GET", f"dmsg://{key}:80/dmsg-discovery/entry/{key}"),
        ("GET", f"dmsg://{key}:80/dmsg-discovery/available_servers"),
        ("GET", f"dmsg://{key}:80/dmsg-discovery/all_servers"),
        ("POST", f"dmsg://{key}:80/dmsg-discovery/entry/"),
        ("DELETE", f"dmsg://{key}:80/dmsg-discovery/entry"),
    ]
    assert [request.content for request in requests] == [b"", b"", b"", ENTRY, ENTRY]
    assert {request.headers["accept-encoding"] for request in requests} == {"identity"}


@pytest.mark.parametrize("error", [StreamBroken("the session ended"), httpx.ReadError(""), OSError("no route")])
async def test_a_transport_that_fails(error: Exception) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error

    async with HttpDiscovery("http://host", transport=httpx.MockTransport(fail)) as discovery:
        with pytest.raises(DiscoveryUnreachable, match=str(error) or "ReadError"):
            await discovery.entry(ALICE.public)


async def test_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:1")
    async with serving(sending(response(ENTRY))) as url, HttpDiscovery(url) as discovery:
        assert await discovery.entry(ALICE.public) == client_entry()


async def test_connections_are_used_again_and_limited() -> None:
    connections = 0

    async def answer_all(stream: SocketStream) -> None:
        nonlocal connections
        connections += 1
        while True:
            await stream.send(response(ENTRY))
            await stream.receive()

    async with serving(answer_all) as url, HttpDiscovery(url) as discovery:
        for _ in range(10):
            await discovery.entry(ALICE.public)
        assert connections == 1
        async with anyio.create_task_group() as task_group:
            for _ in range(50):
                task_group.start_soon(discovery.entry, ALICE.public)
        assert connections <= MAX_CONNECTIONS


async def test_a_cancelled_request_costs_no_connection() -> None:
    async with serving(sending(ends=False)) as url, HttpDiscovery(url, timeout=0.2) as discovery:
        for _ in range(2 * MAX_CONNECTIONS):
            with anyio.move_on_after(0.005):
                await discovery.entry(ALICE.public)
        with pytest.raises(DiscoveryUnreachable, match="did not answer"):
            await discovery.entry(ALICE.public)


@ON_ASYNCIO
async def test_a_real_server() -> None:
    directory = Directory(MemoryStore(), clock_ns=lambda: NOW)
    server = HttpServer(DiscoveryApp(directory), listen=[HostPort("127.0.0.1", 0)])
    async with anyio.create_task_group() as task_group:
        await task_group.start(server.serve)
        async with HttpDiscovery(f"http://{server.addresses[0]}") as discovery:
            assert await discovery.entry(ALICE.public) is None
            assert await discovery.available_servers() == []
            await discovery.post(server_entry())
            await discovery.post(client_entry())
            assert await discovery.entry(ALICE.public) == client_entry()
            assert len(await discovery.available_servers()) == 1
            assert server.live == 1
            await discovery.delete(client_entry())
            assert await discovery.entry(ALICE.public) is None
        task_group.cancel_scope.cancel()
