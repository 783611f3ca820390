"""The HTTP application on what clients should not do, and on stores that fail."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Collection, MutableMapping

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import ASGIApp
from trio.testing import MockClock

from skywire.dmsg.discovery.directory import FULL, LONG_SECONDS, Directory, Request
from skywire.dmsg.discovery.local import LocalDiscovery
from skywire.dmsg.discovery.memory import MemoryStore
from skywire.dmsg.discovery.metrics import DiscoveryMetrics
from skywire.dmsg.discovery.service import PIECE_SIZE, TOO_SLOW, DiscoveryApp
from skywire.dmsg.discovery.store import Judge, Store, StoreFailed
from skywire.keys import PubKey
from skywire.wire.discovery import (
    MAX_LIST_SIZE,
    STORED_FIRST,
    Answer,
    Index,
    Reason,
    Route,
    Rules,
    answer_keys,
    refusal,
    route,
)
from skywire.wire.entry import MAX_ENTRY_SIZE, ClientPart, Entry
from skywire.wire.gojson import JsonError
from tests.dmsg.discovery.exchanges import entry_of_size
from tests.dmsg.discovery.loops import ON_ASYNCIO
from tests.http.serving import ask, get, tcp
from tests.wire.memory_discovery import ALICE, BOB, NOW, client_entry, server_entry

pytestmark = pytest.mark.anyio

POST = ("POST", "/dmsg-discovery/entry/")
Message = MutableMapping[str, object]


def app_of(store: Store | None = None, *, rules: Rules | None = None, body_seconds: float = 10.0) -> DiscoveryApp:
    directory = Directory(store or MemoryStore(), rules, clock_ns=lambda: NOW)
    return DiscoveryApp(directory, body_seconds=body_seconds)


async def call(
    app: ASGIApp,
    target: tuple[str, str],
    receive: Callable[[], Awaitable[Message]],
    headers: dict[str, str] | None = None,
) -> list[Message]:
    """What the application sends."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    path, _, query = target[1].partition("?")
    raw_headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()]
    scope = {
        "type": "http",
        "method": target[0],
        "path": path,
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "headers": raw_headers,
    }
    await app(scope, receive, send)
    return sent


def of_pieces(*pieces: bytes) -> Callable[[], Awaitable[Message]]:
    waiting = list(pieces)

    async def receive() -> Message:
        piece = waiting.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(waiting)}

    return receive


async def unasked() -> Message:
    raise AssertionError("there is no need to read a body")


def answer_of(sent: list[Message]) -> tuple[Answer, bool]:
    """What was answered, and whether the connection is to be closed."""
    start, body = sent
    raw = start["headers"]
    assert isinstance(raw, list)
    headers = {name.decode(): value.decode() for name, value in raw}
    content, status = body["body"], start["status"]
    assert isinstance(content, bytes)
    assert isinstance(status, int)
    assert headers["content-length"] == str(len(content))
    return Answer(status, content, headers.get("content-type", "")), headers.get("connection") == "close"


async def test_a_body_in_pieces() -> None:
    body = client_entry().to_json()
    pieces = [body[:1], b"", *[body[start : start + 50] for start in range(1, len(body), 50)], b""]
    assert answer_of(await call(app_of(), POST, of_pieces(*pieces))) == (STORED_FIRST, False)


async def test_a_body_of_one_byte_more() -> None:
    body = entry_of_size(MAX_ENTRY_SIZE + 1).to_json()
    assert answer_of(await call(app_of(), POST, of_pieces(body))) == (refusal(Reason.UNEXPECTED), True)


@pytest.mark.parametrize(
    ("target", "limit"),
    [
        (POST, MAX_ENTRY_SIZE),
        (("DELETE", "/dmsg-discovery/entry"), MAX_ENTRY_SIZE),
        (("DELETE", "/dmsg-discovery/deregister"), MAX_LIST_SIZE),
    ],
)
async def test_an_endless_body_is_read_up_to_the_limit(target: tuple[str, str], limit: int) -> None:
    read = 0

    async def receive() -> Message:
        nonlocal read
        read += 1000
        return {"type": "http.request", "body": b" " * 1000, "more_body": True}

    monitor = str(BOB.public)
    headers = {"nm-pk": monitor, "nm-sign": BOB.sign(monitor.encode()).hex()}
    app = app_of(rules=Rules(network_monitors=frozenset({monitor})))
    answer, closes = answer_of(await call(app, target, receive, headers))
    assert answer.status in (400, 500)
    assert closes
    assert read <= limit + 1000


async def test_of_a_stranger_who_would_remove_others_no_body_is_read() -> None:
    for headers in ({}, {"nm-pk": str(ALICE.public)}):
        app = app_of(rules=Rules(network_monitors=frozenset({str(BOB.public)})))
        sent = await call(app, ("DELETE", "/dmsg-discovery/deregister"), unasked, headers)
        assert answer_of(sent) == (Answer(403, b"", ""), False)


