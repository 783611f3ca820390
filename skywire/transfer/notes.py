"""What is written down beside a part: what its bytes are of."""

from __future__ import annotations

import json
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from skywire.errors import InvalidKey
from skywire.keys import PubKey
from skywire.wire.transfer import FileHead

MAX_NOTES: Final = 4096
"""Bytes that are read of a file of notes."""


@final
@dataclass(frozen=True, slots=True)
class Origin:
    """Where a file comes from.

    Args:
        peer: who sends it.
        id: of its offer.
    """

    peer: PubKey
    id: str


@final
@dataclass(frozen=True, slots=True)
class Notes:
    """What the bytes of a part are of.

    Args:
        origin: where the file comes from.
        head: its size and its checksum.
    """

    origin: Origin
    head: FileHead


def notes_path(part: Path) -> Path:
    """Where the notes on a part are."""
    return part.with_name(f"{part.name}.json")


def read_notes(part: Path) -> Notes | None:
    """The notes on a part; None where there are none that make sense.

    Raises:
        OSError: they cannot be read.
    """
    try:
        descriptor = os.open(notes_path(part), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        text = file.read(MAX_NOTES) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    try:
        members: object = json.loads(text)
        match members:
            case {"peer": str(peer), "id": str(id), "size": int(size), "sha256": str(sha256)}:
                return Notes(Origin(PubKey.from_hex(peer), id), FileHead(size, sha256))
    except (ValueError, RecursionError, InvalidKey):
        pass
    return None


def write_notes(part: Path, notes: Notes) -> None:
    """Write them, whole or not at all.

    Raises:
        OSError: they cannot be written.
    """
    origin, head = notes.origin, notes.head
    text = json.dumps({"peer": str(origin.peer), "id": origin.id, "size": head.size, "sha256": head.sha256})
    draft = part.with_name(f".{secrets.token_hex(8)}.part.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        draft.replace(notes_path(part))
    finally:
        draft.unlink(missing_ok=True)
