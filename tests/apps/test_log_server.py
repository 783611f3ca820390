"""The log server over the network: every path for everybody whom it may be asked by."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from anyio import fail_after, sleep_forever, wait_all_tasks_blocked

from skywire.app.command import NoSuchCommand
from skywire.app.facility import VISOR_API
from skywire.app.run_mode import RunMode
from skywire.app.trial import Trial, TrialFailed, trial
from skywire.apps.log_server import HTTP, LOG_SERVER, LogServerOptions
from skywire.apps.log_server.follows import MOST_OF_ONE
from skywire.apps.log_server.log_query import LONGEST_ENTRY, MOST_LINES
from skywire.errors import SkywireError
from skywire.keys import PubKey, SecKey
from skywire.net.address import HostPort
from skywire.net.conn import Conn, Owner
from skywire.version import __version__
from tests.apps.asking import PATIENCE, following, get, only, receive_all, receive_until
from tests.apps.node import MEMORY, NODE, RELAY, Node, node

pytestmark = pytest.mark.anyio

STRANGER = SecKey.generate().public
FRIEND = SecKey.generate().public
PUBLIC = ("/", "/health", "/services")
CLOSED = ("/node-info", "/node-info/checksum", "/skywire.log", "/visor.log", "/apps", "/apps/chat/log", "/stats")
NASTY = "<script>alert(1)</script> \x1b[2J\x1b]0;owned\x07 \x00 \u202e \r\nGET / HTTP/1.1"


async def hold(conn: Conn) -> None:
    await sleep_forever()


@asynccontextmanager
async def log_server(
    here: Node, *, allow: tuple[PubKey, ...] = (FRIEND,), folder: Path | None = None
) -> AsyncIterator[Trial]:
    options = LogServerOptions(allow=allow, local=None, folder=folder)
    async with trial(LOG_SERVER, options, facilities=here.facilities) as app:
        yield app


@pytest.mark.parametrize("path", PUBLIC)
async def test_everybody_may_see_what_is_public(tmp_path: Path, path: str) -> None:
    async with node(tmp_path) as here, log_server(here) as app:
        for peer in (STRANGER, FRIEND, None):
            answer = await get(app, HTTP, path, peer=peer)
            assert answer.status == 200
            assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", CLOSED)
async def test_the_rest_is_for_allowed_keys_and_this_node_itself(tmp_path: Path, path: str) -> None:
    async with node(tmp_path, "chat") as here:
        async with log_server(here) as app:
            assert (await get(app, HTTP, path, peer=STRANGER)).status == 401
            assert (await get(app, HTTP, f"{path}?follow=1", peer=STRANGER)).status == 401
            assert (await get(app, HTTP, path, peer=FRIEND)).status == 200
            assert (await get(app, HTTP, path)).status == 200
        async with log_server(here, allow=()) as app:
            assert (await get(app, HTTP, path, peer=FRIEND)).status == 401, "no list lets nobody in"
            assert (await get(app, HTTP, path)).status == 200


@pytest.mark.parametrize("mode", [RunMode.DMSG_STANDALONE, RunMode.TCP_STANDALONE, RunMode.VISOR_APP])
async def test_without_a_visor_it_says_so_and_serves_the_rest(mode: RunMode) -> None:
    async with trial(LOG_SERVER, LogServerOptions(allow=(FRIEND,)), mode=mode) as app:
        port = 8083 if mode is RunMode.TCP_STANDALONE else 80
        assert app.info.ports == {"http": port}
        for path in CLOSED:
            answer = await get(app, port, path, peer=FRIEND)
            assert answer.status == 503
            assert only(answer.text.splitlines())
            assert (await get(app, port, path, peer=STRANGER)).status == 401
        assert (await get(app, port, "/health", peer=STRANGER)).status == 200
        services = (await get(app, port, "/services", peer=STRANGER)).json()
        assert services == [{"port": port, "label": "log-server"}]


async def test_a_visor_that_comes_later_is_asked(tmp_path: Path) -> None:
    async with node(tmp_path) as here:
        here.facilities.withdraw(VISOR_API, "it is not up yet")
        async with log_server(here) as app:
            answer = await get(app, HTTP, "/stats")
            assert (answer.status, answer.text) == (503, "visor-api is absent: it is not up yet\n")
            here.facilities.provide(VISOR_API, here.visor)
            assert (await get(app, HTTP, "/stats")).status == 200


async def test_the_health_is_as_upstream_has_it(tmp_path: Path) -> None:
    async with node(tmp_path) as here, log_server(here) as app:
        answer = await get(app, HTTP, "/health", peer=STRANGER)
        assert answer.json() == {
            "build_info": {"version": __version__, "commit": "unknown", "date": "unknown"},
            "started_at": "2023-11-14T22:13:20Z",
        }


async def test_the_index_is_for_people_and_programs(tmp_path: Path) -> None:
    async with node(tmp_path) as here, log_server(here) as app:
        index = (await get(app, HTTP, "/", peer=STRANGER)).json()
        assert isinstance(index, dict)
        assert "/apps/<name>/log" in index["allowed"]
        page = await get(app, HTTP, "/", "Accept: text/html,*/*", peer=STRANGER)
        assert page.headers["content-type"].startswith("text/html")
        assert "/apps/&lt;name&gt;/log" in page.text


async def test_services_are_the_public_ones(tmp_path: Path) -> None:
    async with node(tmp_path) as here, log_server(here) as app:
        assert (await get(app, HTTP, "/services", peer=STRANGER)).json() == [{"port": 1, "label": "chat"}]


async def test_what_is_told_of_the_node(tmp_path: Path) -> None:
    async with node(tmp_path, "chat") as here, log_server(here) as app:
        answer = await get(app, HTTP, "/node-info", peer=FRIEND)
        info = answer.json()
        assert isinstance(info, dict)
        assert info["public_key"] == str(NODE)
        assert info["dmsg_servers"] == [str(RELAY)]
        assert "secret" not in answer.text, "where its files are is nobody's business"
        checksum = await get(app, HTTP, "/node-info/checksum", peer=FRIEND)
        assert checksum.text.strip() == hashlib.sha256(answer.body).hexdigest()
        stats = (await get(app, HTTP, "/stats", peer=FRIEND)).json()
        assert isinstance(stats, dict)
        assert stats["memory"] == MEMORY
        assert stats["uptime"] > 0
        apps = (await get(app, HTTP, "/apps", peer=FRIEND)).json()
        assert isinstance(apps, list)
        assert [(each["name"], each["state"]) for each in apps] == [("chat", "running")]


async def test_connections_are_counted_by_app(tmp_path: Path) -> None:
    async with node(tmp_path) as here, log_server(here) as app:
        registry = here.site.registry
        registration = registry.register(9, hold, label="held", owner=Owner("held"), peers=frozenset())
        async with registry.self_dial(9, owner=Owner("caller")):
            await wait_all_tasks_blocked()
            stats = (await get(app, HTTP, "/stats", peer=FRIEND)).json()
            assert isinstance(stats, dict)
            assert stats["connections"] == {"caller": 1, "held": 1}
        await registry.unregister(registration)


async def test_logs_are_filtered(tmp_path: Path) -> None:
    async with node(tmp_path, "chat") as here, log_server(here) as app:
        for number in range(5):
            here.say("core", f"line {number}", logging.WARNING if number % 2 else logging.INFO)
            here.say("chat", f"Chat {number}")

        async def texts(path: str) -> list[str]:
            answer = await get(app, HTTP, path, peer=FRIEND)
            assert answer.status == 200, answer.text
            assert answer.headers["content-type"] == "text/plain; charset=utf-8"
            return [line.partition("sayings: ")[2] for line in answer.text.splitlines() if "sayings: " in line]

        everything = [f"line {number}" for number in range(5)]
        assert await texts("/skywire.log") == everything
        assert await texts("/visor.log?limit=2") == everything[-2:]
        assert await texts("/skywire.log?min-level=warn") == ["line 1", "line 3"]
        assert await texts("/skywire.log?module=skywire.test&grep=LINE%203") == ["line 3"]
        assert await texts("/skywire.log?module=skywire.tes") == []
        assert await texts("/apps/chat/log?grep=4") == ["Chat 4"]
        counted = await get(app, HTTP, "/skywire.log?grep=sayings", peer=FRIEND)
        seen = counted.headers["x-log-lines"]
        assert await texts(f"/skywire.log?since-line={seen}") == []
        here.say("core", "one more")
        assert await texts(f"/skywire.log?since-line={seen}") == ["one more"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("min-level=loud", "min-level is one of trace, debug"),
        ("limit=0", "limit is a number from 1 to"),
        (f"limit={MOST_LINES + 1}", "limit is a number"),
        ("since-line=-1", "since-line is a number"),
        ("since-line=%D9%A3", "since-line is a number"),
        ("follow=maybe", "follow is 1 or 0"),
        ("minlevel=error", "there is no parameter 'minlevel'; there are: min-level"),
    ],
)
async def test_a_query_that_is_not_understood_is_refused(tmp_path: Path, query: str, words: str) -> None:
    async with node(tmp_path) as here, log_server(here) as app:
        answer = await get(app, HTTP, f"/skywire.log?{query}", peer=FRIEND)
        assert answer.status == 400
        assert words in answer.text


async def test_what_is_not_there(tmp_path: Path) -> None:
    async with node(tmp_path) as here, log_server(here) as app:
        assert (await get(app, HTTP, "/nothing", peer=STRANGER)).status == 404
        assert (await get(app, HTTP, "/apps/nobody/log", peer=FRIEND)).status == 404
        assert (await get(app, HTTP, "/apps/..%2f..%2fetc/log", peer=FRIEND)).status == 404


async def test_hostile_lines_are_shown_inert(tmp_path: Path) -> None:
    async with node(tmp_path) as here, log_server(here) as app:
        here.say("core", NASTY)
        here.say("core", "x" * 1_000_000)
        answer = await get(app, HTTP, "/skywire.log?module=skywire.test", peer=FRIEND)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "default-src 'none'"
        first, second, long = answer.text.splitlines()
        assert first.endswith("<script>alert(1)</script> \\x1b[2J\\x1b]0;owned\\x07 \\x00 \\u202e \\r")
        assert second == "  GET / HTTP/1.1", "it cannot be taken for an entry of its own"
        assert LONGEST_ENTRY < len(long) < LONGEST_ENTRY + 100
        assert long.endswith("characters more")
        raw = await get(app, HTTP, "/skywire.log?module=skywire.test&raw=1", peer=FRIEND)
        assert b"\x1b[2J" in raw.body
        assert b"x" * 1_000_000 in raw.body
        assert raw.headers["content-type"] == "text/plain; charset=utf-8"


async def test_a_log_is_followed_from_what_is_kept(tmp_path: Path) -> None:
    async with node(tmp_path, "chat") as here, log_server(here) as app:
        here.say("chat", "before")
        async with following(app, HTTP, "/apps/chat/log?follow=1&min-level=info", peer=FRIEND) as stream:
            received = await receive_until(stream, b"before")
            here.say("chat", "too quiet", logging.DEBUG)
            here.say("chat", NASTY)
            received = await receive_until(stream, b"GET / HTTP/1.1\n", received)
        assert received.count(b"before") == 1
        assert b"too quiet" not in received
        assert b"\x1b" not in received


async def test_who_leaves_makes_room(tmp_path: Path) -> None:
    async with node(tmp_path) as here, log_server(here) as app:
        here.say("core", "before")
        path = "/skywire.log?follow=1"

        async def follow(number: int) -> None:
            async with following(app, HTTP, path, peer=FRIEND) as stream:
                await receive_until(stream, b"before")
                if number > 1:
                    await follow(number - 1)
                else:
                    assert (await get(app, HTTP, path, peer=FRIEND)).status == 429
                    async with following(app, HTTP, path) as other:
                        await receive_until(other, b"before")

        await follow(MOST_OF_ONE)
        with fail_after(PATIENCE):
            while True:
                async with following(app, HTTP, path, peer=FRIEND) as stream:
                    if b"429" not in await stream.receive():
                        break


async def test_following_ends_when_the_app_stops(tmp_path: Path) -> None:
    async with node(tmp_path) as here, log_server(here) as app:
        here.say("core", "before")
        async with following(app, HTTP, "/skywire.log?follow=1", peer=FRIEND) as stream:
            await receive_until(stream, b"before")
            with fail_after(2.0):  # less than connections have to end by themselves
                assert (await app.restart()).state == "running"
            assert (await receive_all(stream)).endswith(b"0\r\n\r\n"), "it was told that this is all"


async def test_files_are_offered_to_everybody(tmp_path: Path) -> None:
    folder = tmp_path / "public"
    folder.mkdir()
    (folder / "hello.txt").write_text("hello")
    (folder / ".hidden").write_text("no")
    (folder / "health").write_text("not this")
    async with node(tmp_path) as here, log_server(here, folder=folder) as app:
        assert (await get(app, HTTP, "/hello.txt", peer=STRANGER)).text == "hello"
        assert (await get(app, HTTP, "/.hidden", peer=STRANGER)).status == 404
        assert (await get(app, HTTP, "/../log/core.log", peer=STRANGER)).status == 404
        assert (await get(app, HTTP, "/health", peer=STRANGER)).headers["content-type"] == "application/json"


async def test_a_folder_that_is_missing_costs_the_files_alone(tmp_path: Path) -> None:
    async with node(tmp_path) as here, log_server(here, folder=tmp_path / "nothing") as app:
        assert (await get(app, HTTP, "/health", peer=STRANGER)).status == 200
        assert (await get(app, HTTP, "/hello.txt", peer=STRANGER)).status == 404
        trouble = app.info.status.trouble
        assert trouble is not None
        assert "its files are not served" in trouble


async def test_its_status_has_the_page_without_the_token() -> None:
    async with trial(LOG_SERVER) as app:
        url = await app.call("page")
        assert isinstance(url, str)
        address, _, token = url.partition("/?token=")
        assert len(token) >= 43
        await get(app, HTTP, "/health")
        assert app.info.status.facts == {"page": address.removeprefix("http://"), "requests": 1}


async def test_the_page_can_be_left_out() -> None:
    async with trial(LOG_SERVER, LogServerOptions(local=None)) as app:
        with pytest.raises(SkywireError, match="log-server has no page: set its option local"):
            await app.call("page")
        with pytest.raises(NoSuchCommand):
            await app.call("pages")


async def test_the_page_is_for_this_machine() -> None:
    with pytest.raises(TrialFailed, match="publish it over the network"):
        async with trial(LOG_SERVER, LogServerOptions(local=HostPort("0.0.0.0", 0))):
            pass