async def test_where_no_body_belongs_none_is_read() -> None:
    for target in [("GET", "/health"), ("GET", "/dmsg-discovery/entries"), ("GET", "/"), ("PATCH", "/health")]:
        answer, closes = answer_of(await call(app_of(), target, unasked))
        assert answer.status in (200, 404, 405)
        assert not closes


async def test_a_body_that_never_ends() -> None:
    async def receive() -> Message:
        await anyio.sleep_forever()
        raise AssertionError

    sent = await call(app_of(body_seconds=0.01), POST, receive)
    assert answer_of(sent) == (TOO_SLOW, True)


async def test_a_client_that_leaves_gets_no_answer_and_changes_nothing() -> None:
    pieces = iter([client_entry().to_json()])

    async def receive() -> Message:
        piece = next(pieces, None)
        if piece is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": True}

    store = MemoryStore()
    assert await call(app_of(store), POST, receive) == []
    assert await store.entry(ALICE.public) is None


async def test_requests_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "skywire.dmsg.discovery"):
        await call(app_of(), ("GET", "/health"), unasked, {"x-forwarded-for": "192.0.2.9\r\n" + "x" * 1000})
        await call(app_of(), ("GET", "/" + "y" * 1000), unasked)
    first, second = caplog.messages
    assert first.startswith(r"somebody (for '192.0.2.9\r\n")
    assert first.endswith("GET '/health': 200")
    assert second.endswith("yy': 404")
    assert len(first) < 150
    assert len(second) < 150


async def test_the_client_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    scope = {"type": "http", "method": "GET", "raw_path": b"/", "headers": [], "client": ("192.0.2.1", 99)}

    async def send(message: Message) -> None:
        pass

    with caplog.at_level(logging.DEBUG, "skywire.dmsg.discovery"):
        await app_of()(scope, unasked, send)
    assert caplog.messages == ["192.0.2.1:99: GET '/': 404"]


async def test_a_full_store_refuses_clearly() -> None:
    app = app_of(MemoryStore(max_clients=1))
    assert answer_of(await call(app, POST, of_pieces(client_entry().to_json()))) == (STORED_FIRST, False)
    other = Entry(BOB.public, client=ClientPart()).sign(BOB)
    assert answer_of(await call(app, POST, of_pieces(other.to_json()))) == (FULL, False)


class FailingStore:
    """Fails until it is mended; then it is empty."""

    def __init__(self) -> None:
        self.is_mended = False

    def _work(self) -> None:
        if not self.is_mended:
            raise StoreFailed("the store failed: no reason")

    async def entry(self, key: PubKey) -> bytes | None:
        self._work()
        return None

    async def change(self, key: PubKey, judge: Judge) -> Answer:
        self._work()
        return judge(None, None).answer

    async def remove(self, keys: Collection[PubKey]) -> None:
        self._work()

    async def servers(self) -> list[Entry]:
        self._work()
        return []

    async def keys(self, index: Index) -> list[PubKey]:
        self._work()
        return []

    async def count(self, index: Index) -> int:
        self._work()
        return 0

    async def sweep(self) -> None:
        self._work()

    async def aclose(self) -> None:
        pass


async def test_a_store_that_fails_is_something_unexpected(caplog: pytest.LogCaptureFixture) -> None:
    store = FailingStore()
    monitor = str(BOB.public)
    app = app_of(store, rules=Rules(network_monitors=frozenset({monitor})))
    headers = {"nm-pk": monitor, "nm-sign": BOB.sign(monitor.encode()).hex()}
    targets: list[tuple[tuple[str, str], bytes]] = [
        (("GET", f"/dmsg-discovery/entry/{ALICE.public}"), b""),
        (POST, client_entry().to_json()),
        (("DELETE", "/dmsg-discovery/entry"), client_entry().to_json()),
        (("GET", "/dmsg-discovery/available_servers"), b""),
        (("GET", "/dmsg-discovery/all_servers"), b""),
        (("GET", "/dmsg-discovery/entries"), b""),
        (("GET", "/dmsg-discovery/visorEntries"), b""),
        (("DELETE", "/dmsg-discovery/deregister"), f'["{ALICE.public}"]'.encode()),
    ]
    for target, body in targets:
        sent = await call(app, target, of_pieces(body), headers)
        assert answer_of(sent) == (refusal(Reason.UNEXPECTED), False)
    assert caplog.messages == ["the store failed: no reason; requests are refused until it works again"]
    store.is_mended = True
    for target, body in targets:
        sent = await call(app, target, of_pieces(body), headers)
        assert answer_of(sent)[0].status in (200, 404)


