"""How our programs run: on uvloop where it exists, with memory handled in larger pieces than Python and glibc do."""

from __future__ import annotations

import gc
import importlib.util
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Final, TypeVar, TypeVarTuple

import anyio

if TYPE_CHECKING:  # loaded when a program runs, not when the library is imported
    import asyncio

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
    allocator. And SystemExit ends the process only when ``main`` itself raises it: in another task it is that task's
    failure, as any other exception is.

    Args:
        main: the function.
        args: its arguments.
    """
    _keep_heap()
    _collect_less()
    return anyio.run(main, *args, backend_options={"loop_factory": _new_loop})


def _new_loop() -> asyncio.AbstractEventLoop:
    """A loop that goes on when a task has raised SystemExit, which asyncio lets out of it at once."""
    import asyncio

    if importlib.util.find_spec("uvloop") is None:

        class SteadyLoop(asyncio.SelectorEventLoop):
            def run_until_complete(self, future: Generator[object, None, T] | Awaitable[T]) -> T:
                return _complete(self, super().run_until_complete, future)

        return SteadyLoop()
    import uvloop

    class SteadyUvloop(uvloop.Loop):
        def run_until_complete(self, future: Generator[object, None, T] | Awaitable[T]) -> T:
            return _complete(self, super().run_until_complete, future)

    return SteadyUvloop()


def _complete(
    loop: asyncio.AbstractEventLoop,
    run: Callable[[asyncio.Future[T]], T],
    future: Generator[object, None, T] | Awaitable[T],
) -> T:
    import asyncio

    task = asyncio.ensure_future(future, loop=loop) if isinstance(future, Awaitable) else loop.create_task(future)
    while True:
        try:
            return run(task)
        except SystemExit:
            if task.done():
                raise


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
