"""What a chat can be asked, whoever asks: the page, the terminal, the command line, or a program in Python.

Every change of a message, its arrival included, gets the next number of one count that never goes back. Whoever
remembers the last number that it has shown, and asks for what came behind it, shows each message once, whatever died
in between.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum, unique
from pathlib import Path
from typing import Protocol, final

from skywire.errors import SkywireError
from skywire.keys import PubKey


class ChatError(SkywireError):
    """A chat cannot do what it is asked; the text says why, and what to do."""


@final
@unique
class Direction(StrEnum):
    """Who wrote a message."""

    IN = "in"
    """The peer."""
    OUT = "out"
    """We."""


@final
@unique
class Delivery(StrEnum):
    """How far a message has come. It only goes on, never back."""

    QUEUED = "queued"
    """It is on our disk, and is sent as soon as the peer is there."""
    DELIVERED = "delivered"
    """The peer has it on its disk; what came in is so from its first moment."""
    READ = "read"
    """Somebody there has seen it; of what came in: somebody here has."""
    REFUSED = "refused"
    """The peer will not have it, or it was kept too long; it is not sent any more."""


@final
@dataclass(frozen=True, slots=True)
class FileOffer:
    """A file that a message carries.

    Args:
        name: without a folder; safe to show, and to save under.
        size: bytes.
        sha256: of the whole, as 64 hexadecimal digits; empty until it is known.
        done: bytes that the receiver has on its disk.
        path: where it is on this machine; empty where it is not yet, or not any more.
        trouble: why it does not go on; empty while it does.
        given_up: whether it is not tried again by itself; of what comes in only.
    """

    name: str
    size: int
    sha256: str = ""
    done: int = 0
    path: str = ""
    trouble: str = ""
    given_up: bool = False


@final
@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message, as it is now.

    Args:
        change: number of its last change; 1 and up.
        number: number of its first change, by which messages are in order.
        id: 16 hexadecimal digits, chosen by who wrote it; unique for a peer and a direction.
        peer: with whom.
        direction: who wrote it.
        text: the words; empty when it was deleted.
        time: when it was written or came in here, Unix time in seconds.
        delivery: how far it has come.
        reply_to: id of the message that it answers; empty for none.
        deleted: whether who wrote it has taken it back.
        file: what it carries, if anything.
    """

    change: int
    number: int
    id: str
    peer: PubKey
    direction: Direction
    text: str
    time: float
    delivery: Delivery
    reply_to: str = ""
    deleted: bool = False
    file: FileOffer | None = None


@final
@dataclass(frozen=True, slots=True)
class Contact:
    """A peer that there are messages with, or that is named.

    Args:
        peer: its key.
        alias: what we call it; empty for nothing.
        allowed: whether it may write to us.
        network: over which there is a connection now, for instance ``dmsg``; empty for none.
        waiting: messages that it has not got yet.
        unread: messages that nobody here has seen.
        last: when the last message was, Unix time in seconds; 0 for never.
        trouble: why it cannot be reached; empty unless that was tried.
    """

    peer: PubKey
    alias: str = ""
    allowed: bool = True
    network: str = ""
    waiting: int = 0
    unread: int = 0
    last: float = 0.0
    trouble: str = ""


@final
@dataclass(frozen=True, slots=True)
class Sent:
    """What came of sending.

    Args:
        id: of the message, which is on disk now.
        acked: whether the peer has it.
        ms: milliseconds until that, or until waiting was given up.
    """

    id: str
    acked: bool
    ms: float


@final
@dataclass(frozen=True, slots=True)
class ChatStatus:
    """How a chat is.

    Args:
        public: the key that peers write to.
        mode: the run-mode.
        listening: where peers reach it, as addresses.
        connected: peers that there is a connection with.
        waiting: messages in the queue.
        stored: messages on disk.
        change: number of the last change.
    """

    public: PubKey
    mode: str
    listening: tuple[str, ...]
    connected: int
    waiting: int
    stored: int
    change: int


class Chat(Protocol):
    """See the module. Every method may raise :class:`ChatError`."""

    async def send(self, peer: PubKey, text: str, *, reply_to: str = "", wait: float = 0.0) -> Sent:
        """Write to a peer. It returns once the message is on disk; from then on nothing loses it.

        Args:
            peer: any key; it need not be there.
            text: 1 to 4096 bytes of UTF-8.
            reply_to: id of the message that it answers.
            wait: seconds to wait for the peer to have it; 0 to 60.
        """
        ...

    async def send_file(self, peer: PubKey, path: Path, *, text: str = "") -> Sent:
        """Offer a file of this machine to a peer, who fetches it once it is there; the file has to stay as it is."""
        ...

    async def retry_file(self, peer: PubKey, id: str) -> None:  # noqa: A002 - as on the wire
        """Fetch a file of a peer that was given up; from its begin."""
        ...

    async def history(self, peer: PubKey | None = None, *, before: int = 0, limit: int = 50) -> tuple[ChatMessage, ...]:
        """Messages, the oldest first.

        Args:
            peer: with whom; None for all.
            before: only those whose ``number`` is less; 0 for the newest.
            limit: 1 to 500.
        """
        ...

    def changes(self, since: int | None = None) -> AsyncIterator[ChatMessage]:
        """What changes, without end: each message that has changed since, as it is now, in the order of ``change``.

        Of a message that changes several times before it is taken only the last form is given. A slow reader costs
        nothing, and misses nothing.

        Args:
            since: number of the last change that is known; None for what comes from now on.
        """
        ...

    async def mark_read(self, peer: PubKey, number: int) -> None:
        """Say that what came in from a peer has been seen, up to the message with this ``number``; the peer is told."""
        ...

    async def delete(self, peer: PubKey, id: str) -> None:  # noqa: A002 - as on the wire
        """Take back what we wrote; the peer is asked to forget it, too."""
        ...

    async def contacts(self) -> tuple[Contact, ...]:
        """All peers that are known, the last spoken to first."""
        ...

    async def name(self, peer: PubKey, alias: str) -> None:
        """Call a peer by a name of ours, 0 to 64 characters, unique; empty takes it away."""
        ...

    async def status(self) -> ChatStatus:
        """How it is now."""
        ...
