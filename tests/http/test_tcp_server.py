"""The server on local TCP addresses."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from hashlib import sha256
from pathlib import Path
from shutil import which

import httpx
import psutil
import pytest
from anyio import BrokenResourceError, connect_tcp, create_task_group, fail_after, to_thread

from skywire import HostPort, ListenError
from skywire.http.files import Folder
from skywire.http.limits import HttpLimits
from skywire.http.server import HttpServer
from skywire.net.tcp import Sink, SocketAddress, TcpStream
from tests.http.apps import Endless, Held, by_path, count, hello
from tests.http.serving import LOOPBACK, PATIENCE, ask, get, read_all, read_until, tcp, until
from tests.pktcp.test_flood import descriptors

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left")]

CURL = which("curl") or pytest.skip("there is no curl", allow_module_level=True)
PROCESS = psutil.Process()


async def curl(*arguments: str) -> str:
    """What curl prints."""
    run = partial(subprocess.run, [CURL, "--silent", "--show-error", "--max-time", "10", *arguments])
    done = await to_thread.run_sync(partial(run, capture_output=True, text=True, check=True))
    return str(done.stdout)


async def test_addresses() -> None:
    server = HttpServer(hello, listen=[LOOPBACK, HostPort("::1", 0)])
    async with create_task_group() as task_group:
        await task_group.start(server.serve)
        assert [where.host for where in server.addresses] == ["127.0.0.1", "::1"]
        async with httpx.AsyncClient(trust_env=False) as client:
            for where in server.addresses:
                assert (await client.get(f"http://{where}/")).text == "hello /"
        task_group.cancel_scope.cancel()
    assert server.addresses == ()


async def test_an_address_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"cannot listen on 127.0.0.1:{port}"):
            await HttpServer(hello, listen=[HostPort("127.0.0.1", port)]).serve()


async def test_a_hundred_clients() -> None:
    app = Held(hello)
    answers: list[bytes] = []

    async with tcp(app) as served, create_task_group() as task_group:

        async def client(number: int) -> None:
            answers.append(await ask(served, get(f"/{number}", "Connection: close")))

        for number in range(100):
            task_group.start_soon(client, number)
        await until(lambda: app.holding == 100)
        app.released.set()
    assert sorted(answer.rpartition(b"/")[2] for answer in answers) == sorted(b"%d" % each for each in range(100))


async def test_at_the_limit_the_one_that_idles_longest_makes_room() -> None:
    app = Held(hello)
    async with tcp(app, HttpLimits(connections=3)) as served, AsyncExitStack() as stack:
        busy, idle, later = [await stack.enter_async_context(served.connect()) for _ in range(3)]
        await until(lambda: served.live() == 3)
        await busy.send(get())
        await until(lambda: app.holding == 1)
        new = await stack.enter_async_context(served.connect())
        assert await read_all(idle) == b""
        app.released.set()
        for stream in (busy, later, new):
            await stream.send(get("/", "Connection: close"))
        for stream in (busy, later, new):
            assert b"hello /" in await read_all(stream)


async def test_where_all_are_busy_a_new_one_is_turned_away() -> None:
    app = Held(hello)
    async with tcp(app, HttpLimits(connections=1)) as served, served.connect() as busy:
        await busy.send(get())
        await until(lambda: app.holding == 1)
        async with served.connect() as new:
            assert await read_all(new) == b""
        app.released.set()
        await read_until(busy, b"hello /")
        assert (await ask(served, get("/", "Connection: close"))).endswith(b"hello /")


async def test_one_host_with_unfinished_requests_does_not_keep_others_out() -> None:
    """However often it comes again, and however slow the others are."""
    starts = [b"", b"GET / HT", get("/", "Content-Length: 9", method="POST") + b"{", get("/1", method="POST") + b"GET"]
    async with tcp(count, HttpLimits(connections=8)) as served, AsyncExitStack() as crowd:
        port = int(served.base_url.rpartition(":")[2])
        slow = await crowd.enter_async_context(served.connect())
        await slow.send(get("/", "Content-Length: 2", method="POST") + b"o")
        for number in range(40):
            stream = await connect_tcp("127.0.0.1", port, local_host="127.0.0.2")
            await crowd.enter_async_context(stream)
            if starts[number % 4]:
                await stream.send(starts[number % 4])
            assert b"\r\n\r\n0 " in await ask(served, get("/", "Connection: close"))
        assert served.live() <= 8
        await slow.send(b"k")
        assert (await read_until(slow, sha256(b"ok").hexdigest().encode())).startswith(b"HTTP/1.1 200 ")


async def test_an_answer_that_has_begun_is_not_cut_off_for_others() -> None:
    """Not even while its request is incomplete."""
    app = Endless()
    async with tcp(by_path({"endless": app}), HttpLimits(connections=1)) as served, served.connect() as stream:
        await stream.send(get("/endless", "Content-Length: 2", method="POST"))
        assert await stream.receive()
        async with served.connect() as new:
            assert await read_all(new) == b""
        sent = app.sent
        with fail_after(PATIENCE):
            while app.sent == sent:
                await stream.receive()


async def test_where_the_system_has_no_more_descriptors_idle_ones_make_room() -> None:
    spare = 60
    async with tcp(hello) as served, AsyncExitStack() as stack:
        with descriptors(PROCESS.num_fds() + spare):
            idle = [await stack.enter_async_context(served.connect()) for _ in range(spare // 2 + 8)]
            assert await read_all(idle[0]) == b""
            await idle[-1].send(get("/", "Connection: close"))
            assert (await read_all(idle[-1])).endswith(b"hello /")


async def test_curl_gets() -> None:
    async with tcp(hello) as served:
        url = served.base_url
        assert await curl(f"{url}/a", f"{url}/b") == "hello /ahello /b"
        assert await curl("--http1.0", f"{url}/old") == "hello /old"
        assert await curl("--http2", f"{url}/upgrade") == "hello /upgrade"
        assert "content-length: 7\n" in (await curl("--head", url)).replace("\r", "")


async def test_curl_puts(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(5_000_000))
    async with tcp(count) as served:
        for options in ((), ("--header", "Transfer-Encoding: chunked")):
            assert (await curl("--upload-file", str(path), *options, served.base_url)).startswith("5000000 ")


async def test_curl_gets_files(tmp_path: Path) -> None:
    (tmp_path / "digits.txt").write_text("0123456789")
    async with tcp(Folder(tmp_path)) as served:
        url = f"{served.base_url}/digits.txt"
        assert await curl(url) == "0123456789"
        assert await curl("--range", "2-4", url) == "234"
        assert await curl("--range", "-3", url) == "789"
        assert await curl("--write-out", "%{http_code}", f"{served.base_url}/none") == "Not Found404"
        assert await curl("--path-as-is", f"{served.base_url}/../../etc/passwd") == "Not Found"


class Failing(TcpStream):
    """A connection that ends as none should."""

    def __init__(self, *, known: bool) -> None:
        self.known = known
        self.closed = False

    @property
    def local(self) -> SocketAddress:
        return "127.0.0.1", 1

    @property
    def remote(self) -> SocketAddress:
        if not self.known:
            raise BrokenResourceError
        return "127.0.0.1", 2

    async def receive(self, max_bytes: int = 65536) -> bytes:
        raise LookupError("unforeseen")

    async def send(self, item: bytes) -> None:
        raise LookupError("unforeseen")

    async def send_eof(self) -> None:
        raise LookupError("unforeseen")

    async def deliver(self, sink: Sink) -> None:
        raise LookupError("unforeseen")

    def write(self, parts: Sequence[bytes | memoryview]) -> bool:
        raise LookupError("unforeseen")

    @property
    def unsent(self) -> int:
        raise LookupError("unforeseen")

    def abort(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


async def test_a_client_that_is_gone_before_it_is_looked_at() -> None:
    gone = Failing(known=False)
    await HttpServer(hello, listen=[])._serve_stream(gone)
    assert gone.closed


async def test_a_failure_stays_with_its_connection(caplog: pytest.LogCaptureFixture) -> None:
    stream = Failing(known=True)
    await HttpServer(hello, listen=[])._serve_stream(stream)
    assert stream.closed
    assert [record.getMessage() for record in caplog.records] == ["the connection of 127.0.0.1:2 failed"]
