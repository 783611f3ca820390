"""Files that the page sends and saves.

A browser sends a file in pieces, none of them larger than any other request: so whoever may ask can fill no memory, and
what breaks off goes on where it was. The file stays on disk until the peer has fetched it.
"""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVarTuple, final

from anyio import Lock, to_thread

from skywire.apps.skychat.contract import Chat, ChatMessage, Delivery, Direction, Sent
from skywire.apps.skychat.page_requests import MOST_HISTORY, RequestRefused
from skywire.errors import SkywireError
from skywire.keys import PubKey
from skywire.transfer import safe_name

Ts = TypeVarTuple("Ts")

LARGEST: Final = 4 << 30
"""Bytes of one file."""
MOST_KEPT: Final = 16 << 30
"""Bytes of all files that peers have not fetched yet."""
MOST_PIECE: Final = 1 << 20
MOST_AT_A_TIME: Final = 16
"""Uploads that have begun; the oldest makes room."""
IDLE_SECONDS: Final = 600.0
"""Without a piece after which an upload is given up: its page was closed."""
_RECORD: Final = "sent.json"
"""Beside each file that was offered: which message carries it."""
_UNKNOWN: Final = 0
"""In the place of a message's number: the file was offered, or is just being, so it stays."""
_CONTENT: Final = "content"
"""The folder with the file itself, whose name is its own."""


@final
@dataclass
class _Upload:
    peer: PubKey
    path: Path
    size: int
    text: str
    done: int = 0
    moved: float = field(default_factory=time.monotonic)
    lock: Lock = field(default_factory=Lock)


@final
@dataclass(frozen=True, slots=True)
class Progress:
    """How far an upload is.

    Args:
        upload: its name, for the next piece.
        done: bytes that are there.
        sent: what came of sending, once the whole is there.
    """

    upload: str
    done: int
    sent: Sent | None = None


