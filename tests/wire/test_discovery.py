"""The discovery's rules: the recorded exchanges replayed, and each rule by itself."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skywire.keys import PubKey, SecKey, derive_key_pair
from skywire.wire.discovery import (
    DELETED,
    MAX_AVAILABLE_SERVERS,
    MAX_LIST_SIZE,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    SERVER_TTL_S,
    SHORT_TTL_S,
    STORED_FIRST,
    STORED_NEXT,
    TOMBSTONE_TTL_S,
    Action,
    Admitted,
    Answer,
    DiscoveryRefused,
    Health,
    Index,
    Reason,
    Route,
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
    entries_from_json,
    fault_of,
    indexes_of,
    judge_delete,
    judge_deregister,
    judge_post,
    refusal,
    requested_key,
    route,
    tombstone_of,
)
from skywire.wire.entry import MAX_ENTRY_SIZE, ClientPart, Entry, EntryError, ServerPart
from tests.vectors_io import Vector, load

ENTRIES = load("disc_entries.json")
HTTP = load("disc_http.json")
ALICE, BOB, MONITOR = (derive_key_pair(name).secret_key for name in (b"alice", b"bob", b"monitor"))
SECOND = 10**9
NOW = 1_800_000_000 * SECOND

UPSTREAM = Rules(empty_passphrase_is_none=False, delete_needs_current_entry=False, tombstones=False)
RECORDED_MODES = {
    "test mode, no auth passphrase, no official list": replace(UPSTREAM, allow_loopback=True),
    "production mode, auth passphrase 'pass'": replace(UPSTREAM, passphrase="pass"),
    "test mode, passphrase 'pass', the server's key in the official list": replace(
        UPSTREAM,
        allow_loopback=True,
        passphrase="pass",
        official_servers=frozenset({SecKey.from_hex(HTTP.text("server_sk")).public}),
    ),
}
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


# --- the recorded exchanges


def recorded_instances() -> list[tuple[str, list[Vector]]]:
    instances: list[tuple[str, list[Vector]]] = []
    for step in HTTP.many("steps"):
        if "new_instance" in step:
            instances.append((step.text("new_instance"), []))
        else:
            instances[-1][1].append(step)
    return instances


@pytest.mark.parametrize(("mode", "steps"), recorded_instances())
def test_recorded_exchanges(mode: str, steps: list[Vector]) -> None:
    discovery = Discovery(RECORDED_MODES[mode])
    for step in steps:
        body = step.text("body").encode() if "body" in step else b""
        answer = discovery.request(step.text("method"), step.text("path"), body, step.number("clock_unix_nano"))
        expected = Answer(step.number("status"), step.text("response").encode(), step.text("content_type"))
        assert answer == expected, step.text("note")
        if "entry_verdict" in step:
            verdict = step.one("entry_verdict").flag("signature_ok")
            assert Entry.from_json(answer.body).verify_signature() == verdict, step.text("note")


@pytest.mark.parametrize("case", ENTRIES.many("entries") + ENTRIES.many("tampered"))
def test_recorded_validation(case: Vector) -> None:
    if "decode_error" in case or "panic" in case:
        answer = admit_post(case.text("entry_text").encode(), Rules(), now_ns=NOW)
        assert answer == refusal(Reason.UNEXPECTED)
        return
    reason = fault_of(Entry.from_json(case.text("entry_text").encode()))
    assert (reason.text if reason else None) == (case.text("validate_error") if "validate_error" in case else None)


# --- routes and simple answers


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


def test_health() -> None:
    health = Health(NOW + 500_000_000, "v1", "abc", '"', f"{ALICE.public}:80", (BOB.public,))
    answer = answer_health(health)
    assert answer.body == (
        b'{"build_info":{"version":"v1","commit":"abc","date":"\\""},"started_at":"2027-01-15T08:00:00.5Z",'
        + f'"dmsg_address":"{ALICE.public}:80","dmsg_servers":["{BOB.public}"]}}'.encode()
    )
    assert b'"2027-01-15T08:00:00Z"' in answer_health(Health(NOW)).body


def test_lists_of_keys() -> None:
    assert answer_keys([]) == Answer(200, b"[]")
    assert answer_keys([ALICE.public, BOB.public]).body == f'["{ALICE.public}","{BOB.public}"]'.encode()


def test_available_servers_are_those_that_want_sessions_the_emptiest_first() -> None:
    sessions = [3, 0, 7, -1, 3, 9]
    servers = [server_entry(sequence, sessions=count) for sequence, count in enumerate(sessions)]
    answer = answer_available_servers([*servers, client_entry()])
    assert [entry.sequence for entry in entries_from_json(answer.body)] == [5, 2, 0, 4]
    assert answer_available_servers(servers[1:2]) == refusal(Reason.NO_SERVERS)


def test_available_servers_are_limited_before_they_are_sorted() -> None:
    few, many = server_entry(sessions=1), server_entry(sessions=2)
    answer = answer_available_servers([few] * MAX_AVAILABLE_SERVERS + [many])
    assert entries_from_json(answer.body) == [few] * MAX_AVAILABLE_SERVERS


def test_all_servers_are_listed_as_they_come() -> None:
    servers = [server_entry(1, sessions=0), server_entry(2)]
    assert entries_from_json(answer_all_servers([servers[0], client_entry(), servers[1]]).body) == servers
    assert answer_all_servers([client_entry()]) == refusal(Reason.NO_SERVERS)


@pytest.mark.parametrize(
    ("entry", "indexes"),
    [
        (client_entry(), {Index.CLIENTS}),
        (client_entry(client_type="visor"), {Index.CLIENTS, Index.VISORS}),
        (server_entry(), {Index.SERVERS}),
        (replace(server_entry(), client=ClientPart()), {Index.SERVERS, Index.CLIENTS}),
    ],
)
def test_indexes(entry: Entry, indexes: set[Index]) -> None:
    assert indexes_of(entry) == indexes


# --- registration


def refused(answer: Answer | Admitted) -> Reason:
    assert isinstance(answer, Answer)
    assert answer.status != 200
    with pytest.raises(DiscoveryRefused) as caught:
        check_answer(answer.status, answer.body)
    assert caught.value.status == answer.status
    return caught.value.reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Reason.UNEXPECTED),
        (b'{"sequence":"0"}', Reason.UNEXPECTED),
        (b'{"version":"\\ud800"}', Reason.UNEXPECTED),
        (b"null".ljust(MAX_ENTRY_SIZE + 1), Reason.UNEXPECTED),
        (b"null", Reason.NO_VERSION),
        (b'{"version":"1"}', Reason.NO_SIGNATURE),
        (b'{"version":"1","signature":"x"}', Reason.NO_KEY),
        (b'{"version":"1","signature":"x","static":"00"}', Reason.NO_KEY),
    ],
)
def test_posts_and_deletions_that_are_refused_for_their_form(body: bytes, reason: Reason) -> None:
    assert refused(admit_post(body, Rules(), now_ns=NOW)) is reason
    assert refused(admit_delete(body, Rules(), now_ns=NOW)) is reason


@pytest.mark.parametrize(
    ("offset_ns", "reason"),
    [
        (-60 * SECOND - 1, Reason.OUTDATED),
        (-60 * SECOND, None),
        (5 * SECOND, None),
        (5 * SECOND + 1, Reason.OUTDATED),
    ],
)
def test_a_server_needs_the_time(offset_ns: int, reason: Reason | None) -> None:
    body = server_entry(timestamp=NOW + offset_ns).to_json()
    for admitted in (admit_post(body, Rules(), now_ns=NOW), admit_delete(body, Rules(), now_ns=NOW)):
        if reason is None:
            assert isinstance(admitted, Admitted)
        else:
            assert refused(admitted) is reason
    assert isinstance(admit_post(body, Rules(load_testing=True), now_ns=NOW), Admitted)


def test_who_is_a_client_too_does_not() -> None:
    entry = replace(server_entry(timestamp=5), client=ClientPart(), signature="").sign(BOB)
    assert isinstance(admit_post(entry.to_json(), Rules(), now_ns=NOW), Admitted)


def test_only_load_testing_does_without_a_signature() -> None:
    forged = replace(client_entry(), sequence=7).to_json()
    assert refused(admit_post(forged, Rules(), now_ns=NOW)) is Reason.INVALID_SIGNATURE
    assert refused(admit_delete(forged, Rules(), now_ns=NOW)) is Reason.INVALID_SIGNATURE
    for admitted in (
        admit_post(forged, Rules(load_testing=True), now_ns=NOW),
        admit_delete(forged, Rules(load_testing=True), now_ns=NOW),
    ):
        assert isinstance(admitted, Admitted)
        assert admitted.entry.to_json() == forged


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1:80", True),
        ("127.255.0.9:80", True),
        ("[127.0.0.1]:80", True),
        ("[::1]:80", True),
        ("[0:0:0:0:0:0:0:1]:", True),
        ("[::ffff:127.0.0.1]:80", True),
        ("[::ffff:7f00:1]:80", True),
        (":80", True),
        (":", True),
        ("[]:80", True),
        ("localhost:80", False),
        ("0.0.0.0:80", False),
        ("10.0.0.1:80", False),
        ("[::]:80", False),
        ("[::127.0.0.1]:80", False),
        ("[::ffff:10.0.0.1]:80", False),
        ("[::1%lo]:80", False),
        ("127.0.0.1", False),
        ("127.1:80", False),
        ("127.0.0.01:80", False),
        ("::1:80", False),
        ("[::1]", False),
        ("[::1]80", False),
        ("[::1]:8:0", False),
        ("[::1:80", False),
        ("127.0.0.1:8[", False),
        ("dmsg.example.org:80", False),
        ("nonsense", False),
    ],
)
def test_loopback_addresses(address: str, loopback: bool) -> None:
    entry = Entry(BOB.public, 0, NOW, server=ServerPart(address, 1)).sign(BOB).to_json()
    admitted = admit_post(entry, Rules(), now_ns=NOW)
    if loopback:
        assert refused(admitted) is Reason.LOOPBACK_ADDRESS
    else:
        assert isinstance(admitted, Admitted)
    assert isinstance(admit_post(entry, Rules(allow_loopback=True), now_ns=NOW), Admitted)
    assert isinstance(admit_delete(entry, Rules(), now_ns=NOW), Admitted)


@pytest.mark.parametrize(
    ("submitted", "rules", "stored"),
    [
        ("", Rules(), "community"),
        ("official", Rules(), "community"),
        ("", UPSTREAM, "official"),
        ("official", UPSTREAM, "community"),
        ("pass", Rules(passphrase="pass"), "official"),
        ("Pass", Rules(passphrase="pass"), "community"),
        ("", Rules(passphrase="pass"), "community"),
        ("pässé", Rules(passphrase="pässé"), "official"),
        ("\u00ff", Rules(passphrase="\udcff"), "community"),
        ("", Rules(official_servers=frozenset({BOB.public})), "official"),
        ("x", Rules(official_servers=frozenset({ALICE.public})), "community"),
    ],
)
def test_types_of_servers(submitted: str, rules: Rules, stored: str) -> None:
    entry = server_entry(server_type=submitted)
    admitted = admit_post(entry.to_json(), rules, now_ns=NOW)
    assert isinstance(admitted, Admitted)
    assert admitted.key == BOB.public
    assert entry.server is not None
    assert admitted.entry == replace(entry, server=replace(entry.server, server_type=stored))


def test_the_passphrase_stays_out_of_texts() -> None:
    assert "tell nobody" not in repr(Rules(passphrase="tell nobody"))


def test_unknown_keys_are_stored_if_they_are_signed() -> None:
    entry = client_entry()
    signed = json.loads(replace(entry, signature="").to_json()) | {"protocol": "smux"}
    text = json.dumps(signed, separators=(",", ":"))
    signed["signature"] = ALICE.sign(text.encode()).hex()
    body = json.dumps(signed, separators=(",", ":")).encode()
    admitted = admit_post(body, Rules(), now_ns=NOW)
    assert isinstance(admitted, Admitted)
    assert json.loads(admitted.entry.to_json()) == signed
    added = entry.to_json()[:-1] + b',"protocol":"smux"}'
    assert admit_post(added, Rules(), now_ns=NOW) == Admitted(ALICE.public, entry)


def test_updates() -> None:
    stored = client_entry(5, 100)
    expected = {
        (5, 200): Reason.WRONG_SEQUENCE,
        (4, 200): Reason.WRONG_SEQUENCE,
        (6, 99): Reason.WRONG_TIME,
        (6, 100): None,
        (900, 101): None,
    }
    for (sequence, timestamp), reason in expected.items():
        entry = client_entry(sequence, timestamp)
        verdict = judge_post(Admitted(ALICE.public, entry), stored, Rules(), now_ns=NOW)
        if reason is None:
            assert verdict == Verdict(STORED_NEXT, store=entry)
        else:
            assert verdict == Verdict(refusal(reason))
        lenient = judge_post(Admitted(ALICE.public, entry), stored, Rules(load_testing=True), now_ns=NOW)
        assert lenient == Verdict(STORED_NEXT, store=entry)


@pytest.mark.parametrize(
    ("entry", "short_life", "ttl_s"),
    [
        (client_entry(9), False, None),
        (client_entry(), True, SHORT_TTL_S),
        (server_entry(), False, SERVER_TTL_S),
        (server_entry(), True, SERVER_TTL_S),
    ],
)
def test_lifetimes(entry: Entry, short_life: bool, ttl_s: int | None) -> None:
    assert entry.static is not None
    verdict = judge_post(Admitted(entry.static, entry), None, Rules(), now_ns=NOW, short_life=short_life)
    assert verdict == Verdict(STORED_FIRST, store=entry, ttl_s=ttl_s)


def test_a_server_that_is_not_refreshed_disappears() -> None:
    discovery = Discovery(Rules())
    post(discovery, server_entry())
    assert get(discovery, BOB.public, NOW + 119 * SECOND).status == 200
    assert refused(get(discovery, BOB.public, NOW + 120 * SECOND)) is Reason.KEY_NOT_FOUND


# --- deletion


def test_a_client_deletes_what_it_fetches() -> None:
    discovery = Discovery(Rules())
    post(discovery, client_entry(3, client_type="visor"))
    fetched = Entry.from_json(get(discovery, ALICE.public).body)
    assert delete(discovery, fetched) == DELETED
    assert refused(get(discovery, ALICE.public)) is Reason.KEY_NOT_FOUND
    assert not any(discovery.indexes.values())
    assert delete(discovery, fetched) == DELETED


def test_an_old_entry_deletes_nothing() -> None:
    old, new = client_entry(0), client_entry(1)
    discovery = Discovery(Rules())
    post(discovery, old)
    post(discovery, new)
    assert refused(delete(discovery, old)) is Reason.WRONG_SEQUENCE
    assert get(discovery, ALICE.public).body == new.to_json()
    assert delete(discovery, replace(new, timestamp=NOW - 1).sign(ALICE)) == refusal(Reason.WRONG_TIME)
    assert judge_delete(Admitted(ALICE.public, old), new, UPSTREAM).remove == (ALICE.public,)
    assert judge_delete(Admitted(ALICE.public, old), new, Rules(load_testing=True)).remove == (ALICE.public,)


def test_a_server_cannot_delete_what_it_fetches_but_what_it_signs_anew() -> None:
    discovery = Discovery(Rules())
    post(discovery, server_entry(0))
    fetched = Entry.from_json(get(discovery, BOB.public).body)
    assert refused(delete(discovery, fetched)) is Reason.INVALID_SIGNATURE
    late = NOW + 61 * SECOND
    assert refused(delete(discovery, fetched, late)) is Reason.OUTDATED
    assert delete(discovery, replace(fetched, timestamp=late).sign(BOB), late) == DELETED


def test_a_server_that_signs_its_type_can_delete_what_it_fetches() -> None:
    discovery = Discovery(Rules())
    post(discovery, server_entry(server_type="community"))
    assert delete(discovery, Entry.from_json(get(discovery, BOB.public).body)) == DELETED


LATER = NOW + 3600 * SECOND


@pytest.mark.parametrize(
    ("sequence", "timestamp", "accepted"),
    [
        (0, NOW - SECOND, False),
        (5, NOW, False),
        (6, NOW, True),
        (0, NOW + 1, True),
        (0, LATER, True),
        (6, NOW - 1, False),
    ],
)
def test_what_comes_back_after_a_deletion(sequence: int, timestamp: int, accepted: bool) -> None:
    for rules, allowed in ((Rules(), accepted), (Rules(tombstones=False), True), (Rules(load_testing=True), True)):
        discovery = Discovery(rules)
        post(discovery, client_entry(5, NOW))
        delete(discovery, client_entry(5, NOW))
        answer = post(discovery, client_entry(sequence, timestamp), LATER)
        if allowed:
            assert answer == STORED_FIRST
        else:
            assert refused(answer) is Reason.OUTDATED


def test_a_tombstone_means_nothing_where_the_rules_know_none() -> None:
    admitted = Admitted(ALICE.public, client_entry(0, 5))
    verdict = judge_post(admitted, None, Rules(tombstones=False), now_ns=NOW, tombstone=Tombstone(9, 9))
    assert verdict.answer == STORED_FIRST


def test_a_client_whose_clock_was_ahead_comes_back() -> None:
    discovery = Discovery(Rules())
    ahead = client_entry(5, NOW + 3600 * SECOND)
    post(discovery, ahead)
    delete(discovery, ahead)
    assert refused(post(discovery, client_entry(0, NOW - 61 * SECOND))) is Reason.OUTDATED
    assert post(discovery, client_entry(0, NOW - 60 * SECOND)) == STORED_FIRST


def test_a_tombstone_ends() -> None:
    discovery = Discovery(Rules())
    post(discovery, client_entry(5, 100))
    delete(discovery, client_entry(5, 100))
    end = NOW + TOMBSTONE_TTL_S * SECOND
    assert refused(post(discovery, client_entry(5, 100), end - 1)) is Reason.OUTDATED
    assert post(discovery, client_entry(5, 100), end) == STORED_FIRST


# A client that begins at sequence number 0 at each start, as Go programs do.
RESTARTING_CLIENT = [client_entry(sequence, timestamp) for timestamp, sequence in enumerate([0, 1, 2, 0, 1, 0])]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(range(6))), max_size=20))
def test_nothing_that_was_replaced_or_deleted_comes_back(requests: list[tuple[bool, int]]) -> None:
    discovery = Discovery(Rules())
    newest = -1
    for deletes, age in requests:
        entry, stored = RESTARTING_CLIENT[age], discovery.stored(ALICE.public, NOW)
        if deletes:
            accepted = delete(discovery, entry) == DELETED
            assert not accepted or stored is None or age >= newest
        elif post(discovery, entry).status == 200:
            assert age > newest
            newest = age
            assert discovery.stored(ALICE.public, NOW) == entry


# --- deregistration

PROOF = MONITOR.sign(MONITOR.public.hex().encode()).hex()
FORBIDDEN, BAD_REQUEST = Answer(403, b"", ""), Answer(400, b"", "")


@pytest.mark.parametrize(
    ("monitor", "signature", "body", "answer"),
    [
        (BOB.public.hex(), PROOF, b"[]", FORBIDDEN),
        ("", "", b"[]", FORBIDDEN),
        ("nonsense", PROOF, b"[]", BAD_REQUEST),
        ("00", PROOF, b"[]", FORBIDDEN),
        (MONITOR.public.hex(), "", b"[]", BAD_REQUEST),
        (MONITOR.public.hex(), PROOF[:-2], b"[]", BAD_REQUEST),
        (MONITOR.public.hex(), MONITOR.sign(b"else").hex(), b"[]", FORBIDDEN),
        (MONITOR.public.hex(), PROOF, b"", BAD_REQUEST),
        (MONITOR.public.hex(), PROOF, b"{}", BAD_REQUEST),
        (MONITOR.public.hex(), PROOF, b"[5]", BAD_REQUEST),
        (MONITOR.public.hex(), PROOF, b"[]x", BAD_REQUEST),
        (MONITOR.public.hex(), PROOF, b"[]".ljust(MAX_LIST_SIZE + 1), BAD_REQUEST),
        (MONITOR.public.hex(), PROOF, b'["xyz"]', refusal(Reason.BAD_INPUT)),
        (MONITOR.public.hex(), PROOF, b'["\\ud800"]', refusal(Reason.BAD_INPUT)),
    ],
)
def test_refused_deregistrations(monitor: str, signature: str, body: bytes, answer: Answer) -> None:
    rules = Rules(network_monitors=frozenset({MONITOR.public.hex(), "nonsense", "00"}))
    assert judge_deregister(monitor, signature, body, rules) == Verdict(answer)


def test_the_list_of_monitors_is_literal() -> None:
    upper = MONITOR.public.hex().upper()
    body = f'["{ALICE.public}"]'.encode()
    rules = Rules(network_monitors=frozenset({upper}))
    assert judge_deregister(MONITOR.public.hex(), PROOF, body, rules).answer == FORBIDDEN
    assert judge_deregister(upper, PROOF, body, rules).remove == (ALICE.public,)


def test_a_monitor_removes_others() -> None:
    discovery = Discovery(Rules(network_monitors=frozenset({MONITOR.public.hex()})))
    post(discovery, client_entry())
    post(discovery, server_entry())
    headers = {"NM-PK": MONITOR.public.hex(), "NM-Sign": PROOF}
    body = f' ["{ALICE.public}","{BOB.public}","",null,"000"] '.encode()
    answer = discovery.request("DELETE", "/dmsg-discovery/deregister", body, NOW, headers)
    assert answer == Answer(200, b"null")
    assert not discovery.entries
    assert discovery.request("GET", "/dmsg-discovery/entries", b"", NOW).body == b"[]"
    assert discovery.request("DELETE", "/dmsg-discovery/deregister", b"null", NOW, headers) == answer


# --- the client's side


@pytest.mark.parametrize("reason", Reason)
def test_reasons_come_back_from_their_text(reason: Reason) -> None:
    assert refused(refusal(reason)) is reason
    assert json.loads(refusal(reason).body) == {"message": reason.text, "code": reason.status}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Reason.UNEXPECTED),
        (b"<html>", Reason.UNEXPECTED),
        (b"[]", Reason.UNEXPECTED),
        (b"{}", Reason.UNEXPECTED),
        (b'{"message":5}', Reason.UNEXPECTED),
        (b'{"message":"new to us"}', Reason.UNEXPECTED),
        (b'{"code":1,"Message":"invalid signature"}' + b" " * 10_000, Reason.INVALID_SIGNATURE),
        (b'{"message":"invalid signature","message":"error bad input"}', Reason.BAD_INPUT),
        (b"[" * 10_000, Reason.UNEXPECTED),
    ],
)
def test_answers_of_strangers(body: bytes, reason: Reason) -> None:
    with pytest.raises(DiscoveryRefused, match=reason.text) as caught:
        check_answer(418, body)
    assert caught.value.reason is reason
    assert caught.value.status == 418


def test_good_answers() -> None:
    for answer in (STORED_FIRST, STORED_NEXT, DELETED):
        check_answer(answer.status, answer.body)


def test_one_bad_entry_does_not_cost_the_list() -> None:
    good = server_entry()
    for bad in permutations([good.to_json(), b"5", b'{"version":"\xff"}']):
        assert entries_from_json(b"[" + b",".join(bad) + b"]") == [good]
    assert entries_from_json(b"null") == []


@pytest.mark.parametrize("body", [b"", b"{}", b'"x"', b"[", b"[1,]", b"[" * 100, b"[]".ljust(MAX_LIST_SIZE + 1)])
def test_bad_lists(body: bytes) -> None:
    with pytest.raises(EntryError):
        entries_from_json(body)


# --- anything at all

paths = st.sampled_from(
    ["/dmsg-discovery/entry/", "/dmsg-discovery/entry", "/dmsg-discovery/deregister", "/dmsg-discovery/entries"]
) | st.text(max_size=30)
bodies = st.binary(max_size=100) | st.sampled_from([client_entry().to_json(), server_entry().to_json()])


@given(st.sampled_from(["GET", "POST", "DELETE", "PUT"]), paths, bodies, st.text(max_size=70), st.text(max_size=140))
@settings(max_examples=200)
def test_every_request_has_an_answer(method: str, path: str, body: bytes, monitor: str, signature: str) -> None:
    discovery = Discovery(Rules(network_monitors=frozenset({monitor})))
    answer = discovery.request(method, path, body, NOW, {"NM-PK": monitor, "NM-Sign": signature})
    assert answer.status in {200, 400, 401, 403, 404, 405, 422, 500}


@given(st.binary(max_size=100))
def test_arbitrary_answers_and_lists(body: bytes) -> None:
    with pytest.raises(DiscoveryRefused):
        check_answer(500, body)
    with suppress(EntryError):
        entries_from_json(body)
