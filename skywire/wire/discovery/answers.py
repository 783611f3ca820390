"""What a discovery answers: reasons of refusal, messages, entries, lists, its own state.

Source: protocol-dmsg.md section 6.3, 6.4 and 6.7.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from operator import itemgetter
from typing import Final, final

from skywire.keys import PubKey
from skywire.wire.entry import Entry
from skywire.wire.gojson import json_string

MAX_AVAILABLE_SERVERS: Final = 512
"""Most servers in the answer to ``available_servers``, as upstream."""
MAX_LIST_SIZE: Final = 1 << 20
"""Most bytes of a list of entries or keys: 512 servers need some 300 KB, 15,000 keys fit."""

_INVALID: Final = "entry validation error: "
_JSON_TYPE: Final = "application/json"


class Reason(Enum):
    """Why a discovery refuses: the HTTP status, and the text by which Go clients know it."""

    KEY_NOT_FOUND = (404, "entry of public key is not found")
    NO_SERVERS = (404, "no delegated dmsg servers available for remote")
    UNEXPECTED = (500, "something unexpected happened")
    INVALID_SIGNATURE = (401, "invalid signature")
    BAD_INPUT = (400, "error bad input")
    NO_VERSION = (422, _INVALID + "entry has no version")
    NO_SIGNATURE = (422, _INVALID + "entry has no signature")
    NO_KEY = (422, _INVALID + "entry Keys is nil")
    NO_PART = (422, _INVALID + "entry has neither client or server field")
    NO_ADDRESS = (422, _INVALID + "server address cannot be empty")
    LOOPBACK_ADDRESS = (422, _INVALID + "advertising localhost listening address is not allowed in production mode")
    OUTDATED = (422, _INVALID + "advertised entry has outdated timestamp")
    WRONG_SEQUENCE = (422, _INVALID + "sequence field of new entry is not sequence of old entry + 1")
    WRONG_TIME = (422, _INVALID + "advertised entry timestamp is not greater than previous")
    NON_ZERO_SEQUENCE = (422, _INVALID + "new entry has non-zero sequence")
    """Known to clients, no longer sent; so are the next two."""
    NO_EPHEMERALS = (422, _INVALID + "entry of client instance has nil ephemeral keys")
    EPHEMERALS = (422, _INVALID + "entry of server instance has non nil Keys.Ephemerals field")

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        self.text = text


@final
@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer.

    Args:
        status: the HTTP status.
        body: the whole body.
        content_type: the header's value; empty for no such header.
    """

    status: int
    body: bytes
    content_type: str = _JSON_TYPE


def _message(status: int, text: str) -> Answer:
    return Answer(status, f'{{"message":{json_string(text)},"code":{status}}}'.encode())


def refusal(reason: Reason) -> Answer:
    """The answer that says why not; UNEXPECTED is also for a store that fails."""
    return _message(reason.status, reason.text)


STORED_FIRST: Final = _message(200, "wrote a new entry")
"""The answer to a first registration."""
STORED_NEXT: Final = _message(200, "wrote new entry iteration")
"""The answer to an update."""
DELETED: Final = _message(200, "deleted entry")
"""The answer to a deletion, also of what was not there."""
NOT_FOUND: Final = Answer(404, b"404 page not found\n", "text/plain; charset=utf-8")
"""The answer to a path that does not exist."""
METHOD_NOT_ALLOWED: Final = Answer(405, b"", "")
"""The answer to a method that a path does not have."""


def answer_entry(stored: Entry | None) -> Answer:
    """The answer with the entry of a key."""
    return refusal(Reason.KEY_NOT_FOUND) if stored is None else Answer(200, stored.to_json())


def answer_available_servers(stored: Iterable[Entry]) -> Answer:
    """The answer with the servers that want sessions, the emptiest first.

    Args:
        stored: all servers' entries, in random order, which decides who is left out and who is first among equals.
    """
    sessions = [(entry.server.available_sessions, entry) for entry in stored if entry.server is not None]
    wanting = [pair for pair in sessions if pair[0] > 0][:MAX_AVAILABLE_SERVERS]
    wanting.sort(key=itemgetter(0), reverse=True)
    return _answer_servers([entry for _, entry in wanting])


def answer_all_servers(stored: Iterable[Entry]) -> Answer:
    """The answer with all servers.

    Args:
        stored: all servers' entries, in random order.
    """
    return _answer_servers([entry for entry in stored if entry.server is not None])


def _answer_servers(entries: list[Entry]) -> Answer:
    if not entries:
        return refusal(Reason.NO_SERVERS)
    return Answer(200, b"[" + b",".join([entry.to_json() for entry in entries]) + b"]")


def answer_keys(keys: Iterable[PubKey]) -> Answer:
    """The answer with the keys of an index."""
    return Answer(200, f"[{_quoted_keys(keys)}]".encode())


@final
@dataclass(frozen=True, slots=True)
class Health:
    """What a discovery says about itself.

    Args:
        started_ns: when it started, Unix time in nanoseconds.
        version: of the program.
        commit: it was built from.
        date: of the build.
        dmsg_address: where its API is served over dmsg, key:port; empty for nowhere.
        dmsg_servers: the servers it is reached through there.
    """

    started_ns: int
    version: str = "unknown"
    commit: str = "unknown"
    date: str = "unknown"
    dmsg_address: str = ""
    dmsg_servers: tuple[PubKey, ...] = ()


def answer_health(health: Health) -> Answer:
    """The answer with the state of the service."""
    build = ",".join(
        f'"{name}":{json_string(text)}'
        for name, text in (("version", health.version), ("commit", health.commit), ("date", health.date))
    )
    text = f'{{"build_info":{{{build}}},"started_at":"{_rfc3339(health.started_ns)}"'
    if health.dmsg_address:
        text += f',"dmsg_address":{json_string(health.dmsg_address)}'
    if health.dmsg_servers:
        text += f',"dmsg_servers":[{_quoted_keys(health.dmsg_servers)}]'
    return Answer(200, (text + "}").encode())


def _quoted_keys(keys: Iterable[PubKey]) -> str:
    return ",".join([f'"{key.hex()}"' for key in keys])


def _rfc3339(time_ns: int) -> str:
    seconds, fraction = divmod(time_ns, 10**9)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction:09}".rstrip("0").rstrip(".") + "Z"
