"""A chat that keeps everything in memory, and whose peers are played by the test."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from anyio import Event, move_on_after

from skywire.apps.skychat.contract import (
    Chat,
    ChatError,
    ChatMessage,
    ChatStatus,
    Contact,
    Delivery,
    Direction,
    FileOffer,
    Sent,
)
from skywire.keys import PubKey, SecKey

ALICE = SecKey(b"\x11" * 32).public
BOB = SecKey(b"\x22" * 32).public
CAROL = SecKey(b"\x33" * 32).public
"""Whose chat it is, and peers."""
LONGEST = 4096


@dataclass
class MemoryChat(Chat):
    """See the protocol."""

    public: PubKey = ALICE
    acks: bool = False
    """Whether peers have at once what is sent to them."""
    messages: dict[str, ChatMessage] = field(default_factory=dict)
    known: dict[PubKey, Contact] = field(default_factory=dict)
    read: dict[PubKey, int] = field(default_factory=dict)
    offered: list[Path] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    """Ids in the order of changes."""
    changed: Event = field(default_factory=Event)
    other: MemoryChat | None = None
    """The chat of whom is written to, where there is one."""
    twins: dict[str, str] = field(default_factory=dict)
    """Ids that messages of the other chat have there."""

    @property
    def count(self) -> int:
        """The number of the last change."""
        return len(self.log)

    # --- what the peers do

    def receive(
        self, text: str, *, peer: PubKey = BOB, at: float | None = None, file: FileOffer | None = None, reply: str = ""
    ) -> ChatMessage:
        """A message comes in."""
        return self._add(peer, Direction.IN, text, Delivery.DELIVERED, reply, file, at)

    def change(self, message: ChatMessage, **facts: object) -> ChatMessage:
        """A message is changed."""
        self.log.append(message.id)
        changed = replace(self.messages[message.id], change=self.count)
        for name, value in facts.items():
            object.__setattr__(changed, name, value)
        self.messages[message.id] = changed
        self._tell()
        return changed

    def meet(self, peer: PubKey = BOB, **facts: object) -> None:
        """A contact is otherwise than before."""
        contact = replace(self.known.get(peer, Contact(peer)))
        for name, value in facts.items():
            object.__setattr__(contact, name, value)
        self.known[peer] = contact
        self._tell()

    def sent(self) -> list[ChatMessage]:
        """What was written here."""
        return [each for each in self.messages.values() if each.direction is Direction.OUT]

    # --- the protocol

    async def send(self, peer: PubKey, text: str, *, reply_to: str = "", wait: float = 0.0) -> Sent:
        if not 1 <= len(text.encode()) <= LONGEST:
            raise ChatError(f"a message has 1 to {LONGEST} bytes")
        begun = time.monotonic()
        message = self._add(peer, Direction.OUT, text, self._first(), reply_to, None, None)
        if self.other is not None:
            come = self.other.receive(text, peer=self.public, reply=reply_to)
            self.other.twins[come.id] = message.id
            self.change(message, delivery=Delivery.DELIVERED)
        with move_on_after(wait):
            while self.messages[message.id].delivery is Delivery.QUEUED:
                await self.changed.wait()
        acked = self.messages[message.id].delivery is not Delivery.QUEUED
        return Sent(message.id, acked, (time.monotonic() - begun) * 1000)

    async def send_file(self, peer: PubKey, path: Path, *, text: str = "") -> Sent:
        self.offered.append(path)
        file = FileOffer(path.name, path.stat().st_size, path=str(path))
        message = self._add(peer, Direction.OUT, text, self._first(), "", file, None)
        return Sent(message.id, self.acks, 0.1)

    async def retry_file(self, peer: PubKey, id: str) -> None:  # noqa: A002 - as in the protocol
        message = self.messages.get(id)
        if message is None or message.file is None or not message.file.given_up:
            raise ChatError("there is no such file that was given up")
        self.change(message, file=replace(message.file, trouble="", given_up=False))

    async def history(self, peer: PubKey | None = None, *, before: int = 0, limit: int = 50) -> tuple[ChatMessage, ...]:
        found = [
            each
            for each in sorted(self.messages.values(), key=lambda message: message.number)
            if (peer is None or each.peer == peer) and (before == 0 or each.number < before)
        ]
        return tuple(found[-limit:])

    async def changes(self, since: int | None = None) -> AsyncIterator[ChatMessage]:
        last = self.count if since is None else since
        while True:
            changed = self.changed
            if last >= self.count:
                await changed.wait()
                continue
            last += 1
            message = self.messages[self.log[last - 1]]
            if message.change == last:
                yield message

    async def mark_read(self, peer: PubKey, number: int) -> None:
        self.read[peer] = max(number, self.read.get(peer, 0))
        for each in list(self.messages.values()):
            if (
                each.peer == peer
                and each.direction is Direction.IN
                and each.number <= number
                and each.delivery is not Delivery.READ
            ):
                self.change(each, delivery=Delivery.READ)
                if self.other is not None:
                    self.other.change(self.other.messages[self.twins[each.id]], delivery=Delivery.READ)

    async def delete(self, peer: PubKey, id: str) -> None:  # noqa: A002 - as in the protocol
        message = self.messages.get(id)
        if message is None or message.peer != peer or message.direction is Direction.IN:
            raise ChatError("there is no such message of ours")
        self.change(message, text="", deleted=True)

    async def contacts(self) -> tuple[Contact, ...]:
        found = []
        for peer in {**self.known, **{each.peer: None for each in self.messages.values()}}:
            ours = [each for each in self.messages.values() if each.peer == peer]
            found.append(
                replace(
                    self.known.get(peer, Contact(peer)),
                    unread=sum(each.direction is Direction.IN and each.delivery is not Delivery.READ for each in ours),
                    waiting=sum(each.delivery is Delivery.QUEUED for each in ours),
                    last=max((each.time for each in ours), default=0.0),
                )
            )
        return tuple(sorted(found, key=lambda contact: -contact.last))

    async def name(self, peer: PubKey, alias: str) -> None:
        if len(alias) > 64:
            raise ChatError("a name has up to 64 characters")
        if alias and any(each.alias == alias and each.peer != peer for each in self.known.values()):
            raise ChatError(f"somebody is called {alias!r} already; choose another name")
        self.meet(peer, alias=alias)

    async def status(self) -> ChatStatus:
        waiting = sum(each.delivery is Delivery.QUEUED for each in self.messages.values())
        connected = sum(bool(each.network) for each in self.known.values())
        return ChatStatus(
            self.public, "test", (f"memory://{self.public}:1",), connected, waiting, len(self.messages), self.count
        )

    # ---

    def _first(self) -> Delivery:
        return Delivery.DELIVERED if self.acks else Delivery.QUEUED

    def _add(
        self,
        peer: PubKey,
        direction: Direction,
        text: str,
        delivery: Delivery,
        reply_to: str,
        file: FileOffer | None,
        at: float | None,
    ) -> ChatMessage:
        number = self.count + 1
        message = ChatMessage(
            change=number,
            number=number,
            id=secrets.token_hex(8),
            peer=peer,
            direction=direction,
            text=text,
            time=time.time() if at is None else at,
            delivery=delivery,
            reply_to=reply_to,
            file=file,
        )
        self.log.append(message.id)
        self.messages[message.id] = message
        self._tell()
        return message

    def _tell(self) -> None:
        changed, self.changed = self.changed, Event()
        changed.set()
