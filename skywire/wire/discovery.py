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

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum
from ipaddress import IPv6Address, ip_address
from operator import itemgetter
from typing import Final, final
from urllib.parse import unquote_plus

from skywire.errors import InvalidKey, ProtocolError
from skywire.keys import PubKey, Signature
from skywire.wire.entry import Entry, EntryError, Members, entry_of, json_string, read_json

MAX_LIST_SIZE: Final = 1 << 20
"""Most bytes of a list of entries or keys: 512 servers need some 300 KB, 15,000 keys fit."""
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
"""Seconds that a client's entry is kept when its client asks for it, as old visors do."""
TOMBSTONE_TTL_S: Final = 24 * 3600
"""Seconds that a deleted entry is remembered."""
OFFICIAL: Final = "official"
"""The type of a server that showed the passphrase, or is on the list."""
COMMUNITY: Final = "community"
"""The type of every other server."""
VISOR: Final = "visor"
"""The client type that puts a client on the list of visors."""

_INVALID: Final = "entry validation error: "
_HOST_PORT: Final = re.compile(r"(?:\[([^\[\]]*)\]|([^\[\]:]*)):[^\[\]:]*")
_METHODS: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
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


class DiscoveryRefused(ProtocolError):
    """A discovery did not do what was asked.

    Args:
        reason: why, by the text of its answer; UNEXPECTED also stands for every text that is not known.
        status: the HTTP status of its answer.
    """

    def __init__(self, reason: Reason, status: int) -> None:
        super().__init__(f"the discovery refused: {reason.text}")
        self.reason = reason
        self.status = status


@final
@dataclass(frozen=True, slots=True)
class Rules:
    """How a discovery decides: its operator's choices, then where it is stricter than upstream.

    Args:
        allow_loopback: accept servers at loopback addresses: upstream's test mode.
        load_testing: check no signature, no time and no order of updates. Never in earnest.
        passphrase: a server that submits it as its type becomes official. It travels in the entry, in clear.
        official_servers: keys of servers that are official without a passphrase.
        network_monitors: texts of the keys that may deregister others, compared literally.
        empty_passphrase_is_none: with no passphrase set, only listed servers are official. Upstream then makes every
            server official that submits no type, that is, each one at its first registration and no longer after
            the first update.
        delete_needs_current_entry: a deletion carries the sequence number that is stored and no earlier timestamp, as
            the entry that Go programs fetch before they delete it does. Upstream lets anyone delete with any entry
            that the key ever signed.
        tombstones: a deleted entry comes back only by one that was made later, or in the last minute, by its timestamp;
            the sequence number decides between equal ones alone, because Go programs start anew at 0. Upstream accepts
            any old client's entry again.
    """

    allow_loopback: bool = False
    load_testing: bool = False
    passphrase: str = field(default="", repr=False)
    official_servers: frozenset[PubKey] = frozenset()
    network_monitors: frozenset[str] = frozenset()
    empty_passphrase_is_none: bool = True
    delete_needs_current_entry: bool = True
    tombstones: bool = True


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


@final
@dataclass(frozen=True, slots=True)
class Admitted:
    """An entry that may be judged against what is stored.

    Args:
        key: the key it is about.
        entry: as it would be stored.
    """

    key: PubKey
    entry: Entry


@final
@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is remembered of a deleted entry, for :data:`TOMBSTONE_TTL_S`.

    Args:
        sequence: its sequence number.
        timestamp: its timestamp, Unix time in nanoseconds.
    """

    sequence: int
    timestamp: int


@final
@dataclass(frozen=True, slots=True)
class Verdict:
    """What to answer and what to change in the store.

    Args:
        answer: to be sent once the change is made.
        store: the entry to write under its key, or None.
        ttl_s: seconds until it expires, or None for never.
        remove: keys whose entries are to be removed; where the rules ask for it, each leaves :func:`tombstone_of` it.
    """

    answer: Answer
    store: Entry | None = None
    ttl_s: int | None = None
    remove: tuple[PubKey, ...] = ()


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


class Index(Enum):
    """A set of keys that a store keeps; the value is its name in upstream's Redis."""

    SERVERS = "servers"
    CLIENTS = "clients"
    VISORS = "visorClients"


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


