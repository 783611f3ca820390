"""The websockets of the page: who gets one, what may be said on it, and what it costs."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest
from anyio import fail_after, sleep
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from skywire.app.page_tokens import PageSession
from skywire.app.web import WebPage
from skywire.apps.pty import page_app as page_app_module
from skywire.apps.pty import page_socket
from skywire.apps.pty import page_terminals as terminals_of_pages
from skywire.apps.pty.page_app import page_app
from skywire.apps.pty.page_messages import MOST_INPUT, MOST_OUTPUT, PageMistake, read_said
from skywire.apps.pty.page_terminal import KEPT
from skywire.apps.pty.page_terminals import page_terminals
from skywire.pty.limits import SessionLimits
from tests.apps.asking import ask_page
from tests.apps.pty.site import Site, site
from tests.loops import of_programs as anyio_backend  # noqa: F401 - a fixture; pages are for asyncio

pytestmark = pytest.mark.anyio

PATIENCE = 10.0
"""Seconds for what takes milliseconds."""
SIZE = {"columns": 80, "rows": 24}
BEGIN = {"kind": "begin", "peer": "", **SIZE}
PLAIN = b"PS1=; PS2=; stty -echo; printf '\\007begin\\n'\r"


@dataclass
class Shown:
    """A page as a program is one: what it has been told, and has got."""

    socket: ClientConnection
    told: list[dict[str, object]] = field(default_factory=list)
    got: bytes = b""
    count: int = 0
    acknowledges: bool = True

    async def say(self, **facts: object) -> None:
        await self.socket.send(json.dumps(facts))

    async def next(self) -> dict[str, object] | bytes:
        with fail_after(PATIENCE):
            message = await self.socket.recv()
        if isinstance(message, str):
            facts = json.loads(message)
            self.told.append(facts)
            return dict(facts)
        self.got += message
        self.count += len(message)
        if self.acknowledges:
            await self.say(kind="have", count=self.count)
        return message

    async def until_told(self, kind: str) -> dict[str, object]:
        while True:
            facts = await self.next()
            if isinstance(facts, dict) and facts["kind"] == kind:
                return facts

    async def until_got(self, sign: bytes) -> bytes:
        while sign not in self.got:
            await self.next()
        before, _, self.got = self.got.partition(sign)
        return before

    async def begin(self) -> str:
        """A shell that says nothing of itself; the session's id."""
        await self.say(**BEGIN)
        began = await self.until_told("began")
        await self.socket.send(PLAIN)
        await self.until_got(b"\x07begin\r\n")
        return str(began["id"])

    async def go_on(self, session: str, have: int) -> dict[str, object]:
        await self.say(kind="go_on", peer="", id=session, have=have, **SIZE)
        began = await self.until_told("began")
        offset = began["offset"]
        assert isinstance(offset, int)
        self.count = offset
        return began


@pytest.fixture
async def here() -> AsyncIterator[Site]:
    async with site(SessionLimits(end_seconds=0.2, per_key=64)) as found:
        yield found


@pytest.fixture
async def page(here: Site) -> AsyncIterator[WebPage]:
    async with here.page() as found:
        yield found


async def cookie_of(page: WebPage) -> tuple[str, str]:
    """The folder that a browser is led to, and the cookie that it gets."""
    answer = await ask_page(page.address, f"/?token={page.url.partition('token=')[2]}")
    return answer.headers["location"], answer.headers["set-cookie"].partition(";")[0]


@asynccontextmanager
async def opened(
    page: WebPage, *, origin: str | None = "", fields: Mapping[str, str] | None = None, port: int = 0
) -> AsyncIterator[Shown]:
    """A websocket as a browser opens it, while the block runs."""
    folder, cookie = await cookie_of(page)
    async with connect(
        f"ws://127.0.0.1:{port or page.address.port}{folder}socket",
        origin=None if origin is None else Origin(origin or f"http://{page.address}"),
        additional_headers=fields or {"cookie": cookie},
        proxy=None,
        compression=None,
        open_timeout=PATIENCE,
        max_size=MOST_OUTPUT,
    ) as socket:
        yield Shown(socket)


