"""Fetching a file: what the two ends say to each other, and how the bytes travel between.

Everything is a frame: a head of 4 bytes, big-endian, and a body. Where the highest bit of the head is 0, the rest is
the length of a message, a JSON object; where it is 1, the length of a piece of the file::

    receiver                                        sender
    fetch: id, offset, sha256  ------------------>
                               <------------------  preparing      every few seconds, while it reads what it offers
                               <------------------  file: size, sha256
                               <==================  pieces, from the offset to the end of the file
                               <------------------  end
    received                   ------------------>                 it is whole, checked and on disk

Instead of any of its messages, and between pieces, the sender may say ``failed``, after which nothing comes.

That there is a file to fetch, the peer is told in whatever way the two have, or on a connection of its own::

    sender                                          receiver
    offer: id, name, size, sha256, text  -------->
                               <------------------  taken         it is on its disk, and it may fetch; or ``failed``
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum, unique
from struct import Struct
from typing import Final, TypeAlias, final

from skywire.errors import LocalProtocolError, ProtocolError

VERSION: Final = 1
"""Of all that is described here; a receiver says it first."""
MAX_MESSAGE: Final = 32768
"""Most bytes of a message without its head."""
MAX_PIECE: Final = 1 << 20
"""Most bytes of a piece without its head."""
MAX_SIZE: Final = 2**63 - 1
"""Most bytes of a file."""
MAX_REASON: Final = 200
"""Characters of a reason; what is longer is cut."""
MAX_NAME: Final = 255
"""Characters of the name of a file."""
MAX_TEXT: Final = 4096
"""Bytes of UTF-8 of the words that go with an offer."""
HEAD_SIZE: Final = 4
"""Bytes before each message and piece."""

_HEAD: Final = Struct(">I")
_PIECE_BIT: Final = 1 << 31
_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@final
@unique
class FailureCode(StrEnum):
    """Why a sender sends nothing, or nothing more, or a receiver does not take an offer."""

    UNKNOWN = "unknown"
    """It offers nothing of that id to this peer."""
    BUSY = "busy"
    """It serves this peer, or all together, as often as it does at a time; later it may."""
    CHANGED = "changed"
    """The file is not any more what was offered, or what the receiver has a part of."""
    UNREADABLE = "unreadable"
    """The file is gone, or cannot be read."""
    REQUEST = "request"
    """The request breaks a rule, or is of another version."""
    UNWANTED = "unwanted"
    """The receiver takes no offers, or not this one."""
    OTHER = "other"
    """Something else; also every code that is not known here."""


@final
@dataclass(frozen=True, slots=True)
class Fetch:
    """The first message: which file, and from where on.

    Args:
        id: of what was offered: 1 to 64 letters, digits, ``_`` and ``-``.
        offset: bytes that the receiver has, 0 to the size of the file.
        sha256: of the whole file that those bytes are of, 64 hexadecimal digits; empty for any, if there are none.

    Raises:
        ValueError: one of them is something else.
    """

    id: str
    offset: int = 0
    sha256: str = ""

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ValueError("the id of an offer is 1 to 64 letters, digits, _ and -")
        if not 0 <= self.offset <= MAX_SIZE:
            raise ValueError(f"an offset is 0 to {MAX_SIZE}")
        if self.sha256 or self.offset:
            check_sha256(self.sha256)


@final
@dataclass(frozen=True, slots=True)
class Announcement:
    """That there is a file to fetch.

    Args:
        id: of the offer, as in :class:`Fetch`.
        name: of the file, 1 to 255 characters; to be made safe before it is used.
        size: bytes.
        sha256: of the whole, 64 hexadecimal digits.
        text: words that go with it, up to 4096 bytes of UTF-8.

    Raises:
        ValueError: one of them is something else.
    """

    id: str
    name: str
    size: int
    sha256: str
    text: str = ""

    def __post_init__(self) -> None:
        Fetch(self.id)
        FileHead(self.size, self.sha256)
        if not 1 <= len(self.name) <= MAX_NAME:
            raise ValueError(f"the name of a file has 1 to {MAX_NAME} characters")
        try:
            length = len(f"{self.name}{self.text}".encode()) - len(self.name.encode())
        except UnicodeEncodeError:
            raise ValueError("half a character is no text") from None
        if length > MAX_TEXT:
            raise ValueError(f"the words to a file have at most {MAX_TEXT} bytes")


@final
@dataclass(frozen=True, slots=True)
class Taken:
    """The receiver has written the offer down."""


@final
@dataclass(frozen=True, slots=True)
class Preparing:
    """The sender is there, and needs longer."""


@final
@dataclass(frozen=True, slots=True)
class FileHead:
    """What the pieces that follow are of.

    Args:
        size: bytes of the whole file, 0 to 2**63-1.
        sha256: of the whole file, 64 hexadecimal digits.

    Raises:
        ValueError: one of them is something else.
    """

    size: int
    sha256: str

    def __post_init__(self) -> None:
        if not 0 <= self.size <= MAX_SIZE:
            raise ValueError(f"a size is 0 to {MAX_SIZE}")
        check_sha256(self.sha256)


@final
@dataclass(frozen=True, slots=True)
class End:
    """All pieces were sent."""


@final
@dataclass(frozen=True, slots=True)
class Received:
    """The receiver has the file."""


@final
@dataclass(frozen=True, slots=True)
class Failed:
    """The sender sends nothing more.

    Args:
        code: why, for programs.
        reason: why, for people; what cannot be shown is left out of it, and what is too long.
    """

    code: FailureCode
    reason: str

    def __post_init__(self) -> None:
        reason = "".join(each for each in self.reason[:MAX_REASON] if each.isprintable())
        object.__setattr__(self, "reason", reason)


Message: TypeAlias = Announcement | Taken | Fetch | Preparing | FileHead | End | Received | Failed


def check_sha256(text: str) -> None:
    """Refuse what is no checksum.

    Raises:
        ValueError: it is not 64 lower-case hexadecimal digits.
    """
    if not _SHA256.fullmatch(text):
        raise ValueError("a checksum is 64 lower-case hexadecimal digits")


def encode_message(message: Message) -> bytes:
    """A message with its head."""
    members: dict[str, object]
    match message:
        case Fetch(id, offset, sha256):
            members = {"type": "fetch", "version": VERSION, "id": id, "offset": offset, "sha256": sha256}
        case Announcement(id, name, size, sha256, text):
            members = {"type": "offer", "version": VERSION, "id": id, "name": name, "size": size, "sha256": sha256}
            members["text"] = text
        case FileHead(size, sha256):
            members = {"type": "file", "size": size, "sha256": sha256}
        case Failed(code, reason):
            members = {"type": "failed", "code": code, "reason": reason}
        case Preparing():
            members = {"type": "preparing"}
        case End():
            members = {"type": "end"}
        case Taken():
            members = {"type": "taken"}
        case _:
            members = {"type": "received"}
    body = json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode()
    return _HEAD.pack(len(body)) + body


def piece_head(size: int) -> bytes:
    """The 4 bytes before a piece.

    Args:
        size: of the piece, 1 to MAX_PIECE.

    Raises:
        LocalProtocolError: it is out of range.
    """
    if not 1 <= size <= MAX_PIECE:
        raise LocalProtocolError(f"a piece holds 1 to {MAX_PIECE} bytes, not {size}")
    return _HEAD.pack(_PIECE_BIT | size)


def decode_message(body: bytes) -> Message:
    """Read a message without its head. Members that are not known are passed over.

    Raises:
        ProtocolError: it is none.
    """
    try:
        members: object = json.loads(body)
    except (ValueError, RecursionError):
        raise ProtocolError("a message of a file transfer is a JSON object") from None
    try:
        match members:
            case {"type": "fetch" | "offer", "version": version} if type(version) is not int or version != VERSION:
                raise ProtocolError(f"version {VERSION} of file transfer is spoken here")
            case {"type": "fetch", "id": str(id), "offset": int(offset), "sha256": str(sha256), "version": _}:
                return Fetch(id, _whole(offset), sha256)
            case {
                "type": "offer",
                "id": str(id),
                "name": str(name),
                "size": int(size),
                "sha256": str(sha256),
                "text": str(text),
                "version": _,
            }:
                return Announcement(id, name, _whole(size), sha256, text)
            case {"type": "file", "size": int(size), "sha256": str(sha256)}:
                return FileHead(_whole(size), sha256)
            case {"type": "failed", "code": str(code), "reason": str(reason)}:
                return Failed(_CODES.get(code, FailureCode.OTHER), reason)
            case {"type": str(kind)} if kind in _BARE:
                return _BARE[kind]
    except ValueError as error:
        raise ProtocolError(f"a message of a file transfer is wrong: {error}") from None
    raise ProtocolError("a message of a file transfer is not known, or incomplete")


_CODES: Final = {code.value: code for code in FailureCode}
_BARE: Final[dict[str, Message]] = {"preparing": Preparing(), "end": End(), "taken": Taken(), "received": Received()}


def _whole(number: int) -> int:
    if type(number) is not int:
        raise ValueError("true and false are no numbers")
    return number


@final
class TransferReader:
    """Takes messages and pieces out of a byte stream. Pieces are passed on as they come, never collected.

    The first violation ends it: it is kept in :attr:`error`, what came before it is still handed out, input after it
    is ignored.
    """

    __slots__ = ("_input", "_left", "error")

    def __init__(self) -> None:
        self._input = b""  # less than a head, or a head and less than its message
        self._left = 0  # bytes of a piece that are still to come
        self.error: ProtocolError | None = None
        """Why nothing more can be read, or None."""

    @property
    def partial(self) -> bool:
        """Whether the input ends inside a message or a piece."""
        return bool(self._input or self._left)

    def receive(self, data: bytes) -> list[Message | bytes]:
        """What more input completes: messages, and bytes of the file, in their order."""
        found: list[Message | bytes] = []
        if self.error is not None:
            return found
        data = self._input + data if self._input else data
        self._input = b""
        at = 0
        try:
            while at < len(data):
                if self._left:
                    piece = data[at : at + self._left]
                    found.append(piece)
                    self._left -= len(piece)
                    at += len(piece)
                    continue
                end = self._read_head(data, at)
                if end is None or end > len(data):
                    self._input = data[at:]
                    break
                if not self._left:
                    found.append(decode_message(data[at + HEAD_SIZE : end]))
                at = end
        except ProtocolError as error:
            self.error = error
        return found

    def _read_head(self, data: bytes, at: int) -> int | None:
        """Where the message ends, or the head of a piece, whose length is noted; None while the head is incomplete."""
        if len(data) - at < HEAD_SIZE:
            return None
        (head,) = _HEAD.unpack_from(data, at)
        size = head & ~_PIECE_BIT
        limit = MAX_PIECE if head & _PIECE_BIT else MAX_MESSAGE
        if not 1 <= size <= limit:
            raise ProtocolError(f"a frame of a file transfer announces {size} bytes, allowed are 1 to {limit}")
        if head & _PIECE_BIT:
            self._left = size
            return at + HEAD_SIZE
        return at + HEAD_SIZE + int(size)
