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

Between reading what is stored of a key and doing what the verdict says, nobody else may change it.

A client gives each answer to :func:`check_answer`, and lists of entries to :func:`entries_from_json`.

Source: protocol-dmsg.md section 6.3 to 6.8 and 8.3.
"""

from skywire.wire.discovery.answers import (
    DELETED,
    MAX_AVAILABLE_SERVERS,
    MAX_LIST_SIZE,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    STORED_FIRST,
    STORED_NEXT,
    Answer,
    Health,
    Reason,
    answer_all_servers,
    answer_available_servers,
    answer_entry,
    answer_health,
    answer_keys,
    refusal,
)
from skywire.wire.discovery.client import MAX_MESSAGE_SIZE, DiscoveryRefused, check_answer, entries_from_json
from skywire.wire.discovery.routes import Action, Route, asks_short_life, requested_key, route
from skywire.wire.discovery.rules import (
    COMMUNITY,
    MAX_AGE_NS,
    MAX_AHEAD_NS,
    OFFICIAL,
    SERVER_TTL_S,
    SHORT_TTL_S,
    TOMBSTONE_TTL_S,
    VISOR,
    Admitted,
    Index,
    Rules,
    Tombstone,
    Verdict,
    admit_delete,
    admit_post,
    fault_of,
    indexes_of,
    judge_delete,
    judge_deregister,
    judge_post,
    tombstone_of,
)

__all__ = [
    "COMMUNITY",
    "DELETED",
    "MAX_AGE_NS",
    "MAX_AHEAD_NS",
    "MAX_AVAILABLE_SERVERS",
    "MAX_LIST_SIZE",
    "MAX_MESSAGE_SIZE",
    "METHOD_NOT_ALLOWED",
    "NOT_FOUND",
    "OFFICIAL",
    "SERVER_TTL_S",
    "SHORT_TTL_S",
    "STORED_FIRST",
    "STORED_NEXT",
    "TOMBSTONE_TTL_S",
    "VISOR",
    "Action",
    "Admitted",
    "Answer",
    "DiscoveryRefused",
    "Health",
    "Index",
    "Reason",
    "Route",
    "Rules",
    "Tombstone",
    "Verdict",
    "admit_delete",
    "admit_post",
    "answer_all_servers",
    "answer_available_servers",
    "answer_entry",
    "answer_health",
    "answer_keys",
    "asks_short_life",
    "check_answer",
    "entries_from_json",
    "fault_of",
    "indexes_of",
    "judge_delete",
    "judge_deregister",
    "judge_post",
    "refusal",
    "requested_key",
    "route",
    "tombstone_of",
]
