"""What the memory of this process is used for."""

from __future__ import annotations

import gc
import os
import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

COUNT_SECONDS: Final = 1.0
"""That counting objects may take."""
MOST_KINDS: Final = 40
"""Kinds of objects that are told."""
_LOOK_AT_CLOCK: Final = 4096
"""Objects between two looks at the clock."""


@final
@dataclass(frozen=True, slots=True)
class Kind:
    """Objects of one type.

    Args:
        name: of the type.
        count: of its objects.
    """

    name: str
    count: int


@final
@dataclass(frozen=True, slots=True)
class Memory:
    """What was found.

    Args:
        resident: bytes that the process occupies now.
        peak: bytes that it has occupied at most.
        collections: of the garbage collector so far, by generation.
        waiting: objects that wait for its next run, by generation.
        objects: that it watches.
        counted: of these, as far as the time allowed.
        kinds: those with most objects, among the counted.
    """

    resident: int
    peak: int
    collections: tuple[int, ...]
    waiting: tuple[int, ...]
    objects: int
    counted: int
    kinds: tuple[Kind, ...]


def look(seconds: float = COUNT_SECONDS) -> Memory:
    """Look at this process. Takes its time, so it is for a thread of its own.

    Args:
        seconds: that the counting may take.
    """
    due = time.monotonic() + seconds
    watched = gc.get_objects()
    kinds: Counter[type] = Counter()
    counted = 0
    for start in range(0, len(watched), _LOOK_AT_CLOCK):
        piece = watched[start : start + _LOOK_AT_CLOCK]
        kinds.update(map(type, piece))
        counted += len(piece)
        if time.monotonic() > due:
            break
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Memory(
        resident=_resident(peak),
        peak=peak,
        collections=tuple(each["collections"] for each in gc.get_stats()),
        waiting=gc.get_count(),
        objects=len(watched),
        counted=counted,
        kinds=tuple(
            Kind(f"{each.__module__}.{each.__qualname__}", count) for each, count in kinds.most_common(MOST_KINDS)
        ),
    )


def _resident(peak: int) -> int:
    """Bytes now; the most so far where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return peak
