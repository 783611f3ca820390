"""How our programs run: on uvloop where it exists, with an allocator that keeps what it will need again."""

from __future__ import annotations

import importlib.util
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, TypeVarTuple

import anyio

HEAP_KEPT: Final = 8 << 20
"""Bytes of freed memory that the allocator may keep. A connection at full speed frees and fetches half a megabyte at a
time; given back to the system each time, that costs a third of its processor time."""
OWN_MAPPING: Final = 1 << 20
"""Bytes from which on a single allocation is given back to the system when it is freed."""

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def run(main: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
    """Run an asynchronous function to its end, as fast as this machine can.

    ``anyio.run`` does as well; this adds uvloop and, on glibc, the settings of the allocator for the whole process.

    Args:
        main: the function.
        args: its arguments.
    """
    _keep_heap()
    use_uvloop = importlib.util.find_spec("uvloop") is not None
    return anyio.run(main, *args, backend_options={"use_uvloop": use_uvloop})


def _keep_heap() -> None:
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc
        return
    mallopt(_M_TRIM_THRESHOLD, HEAP_KEPT)
    mallopt(_M_MMAP_THRESHOLD, OWN_MAPPING)
