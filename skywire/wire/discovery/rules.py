"""Which entries are accepted, what may replace or remove which, and how long each is kept.

Source: protocol-dmsg.md section 6.4 to 6.7 and 8.3.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field, replace
from enum import Enum
from ipaddress import IPv6Address, ip_address
from typing import Final, final

from skywire.errors import InvalidKey
from skywire.keys import PubKey, Signature
from skywire.wire.discovery.answers import DELETED, MAX_LIST_SIZE, STORED_FIRST, STORED_NEXT, Answer, Reason, refusal
from skywire.wire.entry import Entry
from skywire.wire.gojson import BLANKS, JsonError, read_array

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

_HOST_PORT: Final = re.compile(r"(?:\[([^\[\]]*)\]|([^\[\]:]*)):[^\[\]:]*")


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


class Index(Enum):
    """A set of keys that a store keeps; the value is its name in upstream's Redis."""

    SERVERS = "servers"
    CLIENTS = "clients"
    VISORS = "visorClients"


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
    except JsonError:
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
        short_life: from :func:`skywire.wire.discovery.routes.asks_short_life`.

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
    except JsonError:
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
    except JsonError:
        return Verdict(_BAD_REQUEST)
    try:
        keys = [PubKey.from_optional_hex(text) for text in texts]
    except InvalidKey:
        return Verdict(refusal(Reason.BAD_INPUT))
    return Verdict(Answer(200, b"null"), remove=tuple([key for key in keys if key is not None]))


_FORBIDDEN: Final = Answer(403, b"", "")
_BAD_REQUEST: Final = Answer(400, b"", "")


def _texts_from_json(body: bytes) -> list[str]:
    """Read an array of strings that nothing follows; ``null`` is an empty one."""
    items, rest = read_array(body, MAX_LIST_SIZE)
    texts = [item or "" for item in items if item is None or isinstance(item, str)]
    if rest.strip(BLANKS) or len(texts) < len(items):
        raise JsonError("not a JSON array of texts")
    return texts


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
