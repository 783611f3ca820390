"""A whole discovery, as its HTTP clients see it, on both stores."""

from __future__ import annotations

import json
import re

import anyio
import pytest

from skywire.dmsg.discovery.directory import Directory
from skywire.dmsg.discovery.store import MAX_LISTED_KEYS, Store
from skywire.version import __version__
from skywire.wire.discovery import (
    DELETED,
    STORED_FIRST,
    STORED_NEXT,
    Answer,
    Health,
    Reason,
    Rules,
    answer_entry,
    answer_keys,
    refusal,
)
from skywire.wire.entry import MAX_ENTRY_SIZE, Entry
from tests.dmsg.discovery.clock import Clock
from tests.dmsg.discovery.exchanges import delete, entry_of_size, exchange, http_to, post
from tests.dmsg.discovery.loops import BOTH_STORES
from tests.vectors_io import Vector
from tests.wire.memory_discovery import ALICE, BOB, MONITOR, NOW, SECOND, STARTED, client_entry, server_entry
from tests.wire.test_discovery_vectors import RECORDED_MODES, recorded_instances

pytestmark = [pytest.mark.anyio, BOTH_STORES]

ALICE_PATH = f"/dmsg-discovery/entry/{ALICE.public}"


@pytest.mark.parametrize(("mode", "steps"), recorded_instances())
async def test_recorded_exchanges(store: Store, clock: Clock, mode: str, steps: list[Vector]) -> None:
    directory = Directory(store, RECORDED_MODES[mode], clock_ns=clock.read_ns)
    directory.health = Health(STARTED)
    async with http_to(directory) as client:
        for step in steps:
            clock.ns = step.number("clock_unix_nano")
            body = step.text("body").encode() if "body" in step else b""
            answer = await exchange(client, step.text("method"), step.text("path"), body)
            expected = Answer(step.number("status"), step.text("response").encode(), step.text("content_type"))
            assert answer == expected, step.text("note")


async def test_a_life(directory: Directory) -> None:
    async with http_to(directory) as client:
        assert await exchange(client, "GET", ALICE_PATH) == refusal(Reason.KEY_NOT_FOUND)
        assert await post(client, client_entry(client_type="visor")) == STORED_FIRST
        assert await exchange(client, "GET", ALICE_PATH) == answer_entry(client_entry(client_type="visor"))
        assert await post(client, client_entry()) == refusal(Reason.WRONG_SEQUENCE)
        assert await post(client, client_entry(1)) == STORED_NEXT
        assert await exchange(client, "GET", "/dmsg-discovery/entries") == answer_keys([ALICE.public])
        assert await exchange(client, "GET", "/dmsg-discovery/visorEntries") == answer_keys([ALICE.public])
        assert await delete(client, client_entry()) == refusal(Reason.WRONG_SEQUENCE)
        assert await delete(client, client_entry(1)) == DELETED
        assert await exchange(client, "GET", ALICE_PATH) == refusal(Reason.KEY_NOT_FOUND)
        assert await exchange(client, "GET", "/dmsg-discovery/entries") == answer_keys([])


async def test_a_deleted_entry_comes_back_only_by_a_later_one(directory: Directory, clock: Clock) -> None:
    async with http_to(directory) as client:
        await post(client, client_entry(5))
        await delete(client, client_entry(5))
        clock.ns += 3600 * SECOND
        assert await post(client, client_entry(5)) == refusal(Reason.OUTDATED)
        assert await post(client, client_entry(0, NOW + SECOND)) == STORED_FIRST


async def test_servers(directory: Directory) -> None:
    async with http_to(directory) as client:
        for path in ("available_servers", "all_servers"):
            assert await exchange(client, "GET", f"/dmsg-discovery/{path}") == refusal(Reason.NO_SERVERS)
        full = server_entry(sessions=0)
        await post(client, full)
        assert await exchange(client, "GET", "/dmsg-discovery/available_servers") == refusal(Reason.NO_SERVERS)
        listed = json.loads((await exchange(client, "GET", "/dmsg-discovery/all_servers")).body)
        assert [entry["static"] for entry in listed] == [str(BOB.public)]
        assert listed[0]["server"]["serverType"] == "community"