def answer_entry(stored: Entry | None) -> Answer:
    """The answer with the entry of a key."""
    return refusal(Reason.KEY_NOT_FOUND) if stored is None else Answer(200, stored.to_json())


def asks_short_life(query: str) -> bool:
    """Whether the query of a POST asks that a client's entry expires: its first ``timeout`` is ``true``."""
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if unquote_plus(name) == "timeout":
            return unquote_plus(value) == "true"
    return False


def admit_post(body: bytes, rules: Rules, *, now_ns: int) -> Admitted | Answer:
    """Check a posted entry as far as that needs no store, and set the type of a server.

    Args:
        body: JSON; read no more than MAX_ENTRY_SIZE + 1 bytes of it.
        rules: of this discovery.
        now_ns: Unix time in nanoseconds.

    Returns:
        The entry as it would be stored, or the refusal.

    Source: protocol-dmsg.md section 6.4, steps 1 to 5.
    """
    try:
        entry = Entry.from_json(body)
    except EntryError:
        return refusal(Reason.UNEXPECTED)
    if entry.server is not None and not rules.allow_loopback and _is_loopback(entry.server.address):
        return refusal(Reason.LOOPBACK_ADDRESS)
    admitted = _admit(entry, rules, now_ns)
    if isinstance(admitted, Answer) or admitted.entry.server is None:
        return admitted
    server = admitted.entry.server
    server = replace(server, server_type=_server_type(admitted.key, server.server_type, rules))
    return Admitted(admitted.key, replace(admitted.entry, server=server))


def judge_post(
    admitted: Admitted,
    stored: Entry | None,
    rules: Rules,
    *,
    now_ns: int,
    tombstone: Tombstone | None = None,
    short_life: bool = False,
) -> Verdict:
    """Judge an admitted entry against what is stored of its key.

    Args:
        admitted: from :func:`admit_post`.
        stored: the entry of the same key, unless it expired.
        rules: of this discovery.
        now_ns: Unix time in nanoseconds.
        tombstone: of the same key, unless it expired.
        short_life: from :func:`asks_short_life`.

    Source: protocol-dmsg.md section 6.4, steps 6 to 8, 6.7 and 8.3.
    """
    entry = admitted.entry
    if not rules.load_testing:
        reason: Reason | None = None
        if stored is not None:
            reason = _fault_of_update(entry, stored)
        elif rules.tombstones and tombstone is not None and not _outlives(entry, tombstone, now_ns):
            reason = Reason.OUTDATED
        if reason is not None:
            return Verdict(refusal(reason))
    ttl_s: int | None = None
    if entry.server is not None:
        ttl_s = SERVER_TTL_S
    elif short_life:
        ttl_s = SHORT_TTL_S
    return Verdict(STORED_FIRST if stored is None else STORED_NEXT, store=entry, ttl_s=ttl_s)


def admit_delete(body: bytes, rules: Rules, *, now_ns: int) -> Admitted | Answer:
    """Check the entry in the body of a deletion as far as that needs no store.

    A server that sends back its entry as stored is refused, unless its type happens to be what it signed; it has to
    sign the entry anew, with the current time.

    Args:
        body: JSON; read no more than MAX_ENTRY_SIZE + 1 bytes of it.
        rules: of this discovery.
        now_ns: Unix time in nanoseconds.

    Source: protocol-dmsg.md section 6.3 and 6.5.
    """
    try:
        entry = Entry.from_json(body)
    except EntryError:
        return refusal(Reason.UNEXPECTED)
    return _admit(entry, rules, now_ns)


