"""Where requests go."""

from __future__ import annotations

import pytest

from skywire.wire.discovery import (
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    Action,
    Answer,
    Reason,
    Route,
    asks_short_life,
    refusal,
    requested_key,
    route,
)
from tests.wire.memory_discovery import ALICE


@pytest.mark.parametrize(
    ("method", "path", "where"),
    [
        ("GET", "/dmsg-discovery/entry/abc", Route(Action.GET_ENTRY, "abc")),
        ("GET", "/dmsg-discovery/entry/%30", Route(Action.GET_ENTRY, "%30")),
        ("POST", "/dmsg-discovery/entry/", Route(Action.POST_ENTRY)),
        ("POST", "/dmsg-discovery/entry/anything", Route(Action.POST_ENTRY, "anything")),
        ("DELETE", "/dmsg-discovery/entry", Route(Action.DELETE_ENTRY)),
        ("GET", "/dmsg-discovery/available_servers", Route(Action.AVAILABLE_SERVERS)),
        ("GET", "/dmsg-discovery/all_servers", Route(Action.ALL_SERVERS)),
        ("GET", "/dmsg-discovery/entries", Route(Action.CLIENTS)),
        ("GET", "/dmsg-discovery/visorEntries", Route(Action.VISORS)),
        ("DELETE", "/dmsg-discovery/deregister", Route(Action.DEREGISTER)),
        ("GET", "/health", Route(Action.HEALTH)),
        ("POST", "/dmsg-discovery/entry", METHOD_NOT_ALLOWED),
        ("GET", "/dmsg-discovery/entry/", METHOD_NOT_ALLOWED),
        ("DELETE", "/dmsg-discovery/entry/abc", METHOD_NOT_ALLOWED),
        ("HEAD", "/health", METHOD_NOT_ALLOWED),
        ("BREW", "/nowhere", METHOD_NOT_ALLOWED),
        ("POST", "/dmsg-discovery/deregister", METHOD_NOT_ALLOWED),
        ("GET", "/nowhere", NOT_FOUND),
        ("GET", "", NOT_FOUND),
        ("GET", "/", NOT_FOUND),
        ("GET", "/health/", NOT_FOUND),
        ("POST", "/dmsg-discovery/entry/a/b", NOT_FOUND),
        ("POST", "/dmsg-discovery/entry//", NOT_FOUND),
        ("GET", "/DMSG-discovery/entries", NOT_FOUND),
    ],
)
def test_routes(method: str, path: str, where: Route | Answer) -> None:
    assert route(method, path) == where


def test_requested_keys() -> None:
    assert requested_key(ALICE.public.hex()) == ALICE.public
    assert requested_key(ALICE.public.hex().upper()) == ALICE.public
    assert requested_key("00") == refusal(Reason.KEY_NOT_FOUND)
    assert requested_key("xyz") == refusal(Reason.BAD_INPUT)
    assert requested_key("02" + "f" * 64) == refusal(Reason.BAD_INPUT)


@pytest.mark.parametrize(
    ("query", "short"),
    [
        ("", False),
        ("timeout=true", True),
        ("timeout=false", False),
        ("timeout=TRUE", False),
        ("timeout", False),
        ("a=1&timeout=true", True),
        ("timeout=false&timeout=true", False),
        ("t%69meout=%74rue", True),
    ],
)
def test_short_life(query: str, short: bool) -> None:
    assert asks_short_life(query) is short
