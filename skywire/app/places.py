"""Where code that waits is waiting."""

from __future__ import annotations

from types import CoroutineType, FrameType
from typing import Final

_LOOPS: Final = frozenset({"anyio", "trio", "asyncio"})
"""Packages in which everything waits in the end, so that their places say nothing."""


def frames_of(awaited: object) -> tuple[FrameType, ...]:
    """The frames of a coroutine and of what it waits for, the outermost first; those of event loops are left out."""
    found: list[FrameType] = []
    while isinstance(awaited, CoroutineType):
        frame = awaited.cr_frame
        if frame is not None and str(frame.f_globals.get("__name__", "")).split(".")[0] not in _LOOPS:
            found.append(frame)
        awaited = awaited.cr_await
    return tuple(found)


def place_of(frame: FrameType) -> str:
    """A frame, for people: ``function (file:line)``."""
    return f"{frame.f_code.co_name} ({frame.f_code.co_filename}:{frame.f_lineno})"
