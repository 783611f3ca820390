"""What chats say to each other: envelopes in frames, and the bare text that peers of 2024 send.

A frame is a length (4 bytes, big-endian, 1 to 65536) and so many bytes: an envelope, which is a JSON object, or plain
text. A peer of 2024 has no frames: each record is one message. No frame begins with a byte other than 0, so the first
byte of a connection tells which of the two its sender speaks; all that follows is the same.

Source: upstream-2026.md section 2.5, protocol-skywire.md section 5.1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, unique
from struct import Struct
from typing import Final, TypeAlias, final

from skywire.errors import LocalProtocolError, ProtocolError
from skywire.wire.records import MAX_RECORD

MAX_PAYLOAD: Final = 65536
"""Most bytes in a frame, its length not counted."""
MAX_TEXT: Final = 4096
"""Most bytes of UTF-8 in a message that we write."""

_LENGTH: Final = Struct(">I")
_ID: Final = re.compile(r"[0-9a-f]{16}")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_FAMILY: Final = "chat-"
"""Every envelope's type begins so; another JSON object is a text that somebody wrote."""


@final
@unique
class Form(Enum):
    """What a peer speaks."""

    FRAMED = "framed"
    """Envelopes and text in frames."""
    BARE = "bare"
    """One record, one text, as in 2024."""


@final
@dataclass(frozen=True, slots=True)
class BareText:
    """A message without an envelope.

    Args:
        text: the words.
    """

    text: str


@final
@dataclass(frozen=True, slots=True)
class Written:
    """A message.

    Args:
        id: 16 small hexadecimal digits; empty when its sender gave none.
        body: the words.
        ack: whether the sender wants to know that it has been taken.
        reply_to: id of the message that it answers; empty for none.
    """

    id: str
    body: str
    ack: bool = True
    reply_to: str = ""


@final
@dataclass(frozen=True, slots=True)
class Acked:
    """What was sent with this id has been taken."""

    id: str


@final
@dataclass(frozen=True, slots=True)
class Seen:
    """The message with this id has been read."""

    id: str
    ack: bool = True


@final
@dataclass(frozen=True, slots=True)
class Deleted:
    """Its writer takes the message with this id back."""

    id: str
    ack: bool = True


Envelope: TypeAlias = Written | Acked | Seen | Deleted
Event: TypeAlias = BareText | Envelope


def frame(payload: bytes) -> bytes:
    """Put the length before a payload.

    Raises:
        LocalProtocolError: it is empty or longer than 65536 bytes.
    """
    if not 1 <= len(payload) <= MAX_PAYLOAD:
        raise LocalProtocolError(f"a frame holds 1 to {MAX_PAYLOAD} bytes, this is {len(payload)}")
    return _LENGTH.pack(len(payload)) + payload


def encode(event: Event) -> bytes:
    """One frame.

    Raises:
        LocalProtocolError: it is too long.
    """
    if isinstance(event, BareText):
        return frame(event.text.encode())
    return frame(json.dumps(_members(event), ensure_ascii=False, separators=(",", ":")).encode())


def bare_records(text: str) -> list[bytes]:
    """A text as a peer of 2024 takes it: one record, or several where it is longer than one, none cut inside a
    character.
    """
    data = text.encode()
    records: list[bytes] = []
    start = 0
    while start < len(data):
        end = min(start + MAX_RECORD, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        records.append(data[start:end])
        start = end
    return records


@final
class Reader:
    """One direction of a connection: records in, events out. Keeps at most one frame and one record."""

    __slots__ = ("_buffer", "form")

    def __init__(self) -> None:
        self.form: Form | None = None
        """What the peer speaks; None until its first byte."""
        self._buffer = bytearray()

    def feed(self, record: bytes) -> list[Event]:
        """What a record completes.

        Raises:
            ProtocolError: it breaks the form; the connection is of no use any more.
        """
        if self.form is None and record:
            self.form = Form.BARE if record[0] else Form.FRAMED
        if self.form is Form.BARE:
            return [BareText(record.decode("utf-8", "replace"))] if record else []
        buffer = self._buffer
        buffer += record
        found: list[Event] = []
        at = 0
        while len(buffer) - at >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(buffer, at)
            if not 1 <= size <= MAX_PAYLOAD:
                raise ProtocolError(f"a chat frame announces {size} bytes, 1 to {MAX_PAYLOAD} can be")
            end = at + _LENGTH.size + size
            if len(buffer) < end:
                break
            event = decode(bytes(buffer[at + _LENGTH.size : end]))
            if event is not None:
                found.append(event)
            at = end
        del buffer[:at]
        return found


def decode(payload: bytes) -> Event | None:
    """Read what a frame holds; None for an envelope of a type that is not known here.

    Raises:
        ProtocolError: an envelope of a known type does not say what it must.
    """
    text = payload.decode("utf-8", "replace")
    envelope = _object(text) if payload[:1] == b"{" else {}
    kind = envelope.get("type")
    if not isinstance(kind, str) or not kind.startswith(_FAMILY):
        return BareText(text)
    match kind:
        case "chat-msg":
            body = envelope.get("body")
            if not isinstance(body, str):
                raise ProtocolError("a chat message has no body")
            id = _id(envelope) if envelope.get("id") else ""  # noqa: A001 - as on the wire
            return Written(id, _SURROGATE.sub("\ufffd", body), envelope.get("ack") is True, _reply_to(envelope))
        case "chat-ack":
            return Acked(_id(envelope))
        case "chat-read":
            return Seen(_id(envelope), envelope.get("ack") is True)
        case "chat-delete":
            return Deleted(_id(envelope), envelope.get("ack") is True)
        case _:
            return None


def _members(envelope: Envelope) -> dict[str, object]:
    if isinstance(envelope, Acked):
        return {"type": "chat-ack", "id": envelope.id}
    if isinstance(envelope, Written):
        reply = {"reply_to": envelope.reply_to} if envelope.reply_to else {}
        return {"type": "chat-msg", "id": envelope.id, "body": envelope.body, "ack": envelope.ack, **reply}
    kind = "chat-read" if isinstance(envelope, Seen) else "chat-delete"
    return {"type": kind, "id": envelope.id, "ack": envelope.ack}


def is_id(text: str) -> bool:
    """Whether it can be the id of a message."""
    return _ID.fullmatch(text) is not None


def _object(text: str) -> Mapping[str, object]:
    """A JSON object; empty where it is none."""
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _id(envelope: Mapping[str, object]) -> str:
    found = envelope.get("id")
    if not isinstance(found, str) or not is_id(found):
        raise ProtocolError("the id of a chat envelope is 16 hexadecimal digits")
    return found


def _reply_to(envelope: Mapping[str, object]) -> str:
    """What is no id answers nothing."""
    found = envelope.get("reply_to")
    return found if isinstance(found, str) and is_id(found) else ""
