"""Many messages and many peers, over key-encrypted TCP: all come, once, and memory does not grow with them.

The long form, with its report on standard output::

    SKYCHAT_MESSAGES=10000 SKYCHAT_PEERS=200 pytest -s tests/apps/skychat/test_scale.py --timeout 600
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from anyio import create_task_group, fail_after

from skywire import Address, Owner, PkTcpNetwork, SecKey
from skywire.apps.skychat.messenger import Messenger
from skywire.wire.skychat import Acked, Event, Written
from tests.apps.skychat.site import SURE, tcp_chat
from tests.apps.skychat.town import ALICE, BOB, Talk, seen, until

pytestmark = pytest.mark.anyio

MESSAGES = int(os.environ.get("SKYCHAT_MESSAGES", "600"))
PEERS = int(os.environ.get("SKYCHAT_PEERS", "20"))
EACH = 20
"""Messages of each of many peers."""
GROWTH = 16.0
"""Megabytes that memory may grow once it runs: buffers of the allocator and of SQLite, whatever the count."""
PROCESS = psutil.Process()


def memory() -> float:
    gc.collect()
    return float(PROCESS.memory_info().rss) / 1e6


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")


async def follow(chat: Messenger, count: int, found: list[str]) -> None:
    """As a reader does who marks what it has shown."""
    changes = chat.changes(0)
    assert isinstance(changes, AsyncGenerator)
    async with aclosing(changes):
        async for message in changes:
            if message.number == message.change:
                found.append(message.text)
                if len(found) % 50 == 0 or len(found) == count:
                    await chat.mark_read(message.peer, message.number)
            if len(found) == count:
                return


async def test_many_messages(tmp_path: Path) -> None:
    found: list[str] = []
    async with (
        tcp_chat(tmp_path, BOB, allow=[ALICE.public]) as (bob, where),
        tcp_chat(tmp_path, ALICE, peers=[where]) as (alice, _),
        create_task_group() as tasks,
    ):
        tasks.start_soon(follow, bob, MESSAGES, found)
        began, at_first = time.perf_counter(), 0.0
        for number in range(MESSAGES):
            if number == MESSAGES // 5:
                at_first = memory()
            await alice.send(BOB.public, f"message {number}")
        sent = time.perf_counter() - began

        async def came() -> bool:
            return len(found) == MESSAGES

        with fail_after(60 + MESSAGES / 50):
            while not await came():
                await bob.store.changed((await bob.store.figures()).change - 1, 1)
        took = time.perf_counter() - began
        grown = memory() - at_first
        assert found == [f"message {number}" for number in range(MESSAGES)]
        assert grown < GROWTH
        figures = await bob.store.figures()
        tell(f"{MESSAGES} messages: {sent:.1f} s to send, {took:.1f} s until shown, {figures.stored} kept,")
        tell(f"  memory {grown:+.1f} MB since a fifth of them")


async def test_many_messages_for_a_peer_that_is_away(tmp_path: Path) -> None:
    async with tcp_chat(tmp_path, BOB) as (_, at):
        pass
    limits = replace(SURE, retry_seconds=0.2, longest_retry_seconds=0.2)
    async with tcp_chat(tmp_path, ALICE, peers=[at], limits=limits) as (alice, _):
        for number in range(MESSAGES):
            await alice.send(BOB.public, f"message {number}")
        async with tcp_chat(tmp_path, BOB, listen=at.port, allow=[ALICE.public]) as (bob, _):
            began = time.perf_counter()
            with fail_after(60 + MESSAGES / 50):
                while await alice.store.waited_for():
                    await alice.store.changed((await alice.store.figures()).change, 1)
            took = time.perf_counter() - began
            assert [each.text for each in (await seen(bob, MESSAGES))] == [
                f"message {number}" for number in range(MESSAGES)
            ]
            tell(f"{MESSAGES} that waited: {took:.1f} s to deliver")


async def test_many_peers_at_once(tmp_path: Path) -> None:
    keys = [SecKey.generate() for _ in range(PEERS)]
    answers: dict[str, list[Event]] = {}

    async def peer(key: SecKey, where: Address) -> None:
        async with await PkTcpNetwork(key).dial(where, owner=Owner("peer")) as conn:
            talk = Talk(conn)
            for number in range(EACH):
                await talk.say(Written(f"{number:016x}", f"{number}"))
            answers[str(key.public)] = heard = await talk.hear(EACH + 1)
            await talk.say(*(Acked(each.id) for each in heard if isinstance(each, Written)))
            await until(lambda: nothing_waits(key))

    async with tcp_chat(tmp_path, ALICE, allow=[key.public for key in keys]) as (alice, where):

        async def nothing_waits(key: SecKey) -> bool:
            return not await alice.store.waiting(key.public, 1)

        before, began = memory(), time.perf_counter()
        async with create_task_group() as tasks:
            for key in keys:
                tasks.start_soon(peer, key, where)
                tasks.start_soon(alice.send, key.public, "hello")
        took, grown = time.perf_counter() - began, memory() - before
        for heard in answers.values():
            assert [each for each in heard if isinstance(each, Acked)] == [Acked(f"{n:016x}") for n in range(EACH)]
            assert [each.body for each in heard if isinstance(each, Written)] == ["hello"]
        assert len(answers) == PEERS
        contacts = await alice.contacts()
        assert [(each.unread, each.waiting) for each in contacts] == [(EACH, 0)] * PEERS
        assert grown < GROWTH + PEERS * 0.2
        tell(f"{PEERS} peers at once, {EACH} messages each and one to each: {took:.1f} s, memory {grown:+.1f} MB")
