"""The check before all pages, against a real browser: the page itself works, and the pages of others get nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from anyio import create_task_group
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from skywire.app.local_ports import LocalPorts
from skywire.app.page_tokens import PageSession
from skywire.app.web import WebPage, serving_page
from skywire.http.server import HttpServer
from skywire.net.address import HostPort
from tests.apps.browser import Browser, browsing
from tests.loops import of_programs as anyio_backend  # noqa: F401 - a fixture

pytestmark = pytest.mark.anyio

LOOPBACK = HostPort("127.0.0.1", 0)
HEAD = '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><link rel="icon" href="icon"><title>waiting</title>'


async def form(scope: Scope, receive: Receive, send: Send) -> None:
    """A page with a form, a script in it that must not run, and one of its own."""
    request = Request(scope, receive)
    response: Response = HTMLResponse(
        f"{HEAD}<script>document.title = 'inline'</script><script src='own.js'></script>"
        "<form method='post' action='post'><button>Send</button></form>"
    )
    path = request.url.path.removeprefix(scope.get("root_path", ""))
    if path == "/own.js":
        response = PlainTextResponse("document.title += ' own'", media_type="text/javascript")
    elif path == "/icon":
        response = Response(status_code=204)
    elif request.method == "POST":
        response = PlainTextResponse(f"posted {len(await request.body())}")
    await response(scope, receive, send)


def evil(target: str) -> ASGIApp:
    """A page of somebody else on this machine that tries all that a page can."""
    text = f"""{HEAD}<body><script>
    const target = "{target}/";
    const tried = [
      fetch(target, {{ mode: "no-cors", credentials: "include" }}).then(() => "got", () => "refused"),
      fetch(target, {{ credentials: "include" }}).then(() => "got", () => "refused"),
      fetch(target, {{ method: "POST", mode: "no-cors", credentials: "include" }}).then(() => "got", () => "refused"),
      new Promise((done) => {{
        const frame = document.createElement("iframe");
        frame.onload = () => done("framed or not");
        frame.src = target;
        document.body.append(frame);
      }}),
      new Promise((done) => {{
        const script = document.createElement("script");
        script.onload = () => done("ran");
        script.onerror = () => done("refused");
        script.src = target + "own.js";
        document.body.append(script);
      }}),
    ];
    Promise.all(tried).then((results) => {{ document.title = results.join(", "); }});
    </script><form method="post" action="{target}/post"><button>Send</button></form>"""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await HTMLResponse(text)(scope, receive, send)

    return app


@asynccontextmanager
async def opened(browser: Browser, reached: list[str]) -> AsyncIterator[WebPage]:
    """The page in the browser, with what has got through the check."""

    async def noted(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(f"{scope['method']} {scope['path'].removeprefix(scope.get('root_path', ''))}")
        await form(scope, receive, send)

    session = PageSession()
    async with serving_page(noted, LOOPBACK, ports=LocalPorts(), session=session, owner="chat", label="page") as page:
        await browser.open(page.url)
        await browser.until("document.title.includes('own')")
        yield page


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with browsing(tmp_path / "browser") as window:
        yield window


async def test_a_page_works_for_who_was_given_its_address(browser: Browser) -> None:
    async with opened(browser, []) as page:
        assert await browser.ask("return location.origin") == f"http://{page.address}"
        assert await browser.ask("return location.search + location.hash") == "", "no token stays in the address"
        assert await browser.ask("return document.title") == "waiting own", "only scripts that are files run"
        assert await browser.ask("return document.cookie") == "", "no script sees the cookie"
        await browser.click("button")
        await browser.until("document.body.innerText === 'posted 0'")


async def test_the_page_of_another_port_gets_nothing(browser: Browser) -> None:
    reached: list[str] = []
    async with opened(browser, reached) as page, create_task_group() as task_group:
        server = HttpServer(evil(f"http://{page.address}"), listen=[LOOPBACK])
        await task_group.start(server.serve)
        reached.clear()
        await browser.open(f"http://{server.addresses[0]}/")
        await browser.until("document.title !== 'waiting'")
        assert await browser.ask("return document.title") == "refused, refused, refused, framed or not, refused"
        await browser.click("button")
        await browser.until("document.body.innerText.includes('answers no other page')")
        # The browser looks for icons by itself, also for what shows the refusal.
        assert set(reached) <= {"GET /favicon.ico", "GET /icon"}
        task_group.cancel_scope.cancel()


async def test_what_else_serves_pages_here_gets_no_cookie_of_it(browser: Browser) -> None:
    cookies: list[str] = []

    async def greedy(scope: Scope, receive: Receive, send: Send) -> None:
        cookies.append(Headers(scope=scope).get("cookie", ""))
        # A page that leads to itself: all that a browser keeps for this host comes along.
        script = "<script>if (location.hash) document.title = 'twice'; else { location.hash = 'x'; location.reload() }"
        await HTMLResponse(f"{HEAD}{script}</script>")(scope, receive, send)

    async with opened(browser, []) as page, create_task_group() as task_group:
        inside = await browser.ask("return location.href")
        server = HttpServer(greedy, listen=[LOOPBACK])
        await task_group.start(server.serve)
        await browser.open(f"http://{server.addresses[0]}/")
        await browser.until("document.title === 'twice'")
        assert set(cookies) == {""}
        await browser.open(str(inside))
        await browser.until("document.title.includes('own')")
        assert page.requests > 2
        task_group.cancel_scope.cancel()
