"""What ``import skywire`` costs a program."""

from __future__ import annotations

import time

from benchmarks.reading import Parameters, answer


def import_skywire(_: Parameters) -> None:
    """Import the library in a fresh process."""
    started = time.perf_counter()
    __import__("skywire")
    answer(ms=(time.perf_counter() - started) * 1e3)
