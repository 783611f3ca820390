"""The page of the log server: its files, and its stream of events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from anyio import connect_tcp, fail_after
from anyio.abc import ByteStream

from skywire.app.facility import Facilities
from skywire.app.trial import Trial, trial
from skywire.apps.log_server import LOG_SERVER, log_sources
from skywire.net.address import HostPort
from tests.app.site import definition, instance
from tests.apps.asking import PATIENCE, ask_page, receive_until, request
from tests.apps.node import node

pytestmark = pytest.mark.anyio


async def open_page(app: Trial) -> tuple[HostPort, str]:
    """Where the page is, and the field that opens it."""
    url = await app.call("page")
    assert isinstance(url, str)
    address, _, token = url.removeprefix("http://").partition("/?token=")
    return HostPort.parse(address), f"Authorization: Bearer {token}"


@asynccontextmanager
async def events(app: Trial, *fields: str) -> AsyncIterator[ByteStream]:
    where, proof = await open_page(app)
    async with await connect_tcp(where.host, where.port) as stream:
        await stream.send(request("/events", proof, *fields, host=str(where)))
        yield stream


def event(kind: str, received: bytes) -> list[object]:
    """The data of all events of a kind."""
    parts = received.split(f"event: {kind}\ndata: ".encode())[1:]
    return [json.loads(part.partition(b"\n")[0]) for part in parts]


@pytest.mark.parametrize(
    ("path", "kind"), [("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")]
)
async def test_its_files_are_served_to_who_may(path: str, kind: str) -> None:
    async with trial(LOG_SERVER) as app:
        where, proof = await open_page(app)
        answer = await ask_page(where, path, proof)
        assert (answer.status, answer.headers["content-type"]) == (200, f"{kind}; charset=utf-8")
        assert answer.headers["content-security-policy"].startswith("default-src 'self'")
        assert (await ask_page(where, path)).status == 401
        assert (await ask_page(where, "/events")).status == 401
        assert (await ask_page(where, "/skywire.log", proof)).status == 404


async def test_who_comes_late_gets_the_past_once_and_then_what_comes(tmp_path: Path) -> None:
    async with node(tmp_path, "chat") as here, trial(LOG_SERVER, facilities=here.facilities) as app:
        here.say("chat", "before")
        async with events(app) as stream:
            received = await receive_until(stream, b"before")
            here.say("core", "after")
            received = await receive_until(stream, b"after", received)
        assert received.count(b"before") == 1
        assert b"retry: 2000" in received
        (rows,) = event("apps", received)
        assert isinstance(rows, list)
        assert [(row["name"], row["state"], row["restarts"]) for row in rows] == [("chat", "running", 0)]
        mark = received.rpartition(b"id: ")[2].partition(b"\n")[0].decode()
        here.say("chat", "meanwhile")
        async with events(app, f"Last-Event-ID: {mark}") as stream:
            received = await receive_until(stream, b"meanwhile")
        assert b"before" not in received
        assert b"after" not in received


async def test_lines_that_came_too_fast_are_counted(tmp_path: Path) -> None:
    async with node(tmp_path, "chat") as here, trial(LOG_SERVER, facilities=here.facilities) as app:
        here.say("chat", "before")
        async with events(app) as stream:
            received = await receive_until(stream, b"before")
            for number in range(log_sources.WAITING + 7):
                here.say("core", f"number {number}")
            received = await receive_until(stream, b"event: dropped", received)
            received = await receive_until(stream, b"}", received.partition(b"event: dropped")[2])
        assert received.startswith(b'\ndata: {"count": 7}')


async def test_a_new_app_is_followed_and_a_change_is_told(tmp_path: Path) -> None:
    async with node(tmp_path) as here, trial(LOG_SERVER, facilities=here.facilities) as app, events(app) as stream:
        await receive_until(stream, b"event: apps")
        await here.site.launcher.add(instance(definition("chat")))
        await receive_until(stream, b'"name": "chat", "state": "running"')
        here.say("chat", "a first word")
        await receive_until(stream, b"a first word")


async def test_without_a_visor_it_says_why_there_is_nothing() -> None:
    async with trial(LOG_SERVER, facilities=Facilities()) as app, events(app) as stream:
        received = await receive_until(stream, b"\n0\r\n")
        (trouble,) = event("trouble", received)
        assert trouble == {"reason": "visor-api is absent: this process does not have it"}


async def test_who_looks_does_not_hold_the_app_up(tmp_path: Path) -> None:
    async with node(tmp_path) as here, trial(LOG_SERVER, facilities=here.facilities) as app, events(app) as stream:
        await receive_until(stream, b"event: apps")
        with fail_after(PATIENCE):
            assert (await app.restart()).state == "running"
