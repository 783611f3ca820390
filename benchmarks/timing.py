"""Clocks of the roles."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Final

UVLOOP: Final = {"use_uvloop": True}
"""The event loop that programs run on."""
_WARM_UP: Final = 100


async def percentiles(step: Callable[[], Awaitable[None]], count: int) -> dict[str, float]:
    """The median and the 99th percentile of ``count`` runs of ``step``, in microseconds."""
    for _ in range(_WARM_UP):
        await step()
    taken: list[float] = []
    clock = time.perf_counter
    for _ in range(count):
        started = clock()
        await step()
        taken.append(clock() - started)
    cuts = statistics.quantiles(taken, n=100)
    return {"p50_us": cuts[49] * 1e6, "p99_us": cuts[98] * 1e6}
