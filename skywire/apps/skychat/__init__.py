"""Chat: messages between keys, kept on disk, delivered when the peer is there.

Source: upstream-2026.md sections 2.5 and 4.1, protocol-skywire.md section 5.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from skywire import Address, HostPort, PubKey
from skywire.app import (
    DMSG,
    SKYNET,
    App,
    AppHost,
    Command,
    Dependencies,
    NoOptions,
    PortSpec,
    StreamCommand,
    TerminalCommand,
)
from skywire.app.options import option
from skywire.apps.skychat.contract import ChatMessage, ChatStatus, Contact, Sent

if TYPE_CHECKING:
    from anyio.abc import TaskStatus

CHAT: Final = PortSpec("chat", overlay=1, tcp=8800)
"""Messages; the numbers of the Go network."""
FILES: Final = PortSpec("files", overlay=64, tcp=8801)
"""The bytes of files that messages offer."""
_PAGE: Final = HostPort("127.0.0.1", 8001)


@final
@dataclass(frozen=True)
class SkychatOptions:
    """See the help of each.

    Raises:
        ValueError: one of them is out of its range.
    """

    allow: tuple[PubKey, ...] = option((), help="keys that may write, beside those that were written to; none: nobody")
    everyone: bool = option(False, help="whether any key may write, slowly unless it is allowed")
    peers: tuple[Address, ...] = option(
        (), help="on TCP: tcp://<public key>@<host>:<port> of peers to be connected with; they may write, too"
    )
    local: HostPort | None = option(_PAGE, help="where its page is, on loopback; port 0: any; none: no page")
    per_peer: int = option(500, help="messages kept per peer, beside those that were not delivered or not read yet")
    per_minute: int = option(20, help="messages per minute that are taken of a key that only everyone lets in")
    total_bytes: int = option(10_000_000, help="bytes of text kept in all; then what was read goes, the oldest first")
    days: int = option(30, help="days that messages are kept, and that delivery is tried")
    largest_file: int = option(4 << 30, help="bytes of the largest file that is taken; it comes by itself")
    files_per_peer: int = option(
        16 << 30, help="bytes of files kept of a peer; then none is taken until some are moved"
    )

    def __post_init__(self) -> None:
        for name in ("per_peer", "per_minute", "total_bytes", "days", "largest_file", "files_per_peer"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1")
        for address in self.peers:
            if address.network != "tcp":
                raise ValueError(f"peers are tcp://<public key>@<host>:<port>, not {address}")


@final
@dataclass(frozen=True)
class SendArguments:
    """Args of ``send``: to whom, what, the id that it answers, and the seconds to wait for the peer to have it."""

    peer: PubKey
    text: str
    reply_to: str = ""
    wait: float = 0.0


@final
@dataclass(frozen=True)
class SendFileArguments:
    """Args of ``send-file``: to whom, which file, and words to it."""

    peer: PubKey
    path: Path
    text: str = ""


@final
@dataclass(frozen=True)
class RetryFileArguments:
    """Args of ``retry-file``: whose file, and the id of its message."""

    peer: PubKey
    id: str


@final
@dataclass(frozen=True)
class HistoryArguments:
    """Args of ``history``: with whom, the number to go back from, and how many."""

    peer: PubKey | None = None
    before: int = 0
    limit: int = 50


@final
@dataclass(frozen=True)
class History:
    """Messages, the oldest first."""

    messages: tuple[ChatMessage, ...]


@final
@dataclass(frozen=True)
class ChangesArguments:
    """Args of ``changes``: the number of the last change that is known."""

    since: int | None = None


@final
@dataclass(frozen=True)
class ReadArguments:
    """Args of ``read``: whose messages, up to which ``number``."""

    peer: PubKey
    number: int


@final
@dataclass(frozen=True)
class DeleteArguments:
    """Args of ``delete``: to whom it was written, and its id."""

    peer: PubKey
    id: str


@final
@dataclass(frozen=True)
class AliasArguments:
    """Args of ``alias``: whom, and how to call it; empty takes the name away."""

    peer: PubKey
    alias: str = ""


@final
@dataclass(frozen=True)
class Contacts:
    """Peers, the last spoken to first."""

    contacts: tuple[Contact, ...]


@final
@dataclass(frozen=True)
class Done:
    """It is on disk."""


@final
@dataclass(frozen=True)
class TalkArguments:
    """Args of ``chat``; see the help of each.

    Raises:
        ValueError: one of them is out of its range.
    """

    peer: str
    history: int = option(20, help="messages of the past that are shown first")
    wait: float = option(0.0, help="seconds to wait for the peer to have what came from a pipe")

    def __post_init__(self) -> None:
        if not 0 <= self.history <= 500:
            raise ValueError("history is 0 to 500 messages")
        if not 0 <= self.wait <= 86400:
            raise ValueError("wait is 0 to 86400 seconds")


SEND: Final = Command(
    "send", "Write to a peer; it may answer from then on. Kept until it is delivered.", SendArguments, Sent
)
SEND_FILE: Final = Command("send-file", "Offer a file to a peer.", SendFileArguments, Sent)
RETRY_FILE: Final = Command("retry-file", "Fetch a file that was given up.", RetryFileArguments, Done)
HISTORY: Final = Command("history", "Messages, the oldest first.", HistoryArguments, History)
CHANGES: Final = StreamCommand(
    "changes", "Messages as they come and change, without end.", ChangesArguments, ChatMessage
)
READ: Final = Command("read", "Say that messages of a peer have been seen; the peer is told.", ReadArguments, Done)
DELETE: Final = Command("delete", "Take back what was written; the peer is asked to, too.", DeleteArguments, Done)
CONTACTS: Final = Command("contacts", "The peers that are known.", NoOptions, Contacts)
ALIAS: Final = Command("alias", "Call a peer by a name.", AliasArguments, Done)
INFO: Final = Command("info", "How the chat is: its key, where it listens, what waits.", NoOptions, ChatStatus)
"""``status`` is what every app has, from its launcher."""
PAGE: Final = Command(
    "page", "The address of its page, to open in a browser on this machine; good once.", NoOptions, str
)

TALK: Final = TerminalCommand(
    "chat",
    "Talk with a peer at this terminal; or send it each line of a pipe.",
    TalkArguments,
    "skywire.apps.skychat.terminal:talk",
)


async def _run(host: AppHost, options: SkychatOptions, *, task_status: TaskStatus[None]) -> None:
    from skywire.apps.skychat.serving import serve

    await serve(host, options, task_status=task_status)


SKYCHAT: Final = App(
    name="skychat",
    summary="Messages between keys: kept on disk, and delivered when the peer is there.",
    options=SkychatOptions,
    run=_run,
    ports=(CHAT, FILES),
    commands=(SEND, SEND_FILE, RETRY_FILE, HISTORY, CHANGES, READ, DELETE, CONTACTS, ALIAS, INFO, PAGE, TALK),
    dependencies=Dependencies(wants=(DMSG, SKYNET)),
)
