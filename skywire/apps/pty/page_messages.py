"""What a page with a terminal and this node say to each other over a websocket, beside what is typed and shown.

Binary messages are bytes of the terminal: input from the page, output to it. Texts are JSON objects whose ``kind`` says
which of the classes here they are. Both streams of bytes are counted from 0, so that a page which comes back says what
it has, is told what was taken, and nothing is lost or doubled between.

The page asks for output: each :class:`Have` says that it has shown all that it got, and for as much again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from skywire.app.typed_json import MisfitError, decode_object, encode
from skywire.errors import SkywireError

MOST_TEXT: Final = 4096
"""Characters of a text from a page."""
MOST_INPUT: Final = 1 << 16
"""Bytes of input that a page sends before it is told that they were taken."""
MOST_OUTPUT: Final = 1 << 16
"""Bytes of output that it gets before it says that it has them."""
_MOST_PLACE: Final = 1024
_LARGEST_SIZE: Final = 1000
_LARGEST_COUNT: Final = 1 << 53


class PageMistake(SkywireError):
    """A page says what it may not; the text says what."""


@final
@dataclass(frozen=True, slots=True)
class Begin:
    """A new session, for a terminal of that size. An empty peer is this node."""

    peer: str
    columns: int
    rows: int

    def __post_init__(self) -> None:
        _within("peer", len(self.peer), 0, _MOST_PLACE)
        _is_size(self.columns, self.rows)


@final
@dataclass(frozen=True, slots=True)
class GoOn:
    """Go on with a session that was begun before; ``have`` is how much of its output the page has, -1 for nothing that
    is still shown."""

    peer: str
    id: str
    columns: int
    rows: int
    have: int = -1

    def __post_init__(self) -> None:
        _within("peer", len(self.peer), 0, _MOST_PLACE)
        if not (self.id.isascii() and self.id.isalnum() and 16 <= len(self.id) <= 64):
            raise ValueError("id is none of a session")
        _is_size(self.columns, self.rows)
        _within("have", self.have, -1, _LARGEST_COUNT)


@final
@dataclass(frozen=True, slots=True)
class Have:
    """The page has shown so many bytes of output."""

    count: int

    def __post_init__(self) -> None:
        _within("count", self.count, 0, _LARGEST_COUNT)


@final
@dataclass(frozen=True, slots=True)
class Resize:
    """The terminal has another size."""

    columns: int
    rows: int

    def __post_init__(self) -> None:
        _is_size(self.columns, self.rows)


@final
@dataclass(frozen=True, slots=True)
class End:
    """End the session."""


Said: TypeAlias = Begin | GoOn | Have | Resize | End
_SAID: Final[Mapping[object, type[Said]]] = {
    "begin": Begin,
    "go_on": GoOn,
    "have": Have,
    "resize": Resize,
    "end": End,
}


@final
@dataclass(frozen=True, slots=True)
class Began:
    """The page has a terminal: the session's id, where the output begins that follows, and input taken so far."""

    id: str
    peer: str
    offset: int
    received: int


@final
@dataclass(frozen=True, slots=True)
class Taken:
    """The program's host has so many bytes of input."""

    count: int


@final
@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the host cannot be reached just now; empty when it can again."""

    text: str


@final
@dataclass(frozen=True, slots=True)
class Over:
    """The program has ended; all that it said was shown before. ``signal`` is 0 unless one ended it."""

    code: int
    signal: int


@final
@dataclass(frozen=True, slots=True)
class Refused:
    """There is no session, or none any more."""

    text: str


@final
@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Another page has gone on with the session."""


Told: TypeAlias = Began | Taken | Trouble | Over | Refused | Elsewhere


def read_said(text: str) -> Said:
    """What a page says.

    Raises:
        PageMistake: nothing that it may.
    """
    if len(text) > MOST_TEXT:
        raise PageMistake(f"a text has at most {MOST_TEXT} characters")
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        raise PageMistake("a text is a JSON object") from None
    if not isinstance(facts, dict) or not isinstance(facts.get("kind"), str):
        raise PageMistake("a text is a JSON object with a kind")
    kind = _SAID.get(facts.pop("kind"))
    if kind is None:
        raise PageMistake(f"a kind is one of {', '.join(map(str, _SAID))}")
    try:
        return decode_object(kind, facts, "it")
    except MisfitError as error:
        raise PageMistake(str(error)) from None


def write_told(told: Told) -> str:
    """How it is said to a page."""
    facts = encode(told)
    assert isinstance(facts, dict)
    return json.dumps({"kind": type(told).__name__.lower(), **facts}, separators=(",", ":"))


def _is_size(columns: int, rows: int) -> None:
    _within("columns", columns, 1, _LARGEST_SIZE)
    _within("rows", rows, 1, _LARGEST_SIZE)


def _within(name: str, number: int, least: int, most: int) -> None:
    if not least <= number <= most:
        raise ValueError(f"{name} is {least} to {most}")