async def refusal(page: WebPage, *, origin: str | None = "", fields: Mapping[str, str] | None = None) -> int:
    """The status with which a websocket is refused."""
    with pytest.raises(InvalidStatus) as refused:
        async with opened(page, origin=origin, fields=fields):
            pass
    assert refused.value.response.headers["content-security-policy"].startswith("default-src 'self'")
    return refused.value.response.status_code


async def test_who_gets_a_socket(page: WebPage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    _, cookie = await cookie_of(page)
    token = page.url.partition("token=")[2]
    for fields in ({"x": "y"}, {"cookie": f"{cookie}x"}, {"authorization": "Bearer x"}):
        assert await refusal(page, fields=fields) == 401
    for origin in (None, "null", "http://evil.example", f"http://127.0.0.1:{page.address.port + 1}"):
        assert await refusal(page, origin=origin) == 403
        assert await refusal(page, origin=origin, fields={"authorization": f"Bearer {token}"}) == 403
    assert await refusal(page, fields={"cookie": cookie, "sec-fetch-site": "same-site"}) == 403
    assert page.requests == 0
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]
    async with opened(page) as shown:
        await shown.begin()
    async with opened(page, fields={"authorization": f"Bearer {token}"}) as shown:
        await shown.begin()


async def test_only_the_policy_of_styles_is_another(page: WebPage) -> None:
    folder, cookie = await cookie_of(page)
    for path in ("", "page.js", "terminals", "nothing"):
        answer = await ask_page(page.address, f"{folder}{path}", f"Cookie: {cookie}")
        (policy,) = answer.headers.get_list("content-security-policy")
        assert policy.split("; ") == [
            "default-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "object-src 'none'",
            "style-src 'self' 'unsafe-inline'",
        ]


async def test_sockets_have_a_limit(page: WebPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_app_module, "MOST_SOCKETS", 1)
    async with opened(page) as shown:
        await shown.begin()
        assert await refusal(page, fields={"cookie": (await cookie_of(page))[1]}) == 503


