"""Calls of net/rpc between two ends of a connection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import ByteStream

from skywire import SecKey
from skywire.errors import LocalProtocolError, ProtocolError, SkywireError
from skywire.net.address import Address
from skywire.net.background import Background
from skywire.net.conn import Owner
from skywire.net.memory import MEMORY, WINDOW, conn_pair
from skywire.netrpc import Caller, CallFailed, ConnectionEnded, Service, calling, serve_calls
from skywire.netrpc.serving import MAX_CALLS, MAX_UNSENT
from skywire.wire.gob import GobError, RpcWriter
from skywire.wire.gob.method import BLOB, NOTHING, NUMBER, Method

pytestmark = pytest.mark.anyio

DOUBLE = Method("sums.Double", NUMBER, NUMBER)
REVERSE = Method("texts.Reverse", BLOB, BLOB)
WAIT = Method("sums.Wait", NOTHING, NOTHING)
NO_SUCH = Method("sums.Halve", NUMBER, NUMBER)
ILL_FORMED = Method("Halve", NUMBER, NUMBER)


def streams() -> tuple[ByteStream, ByteStream]:
    places = [Address(MEMORY, SecKey.generate().public, port) for port in (1, 2)]
    return conn_pair(places[0], Owner("client"), places[1], Owner("host"))


def sums() -> Service:
    async def double(number: int) -> int:
        if number < 0:
            raise SkywireError("no debts")
        return 2 * number

    async def reverse(data: bytes) -> bytes:
        return data[::-1]

    service = Service()
    service.add(DOUBLE, double)
    service.add(REVERSE, reverse)
    return service


@asynccontextmanager
async def called(service: Service) -> AsyncIterator[Caller]:
    near, far = streams()
    async with Background() as tasks:
        tasks.start_soon(serve_calls, far, service)
        async with calling(near) as caller:
            yield caller


async def test_answers_come_to_who_asked() -> None:
    found: dict[int, int] = {}

    async with called(sums()) as caller:

        async def ask(number: int) -> None:
            found[number] = await caller.call(DOUBLE, number)

        async with anyio.create_task_group() as tasks:
            for number in range(3 * MAX_CALLS):
                tasks.start_soon(ask, number)
        assert await caller.call(REVERSE, b"drawer") == b"reward"
    assert found == {number: 2 * number for number in range(3 * MAX_CALLS)}


async def test_a_failure_is_told_and_calls_go_on() -> None:
    async with called(sums()) as caller:
        with pytest.raises(CallFailed, match="no debts") as failed:
            await caller.call(DOUBLE, -1)
        assert not failed.value.unknown
        with pytest.raises(CallFailed, match=r"rpc: can't find method sums\.Halve") as failed:
            await caller.call(NO_SUCH, 1)
        assert failed.value.unknown
        with pytest.raises(CallFailed, match="rpc: service/method request ill-formed: Halve"):
            await caller.call(ILL_FORMED, 1)
        with pytest.raises(CallFailed, match="gob: "):
            await caller.call(Method("sums.Double", BLOB, NUMBER), b"text")
        assert await caller.call(DOUBLE, 4) == 8


async def test_what_cannot_be_sent_is_not_asked() -> None:
    async with called(sums()) as caller:
        with pytest.raises(LocalProtocolError):
            await caller.call(DOUBLE, 2**70)
        assert await caller.call(DOUBLE, 4) == 8


async def test_a_slow_call_holds_up_no_other_and_a_cancelled_one_leaves_nothing() -> None:
    asked, go_on = anyio.Event(), anyio.Event()
    service = sums()

    async def wait(_: None) -> None:
        asked.set()
        await go_on.wait()

    service.add(WAIT, wait)
    async with called(service) as caller:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(caller.call, WAIT, None)
                await asked.wait()
                assert await caller.call(DOUBLE, 4) == 8
                scope.cancel()
        go_on.set()
        assert await caller.call(DOUBLE, 5) == 10


async def test_calls_under_way_are_cancelled_when_the_client_goes() -> None:
    near, far = streams()
    asked, cancelled = anyio.Event(), anyio.Event()

    async def wait(_: None) -> None:
        try:
            asked.set()
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    service = Service()
    service.add(WAIT, wait)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve_calls, far, service)
            async with calling(near) as caller, Background() as asking:

                async def ask() -> None:
                    with pytest.raises(ConnectionEnded):
                        await caller.call(WAIT, None)

                asking.start_soon(ask)
                await asked.wait()
                await near.aclose()
                await cancelled.wait()


async def test_a_host_that_goes_ends_all_calls() -> None:
    near, far = streams()
    with anyio.fail_after(10):
        async with calling(near) as caller, anyio.create_task_group() as tasks:

            async def ask() -> None:
                with pytest.raises(ConnectionEnded):
                    await caller.call(DOUBLE, 1)

            for _ in range(3):
                tasks.start_soon(ask)
            await far.receive()
            await far.aclose()
        with pytest.raises(ConnectionEnded):
            await caller.call(DOUBLE, 1)


async def test_a_client_that_talks_nonsense_is_told_from_one_that_goes() -> None:
    near, far = streams()
    await near.send(b"\xf8" + b"\xff" * 8)
    with anyio.fail_after(10), pytest.raises(GobError):
        await serve_calls(far, sums())


async def test_a_host_that_talks_nonsense_ends_all_calls() -> None:
    near, far = streams()
    with anyio.fail_after(10):
        async with calling(near) as caller:
            await far.send(RpcWriter().response("sums.Double", 77, NUMBER.schema, 3))
            with pytest.raises(ProtocolError):
                await caller.call(DOUBLE, 1)


async def test_answers_that_nobody_takes_hold_up_the_next_calls() -> None:
    many, size = 500, 100_000
    near, far = streams()
    answered = 0

    async def answer(_: None) -> bytes:
        nonlocal answered
        answered += 1
        return bytes(size)

    give = Method("texts.Give", NOTHING, BLOB)
    service = Service()
    service.add(give, answer)
    with anyio.fail_after(10):
        async with Background() as tasks:
            tasks.start_soon(serve_calls, far, service)
            async with near:
                writer = RpcWriter()
                await near.send(
                    b"".join(writer.request(give.name, seq, give.argument.schema, ()) for seq in range(many))
                )
                await anyio.wait_all_tasks_blocked()
                assert MAX_UNSENT // size < answered <= MAX_UNSENT // size + MAX_CALLS + WINDOW // size + 2
                taken = 0
                while taken < many * size:
                    taken += len(await near.receive())
    assert answered == many


async def test_what_can_be_answered_at_once_is() -> None:
    """It is asked anew, by a task of its own, where it cannot be; and its errors are told alike."""
    gate = anyio.Event()

    async def double(number: int) -> int:
        await gate.wait()
        return 2 * number

    def double_at_once(number: int) -> int:
        if number < 0:
            raise SkywireError("no debts")
        if number > 9:
            raise anyio.WouldBlock
        return 2 * number

    service = Service()
    service.add(DOUBLE, double, double_at_once)
    with anyio.fail_after(5):
        async with called(service) as caller, anyio.create_task_group() as tasks:
            large: list[int] = []

            async def ask_much() -> None:
                large.append(await caller.call(DOUBLE, 10))

            tasks.start_soon(ask_much)
            await anyio.wait_all_tasks_blocked()
            assert await caller.call(DOUBLE, 9) == 18
            with pytest.raises(CallFailed, match="no debts"):
                await caller.call(DOUBLE, -1)
            assert not large
            gate.set()
    assert large == [20]
