"""Waiting again and again for a descriptor to have something to read.

On asyncio it is watched from the first wait on, until something comes that nobody waits for: two calls of the system
less for each wait than where it is watched anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, final

from anyio import ClosedResourceError, notify_closing, wait_readable

from skywire.net.waiter import runs_on_asyncio, waiters

if TYPE_CHECKING:  # loaded only by who runs on it
    import asyncio


class Readiness(Protocol):
    """Of one descriptor, for one task."""

    async def wait(self) -> None:
        """Wait until something can be read, or its end.

        Raises:
            ClosedResourceError: the descriptor is to be closed.
        """
        ...

    def close(self) -> None:
        """Look at it no more: it is about to be closed. Idempotent."""
        ...


def readiness(descriptor: int) -> Readiness:
    """For the event loop of the running task."""
    if not runs_on_asyncio():
        return _Anew(descriptor)
    import asyncio

    return _Watched(descriptor, asyncio.get_running_loop())


@final
class _Watched:
    def __init__(self, descriptor: int, loop: asyncio.AbstractEventLoop) -> None:
        self._descriptor = descriptor
        self._loop = loop
        self._waiter = waiters()()
        self._is_watched = False
        self._closed = False

    async def wait(self) -> None:
        if self._closed:
            raise ClosedResourceError
        if not self._is_watched:
            self._loop.add_reader(self._descriptor, self._tell)
            self._is_watched = True
        await self._waiter.wait()
        if self._closed:
            raise ClosedResourceError

    def close(self) -> None:
        self._closed = True
        self._rest()
        self._waiter.wake()

    def _tell(self) -> None:
        if self._waiter.waiting:
            self._waiter.wake()
        else:  # it would tell so in every turn of the loop until somebody reads
            self._rest()

    def _rest(self) -> None:
        if self._is_watched:
            self._is_watched = False
            self._loop.remove_reader(self._descriptor)


@final
class _Anew:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def wait(self) -> None:
        await wait_readable(self._descriptor)

    def close(self) -> None:
        notify_closing(self._descriptor)
