"""Discovery entries against the vectors, as tables, and as properties."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skywire.errors import LocalProtocolError
from skywire.keys import PubKey, SecKey, derive_key_pair
from skywire.wire.entry import (
    MAX_ENTRY_SIZE,
    MAX_EXTRAS,
    MAX_SEQUENCE,
    VERSION,
    ClientPart,
    Entry,
    EntryError,
    Extra,
    ServerPart,
    client_update,
    server_update,
)
from skywire.wire.gojson import JsonError
from tests.vectors_io import Vector, load

VECTORS = load("disc_entries.json")
SECRETS = [derive_key_pair(name).secret_key for name in (b"a", b"b", b"c")]
KEYS = [secret.public for secret in SECRETS]
ALICE = SECRETS[0]
A, B, C = (key.hex() for key in KEYS)


@pytest.mark.parametrize("case", VECTORS.many("entries"))
def test_recorded_entries(case: Vector) -> None:
    text = case.text("entry_text").encode()
    entry = Entry.from_json(text)
    assert entry.to_json() == text
    assert entry.signed_bytes() == case.text("signed_text").encode()
    assert entry.signature == case.text("signature")
    assert entry.verify_signature() == case.flag("signature_ok")
    assert entry.extras == ()
    signed = entry.sign(SecKey.from_hex(case.text("sk")))
    assert signed.verify_signature()
    assert replace(signed, signature=entry.signature) == entry


@pytest.mark.parametrize("case", VECTORS.many("tampered"))
def test_recorded_verdicts(case: Vector) -> None:
    text = case.text("entry_text").encode()
    if "decode_error" in case or "panic" in case:
        with pytest.raises(JsonError):
            Entry.from_json(text)
    else:
        assert Entry.from_json(text).verify_signature() == case.flag("signature_ok")


SPECIFIED_CLIENT = (
    '{"version":"0.0.1","sequence":0,"timestamp":1700000000123456789,'
    '"static":"03423b3a4e823ff981b6855640b4f78846d819880fd9ee1ab829bc069ea46f67f5",'
    '"client":{"delegated_servers":["02dc7806760f94f273229dc0565769f7faff39b8e22e7cd44cf05a6ebcfce454be"]},'
    '"client_type":"visor",'
    '"signature":"1c9c1bd6c44bf60530a849edd5bbee4d1626106111db67fa64445d853330e5c9'
    '7eb423b7c6f674475b4c96693c2a4b9e1c9572d65691560e0a228c5230dffaa700"}'
)
SPECIFIED_NULL = (
    '{"version":"0.0.1","sequence":0,"timestamp":1700000000123456789,'
    '"static":"03423b3a4e823ff981b6855640b4f78846d819880fd9ee1ab829bc069ea46f67f5",'
    '"client":{"delegated_servers":null},'
    '"signature":"f41b827bc512909da0f375b83bbfe40799b832ace8af903e829fafa4cf9b161b'
    '4aeb394763e044fcef821409814b4f0b1c51874487d4dbfc92b773502792106100"}'
)
SPECIFIED_SERVER = (
    '{"version":"0.0.1","sequence":3,"timestamp":1700000000123456789,'
    '"static":"02dc7806760f94f273229dc0565769f7faff39b8e22e7cd44cf05a6ebcfce454be",'
    '"server":{"address":"127.0.0.1:8081","availableSessions":2048,"serverType":"pa<ss>&\\"\\\\/\u2028é"},'
    '"signature":"800a4e2c9714482c1eeeda53a64befbb4de753a9314477a1ad22e12d6acc1fdc'
    '2a4771a5a55916576a0b5f4528c5e89e858692f95650faf78828281b3232728801"}'
)


@pytest.mark.parametrize("text", [SPECIFIED_CLIENT, SPECIFIED_NULL, SPECIFIED_SERVER])
def test_entries_of_the_specification(text: str) -> None:
    entry = Entry.from_json(text.encode())
    assert entry.to_json() == text.encode()
    assert entry.verify_signature()


def test_awkward_characters_of_the_specification() -> None:
    recorded = (
        "7b2276657273696f6e223a22302e302e31222c2273657175656e6365223a332c2274696d657374616d70223a3137303030303030303031"
        "32333435363738392c22737461746963223a22303264633738303637363066393466323733323239646330353635373639663766616666"
        "33396238653232653763643434636630356136656263666365343534626522"
        "2c22736572766572223a7b2261646472657373223a223132372e302e302e313a38303831222c22617661696c61626c6553657373696f6e"
        "73223a323034382c2273657276657254797065223a2270613c73733e265c225c5c2fe280a8c3a9227d7d"
    )
    server = ServerPart("127.0.0.1:8081", 2048, 'pa<ss>&"\\/\u2028é')
    static = PubKey.from_hex("02dc7806760f94f273229dc0565769f7faff39b8e22e7cd44cf05a6ebcfce454be")
    assert Entry(static, 3, 1700000000123456789, server=server).signed_bytes().hex() == recorded


EMPTY = Entry(None, version="")
CLIENT = Entry(KEYS[0], 1, 2, ClientPart((KEYS[1], KEYS[2])), "visor")
SERVER = Entry(KEYS[0], 1, 2, server=ServerPart("192.0.2.1:80", 5, "pass"))


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("null", EMPTY),
        ("nullnonsense", EMPTY),
        ("{}", EMPTY),
        (" \t\r\n{ } \n[", EMPTY),
        ('{"version":null,"client_type":null,"signature":null,"static":null,"sequence":null}', EMPTY),
        ('{"version":"x","version":null}', EMPTY),
        ('{"client":null,"server":null}', EMPTY),
        ('{"client":{"delegated_servers":[]},"client":null}', EMPTY),
        ('{"static":"0"}', EMPTY),
        ('{"static":"' + A + '","static":"000","STATIC":""}', replace(EMPTY, static=KEYS[0])),
        ('{"static":"' + A.upper() + '"}', replace(EMPTY, static=KEYS[0])),
        ('{"sequence":3,"sequence":null}', replace(EMPTY, sequence=3)),
        ('{"sequence":3,"SEQUENCE":4}', replace(EMPTY, sequence=4)),
        ('{"sequence":0,"timestamp":-0}', EMPTY),
        ('{"sequence":18446744073709551615}', replace(EMPTY, sequence=MAX_SEQUENCE)),
        ('{"timestamp":9223372036854775807}', replace(EMPTY, timestamp=2**63 - 1)),
        ('{"timestamp":-9223372036854775808}', replace(EMPTY, timestamp=-(2**63))),
        ('{"\\u0056ersion":"\\u00e9\\ud83d\\ude00\\/\\b"}', replace(EMPTY, version="é\U0001f600/\b")),
        ('{"client":{}}', replace(EMPTY, client=ClientPart(None))),
        ('{"client":{"delegated_servers":null}}', replace(EMPTY, client=ClientPart(None))),
        ('{"client":{"delegated_servers":[]}}', replace(EMPTY, client=ClientPart(()))),
        ('{"client":{"delegated_servers":["' + B + '"]},"client":{}}', replace(EMPTY, client=ClientPart((KEYS[1],)))),
        ('{"server":{}}', replace(EMPTY, server=ServerPart("", 0))),
        (
            '{"server":{"address":null,"availableSessions":null,"serverType":null}}',
            replace(EMPTY, server=ServerPart("", 0)),
        ),
        (
            '{"server":{"ADDRESS":"h:1","availableSESSIONS":-7},"Server":{"servertype":"t"}}',
            replace(EMPTY, server=ServerPart("h:1", -7, "t")),
        ),
    ],
)
def test_tolerated(text: str, entry: Entry) -> None:
    assert Entry.from_json(text.encode()) == entry


@pytest.mark.parametrize(
    "body",
    [
        b"true",
        b"5",
        b'"text"',
        b"[]",
        b"[[]]",
        b'{"version":5}',
        b'{"version":"\xff"}',
        b'{"version":"\xed\xa0\x80"}',
        b'{"version":"\\ud800"}',
        b'{"version":"\\ud800\xed\xb0\x80"}',
        b'{"signature":"\\udc00"}',
        b'{"client_type":"\\udc00"}',
        b'{"server":{"address":"\\udc00"}}',
        b'{"server":{"serverType":"\\udc00"}}',
        b'{"unknown":"\\udc00"}',
        b'{"unknown":{"\\udc00":1}}',
        b'{"\\udc00":1}',
        b'{"sequence":"0"}',
        b'{"sequence":-1}',
        b'{"sequence":-0}',
        b'{"sequence":0.0}',
        b'{"sequence":1e2}',
        b'{"sequence":true}',
        b'{"sequence":18446744073709551616}',
        b'{"timestamp":9223372036854775808}',
        b'{"timestamp":-9223372036854775809}',
        b'{"timestamp":' + b"9" * 5000 + b"}",
        b'{"server":{"availableSessions":9223372036854775808}}',
        b'{"server":{"availableSessions":"5"}}',
        b'{"server":{"address":[]}}',
        b'{"server":[]}',
        b'{"server":"x"}',
        b'{"client":[]}',
        b'{"client":{"delegated_servers":{}}}',
        b'{"client":{"delegated_servers":"x"}}',
        b'{"client":{"delegated_servers":[5]}}',
        b'{"client":{"delegated_servers":["02"]}}',
        b'{"client":{"delegated_servers":["00"]}}',
        b'{"client":{"delegated_servers":[null]}}',
        b'{"static":"xyz"}',
        b'{"static":5}',
        b'{"static":"02' + b"f" * 64 + b'"}',
    ],
)
def test_refused(body: bytes) -> None:
    with pytest.raises(EntryError):
        Entry.from_json(body)


@pytest.mark.parametrize("body", [b"", b"{", b"nul", b'{"version":"\x01"}', b'{"unknown":' + b"[" * 100])
def test_what_is_no_json_is_no_entry(body: bytes) -> None:
    with pytest.raises(JsonError, match="JSON"):
        Entry.from_json(body)


def test_limits() -> None:
    assert Entry.from_json(b"null".ljust(MAX_ENTRY_SIZE)) == EMPTY
    with pytest.raises(JsonError, match="the limit is 65536"):
        Entry.from_json(b"null".ljust(MAX_ENTRY_SIZE + 1))
    flat = ",".join(f'"k{i}":[]' for i in range(MAX_EXTRAS))
    assert len(Entry.from_json(f"{{{flat}}}".encode()).extras) == MAX_EXTRAS
    with pytest.raises(EntryError, match="64 unknown keys"):
        Entry.from_json(f'{{{flat},"last":1}}'.encode())


def test_a_constructor_refuses_what_json_cannot_carry() -> None:
    for wrong in (
        lambda: Entry(None, -1),
        lambda: Entry(None, MAX_SEQUENCE + 1),
        lambda: Entry(None, 0, 2**63),
        lambda: Entry(None, client_type="\udc00"),
        lambda: ServerPart("", -(2**63) - 1),
        lambda: ServerPart("\udc00", 0),
        lambda: Extra("", "\udc00", "1"),
    ):
        with pytest.raises(LocalProtocolError):
            wrong()


def test_signing() -> None:
    signed = CLIENT.sign(ALICE)
    assert signed.verify_signature()
    assert signed.authenticated() is signed
    assert len(signed.signature) == 130
    assert signed.sign(ALICE) == signed
    assert not replace(signed, sequence=2).verify_signature()
    assert not replace(signed, static=None).verify_signature()
    assert not replace(signed, static=KEYS[1]).verify_signature()
    assert not CLIENT.verify_signature()
    with pytest.raises(LocalProtocolError, match="cannot be signed"):
        CLIENT.sign(SECRETS[1])
    with pytest.raises(LocalProtocolError, match="cannot be signed"):
        EMPTY.sign(ALICE)


# As Go programs of 2026 write them: protocol follows the signature, new addresses stand between the old keys.
SERVER_2026 = (
    '{"version":"0.0.1","sequence":1,"timestamp":2,"static":"' + A + '",'
    '"client":{"delegated_servers":[],"weight":1.50},'
    '"server":{"address":"192.0.2.1:80","address_v6":"[2001:db8::1]:80","address_ws":"wss://x.example/dmsg",'
    '"availableSessions":5,"serverType":"pass","dht_bootstrap":true},'
    '%s"protocol":"quic","more":{"a":[1,-2.5e3,null,false,"\\u0008"]}}'
)


def test_unknown_keys_are_kept_in_their_place() -> None:
    signature = ALICE.sign((SERVER_2026 % "").encode()).hex()
    text = SERVER_2026 % f'"signature":"{signature}",'
    entry = Entry.from_json(text.encode())
    assert entry.to_json() == text.encode()
    assert entry.signed_bytes() == (SERVER_2026 % "").encode()
    assert entry.authenticated() is entry
    assert entry.extras[0] == Extra("signature", "protocol", '"quic"')
    assert entry.server is not None
    assert [extra.key for extra in entry.server.extras] == ["address_v6", "address_ws", "dht_bootstrap"]
    relabelled = replace(entry, server=replace(entry.server, server_type="official"))
    assert relabelled.to_json() == text.replace('"pass"', '"official"').encode()
    assert not relabelled.verify_signature()


def test_a_signature_of_2024_does_not_vouch_for_unknown_keys() -> None:
    signed = replace(CLIENT, server=SERVER.server).sign(ALICE)
    text = signed.to_json().decode()
    for added in (
        text.replace('{"version"', '{"protocol":"smux","version"'),
        text.replace('{"delegated', '{"x":1,"delegated'),
        text.replace('{"address"', '{"x":1,"address"'),
    ):
        entry = Entry.from_json(added.encode())
        assert entry != signed
        assert entry.verify_signature()
        assert entry.authenticated() == signed
        assert replace(entry, sequence=9).authenticated() is None


def test_unknown_keys_hold_on_to_keys_that_are_written() -> None:
    text = '{"client_type":"","after_type":1,"signature":"s","SIG":2,"version":"0.0.1","v":[],"v":3,"server":{"s":0}}'
    entry = Entry.from_json(text.encode())
    assert [(extra.after, extra.key) for extra in entry.extras] == [
        ("version", "v"),
        ("version", "v"),
        ("static", "after_type"),
        ("signature", "SIG"),
    ]
    assert Entry.from_json(entry.to_json()) == entry


def test_a_client_updates_its_entry() -> None:
    first = client_update(None, static=KEYS[0], servers=[KEYS[1]], client_type="visor", now_ns=10)
    assert first == Entry(KEYS[0], 0, 10, ClientPart((KEYS[1],)), "visor", version=VERSION)
    second = client_update(first.sign(ALICE), static=KEYS[0], servers=KEYS[1:], client_type="test", now_ns=20)
    assert second == Entry(KEYS[0], 1, 20, ClientPart((KEYS[1], KEYS[2])), "test")
    assert second.sign(ALICE).verify_signature()


def test_a_client_part_is_made_where_there_was_none() -> None:
    update = client_update(SERVER, static=KEYS[0], servers=[], client_type="", now_ns=9)
    assert update == replace(SERVER, sequence=2, timestamp=9, client=ClientPart(()))


def test_an_update_is_never_older_than_what_it_replaces() -> None:
    update = client_update(replace(CLIENT, timestamp=50), static=KEYS[0], servers=[], client_type="", now_ns=40)
    assert update.timestamp == 50


def test_an_update_announces_nothing_for_another_program() -> None:
    stored = Entry.from_json((SERVER_2026 % "").encode())
    assert stored.server is not None
    update = client_update(stored, static=KEYS[0], servers=[KEYS[1]], client_type="", now_ns=9)
    assert update.extras == ()
    assert update.client == ClientPart((KEYS[1],))
    assert update.server == stored.server


def test_an_update_is_always_of_the_own_key() -> None:
    update = client_update(replace(CLIENT, static=KEYS[2]), static=KEYS[0], servers=[], client_type="", now_ns=9)
    assert update.static == KEYS[0]


def test_the_sequence_ends() -> None:
    with pytest.raises(LocalProtocolError, match="sequence"):
        client_update(replace(CLIENT, sequence=MAX_SEQUENCE), static=KEYS[0], servers=[], client_type="", now_ns=9)


def test_a_server_updates_its_entry() -> None:
    part = ServerPart("192.0.2.9:80", 7)
    assert server_update(None, static=KEYS[0], server=part, now_ns=5) == Entry(KEYS[0], 0, 5, server=part)
    assert server_update(CLIENT, static=KEYS[0], server=part, now_ns=5) == replace(
        CLIENT, sequence=2, timestamp=5, server=part
    )


@pytest.mark.parametrize(
    ("part", "servers", "same"),
    [
        (None, [], False),
        (ClientPart(None), [], True),
        (ClientPart(()), [], True),
        (ClientPart((KEYS[0], KEYS[1])), [KEYS[1], KEYS[0]], True),
        (ClientPart((KEYS[0], KEYS[1])), [KEYS[0]], False),
        (ClientPart((KEYS[0],)), [KEYS[1]], False),
    ],
)
def test_same_delegated_servers(part: ClientPart | None, servers: list[PubKey], same: bool) -> None:
    assert Entry(KEYS[0], client=part).delegates_to(servers) is same


keys = st.sampled_from(KEYS)
int64 = st.integers(-(2**63), 2**63 - 1)
texts = st.text(max_size=20)
client_parts = st.builds(ClientPart, st.none() | st.lists(keys, max_size=3).map(tuple))
server_parts = st.builds(ServerPart, texts, int64, texts)
entries = st.builds(
    Entry,
    st.none() | keys,
    st.integers(0, MAX_SEQUENCE),
    int64,
    st.none() | client_parts,
    texts,
    st.none() | server_parts,
    texts,
    texts,
)


@given(entries)
@settings(max_examples=200)
def test_reading_what_was_written(entry: Entry) -> None:
    assert Entry.from_json(entry.to_json()) == entry


@given(entries)
def test_what_is_written_is_json(entry: Entry) -> None:
    expected = json.dumps(json.loads(entry.to_json()), ensure_ascii=False, separators=(",", ":"))
    for short, long in (("\\b", "\\u0008"), ("\\f", "\\u000c")):
        expected = expected.replace("\\\\", "\0").replace(short, long).replace("\0", "\\\\")
    assert entry.to_json().decode() == expected


def disguise(value: object, rng: random.Random, *, unknown: bool = False) -> object:
    """The same JSON with keys in another order and case, and perhaps with keys that nobody knows."""
    if isinstance(value, list):
        return [disguise(item, rng) for item in value]
    if not isinstance(value, dict):
        return value
    members = [
        ("".join(rng.choice((c.lower(), c.upper())) for c in str(key)), disguise(item, rng, unknown=unknown))
        for key, item in value.items()
    ]
    if unknown:
        members += [(f"new {rng.random()}", rng.choice((None, True, 1.5, "\b", [{"a": 1}]))) for _ in range(3)]
    rng.shuffle(members)
    return dict(members)


@given(entries, st.randoms(use_true_random=False), st.booleans(), st.sampled_from([None, 1, "\r\n\t"]))
def test_the_form_does_not_matter(entry: Entry, rng: random.Random, ascii_only: bool, indent: int | str | None) -> None:
    text = json.dumps(disguise(json.loads(entry.to_json()), rng), ensure_ascii=ascii_only, indent=indent)
    read = Entry.from_json(f" {text} behind".encode())
    assert read == entry
    assert read.signed_bytes() == entry.signed_bytes()


@given(entries, st.randoms(use_true_random=False))
def test_unknown_keys_survive_and_can_be_dropped(entry: Entry, rng: random.Random) -> None:
    entry = replace(entry, static=KEYS[0]).sign(ALICE)
    read = Entry.from_json(json.dumps(disguise(json.loads(entry.to_json()), rng, unknown=True)).encode())
    assert Entry.from_json(read.to_json()) == read
    assert read.authenticated() == entry
    signed = read.sign(ALICE)
    assert signed.authenticated() is signed


@given(st.binary(max_size=200))
@example(b'{"server":{"x":{}}}')
def test_arbitrary_bytes(body: bytes) -> None:
    read_or_refuse(body)


@given(entries, st.data())
@settings(max_examples=200)
def test_damaged_entries(entry: Entry, data: st.DataObject) -> None:
    body = entry.to_json()
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, min(len(body), start + 8)))
    read_or_refuse(body[:start] + data.draw(st.binary(max_size=8)) + body[end:])


names = st.sampled_from(["version", "SEQUENCE", "static", "client", "server", "signature", "availableSessions", "x"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.sampled_from(["0", A]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(names, values))
@settings(max_examples=200)
def test_arbitrary_json(value: dict[str, object]) -> None:
    read_or_refuse(json.dumps(value).encode())


def read_or_refuse(body: bytes) -> None:
    try:
        entry = Entry.from_json(body)
    except JsonError:
        return
    assert Entry.from_json(entry.to_json()) == entry
    entry.verify_signature()
