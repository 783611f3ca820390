"""Calls between processes: typed both ways, by role, with streams, and robust against odd callers."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import pytest
from anyio import EndOfStream, Event, create_task_group, fail_after, sleep, sleep_forever, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from skywire.app.interface import Role, methods_of, needs
from skywire.app.launcher import NoSuchInstance
from skywire.control import frames
from skywire.control.client import Client, NodeGone, RemoteError, connected
from skywire.control.frames import MAX_MESSAGE, MessageStream
from skywire.control.messages import Code
from skywire.control.server import MAX_CALLS, Endpoint
from skywire.errors import ProtocolError
from skywire.keys import PubKey, SecKey
from skywire.net.address import Address
from skywire.net.conn import CORE, Conn
from skywire.net.memory import MEMORY, conn_pair

pytestmark = pytest.mark.anyio

KEY = SecKey.generate().public


@dataclass(frozen=True)
class Thing:
    name: str
    key: PubKey
    sizes: tuple[int, ...] = ()


class ThingsAPI(Protocol):
    @needs(Role.READ)
    async def get(self, name: str, count: int = 1) -> Thing: ...

    @needs(Role.READ)
    def count(self, start: int = 0) -> AsyncIterator[Thing]: ...

    @needs(Role.CONTROL)
    async def put(self, thing: Thing, notes: Mapping[str, str] = {}) -> None: ...

    async def erase(self) -> None: ...

    @needs(Role.READ)
    async def wait(self) -> None: ...

    @needs(Role.READ)
    async def fail(self, how: str) -> None: ...


class Things:
    def __init__(self) -> None:
        self.put_in: list[tuple[Thing, Mapping[str, str]]] = []
        self.waiting = 0
        self.ended = Event()
        self.begun = Event()

    async def get(self, name: str, count: int = 1) -> Thing:
        return Thing(name, KEY, tuple(range(count)))

    async def count(self, start: int = 0) -> AsyncIterator[Thing]:
        try:
            number = start
            while True:
                await checkpoint()
                yield Thing(str(number), KEY)
                number += 1
                if number == 1000:
                    return
        finally:
            self.ended.set()

    async def put(self, thing: Thing, notes: Mapping[str, str] = {}) -> None:
        self.put_in.append((thing, notes))

    async def erase(self) -> None:
        self.put_in.clear()

    async def wait(self) -> None:
        self.waiting += 1
        self.begun.set()
        try:
            await sleep_forever()
        finally:
            self.waiting -= 1
            self.ended.set()

    async def fail(self, how: str) -> None:
        if how == "ours":
            raise NoSuchInstance("there is no such thing")
        raise ZeroDivisionError("secret details")


def pair() -> tuple[Conn, Conn]:
    return conn_pair(Address(MEMORY, KEY, 1), CORE, Address(MEMORY, KEY, 2), CORE)


@asynccontextmanager
async def calling(things: Things, role: Role = Role.ADMIN) -> AsyncIterator[tuple[Client, ThingsAPI]]:
    endpoint = Endpoint()
    endpoint.offer("things", ThingsAPI, things)
    near, far = pair()
    async with create_task_group() as task_group:
        task_group.start_soon(endpoint.serve, far, role, "a test")
        async with connected(near) as client:
            yield client, client.of(ThingsAPI, "things")


class OlderAPI(Protocol):
    """The same interface, in another version."""

    @needs(Role.READ)
    async def get(self, name: str) -> str: ...

    @needs(Role.READ)
    def count(self, start: int = 0) -> AsyncIterator[str]: ...


async def test_an_answer_of_another_version_says_so() -> None:
    async with calling(Things()) as (client, remote):
        older = client.of(OlderAPI, "things")
        with pytest.raises(ProtocolError, match=r"things\.get: a text is expected, .*; it may be another version"):
            await older.get("a")
        with pytest.raises(ProtocolError, match="it may be another version"):
            await anext(older.count())
        assert (await remote.get("a")).name == "a"


async def test_arguments_and_results_keep_their_types() -> None:
    things = Things()
    async with calling(things) as (_, remote):
        assert await remote.get("a") == Thing("a", KEY, (0,))
        assert await remote.get(name="b", count=3) == Thing("b", KEY, (0, 1, 2))
        await remote.put(Thing("c", KEY), {"why": "because"})
        assert things.put_in == [(Thing("c", KEY), {"why": "because"})]


async def test_many_calls_at_a_time() -> None:
    async with calling(Things()) as (_, remote), create_task_group() as task_group:

        async def ask(number: int) -> None:
            assert (await remote.get(str(number))).name == str(number)

        for number in range(MAX_CALLS):
            task_group.start_soon(ask, number)


async def test_a_stream_comes_to_its_end_and_can_be_left_early() -> None:
    things = Things()
    async with calling(things) as (_, remote):
        assert [each.name async for each in remote.count(990)] == [str(number) for number in range(990, 1000)]
        things.ended = Event()
        stream = remote.count()
        assert isinstance(stream, AsyncGenerator)
        async with aclosing(stream):
            async for each in stream:
                assert each.name == "0"
                break
        with fail_after(5):
            await things.ended.wait()
        assert (await remote.get("still there")).name == "still there"


async def test_a_cancelled_call_is_cancelled_there_too() -> None:
    things = Things()
    async with calling(things) as (_, remote):
        async with create_task_group() as task_group:
            task_group.start_soon(remote.wait)
            await things.begun.wait()
            task_group.cancel_scope.cancel()
        with fail_after(5):
            await things.ended.wait()
        assert things.waiting == 0


async def test_each_role_may_do_its_part() -> None:
    things = Things()
    async with calling(things, Role.READ) as (_, remote):
        assert (await remote.get("a")).name == "a"
        with pytest.raises(RemoteError, match=r"things\.put needs the role control, you have read") as refused:
            await remote.put(Thing("a", KEY))
        assert refused.value.code == Code.FORBIDDEN
    async with calling(things, Role.CONTROL) as (_, remote):
        await remote.put(Thing("a", KEY))
        with pytest.raises(RemoteError, match="needs the role admin"):
            await remote.erase()
    assert things.put_in
    assert [(each.attribute, each.role) for each in methods_of(ThingsAPI, "x")][-3:] == [
        ("erase", Role.ADMIN),
        ("wait", Role.READ),
        ("fail", Role.READ),
    ]


async def test_errors_of_ours_are_told_and_others_are_not(caplog: pytest.LogCaptureFixture) -> None:
    async with calling(Things()) as (_, remote):
        with pytest.raises(RemoteError, match=r"^there is no such thing$") as told:
            await remote.fail("ours")
        assert (told.value.code, told.value.kind) == (Code.REFUSED, "NoSuchInstance")
        with pytest.raises(RemoteError, match="the log of the node has more") as hidden:
            await remote.fail("other")
        assert "secret" not in str(hidden.value)
    assert "secret details" in caplog.text


async def test_the_end_of_the_connection_ends_all_calls() -> None:
    things = Things()
    endpoint = Endpoint()
    endpoint.offer("things", ThingsAPI, things)
    near, far = pair()
    async with connected(near) as client, create_task_group() as task_group:
        remote = client.of(ThingsAPI, "things")

        async def wait() -> None:
            with pytest.raises(NodeGone):
                await remote.wait()

        async def serve() -> None:
            async with create_task_group() as serving:
                serving.start_soon(endpoint.serve, far, Role.ADMIN, "a test")
                await things.begun.wait()
                serving.cancel_scope.cancel()

        task_group.start_soon(serve)
        task_group.start_soon(wait)
    assert things.waiting == 0


async def test_leaving_the_connection_ends_the_calls_of_others() -> None:
    things = Things()
    endpoint = Endpoint()
    endpoint.offer("things", ThingsAPI, things)
    near, far = pair()
    async with create_task_group() as task_group:
        task_group.start_soon(endpoint.serve, far, Role.ADMIN, "a test")

        async def wait(remote: ThingsAPI) -> None:
            with pytest.raises(NodeGone):
                await remote.wait()

        with fail_after(5):
            async with create_task_group() as callers, connected(near) as client:
                callers.start_soon(wait, client.of(ThingsAPI, "things"))
                await things.begun.wait()


@asynccontextmanager
async def raw(role: Role = Role.ADMIN) -> AsyncIterator[MessageStream]:
    endpoint = Endpoint()
    endpoint.offer("things", ThingsAPI, Things())
    near, far = pair()
    async with create_task_group() as task_group:
        task_group.start_soon(endpoint.serve, far, role, "a test")
        yield MessageStream(near)
        task_group.cancel_scope.cancel()


def error_of(message: Mapping[str, object]) -> tuple[int, str]:
    error = message["error"]
    assert isinstance(error, dict)
    return error["code"], error["message"]


@pytest.mark.parametrize(
    ("method", "arguments", "code", "text"),
    [
        ("things.nothing", {}, Code.NO_SUCH_METHOD, "there is no method 'things.nothing'"),
        (5, {}, Code.NO_SUCH_METHOD, "there is no method 5"),
        ("things.get", [], Code.WRONG_ARGUMENTS, "things.get: the arguments are an object, by name"),
        ("things.get", {}, Code.WRONG_ARGUMENTS, "things.get.name: it is missing"),
        ("things.get", {"name": "a", "x": 1}, Code.WRONG_ARGUMENTS, "things.get.x: there is no such argument"),
        ("things.get", {"name": 1}, Code.WRONG_ARGUMENTS, "things.get.name: a text is expected, this is the number 1"),
        ("things.put", {"thing": {"name": "a"}}, Code.WRONG_ARGUMENTS, "things.put.thing.key: it is missing"),
    ],
)
async def test_a_wrong_call_is_told_what_is_wrong(method: object, arguments: object, code: Code, text: str) -> None:
    async with raw() as messages:
        await messages.send({"jsonrpc": "2.0", "id": 1, "method": method, "params": arguments})
        assert error_of(await messages.receive()) == (code, text)
        await messages.send({"jsonrpc": "2.0", "id": "two", "method": "things.get", "params": {"name": "a"}})
        assert (await messages.receive())["id"] == "two"


@pytest.mark.parametrize(
    "message",
    [{}, {"jsonrpc": "1.0", "id": 1}, {"jsonrpc": "2.0"}, {"jsonrpc": "2.0", "id": True}, {"jsonrpc": "2.0", "id": []}],
)
async def test_who_does_not_speak_the_protocol_is_left(message: dict[str, object]) -> None:
    async with raw() as messages:
        await messages.send(message)
        with pytest.raises(EndOfStream), fail_after(5):
            await messages.receive()


async def test_a_caller_has_so_many_calls_at_a_time() -> None:
    async with raw() as messages:
        for number in range(MAX_CALLS + 1):
            await messages.send({"jsonrpc": "2.0", "id": number, "method": "things.wait"})
        message = await messages.receive()
        assert message["id"] == MAX_CALLS
        assert error_of(message)[0] == Code.BUSY
        await messages.send({"jsonrpc": "2.0", "id": 0, "method": "cancel"})
        assert await messages.receive() == {"jsonrpc": "2.0", "method": "end", "params": {"id": 0}}
        await messages.send({"jsonrpc": "2.0", "id": 0, "method": "things.get", "params": {"name": "a"}})
        assert (await messages.receive())["id"] == 0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ((MAX_MESSAGE + 1).to_bytes(4, "big"), "announces 4194305 bytes"),
        (b"\0\0\0\x02[]", "a message is a JSON object"),
        (b"\0\0\0\x02{]", "is no JSON"),
        (b"\0\0\0\x02\xff\xff", "is no JSON"),
        (b"\0\0\x10\0" + b"[" * 4096, "is no JSON"),
    ],
)
async def test_bytes_that_are_no_message_are_refused(data: bytes, reason: str) -> None:
    near, far = pair()
    await near.send(data)
    with pytest.raises(ProtocolError, match=reason):
        await MessageStream(far).receive()


async def test_a_message_cut_short_is_the_end() -> None:
    near, far = pair()
    await near.send(b"\0\0\0\x09" + json.dumps({}).encode())
    await near.aclose()
    with pytest.raises(EndOfStream):
        await MessageStream(far).receive()


async def test_who_does_not_read_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "SEND_SECONDS", 0.05)
    near, _ = pair()  # whose other end nobody reads
    async with connected(near) as client:
        remote = client.of(ThingsAPI, "things")
        for _ in range(2):
            with pytest.raises(NodeGone), fail_after(5):
                await remote.get("x" * 1_000_000)


async def test_a_caller_who_does_not_read_does_not_hold_the_process_up() -> None:
    endpoint = Endpoint()
    endpoint.offer("things", ThingsAPI, Things())
    near, far = pair()
    call = {"jsonrpc": "2.0", "id": 1, "method": "things.get", "params": {"name": "x" * 1_000_000}}
    with fail_after(5):
        async with create_task_group() as task_group:
            task_group.start_soon(endpoint.serve, far, Role.ADMIN, "a test")
            await MessageStream(near).send(call)
            await wait_all_tasks_blocked()
            task_group.cancel_scope.cancel()


async def test_a_message_longer_than_any_may_be_is_not_sent() -> None:
    async with calling(Things()) as (_, remote):
        with pytest.raises(ProtocolError, match="the limit is"):
            await remote.get("x" * MAX_MESSAGE)
        assert (await remote.get("still there")).name == "still there"


@pytest.mark.parametrize(
    ("call", "arguments"),
    [(1, {"ж" * 1_500_000: 1}), ("ж" * 1_500_000, {"name": "a"}), ("ж" * 1_500_000, {})],
    ids=["argument", "id", "both"],
)
async def test_what_a_caller_makes_long_costs_nobody_but_them(call: int | str, arguments: dict[str, object]) -> None:
    endpoint = Endpoint()
    endpoint.offer("things", ThingsAPI, Things())
    near, far = pair()
    body = json.dumps(
        {"jsonrpc": "2.0", "id": call, "method": "things.get", "params": arguments}, ensure_ascii=False
    ).encode()
    assert len(body) < MAX_MESSAGE

    async def ask() -> None:
        await near.send(len(body).to_bytes(4, "big") + body)
        with suppress(EndOfStream):
            assert len(str((await MessageStream(near).receive())["error"])) < 10_000
        await near.aclose()

    with fail_after(20):
        async with create_task_group() as task_group:
            task_group.start_soon(ask)
            await endpoint.serve(far, Role.ADMIN, "a test")


async def test_who_stops_in_the_middle_of_a_message_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "RECEIVE_SECONDS", 0.05)
    near, far = pair()
    endpoint = Endpoint()
    await near.send(b"\x00\x00\x10\x00{")
    with fail_after(5):
        await endpoint.serve(far, Role.ADMIN, "a test")
    with pytest.raises(EndOfStream):
        await near.receive()


async def test_who_has_nothing_to_say_is_not_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "RECEIVE_SECONDS", 0.05)
    async with calling(Things()) as (_, remote):
        await sleep(0.2)
        assert (await remote.get("still there")).name == "still there"
