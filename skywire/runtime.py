"""How our programs run: on uvloop where it exists, with memory handled in larger pieces than Python and glibc do."""

from __future__ import annotations

import gc
import importlib.util
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, TypeVarTuple

import anyio

HEAP_KEPT: Final = 8 << 20
"""Bytes of freed memory that the allocator may keep. A connection at full speed frees and fetches half a megabyte at a
time; given back to the system each time, that costs a third of its processor time."""
OWN_MAPPING: Final = 1 << 20
"""Bytes from which on a single allocation is given back to the system when it is freed."""
NEW_OBJECTS: Final = 10_000
"""Containers made, less those freed, after which the collector of reference cycles looks at them. Handshakes leave few
cycles and many objects that stay; at Python's 700 a busy relay spends a tenth of its time looking."""

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def run(main: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
    """Run an asynchronous function to its end, as fast as this machine can.

    ``anyio.run`` does as well; this adds uvloop and, for the whole process, settings of the collector and of glibc's
    allocator.

    Args:
        main: the function.
        args: its arguments.
    """
    _keep_heap()
    _collect_less()
    use_uvloop = importlib.util.find_spec("uvloop") is not None
    return anyio.run(main, *args, backend_options={"use_uvloop": use_uvloop})


def _collect_less() -> None:
    gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])
    gc.freeze()  # what was imported stays


def _keep_heap() -> None:
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc
        return
    mallopt(_M_TRIM_THRESHOLD, HEAP_KEPT)
    mallopt(_M_MMAP_THRESHOLD, OWN_MAPPING)
