"""The health of a dmsg server: upstream's form, over HTTP."""

from __future__ import annotations

import json
import re

import httpx
import pytest

from skywire import __version__
from skywire.dmsg.relay.health import health_app
from tests.vectors_io import load

pytestmark = pytest.mark.anyio

STARTED_NS = 1_795_404_972_764_145_421


def recorded() -> str:
    """What the Go program answered."""
    steps = load("disc_http.json").many("steps")
    (found,) = [step for step in steps if "path" in step and step.text("path") == "/health"]
    return found.text("response")


async def ask(method: str, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(health_app(STARTED_NS))
    async with httpx.AsyncClient(transport=transport, base_url="http://relay") as client:
        return await client.request(method, path)


async def test_the_answer_is_upstreams_but_for_the_version() -> None:
    answer = await ask("GET", "/health")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.text == recorded().replace("unknown", __version__, 1)


def test_the_recorded_answer_has_the_members_of_a_server() -> None:
    members = json.loads(recorded())
    assert list(members) == ["build_info", "started_at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", members["started_at"])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/health/", 404),
        ("GET", "/metrics", 404),
        ("POST", "/health", 405),
        ("HEAD", "/health", 200),
    ],
)
async def test_nothing_else_is_there(method: str, path: str, status: int) -> None:
    assert (await ask(method, path)).status_code == status