@final
class PageFiles:
    """The files of one page.

    Args:
        chat: sends and receives them.
        folder: for what browsers send; its own.
    """

    def __init__(self, chat: Chat, folder: Path) -> None:
        self._chat = chat
        self._folder = folder
        self._uploads: dict[str, _Upload] = {}
        self._begun: set[str] = set()

    async def begin(self, peer: PubKey, name: str, size: int, text: str) -> Progress:
        """Take a file from now on.

        Raises:
            RequestRefused: it is too large, or has no name.
        """
        name = _plain(name)
        if not 0 <= size <= LARGEST:
            raise RequestRefused(f"a file has at most {LARGEST} bytes, this has {size}", 413)
        await self._tidy()
        kept = await to_thread.run_sync(_size_of, self._folder)
        kept += sum(each.size - each.done for each in self._uploads.values())
        if kept + size > MOST_KEPT:
            raise RequestRefused(f"{kept} bytes wait for peers to fetch them, and at most {MOST_KEPT} may", 507)
        while len(self._uploads) >= MOST_AT_A_TIME:
            await self.give_up(next(iter(self._uploads)))
        key = secrets.token_hex(16)
        path = self._folder / key / _CONTENT / name
        self._begun.add(key)
        await _on_disk(_make, path)
        upload = self._uploads[key] = _Upload(peer, path, size, text)
        return await self._sent_if_whole(key, upload)

    async def add(self, key: str, offset: int, piece: bytes) -> Progress:
        """Take the next piece; what is there already is not taken again.

        Raises:
            RequestRefused: there is no such upload, or the piece is another one.
        """
        upload = self._uploads.get(key)
        if upload is None:
            raise RequestRefused("there is no such upload any more: begin again", 404)
        async with upload.lock:
            if offset != upload.done:
                raise RequestRefused(f"the next piece begins at {upload.done}, this one at {offset}", 409)
            if offset + len(piece) > upload.size:
                raise RequestRefused(f"the file was said to have {upload.size} bytes, this is more")
            await _on_disk(_append, upload.path, offset, piece)
            upload.done += len(piece)
            upload.moved = time.monotonic()
            return await self._sent_if_whole(key, upload)

    async def give_up(self, key: str) -> None:
        """Forget an upload."""
        if self._uploads.pop(key, None) is not None:
            await to_thread.run_sync(shutil.rmtree, self._folder / key, True)

    async def received(self, peer: PubKey, number: int) -> tuple[Path, str]:
        """Where the file of a message is that came in, and its name.

        Raises:
            RequestRefused: there is none, or not yet.
        """
        message = await self._message(peer, number)
        if message is None or message.file is None or message.direction is Direction.OUT:
            raise RequestRefused("no file came with this message", 404)
        file = message.file
        if not file.path or file.done < file.size:
            raise RequestRefused(f"{file.done} of {file.size} bytes are here", 409)
        path = Path(file.path)
        if not await to_thread.run_sync(path.is_file):
            raise RequestRefused("the file is not where it was saved any more", 404)
        return path, file.name

    async def _sent_if_whole(self, key: str, upload: _Upload) -> Progress:
        if upload.done < upload.size:
            return Progress(key, upload.done)
        self._uploads.pop(key, None)
        await self._record(key, upload.peer, _UNKNOWN)
        try:
            sent = await self._chat.send_file(upload.peer, upload.path, text=upload.text)
        except SkywireError:
            await to_thread.run_sync(shutil.rmtree, self._folder / key, True)
            raise
        await self._record(key, upload.peer, await self._number_of(upload.peer, sent.id))
        return Progress(key, upload.done, sent)

    async def _record(self, key: str, peer: PubKey, number: int) -> None:
        record = json.dumps({"peer": str(peer), "number": number})
        await _on_disk((self._folder / key / _RECORD).write_text, record)

    async def _number_of(self, peer: PubKey, id: str) -> int:  # noqa: A002 - as on the wire
        for message in reversed(await self._chat.history(peer, limit=MOST_HISTORY)):
            if message.id == id and message.direction is Direction.OUT:
                return message.number
        return _UNKNOWN

    async def _message(self, peer: PubKey, number: int) -> ChatMessage | None:
        found = await self._chat.history(peer, before=number + 1, limit=1)
        return next((each for each in found if each.number == number), None)

    async def _tidy(self) -> None:
        """Remove what peers have fetched or will not, and what broke off."""
        for key, upload in list(self._uploads.items()):
            if time.monotonic() - upload.moved > IDLE_SECONDS:
                await self.give_up(key)
        for key, peer, number in await to_thread.run_sync(lambda: list(_records(self._folder))):
            if number == _UNKNOWN and (peer is not None or key in self._begun):
                continue
            message = None if peer is None else await self._message(peer, number)
            if message is None or _is_over(message):
                await to_thread.run_sync(shutil.rmtree, self._folder / key, True)


def _is_over(message: ChatMessage) -> bool:
    file = message.file
    if message.deleted or message.delivery is Delivery.REFUSED or file is None:
        return True
    return file.done >= file.size and message.delivery is not Delivery.QUEUED


def _plain(name: str) -> str:
    """The name that goes out: systems put spaces of all kinds into names, and what else is not safe is replaced."""
    if not name:
        raise RequestRefused("a file has a name")
    return safe_name("".join(" " if each.isspace() else each for each in name))


async def _on_disk(function: Callable[[*Ts], object], *args: *Ts) -> None:
    try:
        await to_thread.run_sync(function, *args)
    except OSError as error:
        raise RequestRefused(f"the file cannot be kept: {error.strerror or error}", 507) from error


def _make(path: Path) -> None:
    path.parent.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.mkdir(mode=0o700, parents=True)
    path.touch(mode=0o600)


def _append(path: Path, offset: int, piece: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(piece)


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _records(folder: Path) -> Iterator[tuple[str, PubKey | None, int]]:
    """The uploads on disk, each with the message that carries it, where it was sent."""
    for place in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            record = json.loads((place / _RECORD).read_text())
            yield place.name, PubKey.from_hex(record["peer"]), int(record["number"])
        except (OSError, ValueError, KeyError, TypeError, SkywireError):
            yield place.name, None, _UNKNOWN
