"""Local pages: who gets through the one check before all of them."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from anyio import connect_tcp
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from skywire.app import page_tokens, web
from skywire.app.connections import Connections
from skywire.app.dependency import NOTHING
from skywire.app.facility import Facilities
from skywire.app.host import AppHost, Surroundings
from skywire.app.page_check import MAX_BODY
from skywire.app.registry import ServiceRegistry
from skywire.app.run_mode import RunMode
from skywire.app.web import PageRefused, WebPage
from skywire.http.limits import HttpLimits
from skywire.keys import SecKey
from skywire.net.address import HostPort
from skywire.net.errors import ListenError
from tests.apps.asking import Answer, ask_page, read, receive_all, request

LOOPBACK = HostPort("127.0.0.1", 0)
ON_ASYNCIO = pytest.mark.parametrize(
    "anyio_backend", [("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})], ids=["asyncio", "uvloop"]
)
pytestmark = pytest.mark.anyio


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    asked = Request(scope, receive)
    headers = {"content-security-policy": "default-src *", "x-own": "kept"}
    text = f"{asked.method} {asked.url.path} {asked.url.query} {len(await asked.body())}"
    await PlainTextResponse(text, headers=headers)(scope, receive, send)


async def broken(scope: Scope, receive: Receive, send: Send) -> None:
    raise LookupError("a mistake with a secret in it")


@pytest.fixture
def host(tmp_path: Path) -> AppHost:
    public = SecKey.generate().public
    connections = Connections()
    surroundings = Surroundings(
        mode=RunMode.VISOR_APP,
        public=public,
        networks={},
        ports=ServiceRegistry(public, connections),
        facilities=Facilities(),
        data=tmp_path,
        connections=connections,
    )
    return AppHost("chat", surroundings, NOTHING, {})


@asynccontextmanager
async def page_of(host: AppHost, app: ASGIApp = echo) -> AsyncIterator[WebPage]:
    async with host.serve_web(app, LOOPBACK, label="chat page") as page:
        yield page


def token_of(page: WebPage) -> str:
    return page.url.partition("?token=")[2]


def bearer(page: WebPage) -> str:
    return f"Authorization: Bearer {token_of(page)}"


async def session_of(page: WebPage) -> str:
    """The cookie that a browser has got."""
    answer = await ask_page(page.address, f"/?token={token_of(page)}")
    assert answer.status == 303
    return f"Cookie: {answer.headers['set-cookie'].partition(';')[0]}"


@ON_ASYNCIO
async def test_a_browser_exchanges_the_token_for_a_cookie_and_forgets_it(host: AppHost) -> None:
    async with page_of(host) as page:
        address = f"/inner?token={token_of(page)}&tab=2"
        answer = await ask_page(page.address, address, "Sec-Fetch-Site: none")
        place, slash, rest = answer.headers["location"].rpartition("/inner")
        assert (answer.status, slash, rest) == (303, "/inner", "?tab=2")
        cookie, *marks = answer.headers["set-cookie"].split("; ")
        assert cookie.startswith(f"skywire-page-{page.address.port}=")
        assert {"HttpOnly", "SameSite=strict", f"Path={place}/"} <= set(marks)
        inner = f"{place}/inner?tab=2"
        junk = f"skywire-page-{page.address.port}=junk"  # which any other page of this host can set
        answer = await ask_page(page.address, inner, f'Cookie: other; {junk}; {cookie}; {junk}; junk="')
        assert (answer.status, answer.text) == (200, f"GET {place}/inner tab=2 0")
        assert page.requests == 1
        assert (await ask_page(page.address, f"{place}/")).status == 401, "the place is no proof"
        again = await ask_page(page.address, f"{inner}&token=x", f"Cookie: {cookie}")
        assert (again.status, again.headers["location"]) == (303, inner), "who is in already may come that way"


@ON_ASYNCIO
async def test_a_token_opens_the_page_once_and_leads_to_it_again(host: AppHost) -> None:
    async with page_of(host) as page:
        address = f"/inner?token={token_of(page)}"
        first, second = [await ask_page(page.address, address) for _ in range(2)]
        assert second.headers["location"] == first.headers["location"], "where the browser that is in shows its cookie"
        assert "set-cookie" not in second.headers
        assert (await ask_page(page.address, second.headers["location"])).status == 401


@ON_ASYNCIO
async def test_a_browser_stays_in_when_the_app_is_started_anew(host: AppHost) -> None:
    async with page_of(host) as page:
        session = await session_of(page)
        unused = token_of(page)
    async with page_of(host) as page:
        session = session.replace(session.partition("=")[0], f"Cookie: skywire-page-{page.address.port}")
        assert (await ask_page(page.address, "/", session)).status == 200
        assert (await ask_page(page.address, f"/?token={unused}")).status == 401
    async with host.serve_web(echo, LOOPBACK, label="another page") as page:
        session = session.replace(session.partition("=")[0], f"Cookie: skywire-page-{page.address.port}")
        assert (await ask_page(page.address, "/", session)).status == 401


@ON_ASYNCIO
async def test_a_program_sends_the_token_with_each_request(host: AppHost) -> None:
    async with page_of(host) as page:
        proof = bearer(page)
        for _ in range(2):
            assert (await ask_page(page.address, "/", proof)).status == 200


@ON_ASYNCIO
async def test_who_has_no_proof_is_told_how_to_get_it(host: AppHost) -> None:
    async with page_of(host) as page:
        good = token_of(page)
        for path, *fields in [
            ("/",),
            ("/?token=",),
            (f"/?token={good[:-1]}",),
            (f"/?token={'x' * len(good)}",),
            ("/?token=%FF%00%C3%A9",),
            ("/", "Authorization: Bearer"),
            ("/", f"Authorization: Bearer {good}x"),
            ("/", f"Authorization: Basic {good}"),
            ("/", f"Cookie: skywire-page-{page.address.port}={good}"),
            ("/", f"Cookie: skywire-page-{page.address.port}="),
        ]:
            answer = await ask_page(page.address, path, *fields)
            assert answer.status == 401, (path, fields)
            assert "skywire app chat page" in answer.text
            assert good not in answer.text
        assert page.requests == 0
        assert (await ask_page(page.address, f"/?token={good}", method="POST")).status == 401
        assert (await ask_page(page.address, f"/?token={good}")).status == 303


@ON_ASYNCIO
async def test_old_unused_tokens_make_room(host: AppHost) -> None:
    async with page_of(host) as page:
        first = token_of(page)
        later = [token_of(page) for _ in range(page_tokens.MOST_TOKENS)]
        assert len({first, *later}) == page_tokens.MOST_TOKENS + 1
        assert (await ask_page(page.address, f"/?token={first}")).status == 401
        assert (await ask_page(page.address, f"/?token={later[0]}")).status == 303


@ON_ASYNCIO
@pytest.mark.parametrize(
    "name", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "0.0.0.0:{port}", ""]
)
async def test_a_name_of_somebody_else_that_leads_here_gets_nothing(host: AppHost, name: str) -> None:
    async with page_of(host) as page:
        answer = await ask_page(page.address, "/", bearer(page), host=name.format(port=page.address.port))
        assert answer.status == (421 if name else 400)
        assert page.requests == 0
        assert (await ask_page(page.address, "/", bearer(page), host=f"LocalHost:{page.address.port}")).status == 200


@ON_ASYNCIO
@pytest.mark.parametrize(
    "field",
    [
        "Origin: http://evil.example",
        "Origin: null",
        "Origin: http://127.0.0.1",
        "Origin: https://127.0.0.1:{port}",
        "Origin: http://localhost:{port}",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
        "Sec-Fetch-Site: whatever",
    ],
)
async def test_other_pages_get_nothing_even_with_proof(host: AppHost, field: str) -> None:
    async with page_of(host) as page:
        session = await session_of(page)
        port = page.address.port
        for proof in (session, bearer(page)):
            answer = await ask_page(page.address, "/", proof, field.format(port=port), method="POST")
            assert answer.status == 403
        token = token_of(page)
        assert (await ask_page(page.address, f"/?token={token}", field.format(port=port))).status == 403
        assert page.requests == 0
        for origin in (f"http://127.0.0.1:{port}", "null"):  # which a form of the page itself sends
            own = (f"Origin: {origin}", "Sec-Fetch-Site: same-origin")
            assert (await ask_page(page.address, "/", session, *own, method="POST")).status == 200
        assert (await ask_page(page.address, f"/?token={token}")).status == 303, "the refusal did not use it up"


@ON_ASYNCIO
async def test_every_answer_has_the_headers_of_all_pages(host: AppHost) -> None:
    async with page_of(host) as page:
        answers: list[Answer] = [
            await ask_page(page.address, "/", bearer(page)),
            await ask_page(page.address, "/"),
            await ask_page(page.address, "/", host="evil.example"),
            await ask_page(page.address, "/", "Origin: null"),
            await ask_page(page.address, f"/?token={token_of(page)}"),
            await ask_page(page.address, "/", bearer(page), f"Content-Length: {MAX_BODY + 1}", method="POST"),
        ]
        assert [each.status for each in answers] == [200, 401, 421, 403, 303, 413]
        for answer in answers:
            policy = answer.headers.get_list("content-security-policy")
            assert len(policy) == 1
            assert policy[0].startswith("default-src 'self';")
            assert "frame-ancestors 'none'" in policy[0]
            assert "unsafe" not in policy[0]
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["cache-control"] == "no-store"
        assert answers[0].headers["x-own"] == "kept"


@ON_ASYNCIO
async def test_a_redirect_leads_to_no_other_host(host: AppHost) -> None:
    async with page_of(host) as page:
        for path in ("//evil.example/", "/\\evil.example/", "///evil.example"):
            answer = await ask_page(page.address, f"{path}?token={token_of(page)}")
            assert answer.status == 303
            assert re.fullmatch(r"/[-\w]{16}/evil\.example/?", answer.headers["location"])


@ON_ASYNCIO
async def test_bodies_have_a_limit(host: AppHost) -> None:
    async with page_of(host) as page:

        async def post(*parts: bytes, field: str) -> Answer:
            async with await connect_tcp(page.address.host, page.address.port) as stream:
                head = request("/", "Connection: close", bearer(page), field, method="POST", host=str(page.address))
                await stream.send(head)
                for part in parts:
                    await stream.send(part)
                return read(await receive_all(stream))

        whole = bytes(MAX_BODY)
        answer = await post(whole, field=f"Content-Length: {MAX_BODY}")
        assert (answer.status, answer.text) == (200, f"POST /  {MAX_BODY}")
        chunk = b"%x\r\n%s\r\n" % (len(whole), whole)
        assert (await post(chunk, b"1\r\nx\r\n", b"0\r\n\r\n", field="Transfer-Encoding: chunked")).status == 413
        assert (await post(field=f"Content-Length: {10**15}")).status == 413


@ON_ASYNCIO
async def test_a_page_that_fails_says_so_and_no_more(host: AppHost, caplog: pytest.LogCaptureFixture) -> None:
    async with page_of(host, broken) as page:
        answer = await ask_page(page.address, "/", bearer(page))
    assert (answer.status, answer.headers["cache-control"]) == (500, "no-store")
    assert "secret" not in answer.text
    assert "a mistake with a secret in it" in caplog.text


@ON_ASYNCIO
async def test_slow_clients_are_left(host: AppHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "PAGE_LIMITS", HttpLimits(head_seconds=0.25, stall_seconds=0.25))
    async with page_of(host) as page:
        for sent in (
            b"",
            b"GET / HT",
            request("/", "Content-Length: 5", bearer(page), host=str(page.address)) + b"abc",
        ):
            async with await connect_tcp(page.address.host, page.address.port) as stream:
                if sent:
                    await stream.send(sent)
                await receive_all(stream)  # which has a limit of its own
        assert (await ask_page(page.address, "/", bearer(page))).status == 200


@ON_ASYNCIO
async def test_it_is_in_the_list_of_local_ports_while_it_lasts(host: AppHost) -> None:
    ports = host._surroundings.local_ports
    async with page_of(host) as page:
        (port,) = ports.list()
        assert (port.owner, port.label) == ("chat", "chat page")
        assert HostPort(*port.address) == page.address
        with pytest.raises(ListenError, match=rf"cannot listen on {page.address}: .*: chat \(chat page\) has it"):
            async with host.serve_web(echo, page.address):
                pass
    assert ports.list() == ()


@ON_ASYNCIO
@pytest.mark.parametrize("name", ["127.0.0.1", "127.3.2.1", "localhost", "LOCALHOST", "::1"])
async def test_any_loopback_address_will_do(host: AppHost, name: str) -> None:
    async with host.serve_web(echo, HostPort(name, 0)) as page:
        assert page.url.startswith(f"http://{page.address}/?token=")
        assert (await ask_page(page.address, "/", bearer(page))).status == 200


@ON_ASYNCIO
@pytest.mark.parametrize(
    "name", ["0.0.0.0", "::", "192.0.2.1", "10.0.0.1", "localhost.evil.example", "2130706433", "127.1"]
)
async def test_others_are_refused_with_what_to_do_instead(host: AppHost, name: str) -> None:
    with pytest.raises(PageRefused, match="publish it over the network"):
        async with host.serve_web(echo, HostPort(name, 0)):
            pass


async def test_the_token_is_in_no_log_and_no_repr(
    host: AppHost, caplog: pytest.LogCaptureFixture, anyio_backend_name: str
) -> None:
    caplog.set_level(logging.DEBUG)
    serving: AbstractAsyncContextManager[WebPage] = page_of(host)
    if anyio_backend_name == "trio":
        with pytest.raises(PageRefused, match="chat cannot serve its page on this event loop: pages need asyncio"):
            async with serving:
                pass
        return
    async with serving as page:
        token = token_of(page)
        await ask_page(page.address, f"/?token={token}")
        await ask_page(page.address, "/", f"Authorization: Bearer {token}")
        assert repr(page) == f"<WebPage at {page.address}>"
    assert token not in caplog.text