def judge_delete(admitted: Admitted, stored: Entry | None, rules: Rules) -> Verdict:
    """Judge a deletion against what is stored of its key.

    Args:
        admitted: from :func:`admit_delete`.
        stored: the entry of the same key, unless it expired.
        rules: of this discovery.

    Source: protocol-dmsg.md section 6.3 and 8.3.
    """
    if rules.delete_needs_current_entry and not rules.load_testing and stored is not None:
        if admitted.entry.sequence != stored.sequence:
            return Verdict(refusal(Reason.WRONG_SEQUENCE))
        if admitted.entry.timestamp < stored.timestamp:
            return Verdict(refusal(Reason.WRONG_TIME))
    return Verdict(DELETED, remove=(admitted.key,))


def tombstone_of(removed: Entry) -> Tombstone:
    """What to remember of an entry that was removed."""
    return Tombstone(removed.sequence, removed.timestamp)


def judge_deregister(monitor: str, signature: str, body: bytes, rules: Rules) -> Verdict:
    """Judge a request to remove others' entries.

    Args:
        monitor: the header ``NM-PK``, empty when missing.
        signature: the header ``NM-Sign``, empty when missing; over the key's own text, hence always the same.
        body: a JSON array of keys; read no more than MAX_LIST_SIZE + 1 bytes of it.
        rules: of this discovery.

    Source: protocol-dmsg.md section 6.6.
    """
    if monitor not in rules.network_monitors:
        return Verdict(_FORBIDDEN)
    try:
        key, proof = PubKey.from_optional_hex(monitor), Signature.from_hex(signature)
    except InvalidKey:
        return Verdict(_BAD_REQUEST)
    if key is None or not key.verify(proof, key.hex().encode()):
        return Verdict(_FORBIDDEN)
    try:
        texts = _texts_from_json(body)
    except EntryError:
        return Verdict(_BAD_REQUEST)
    try:
        keys = [PubKey.from_optional_hex(text) for text in texts]
    except InvalidKey:
        return Verdict(refusal(Reason.BAD_INPUT))
    return Verdict(Answer(200, b"null"), remove=tuple([key for key in keys if key is not None]))


_FORBIDDEN: Final = Answer(403, b"", "")
_BAD_REQUEST: Final = Answer(400, b"", "")


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


def indexes_of(entry: Entry) -> frozenset[Index]:
    """The sets to which storing this entry adds its key; only a removal takes it out of any.

    Source: protocol-dmsg.md section 6.7.
    """
    belongs = (
        (Index.SERVERS, entry.server is not None),
        (Index.CLIENTS, entry.client is not None),
        (Index.VISORS, entry.client_type == VISOR),
    )
    return frozenset(index for index, is_in in belongs if is_in)


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


def check_answer(status: int, body: bytes) -> None:
    """A client's reading of any answer: nothing when it is good.

    Args:
        status: the HTTP status.
        body: of the answer; its first MAX_MESSAGE_SIZE bytes are enough.

    Raises:
        DiscoveryRefused: the status is not 200. Go programs, too, tell why by the text, not by the status.
    """
    if status == 200:
        return
    try:
        value, _ = read_json(body[:MAX_MESSAGE_SIZE], MAX_MESSAGE_SIZE)
    except EntryError:
        value = None
    reason = Reason.UNEXPECTED
    for name, text in value if isinstance(value, Members) else ():
        if name.lower() == "message":
            reason = _REASONS.get(text, Reason.UNEXPECTED) if isinstance(text, str) else Reason.UNEXPECTED
    raise DiscoveryRefused(reason, status)


_REASONS: Final = {reason.text: reason for reason in Reason}


def entries_from_json(body: bytes) -> list[Entry]:
    """Read a list of entries; one that cannot be read does not cost the others.

    Args:
        body: at most 1 MiB.

    Raises:
        EntryError: not a JSON array, or beyond the limits.
    """
    entries: list[Entry] = []
    items, _ = _list_from_json(body)
    for item in items:
        try:
            entries.append(entry_of(item))
        except EntryError:
            continue
    return entries