@pytest.mark.parametrize("anyio_backend", [("trio", {"clock": MockClock(autojump_threshold=0)})])
async def test_upkeep_goes_on_when_the_store_fails(caplog: pytest.LogCaptureFixture) -> None:
    """Its sleeps take no time: the clock jumps when nothing else is to be done."""
    store = FailingStore()
    counted: list[tuple[int, int]] = []
    async with anyio.create_task_group() as task_group:
        task_group.start_soon(Directory(store).maintain, lambda *counts: counted.append(counts))
        await anyio.sleep(25)
        assert not counted
        store.is_mended = True
        await anyio.sleep(20)
        task_group.cancel_scope.cancel()
    assert counted == [(0, 0), (0, 0)]
    assert caplog.messages == [
        "the store failed: no reason; requests are refused until it works again",
        "the store works again",
    ]


async def shown_by(metrics: DiscoveryMetrics) -> dict[str, float]:
    """The figures that Prometheus would read."""
    _, body = await call(metrics.app, ("GET", "/metrics"), of_pieces(b""))
    text = body["body"]
    assert isinstance(text, bytes)
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


@pytest.mark.parametrize("anyio_backend", [("trio", {"clock": MockClock(autojump_threshold=0)})])
async def test_upkeep_forgets_what_expired_and_counts() -> None:
    store = MemoryStore(clock=anyio.current_time)
    directory = Directory(store, clock_ns=lambda: NOW)
    metrics = DiscoveryMetrics()
    local = LocalDiscovery(directory)
    await local.post(server_entry())
    await local.post(client_entry())
    async with anyio.create_task_group() as task_group:
        task_group.start_soon(directory.maintain, metrics.update)
        task_group.start_soon(directory.maintain)
        await anyio.sleep(1)
        assert await shown_by(metrics) == {"dmsg_discovery_clients_count": 1, "dmsg_discovery_servers_count": 1}
        await anyio.sleep(130)
        assert await shown_by(metrics) == {"dmsg_discovery_clients_count": 1, "dmsg_discovery_servers_count": 0}
        task_group.cancel_scope.cancel()


def listed(sent: list[Message]) -> tuple[int, bytes]:
    """The status and the body of an answer in pieces, of which all but the last say that there is more."""
    start, *pieces = sent
    bodies: list[bytes] = []
    for piece in pieces:
        body = piece["body"]
        assert isinstance(body, bytes)
        assert 0 < len(body) <= PIECE_SIZE
        bodies.append(body)
    assert [piece.get("more_body", False) for piece in pieces] == [True] * (len(pieces) - 1) + [False]
    status = start["status"]
    assert isinstance(status, int)
    return status, b"".join(bodies)


