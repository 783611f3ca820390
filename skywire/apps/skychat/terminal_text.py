"""How messages look at a terminal. What peers write commands nothing there."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from skywire.apps.skychat.contract import ChatMessage, Contact, Direction

_HARMLESS: Final = frozenset("\u200c\u200d")
"""Joiners, which are not printable by themselves, and of which many characters are made."""
_LONGEST_EXCERPT: Final = 40
_INDENT: Final = "      "
YOU: Final = "you"


def harmless(text: str) -> str:
    """A text in which what is not printable is shown as an escape sequence of Python; lines stay lines."""
    return "".join(
        each if each.isprintable() or each == "\n" or each in _HARMLESS else _escaped(each)
        for each in text.replace("\r\n", "\n")
    )


def one_line(text: str) -> str:
    """The same, with its lines in one."""
    return harmless(" ".join(text.split("\n")))


def name_of(contact: Contact) -> str:
    """What a peer is called here."""
    key = str(contact.peer)
    return one_line(contact.alias) if contact.alias else f"{key[:8]}..{key[-4:]}"


def excerpt(message: ChatMessage) -> str:
    """The beginning of a message, in one line."""
    if message.deleted:
        return "a deleted message"
    text = one_line(message.text) or (one_line(message.file.name) if message.file else "")
    return text if len(text) <= _LONGEST_EXCERPT else f"{text[:_LONGEST_EXCERPT]}.."


def body(message: ChatMessage) -> str:
    """What a message says; further lines are indented, so that none looks like a message of its own."""
    if message.deleted:
        return "(deleted)"
    parts = [harmless(message.text)] if message.text else []
    if message.file is not None:
        file = message.file
        state = f"{file.done} of {file.size} bytes" if file.done < file.size else f"{file.size} bytes"
        where = f", saved as {one_line(file.path)}" if file.path and message.direction is Direction.IN else ""
        trouble = f", {one_line(file.trouble)}" if file.trouble else ""
        parts.append(f"[file {one_line(file.name)}, {state}{where}{trouble}]")
    return "\n".join(parts).replace("\n", f"\n{_INDENT}")


def clock(seconds: float) -> str:
    """The time of a day, here."""
    return _moment(seconds).strftime("%H:%M")


def day(seconds: float) -> str:
    """The day of a moment, here."""
    return _moment(seconds).strftime("%A %d %B %Y")


def _moment(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds).astimezone()
    except (OverflowError, OSError, ValueError):
        return datetime.fromtimestamp(0).astimezone()


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
