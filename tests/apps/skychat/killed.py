"""A chat in a process of its own, that is killed again and again: ``killed.py FOLDER OWN PEER PORT PEER-PORT PART``.

The writer sends one number after the other until there is a file ``enough``. The reader shows what comes, and remembers
what it has shown last, by one write: a line with the change, the id and the text. Both say ``up`` once they serve, and
``done`` once nothing is left to be sent.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import anyio
from anyio import create_task_group, sleep

from skywire import Address, SecKey
from skywire.apps.skychat.contract import Delivery, Direction
from skywire.apps.skychat.messenger import Messenger
from tests.apps.skychat.site import tcp_chat
from tests.apps.skychat.town import delivered

ENOUGH = "enough"
SHOWN = "shown"


def key(number: int) -> SecKey:
    return SecKey(bytes([number]) * 32)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def write(chat: Messenger, folder: Path, peer: SecKey) -> None:
    mine = [each for each in await chat.history(limit=500) if each.direction is Direction.OUT]
    number = int(mine[-1].text) if mine else 0
    while not (folder / ENOUGH).exists():
        number += 1
        await chat.send(peer.public, f"{number}")
        await sleep(random.uniform(0, 0.01))
    await delivered(chat)
    (message,) = await chat.history(limit=1)
    say(f"done {message.text}")


async def read(chat: Messenger, folder: Path, peer: SecKey) -> None:
    shown = folder / SHOWN
    lines = shown.read_text().splitlines() if shown.exists() else []
    since = int(lines[-1].split()[0]) if lines else 0
    screen = os.open(shown, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    async for message in chat.changes(since):
        if message.direction is Direction.IN and message.delivery is Delivery.DELIVERED:
            await sleep(random.uniform(0, 0.01))  # between the acknowledgement and this is where it hurts
            os.write(screen, f"{message.change} {message.id} {message.text}\n".encode())
            if random.random() < 0.2:
                await chat.mark_read(peer.public, message.number)


async def main(folder: Path, own: SecKey, peer: SecKey, port: int, peer_port: int, part: str) -> None:
    there = Address("tcp", peer.public, peer_port, "127.0.0.1")
    async with tcp_chat(folder, own, listen=port, peers=[there]) as (chat, _), create_task_group() as tasks:
        tasks.start_soon(write if part == "writer" else read, chat, folder, peer)
        say("up")


if __name__ == "__main__":
    where, mine, other, at, there_at, does = sys.argv[1:]
    random.seed()
    anyio.run(main, Path(where), key(int(mine)), key(int(other)), int(at), int(there_at), does)
