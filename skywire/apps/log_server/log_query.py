"""What of a log somebody wants to see, and how it is shown."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self, final

from skywire.app.logs import LogLine
from skywire.errors import SkywireError

DEFAULT_LIMIT: Final = 1000
MOST_LINES: Final = 10_000
LONGEST_ENTRY: Final = 16_384
"""Characters of an entry that are shown."""
LEVELS: Final[Mapping[str, int]] = {
    "trace": 0,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
    "panic": logging.CRITICAL,
    "critical": logging.CRITICAL,
}
_TRUTHS: Final = {"1": True, "true": True, "on": True, "yes": True, "": True, "0": False, "false": False, "off": False}
_KNOWN: Final = ("min-level", "module", "grep", "since-line", "limit", "follow", "raw")


class QueryError(SkywireError):
    """A parameter of a request cannot be understood; the text names it."""


@final
@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which lines, and how.

    Args:
        level: of this level and above.
        module: of this logger and those below it; all when empty.
        grep: with this text, in capitals or not; all when empty.
        since_line: without so many of the oldest that are kept.
        limit: so many at most, the newest.
        follow: and those that come.
        raw: as they were written, instead of inert.
    """

    level: int = 0
    module: str = ""
    grep: str = ""
    since_line: int = 0
    limit: int = DEFAULT_LIMIT
    follow: bool = False
    raw: bool = False

    @classmethod
    def parse(cls, parameters: Iterable[tuple[str, str]]) -> Self:
        """Read the parameters of a request.

        Raises:
            QueryError: one of them is not understood.
        """
        given = dict(parameters)
        for name in given:
            if name not in _KNOWN:
                raise QueryError(f"there is no parameter {name[:40]!r}; there are: {', '.join(_KNOWN)}")
        return cls(
            level=_level(given.get("min-level", "trace")),
            module=given.get("module", ""),
            grep=given.get("grep", "").casefold(),
            since_line=_number("since-line", given.get("since-line", "0"), 0, 10**9),
            limit=_number("limit", given.get("limit", str(DEFAULT_LIMIT)), 1, MOST_LINES),
            follow=_truth("follow", given.get("follow", "0")),
            raw=_truth("raw", given.get("raw", "0")),
        )

    def wants(self, line: LogLine) -> bool:
        """Whether a line is asked for."""
        if line.level < self.level or (self.grep and self.grep not in line.text.casefold()):
            return False
        logger = line.text.partition(": ")[0]
        return not self.module or logger == self.module or logger.startswith(f"{self.module}.")

    def select(self, kept: Sequence[LogLine]) -> list[LogLine]:
        """The lines that are asked for, of all that are kept."""
        return [line for line in kept[self.since_line :] if self.wants(line)][-self.limit :]

    def show(self, line: LogLine) -> bytes:
        """A line as text, with its end; the further lines of an entry are indented."""
        text = str(line)
        if not self.raw:
            text = inert(text, LONGEST_ENTRY)
        return (text.replace("\n", "\n  ") + "\n").encode("utf-8", "backslashreplace")


def inert(text: str, longest: int) -> str:
    """A text that does nothing to who looks at it: what is not printable is shown by its number, and the end is cut.

    Args:
        text: of anybody.
        longest: characters of it that are kept.
    """
    rest = len(text) - longest
    if rest > 0:
        text = text[:longest]
    if not text.isprintable():
        text = "".join(each if each.isprintable() or each == "\n" else _escaped(each) for each in text)
    return f"{text} ... and {rest} characters more" if rest > 0 else text


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _level(text: str) -> int:
    if (level := LEVELS.get(text.lower())) is None:
        raise QueryError(f"min-level is one of {', '.join(LEVELS)}, not {text[:40]!r}")
    return level


def _number(name: str, text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 12 and least <= int(text) <= most):
        raise QueryError(f"{name} is a number from {least} to {most}, not {text[:40]!r}")
    return int(text)


def _truth(name: str, text: str) -> bool:
    if (truth := _TRUTHS.get(text.lower())) is None:
        raise QueryError(f"{name} is 1 or 0, not {text[:40]!r}")
    return truth