async def test_a_name_of_somebody_else_that_leads_here_gets_no_socket(page: WebPage) -> None:
    _, cookie = await cookie_of(page)
    upgrade = ("Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
    for host in ("evil.example", f"evil.example:{page.address.port}"):
        fields = ("Connection: Upgrade", f"Origin: http://{host}", f"Cookie: {cookie}", *upgrade)
        assert (await ask_page(page.address, "/socket", *fields, host=host)).status == 421


async def test_a_token_in_the_address_of_a_socket_opens_nothing(page: WebPage) -> None:
    token = page.url.partition("token=")[2]
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://{page.address}/socket?token={token}", origin=Origin(f"http://{page.address}"), proxy=None)
    assert refused.value.response.status_code == 401
    assert (await ask_page(page.address, f"/?token={token}")).status == 303, "it was not used up"


async def test_input_output_sizes_and_the_exit_status(page: WebPage) -> None:
    async with opened(page) as shown:
        await shown.begin()
        await shown.socket.send(b"echo $((40+2)); stty size\r")
        assert (await shown.until_got(b"24 80\r\n")).endswith(b"42\r\n")
        await shown.say(kind="resize", columns=100, rows=30)
        await shown.socket.send(b"until [ \"$(stty size)\" = '30 100' ]; do :; done; echo $TERM; echo done\r")
        assert (await shown.until_got(b"done\r\n")).endswith(b"xterm-256color\r\n")
        await shown.socket.send(b"exit 5\r")
        assert await shown.until_told("over") == {"kind": "over", "code": 5, "signal": 0}
        with pytest.raises(ConnectionClosed):
            await shown.next()


async def test_a_page_that_comes_back_goes_on_at_the_byte(here: Site, page: WebPage) -> None:
    async with opened(page) as shown:
        session = await shown.begin()
        await shown.socket.send(b"echo first; sleep 0.2; echo second; read x; echo it was $x\r")
        await shown.until_got(b"first\r\n")
        have = shown.count
        shown.socket.transport.abort()
    async with opened(page) as shown:
        began = await shown.go_on(session, have)
        assert began["offset"] == have
        await shown.socket.send(b"typed\r")
        assert await shown.until_got(b"it was typed\r\n") == b"second\r\n"
        received = began["received"]
        assert received == len(PLAIN) + len(b"echo first; sleep 0.2; echo second; read x; echo it was $x\r")


async def test_a_page_goes_on_when_the_app_was_started_anew(here: Site, page: WebPage) -> None:
    async with opened(page) as shown:
        session = await shown.begin()
        await shown.socket.send(b"x=kept; echo done\r")
        await shown.until_got(b"done\r\n")
        have = shown.count
    async with (
        page_terminals(lambda _: here.host.connect, 60.0) as terminals,
        Site(here.host, terminals, page_app(terminals), PageSession()).page() as anew,
        opened(anew) as shown,
    ):
        began = await shown.go_on(session, have)
        assert (began["offset"], began["received"]) == (0, 0)
        await shown.socket.send(b"echo it is $x\r")
        await shown.until_got(b"it is kept\r\n")


async def test_another_page_takes_over(page: WebPage) -> None:
    async with opened(page) as one, opened(page) as other:
        session = await one.begin()
        await other.go_on(session, -1)
        assert await one.until_told("elsewhere") == {"kind": "elsewhere"}
        with pytest.raises(ConnectionClosed):
            await one.next()
        await other.socket.send(b"echo here\r")
        await other.until_got(b"here\r\n")


async def test_a_flood_waits_in_the_program(here: Site, page: WebPage) -> None:
    async with opened(page) as shown:
        await shown.begin()
        shown.acknowledges = False
        await shown.socket.send(b"yes\r")
        piece = await shown.next()
        while not isinstance(piece, bytes):
            piece = await shown.next()
        (terminal,) = here.terminals.all
        (session,) = here.host.sessions.all
        with fail_after(PATIENCE):
            while session._outlets[1].room:  # noqa: ASYNC110 - it tells nobody
                await sleep(0.01)
        assert len(terminal.output._kept) <= 2 * KEPT, "one piece of the host may go past it"
        await shown.socket.send(b"\x03")
        assert await shown.until_told("taken")
        shown.acknowledges = True
        await shown.say(kind="have", count=shown.count)
        await shown.socket.send(b"echo; echo calm\r")
        await shown.until_got(b"\r\ncalm\r\n")


@pytest.mark.parametrize(
    "said",
    [
        "",
        "x",
        "[]",
        "{}",
        "null",
        '{"kind":1}',
        '{"kind":"other"}',
        '{"kind":"have"}',
        '{"kind":"have","count":-1}',
        '{"kind":"have","count":true}',
        '{"kind":"have","count":1e400}',
        '{"kind":"resize","columns":0,"rows":1}',
        '{"kind":"resize","columns":1,"rows":1001}',
        '{"kind":"resize","columns":1,"rows":1,"more":1}',
        '{"kind":"begin","peer":"' + "x" * 1025 + '","columns":1,"rows":1}',
        '{"kind":"go_on","peer":"","id":"../../etc/passwd","columns":1,"rows":1}',
        "[" * 4096,
        "x" * 4097,
    ],
)
async def test_what_a_page_may_not_say(page: WebPage, said: str) -> None:
    with pytest.raises(PageMistake):
        read_said(said)
    async with opened(page) as shown:
        await shown.socket.send(said)
        with fail_after(PATIENCE):
            await shown.socket.wait_closed()
        assert shown.socket.close_code == page_socket.MISTAKEN
        assert shown.socket.close_reason


@pytest.mark.parametrize(
    "said",
    [
        {"kind": "have", "count": 10**15},
        {"kind": "begin", "peer": "", **SIZE},
        {"kind": "go_on", "peer": "", "id": "a" * 32, **SIZE},
    ],
)
async def test_what_a_page_may_not_say_later(here: Site, page: WebPage, said: Mapping[str, object]) -> None:
    async with opened(page) as shown:
        session = await shown.begin()
        await shown.say(**said)
        await closed(shown)
        assert shown.socket.close_code == page_socket.MISTAKEN
    assert [each.id for each in here.terminals.all] == [session], "it is still there to go on with"


async def test_what_is_too_large_or_too_much_at_once_ends_the_socket(page: WebPage) -> None:
    for size, times, code in ((65537, 1, 1009), (MOST_INPUT, 3, page_socket.MISTAKEN)):
        async with opened(page) as shown:
            await shown.begin()
            await shown.socket.send(b"sleep 1000\r")  # which reads nothing
            with suppress(ConnectionClosed):
                for _ in range(times):
                    await shown.socket.send(b"x" * size)
            await closed(shown)
            assert shown.socket.close_code == code


async def test_what_cannot_be_had_is_said(page: WebPage, here: Site) -> None:
    async with opened(page) as shown:
        await shown.say(**{**BEGIN, "peer": "nobody"})
        assert await shown.until_told("refused") == {"kind": "refused", "text": "'nobody' names no host"}
    async with opened(page) as shown:
        await shown.say(kind="go_on", peer="", id="a" * 32, **SIZE)
        assert "no such session" in str(await shown.until_told("refused"))
    here.host.there = False
    async with opened(page) as shown:
        await shown.say(**BEGIN)
        assert "nobody is there" in str(await shown.until_told("refused"))
    assert await empty(here)


async def test_trouble_with_the_host_is_told_and_gone_through(here: Site, page: WebPage) -> None:
    async with opened(page) as shown:
        await shown.begin()
        here.host.there = False
        await here.host.break_connections()
        assert (await shown.until_told("trouble"))["text"]
        here.host.there = True
        assert (await shown.until_told("trouble"))["text"] == ""
        await shown.socket.send(b"echo still here\r")
        await shown.until_got(b"still here\r\n")


async def test_terminals_are_listed_ended_and_limited(
    here: Site, page: WebPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminals_of_pages, "MOST_TERMINALS", 1)
    folder, cookie = await cookie_of(page)

    async def listed() -> object:
        return (await ask_page(page.address, f"{folder}terminals", f"Cookie: {cookie}")).json()

    async with opened(page) as shown:
        session = await shown.begin()
        assert await listed() == {"terminals": [{"id": session, "peer": "", "shown": True}]}
        async with opened(page) as other:
            await other.say(**BEGIN)
            assert "as many as may be" in str(await other.until_told("refused"))
        await shown.say(kind="end")
        with pytest.raises(ConnectionClosed):
            await shown.until_told("over")
    assert await empty(here)
    assert await listed() == {"terminals": []}
    with fail_after(PATIENCE):
        while here.host.sessions.all:  # noqa: ASYNC110 - it tells nobody
            await sleep(0.01)


async def test_a_terminal_that_no_page_shows_ends() -> None:
    async with site(keep_seconds=0.1) as here, here.page() as page:
        async with opened(page) as shown:
            await shown.begin()
        assert await empty(here)


async def test_who_says_nothing_is_left(page: WebPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_socket, "BEGIN_SECONDS", 0.1)
    async with opened(page) as shown:
        with fail_after(PATIENCE):
            await shown.socket.wait_closed()


async def empty(here: Site) -> bool:
    """Whether all terminals go."""
    with fail_after(PATIENCE):
        while here.terminals.all:  # noqa: ASYNC110 - it tells nobody
            await sleep(0.01)
    return True


async def closed(shown: Shown) -> None:
    """Wait until the app has closed it."""
    with fail_after(PATIENCE), suppress(ConnectionClosed):
        while True:
            await shown.socket.recv()
