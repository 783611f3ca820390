"""What is shown in words: texts of others made harmless, times, sizes, and what people write for them."""

from __future__ import annotations

import math
import re
import time
from datetime import UTC, datetime
from typing import Final

from skywire.cli.program import UsageError

_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(s|m|h|d)")
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST: Final = 10 * 366 * 86400.0
"""Seconds of the longest duration that is taken: what is longer is a slip."""
BEGINNING: Final = "beginning"
"""The moment before all others."""
LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
"""The levels of log lines by name."""


def visible(text: str) -> str:
    """A text of somebody else, in one line, with what could command a terminal as an escape sequence of Python."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def visible_lines(text: str) -> str:
    """The same for a text of several lines, which stay lines."""
    return "\n".join(map(visible, text.split("\n")))


def duration(text: str) -> float:
    """Seconds of what is written as ``90s``, ``10m``, ``2h`` or ``1d``.

    Raises:
        UsageError: it is none.
    """
    match = _DURATION.fullmatch(text)
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not 0 < seconds <= _LONGEST:
        raise UsageError(f"a duration is for instance 90s, 10m or 2h, this is {visible(text[:100])!r}")
    return seconds


def moment(text: str) -> float:
    """Seconds of Unix time of a moment: so long ago as ``10m`` says, an ISO time, or the beginning.

    Raises:
        UsageError: it is none.
    """
    if text == BEGINNING:
        return 0.0
    if _DURATION.fullmatch(text):
        return time.time() - duration(text)
    try:
        return datetime.fromisoformat(text).timestamp()  # of this place unless it says which
    except (ValueError, OverflowError):
        raise UsageError(
            f"a moment is for instance 10m (so long ago), 2026-11-23T18:00 or {BEGINNING}, "
            f"this is {visible(text[:100])!r}"
        ) from None


def level(text: str) -> int:
    """The number of a log level.

    Raises:
        UsageError: there is no such level.
    """
    if (found := LEVELS.get(text.lower())) is None:
        raise UsageError(f"a level is one of {', '.join(LEVELS)}, this is {visible(text[:100])!r}")
    return found


def level_name(number: int) -> str:
    """The name of a log level, or of the next one below."""
    return next((name for name, least in reversed(LEVELS.items()) if number >= least), "debug")


def age(since: float, now: float | None = None) -> str:
    """How long ago a moment was, in the two largest units."""
    seconds = max(0, math.floor((time.time() if now is None else now) - since))
    parts = [(seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s")]
    while len(parts) > 1 and not parts[0][0]:
        parts.pop(0)
    return "".join(f"{number}{unit}" for number, unit in parts[:2])


def size(number: int) -> str:
    """A count of bytes."""
    value = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def clock_time(seconds: float) -> str:
    """A moment as people write it, in universal time."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, OSError, ValueError):
        return "at no time"
