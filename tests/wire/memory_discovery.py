"""A whole discovery around the rules, all in memory, and entries to give it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from skywire.keys import PubKey, derive_key_pair
from skywire.wire.discovery import (
    TOMBSTONE_TTL_S,
    Action,
    Admitted,
    Answer,
    DiscoveryRefused,
    Health,
    Index,
    Reason,
    Rules,
    Tombstone,
    Verdict,
    admit_delete,
    admit_post,
    answer_all_servers,
    answer_available_servers,
    answer_entry,
    answer_health,
    answer_keys,
    asks_short_life,
    check_answer,
    indexes_of,
    judge_delete,
    judge_deregister,
    judge_post,
    requested_key,
    route,
    tombstone_of,
)
from skywire.wire.entry import ClientPart, Entry, ServerPart

ALICE, BOB, MONITOR = (derive_key_pair(name).secret_key for name in (b"alice", b"bob", b"monitor"))
SECOND = 10**9
NOW = 1_800_000_000 * SECOND

UPSTREAM = Rules(empty_passphrase_is_none=False, delete_needs_current_entry=False, tombstones=False)
STARTED = 1795404972764145421


@dataclass
class Discovery:
    """A whole discovery around the rules: input, output and a store, all in memory."""

    rules: Rules
    entries: dict[PubKey, tuple[Entry, int | None]] = field(default_factory=dict)
    tombstones: dict[PubKey, tuple[Tombstone, int]] = field(default_factory=dict)
    indexes: dict[Index, set[PubKey]] = field(default_factory=lambda: {index: set() for index in Index})

    def request(
        self, method: str, target: str, body: bytes, now_ns: int, headers: dict[str, str] | None = None
    ) -> Answer:
        path, _, query = target.partition("?")
        where = route(method, path)
        if isinstance(where, Answer):
            return where
        headers = headers or {}
        match where.action:
            case Action.GET_ENTRY:
                key = requested_key(where.key)
                return key if isinstance(key, Answer) else answer_entry(self.stored(key, now_ns))
            case Action.POST_ENTRY:
                admitted = admit_post(body, self.rules, now_ns=now_ns)
                if isinstance(admitted, Answer):
                    return admitted
                verdict = judge_post(
                    admitted,
                    self.stored(admitted.key, now_ns),
                    self.rules,
                    now_ns=now_ns,
                    tombstone=self.tombstone(admitted.key, now_ns),
                    short_life=asks_short_life(query),
                )
                return self.execute(verdict, now_ns)
            case Action.DELETE_ENTRY:
                admitted = admit_delete(body, self.rules, now_ns=now_ns)
                if isinstance(admitted, Answer):
                    return admitted
                return self.execute(judge_delete(admitted, self.stored(admitted.key, now_ns), self.rules), now_ns)
            case Action.DEREGISTER:
                verdict = judge_deregister(headers.get("NM-PK", ""), headers.get("NM-Sign", ""), body, self.rules)
                return self.execute(verdict, now_ns)
            case Action.AVAILABLE_SERVERS:
                return answer_available_servers(self.listed(Index.SERVERS, now_ns))
            case Action.ALL_SERVERS:
                return answer_all_servers(self.listed(Index.SERVERS, now_ns))
            case Action.CLIENTS:
                return answer_keys(sorted(self.indexes[Index.CLIENTS]))
            case Action.VISORS:
                return answer_keys(sorted(self.indexes[Index.VISORS]))
            case Action.HEALTH:
                return answer_health(Health(STARTED))

    def stored(self, key: PubKey, now_ns: int) -> Entry | None:
        entry, expiry = self.entries.get(key, (None, None))
        return None if expiry is not None and expiry <= now_ns else entry

    def tombstone(self, key: PubKey, now_ns: int) -> Tombstone | None:
        tombstone, expiry = self.tombstones.get(key, (None, 0))
        return None if expiry <= now_ns else tombstone

    def listed(self, index: Index, now_ns: int) -> list[Entry]:
        found = [self.stored(key, now_ns) for key in sorted(self.indexes[index])]
        return [entry for entry in found if entry is not None]

    def execute(self, verdict: Verdict, now_ns: int) -> Answer:
        for key in verdict.remove:
            removed = self.stored(key, now_ns)
            self.entries.pop(key, None)
            for members in self.indexes.values():
                members.discard(key)
            if self.rules.tombstones and removed is not None:
                self.tombstones[key] = (tombstone_of(removed), now_ns + TOMBSTONE_TTL_S * SECOND)
        if verdict.store is not None:
            static = verdict.store.static
            assert static is not None
            self.entries[static] = (verdict.store, None if verdict.ttl_s is None else now_ns + verdict.ttl_s * SECOND)
            for index in indexes_of(verdict.store):
                self.indexes[index].add(static)
        return verdict.answer


def client_entry(sequence: int = 0, timestamp: int = NOW, client_type: str = "") -> Entry:
    return Entry(ALICE.public, sequence, timestamp, ClientPart((BOB.public,)), client_type).sign(ALICE)


def server_entry(sequence: int = 0, timestamp: int = NOW, server_type: str = "", sessions: int = 5) -> Entry:
    server = ServerPart("192.0.2.1:8081", sessions, server_type)
    return Entry(BOB.public, sequence, timestamp, server=server).sign(BOB)


def post(discovery: Discovery, entry: Entry, now_ns: int = NOW, query: str = "") -> Answer:
    return discovery.request("POST", f"/dmsg-discovery/entry/{query}", entry.to_json(), now_ns)


def delete(discovery: Discovery, entry: Entry, now_ns: int = NOW) -> Answer:
    return discovery.request("DELETE", "/dmsg-discovery/entry", entry.to_json(), now_ns)


def get(discovery: Discovery, key: PubKey, now_ns: int = NOW) -> Answer:
    return discovery.request("GET", f"/dmsg-discovery/entry/{key}", b"", now_ns)


def refused(answer: Answer | Admitted) -> Reason:
    assert isinstance(answer, Answer)
    assert answer.status != 200
    with pytest.raises(DiscoveryRefused) as caught:
        check_answer(answer.status, answer.body)
    assert caught.value.status == answer.status
    return caught.value.reason