async def test_deregistration(store: Store) -> None:
    rules = Rules(network_monitors=frozenset({str(MONITOR.public)}))
    headers = {"NM-PK": str(MONITOR.public), "NM-Sign": MONITOR.sign(str(MONITOR.public).encode()).hex()}
    path = "/dmsg-discovery/deregister"
    async with http_to(Directory(store, rules, clock_ns=lambda: NOW)) as client:
        await post(client, client_entry())
        await post(client, server_entry())
        body = json.dumps([str(ALICE.public)]).encode()
        assert await exchange(client, "DELETE", path, body) == Answer(403, b"", "")
        assert await exchange(client, "DELETE", path, body, headers) == Answer(200, b"null")
        assert await exchange(client, "GET", ALICE_PATH) == refusal(Reason.KEY_NOT_FOUND)
        assert (await exchange(client, "GET", f"/dmsg-discovery/entry/{BOB.public}")).status == 200
        many = json.dumps(["0" * 66] * 15_000, separators=(",", ":")).encode()
        assert await exchange(client, "DELETE", path, many, headers) == Answer(200, b"null")


async def test_health(directory: Directory) -> None:
    async with http_to(directory) as client:
        answer = await exchange(client, "GET", "/health")
        assert json.loads(answer.body)["build_info"]["version"] == __version__
        directory.health = Health(NOW, "9.9", dmsg_address=f"{ALICE.public}:80", dmsg_servers=(BOB.public,))
        facts = json.loads((await exchange(client, "GET", "/health")).body)
        assert facts["dmsg_address"] == f"{ALICE.public}:80"
        assert facts["dmsg_servers"] == [str(BOB.public)]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/health", 405),
        ("HEAD", ALICE_PATH, 405),
        ("OPTIONS", ALICE_PATH, 405),
        ("PUT", "/dmsg-discovery/entry/", 405),
        ("BREW", "/health", 405),
        ("GET", "/", 404),
        ("GET", "/dmsg-discovery/entry/%2e%2e/x", 404),
        ("GET", f"{ALICE_PATH}?timeout=true", 404),
        ("GET", "/dmsg-discovery/entry/%30", 400),
    ],
)
async def test_methods_and_paths(directory: Directory, method: str, path: str, status: int) -> None:
    async with http_to(directory) as client:
        assert (await client.request(method, path)).status_code == status


async def test_an_entry_that_only_fits_as_it_was_sent_is_refused(directory: Directory) -> None:
    """Two bytes of an escape can become six; nobody could read what would be stored."""
    grown = Entry(ALICE.public, 0, NOW, client_entry().client, "\b" * (MAX_ENTRY_SIZE // 3)).sign(ALICE)
    body = grown.to_json().replace(rb"\u0008", rb"\b")
    assert len(body) <= MAX_ENTRY_SIZE < len(grown.to_json())
    async with http_to(directory) as client:
        assert await exchange(client, "POST", "/dmsg-discovery/entry/", body) == refusal(Reason.UNEXPECTED)
        assert await exchange(client, "GET", ALICE_PATH) == refusal(Reason.KEY_NOT_FOUND)


async def test_the_largest_entry(directory: Directory) -> None:
    largest = entry_of_size(MAX_ENTRY_SIZE)
    assert len(largest.to_json()) == MAX_ENTRY_SIZE
    async with http_to(directory) as client:
        assert await post(client, largest) == STORED_FIRST
        assert await exchange(client, "GET", ALICE_PATH) == answer_entry(largest)


async def test_racing_updates_of_one_key(directory: Directory) -> None:
    """Of updates with the same number exactly one wins, and the highest number stays."""
    async with http_to(directory) as client:
        answers: list[tuple[int, Answer]] = []

        async def update(number: int, client_type: str) -> None:
            answers.append((number, await post(client, client_entry(number, client_type=client_type))))

        async with anyio.create_task_group() as task_group:
            for number in (3, 1, 2):
                for copy in range(8):
                    task_group.start_soon(update, number, f"copy {copy}")
        assert re.fullmatch(rb'.*"sequence":3,.*', (await exchange(client, "GET", ALICE_PATH)).body)
        stored = [number for number, answer in answers if answer.status == 200]
        assert len(set(stored)) == len(stored)
        assert [answer for _, answer in answers].count(STORED_FIRST) == 1
        assert {answer for _, answer in answers} <= {STORED_FIRST, STORED_NEXT, refusal(Reason.WRONG_SEQUENCE)}


async def test_more_keys_than_are_listed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_LISTED_KEYS > 1
    for module in ("memory", "redis_store"):
        monkeypatch.setattr(f"skywire.dmsg.discovery.{module}.MAX_LISTED_KEYS", 1)
    async with http_to(Directory(store, clock_ns=lambda: NOW)) as client:
        await post(client, client_entry())
        await post(client, Entry(BOB.public, client=client_entry().client).sign(BOB))
        answer = await exchange(client, "GET", "/dmsg-discovery/entries")
        assert answer in (answer_keys([ALICE.public]), answer_keys([BOB.public]))
