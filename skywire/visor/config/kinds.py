"""What the values of a configuration are, beside plain ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Final, TypeAlias, TypeVar, final

from skywire.net.address import MAX_PORT

K = TypeVar("K")
T = TypeVar("T")

KEYS: Final = "skywire.keys"
SECRET: Final = "skywire.secret"  # noqa: S105 - the name of a mark
FIRST_OF_LIST: Final = "skywire.first-of-list"

_UNITS: Final = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
"""Nanoseconds."""
_PART: Final = re.compile(r"([0-9]{0,20})(\.[0-9]{0,20})?(ns|us|µs|μs|ms|s|m|h)")


@final
@dataclass(frozen=True, slots=True)
class Within:
    """The range of a whole number, both ends included."""

    low: int
    high: int


Port: TypeAlias = Annotated[int, Within(0, MAX_PORT)]
Count: TypeAlias = Annotated[int, Within(-(2**63), 2**63 - 1)]
"""Any whole number that upstream can read; what a negative one means is said where there is one."""


def key(default: T, *names: str, secret: bool = False, first_of_list: bool = False) -> T:
    """A member of a JSON object.

    Args:
        default: its value where it is absent or null; immutable.
        names: in JSON, those of older versions behind the one of today; the name of the field unless given.
        secret: whether it is never shown.
        first_of_list: whether a list of such objects may stand there, of which the first one counts.
    """
    made: T = field(
        default=default, repr=not secret, metadata={KEYS: names, SECRET: secret, FIRST_OF_LIST: first_of_list}
    )
    return made


def mapping(*names: str, secret: bool = False) -> Mapping[K, T]:
    """A member that is an object with names of its own; empty where it is absent or null."""
    made: Mapping[K, T] = field(
        default_factory=dict, repr=not secret, metadata={KEYS: names, SECRET: secret, FIRST_OF_LIST: False}
    )
    return made


def read_duration(value: object) -> timedelta:
    """Read what upstream takes for a time span.

    Args:
        value: a text such as ``10s``, ``2m0s`` or ``1h30m``, or a whole number of nanoseconds.

    Raises:
        ValueError: it is none; the text says what is expected.
    """
    nanoseconds: float | None = None
    if type(value) is int:
        nanoseconds = value
    elif isinstance(value, str):
        nanoseconds = _nanoseconds(value)
    if nanoseconds is None:
        raise ValueError("a time span is expected, as 10s, 2m0s or a whole number of nanoseconds")
    if abs(nanoseconds) > 2**63:
        raise ValueError("the time span is more than 292 years")
    return timedelta(microseconds=nanoseconds / 1000)


def write_duration(span: timedelta) -> str:
    """A time span as upstream writes it, to the microsecond."""
    seconds = abs(span.total_seconds())
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{rest:.6f}".rstrip("0").rstrip(".") + "s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    if hours:
        text = f"{hours}h{text}"
    return f"-{text}" if span < timedelta(0) else text


def _nanoseconds(text: str) -> float | None:
    sign = -1 if text.startswith("-") else 1
    rest = text[1:] if text[:1] in {"-", "+"} else text
    if rest == "0":
        return 0
    total, at = 0.0, 0
    while at < len(rest):
        part = _PART.match(rest, at)
        if part is None or not (part[1] or (part[2] or "").strip(".")):
            return None
        total += float(f"{part[1] or 0}{part[2] or ''}") * _UNITS[part[3]]
        at = part.end()
    return sign * total if rest else None