class Growing(FailingStore):
    """With one key more each time it is asked, all before that one together."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.asked = 0
        self.released = anyio.Event()

    async def keys(self, index: Index) -> list[PubKey]:
        self.asked += 1
        keys = [ALICE.public] * (self.size + self.asked)
        await self.released.wait()
        return keys


@pytest.mark.parametrize("path", ["entries", "visorEntries"])
@pytest.mark.parametrize("anyio_backend", [("trio", {"clock": MockClock(autojump_threshold=0)})])
async def test_a_long_list_is_one_for_all_who_ask(path: str) -> None:
    store = Growing(3000)
    directory = Directory(store)
    bodies: list[bytes] = []

    async def ask() -> None:
        target = route("GET", f"/dmsg-discovery/{path}")
        assert isinstance(target, Route)
        bodies.append((await directory.answer(Request(target))).body)

    async with anyio.create_task_group() as task_group:
        for _ in range(10):
            task_group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        store.released.set()
    await anyio.sleep(LONG_SECONDS * 0.9)
    await ask()
    assert len({id(body) for body in bodies}) == 1
    await anyio.sleep(LONG_SECONDS * 0.1)
    assert store.asked == 10
    await ask()
    assert store.asked == 11
    assert len(bodies[-1]) != len(bodies[0])


async def test_a_short_list_is_always_of_now() -> None:
    store = Growing(1)
    store.released.set()
    app = app_of(store)
    for count in (2, 3):
        sent = await call(app, ("GET", "/dmsg-discovery/entries"), unasked)
        assert listed(sent) == (200, answer_keys([ALICE.public] * count).body)


async def test_a_long_list_goes_out_in_pieces() -> None:
    store = Growing(3000)
    store.released.set()
    sent = await call(app_of(store), ("GET", "/dmsg-discovery/entries"), unasked)
    assert len(sent) == 5
    assert listed(sent) == (200, answer_keys([ALICE.public] * 3001).body)


@ON_ASYNCIO
async def test_no_request_of_figures_is_a_failure() -> None:
    """Whatever is asked of them, it is answered and is no news to the operator."""
    where = "/metrics"
    requests = [
        get(where, "Connection: close"),
        get(f"{where}?name[]=%ff", "Connection: close"),
        get(where, "Accept: application/openmetrics-text; version=abc; escaping=foo", "Connection: close"),
        get(where, "Accept: application/openmetrics-text; version=1.0.0.0.x;;=;escaping", "Connection: close"),
        get(where, "Accept: \xff\xfe", "Accept-Encoding: gzip;q=\xff", "Connection: close"),
        get(where, "Connection: close", method="POST"),
        get(where, "Connection: close", method="OPTIONS"),
        get("*", "Connection: close", method="OPTIONS"),
        get("a:1", "Connection: close", method="CONNECT"),
        get("/", "Connection: close"),
    ]
    async with tcp(DiscoveryMetrics().app) as served:
        statuses = [int((await ask(served, request)).split()[1]) for request in requests]
    assert statuses == [200] * 5 + [405] * 2 + [404] * 3


def an_entry(body: bytes) -> bool:
    try:
        return len(body) <= MAX_ENTRY_SIZE and bool(Entry.from_json(body))
    except JsonError:
        return False


def mutated(base: bytes) -> st.SearchStrategy[bytes]:
    """Bodies with some bytes of an entry replaced, removed or repeated."""
    cuts = st.tuples(st.integers(0, len(base)), st.integers(0, len(base)), st.binary(max_size=8))
    return cuts.map(lambda cut: base[: cut[0]] + cut[2] + base[cut[1] :])


members = st.fixed_dictionaries(
    {},
    optional={
        "version": st.sampled_from(["", "0.0.1", "2"]),
        "sequence": st.integers(-1, 2**64),
        "timestamp": st.sampled_from([0, NOW, NOW - 10**12, 2**63, -(2**63)]),
        "static": st.sampled_from([str(ALICE.public), str(BOB.public), "", "00", "zz", "02" + "ff" * 32]),
        "client": st.sampled_from([None, {}, {"delegated_servers": None}, {"delegated_servers": [str(BOB.public)]}, 1]),
        "client_type": st.sampled_from(["visor", "\x00\b", "\U0001f600", ""]),
        "server": st.sampled_from([None, {}, {"address": "192.0.2.1:1", "availableSessions": 2**63 - 1}, []]),
        "signature": st.sampled_from(["", "x", "00" * 65]),
        "unknown": st.recursive(st.none() | st.integers() | st.text(max_size=3), st.lists, max_leaves=3),
    },
)
bodies = st.one_of(
    st.binary(max_size=80),
    mutated(client_entry().to_json()),
    mutated(server_entry().to_json()),
    members.map(lambda fields: json.dumps(fields).encode()),
)


@given(st.lists(st.tuples(st.sampled_from(["post", "delete"]), bodies, st.booleans()), max_size=6), st.booleans())
@settings(max_examples=100, deadline=None)
def test_no_body_does_what_nobody_expects(requests: list[tuple[str, bytes, bool]], load_testing: bool) -> None:
    """Only what is no entry at all is answered by 500, as upstream has it."""
    app = app_of(rules=Rules(load_testing=load_testing))

    async def run() -> None:
        for kind, body, short in requests:
            path = "/dmsg-discovery/entry/?timeout=true" if short else "/dmsg-discovery/entry/"
            target = ("POST", path) if kind == "post" else ("DELETE", "/dmsg-discovery/entry")
            answer, _ = answer_of(await call(app, target, of_pieces(body)))
            assert (answer.status == 500) == (not an_entry(body))
            assert answer.status in {200, 401, 422, 500}
        for path in ("available_servers", "all_servers", "entries", "visorEntries", f"entry/{ALICE.public}"):
            answer, _ = answer_of(await call(app, ("GET", f"/dmsg-discovery/{path}"), unasked))
            assert answer.status in {200, 404}

    anyio.run(run)


header_texts = st.text(st.characters(max_codepoint=255), max_size=140)


@given(
    st.text(st.characters(max_codepoint=255), max_size=80), st.text(max_size=20), st.binary(max_size=99), header_texts
)
@settings(max_examples=100, deadline=None)
def test_no_request_is_without_an_answer(path: str, query: str, body: bytes, text: str) -> None:
    app = app_of(rules=Rules(network_monitors=frozenset({text, ""})))
    query = query.encode("ascii", "ignore").decode()

    async def run() -> None:
        for target in [
            ("GET", f"/{path.replace('?', '')}"),
            ("GET", f"/dmsg-discovery/entry/{path.replace('?', '')}?{query}"),
            ("POST", f"/dmsg-discovery/entry/x?timeout={query}"),
            ("DELETE", "/dmsg-discovery/deregister"),
        ]:
            sent = await call(app, target, of_pieces(body), {"nm-pk": text, "nm-sign": text, "x-forwarded-for": text})
            assert answer_of(sent)[0].status in {400, 403, 404, 405, 422, 500}

    anyio.run(run)
