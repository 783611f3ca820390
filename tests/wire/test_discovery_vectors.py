"""A whole discovery against the recorded exchanges, and against anything at all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skywire.keys import SecKey
from skywire.wire.discovery import Answer, Reason, Rules, admit_post, fault_of, refusal
from skywire.wire.entry import Entry
from tests.vectors_io import Vector, load
from tests.wire.memory_discovery import NOW, UPSTREAM, Discovery, client_entry, server_entry

ENTRIES = load("disc_entries.json")
HTTP = load("disc_http.json")
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
