"""How a client reads answers."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skywire.wire.discovery import (
    DELETED,
    MAX_LIST_SIZE,
    STORED_FIRST,
    STORED_NEXT,
    DiscoveryRefused,
    Reason,
    check_answer,
    entries_from_json,
    refusal,
)
from skywire.wire.gojson import JsonError
from tests.wire.memory_discovery import refused, server_entry


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
    with pytest.raises(JsonError):
        entries_from_json(body)


@given(st.binary(max_size=100))
def test_arbitrary_answers_and_lists(body: bytes) -> None:
    with pytest.raises(DiscoveryRefused):
        check_answer(500, body)
    with suppress(JsonError):
        entries_from_json(body)
