"""Where a request goes, and what it names.

Source: protocol-dmsg.md section 6.3 and 6.7.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, final
from urllib.parse import unquote_plus

from skywire.errors import InvalidKey
from skywire.keys import PubKey
from skywire.wire.discovery.answers import METHOD_NOT_ALLOWED, NOT_FOUND, Answer, Reason, refusal

_METHODS: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})


class Action(Enum):
    """What a request asks for."""

    GET_ENTRY = "entry of a key"
    POST_ENTRY = "register or update an entry"
    DELETE_ENTRY = "delete an entry"
    AVAILABLE_SERVERS = "servers that want sessions"
    ALL_SERVERS = "all servers"
    CLIENTS = "keys of all clients"
    VISORS = "keys of all visors"
    DEREGISTER = "remove entries of others"
    HEALTH = "state of the service"


@final
@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes.

    Args:
        action: what it asks for.
        key: the text where the path names a key, otherwise empty.
    """

    action: Action
    key: str = ""


_ENTRY_PATH: Final = "/dmsg-discovery/entry"
_ENTRY_METHODS: Final = {"GET": Action.GET_ENTRY, "POST": Action.POST_ENTRY}
_PATHS: Final = {
    _ENTRY_PATH: {"DELETE": Action.DELETE_ENTRY},
    f"{_ENTRY_PATH}/": {"POST": Action.POST_ENTRY},
    "/dmsg-discovery/available_servers": {"GET": Action.AVAILABLE_SERVERS},
    "/dmsg-discovery/all_servers": {"GET": Action.ALL_SERVERS},
    "/dmsg-discovery/entries": {"GET": Action.CLIENTS},
    "/dmsg-discovery/visorEntries": {"GET": Action.VISORS},
    "/dmsg-discovery/deregister": {"DELETE": Action.DEREGISTER},
    "/health": {"GET": Action.HEALTH},
}


def route(method: str, path: str) -> Route | Answer:
    """Where a request goes, or the answer when it goes nowhere.

    Args:
        method: upper case.
        path: as requested, still percent-encoded, without the query.

    Source: protocol-dmsg.md section 6.3.
    """
    if method not in _METHODS:
        return METHOD_NOT_ALLOWED
    key = ""
    actions = _PATHS.get(path)
    if actions is None:
        parent, _, key = path.rpartition("/")
        if parent != _ENTRY_PATH:
            return NOT_FOUND
        actions = _ENTRY_METHODS
    action = actions.get(method)
    return METHOD_NOT_ALLOWED if action is None else Route(action, key)


def requested_key(text: str) -> PubKey | Answer:
    """The key that a path names, or the answer when there can be no entry of it."""
    try:
        key = PubKey.from_optional_hex(text)
    except InvalidKey:
        return refusal(Reason.BAD_INPUT)
    return refusal(Reason.KEY_NOT_FOUND) if key is None else key


def asks_short_life(query: str) -> bool:
    """Whether the query of a POST asks that a client's entry expires: its first ``timeout`` is ``true``."""
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if unquote_plus(name) == "timeout":
            return unquote_plus(value) == "true"
    return False
