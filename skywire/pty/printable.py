"""What hosts say to people, made safe to show."""

from __future__ import annotations

from typing import Final

_MOST: Final = 500
"""Characters; what is longer is cut."""


def printable(text: str) -> str:
    """A text in one line, with what could command a terminal as an escape sequence of Python."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text[:_MOST])