def _list_from_json(body: bytes) -> tuple[list[object], str]:
    value, rest = read_json(body, MAX_LIST_SIZE)
    if value is None:
        return [], rest
    if isinstance(value, Members) or not isinstance(value, list):
        raise EntryError("not a JSON array")
    return value, rest


def _texts_from_json(body: bytes) -> list[str]:
    """Read an array of strings that nothing follows; ``null`` is an empty one."""
    items, rest = _list_from_json(body)
    texts = [item or "" for item in items if item is None or isinstance(item, str)]
    if rest.strip(" \t\n\r") or len(texts) < len(items):
        raise EntryError("not a JSON array of texts")
    return texts


def _admit(entry: Entry, rules: Rules, now_ns: int) -> Admitted | Answer:
    """Validate an entry and check its signature; unknown keys that the signature does not cover are dropped."""
    reason = fault_of(entry)
    if reason is None and entry.client is None and not rules.load_testing and not _is_fresh(entry.timestamp, now_ns):
        reason = Reason.OUTDATED
    if reason is not None or entry.static is None:
        return refusal(reason or Reason.NO_KEY)
    authenticated = entry if rules.load_testing else entry.authenticated()
    if authenticated is None:
        return refusal(Reason.INVALID_SIGNATURE)
    return Admitted(entry.static, authenticated)


def fault_of(entry: Entry) -> Reason | None:
    """What makes an entry invalid, apart from its signature and its age; None for nothing.

    Source: protocol-dmsg.md section 6.4 step 3.
    """
    if not entry.version:
        return Reason.NO_VERSION
    if not entry.signature:
        return Reason.NO_SIGNATURE
    if entry.static is None:
        return Reason.NO_KEY
    if entry.client is None and entry.server is None:
        return Reason.NO_PART
    if entry.server is not None and not entry.server.address:
        return Reason.NO_ADDRESS
    return None


def _fault_of_update(entry: Entry, stored: Entry) -> Reason | None:
    if entry.sequence <= stored.sequence:
        return Reason.WRONG_SEQUENCE
    if entry.timestamp < stored.timestamp:
        return Reason.WRONG_TIME
    return None


def _is_fresh(timestamp: int, now_ns: int) -> bool:
    return now_ns - MAX_AGE_NS <= timestamp <= now_ns + MAX_AHEAD_NS


def _outlives(entry: Entry, tombstone: Tombstone, now_ns: int) -> bool:
    later = (entry.timestamp, entry.sequence) > (tombstone.timestamp, tombstone.sequence)
    return later or _is_fresh(entry.timestamp, now_ns)


def _server_type(key: PubKey, submitted: str, rules: Rules) -> str:
    if key in rules.official_servers:
        return OFFICIAL
    if rules.empty_passphrase_is_none and not rules.passphrase:
        return COMMUNITY
    passphrase = rules.passphrase.encode(errors="surrogatepass")
    return OFFICIAL if hmac.compare_digest(submitted.encode(), passphrase) else COMMUNITY


def _is_loopback(address: str) -> bool:
    """Whether upstream takes an address for a loopback address; what is no host:port with an IP literal, it does not.

    Source: protocol-dmsg.md section 6.4 step 2.
    """
    found = _HOST_PORT.fullmatch(address)
    if found is None:
        return False
    host: str = found[1] or found[2] or ""
    if not host:
        return True
    try:
        ip = ip_address(host)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        if ip.scope_id is not None:
            return False
        ip = ip.ipv4_mapped or ip
    return ip.is_loopback


def _quoted_keys(keys: Iterable[PubKey]) -> str:
    return ",".join([f'"{key.hex()}"' for key in keys])


def _rfc3339(time_ns: int) -> str:
    seconds, fraction = divmod(time_ns, 10**9)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction:09}".rstrip("0").rstrip(".") + "Z"
