"""Each rule of a discovery by itself."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skywire.wire.discovery import (
    DELETED,
    MAX_LIST_SIZE,
    SERVER_TTL_S,
    SHORT_TTL_S,
    STORED_FIRST,
    STORED_NEXT,
    TOMBSTONE_TTL_S,
    Admitted,
    Answer,
    Index,
    Reason,
    Rules,
    Tombstone,
    Verdict,
    admit_delete,
    admit_post,
    indexes_of,
    judge_delete,
    judge_deregister,
    judge_post,
    refusal,
)
from skywire.wire.entry import MAX_ENTRY_SIZE, ClientPart, Entry, ServerPart
from tests.wire.memory_discovery import (
    ALICE,
    BOB,
    MONITOR,
    NOW,
    SECOND,
    UPSTREAM,
    Discovery,
    client_entry,
    delete,
    get,
    post,
    refused,
    server_entry,
)

# --- registration


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
        (f'{{"version":"1","signature":"x","static":"{BOB.public}"}}'.encode(), Reason.NO_PART),
        (f'{{"version":"1","signature":"x","static":"{BOB.public}","server":{{}}}}'.encode(), Reason.NO_ADDRESS),
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


# --- indexes


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
