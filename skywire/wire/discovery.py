"""The HTTP API of the dmsg discovery, without the HTTP and without the store: what each request means.

A server does the input and output around it::

    route(method, path)
    ├ GET_ENTRY          requested_key, then answer_entry of what is stored
    ├ POST_ENTRY         admit_post, then judge_post of what is stored, then do what the Verdict says
    ├ DELETE_ENTRY       admit_delete, then judge_delete, likewise
    ├ DEREGISTER         judge_deregister, likewise
    ├ AVAILABLE_SERVERS  answer_available_servers     ALL_SERVERS  answer_all_servers
    ├ CLIENTS, VISORS    answer_keys
    └ HEALTH             answer_health

A client gives each answer to :func:`check_answer`, and lists of entries to :func:`entries_from_json`.

Source: protocol-dmsg.md section 6.3 to 6.8 and 8.3.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, final
from urllib.parse import unquote_plus

from skywire.errors import InvalidKey, LocalProtocolError, ProtocolError
from skywire.keys import PubKey, Signature
from skywire.wire.entry import Entry, EntryError, Members, entry_of, json_string, read_json

MAX_LIST_SIZE: Final = 1 << 22
"""Most bytes of a list of entries or keys: 512 listed servers need less than 1 MiB, 60,000 keys fit."""
MAX_MESSAGE_SIZE: Final = 1 << 12
"""Most bytes of an answer that says no more than a message; upstream's are below 200."""
MAX_AVAILABLE_SERVERS: Final = 512
"""Most servers in the answer to ``available_servers``, as upstream."""
MAX_AGE_NS: Final = 60 * 10**9
"""How old, in nanoseconds, an entry that has to be fresh may be."""
MAX_AHEAD_NS: Final = 5 * 10**9
"""How far in the future, in nanoseconds, because clocks differ."""
SERVER_TTL_S: Final = 120
"""Seconds that a server's entry is kept: two of its update intervals."""
SHORT_TTL_S: Final = 180
"""Seconds that a client's entry is kept when its client asked for it, as visors before 2022 do."""
TOMBSTONE_TTL_S: Final = 24 * 3600
"""Seconds that a deleted entry is remembered."""
OFFICIAL: Final = "official"
"""The type of a server that showed the passphrase, or is on the list."""
COMMUNITY: Final = "community"
"""The type of every other server."""
VISOR: Final = "visor"
"""The client type that puts a client on the list of visors."""

_INVALID_ENTRY: Final = "entry validation error: "
_NOT_INTEGER: Final = "address has no port"


class Reason(Enum):
    """Why a discovery refuses: the HTTP status, and the text by which Go clients know it."""

    KEY_NOT_FOUND = (404, "entry of public key is not found")
    NO_SERVERS = (404, "no delegated dmsg servers available for remote")
    UNEXPECTED = (500, "something unexpected happened")
    INVALID_SIGNATURE = (401, "invalid signature")
    BAD_INPUT = (400, "error bad input")
    NO_VERSION = (422, _INVALID_ENTRY + "entry has no version")
    NO_SIGNATURE = (422, _INVALID_ENTRY + "entry has no signature")
    NO_KEY = (422, _INVALID_ENTRY + "entry Keys is nil")
    NO_PART = (422, _INVALID_ENTRY + "entry has neither client or server field")
    NO_ADDRESS = (422, _INVALID_ENTRY + "server address cannot be empty")
    LOOPBACK_ADDRESS = (422, _INVALID_ENTRY + "advertising localhost listening address is not allowed in production mode")
    OUTDATED = (422, _INVALID_ENTRY + "advertised entry has outdated timestamp")
    WRONG_SEQUENCE = (422, _INVALID_ENTRY + "sequence field of new entry is not sequence of old entry + 1")
    WRONG_TIME = (422, _INVALID_ENTRY + "advertised entry timestamp is not greater than previous")
    NON_ZERO_SEQUENCE = (422, _INVALID_ENTRY + "new entry has non-zero sequence")
    """Known to clients, no longer sent; so are the next two."""
    NO_EPHEMERALS = (422, _INVALID_ENTRY + "entry of client instance has nil ephemeral keys")
    EPHEMERALS = (422, _INVALID_ENTRY + "entry of server instance has non nil Keys.Ephemerals field")

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        self.text = text
