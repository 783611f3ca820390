"""A way over TCP to a port of this machine, which somebody can cut."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import ByteStream, SocketAttribute

_GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


class Link:
    """See the module.

    Args:
        port: to which it leads.
    """

    def __init__(self, port: int) -> None:
        self.port = 0
        """At which it begins."""
        self._to = port
        self._open: set[anyio.CancelScope] = set()
        self._whole = anyio.Event()
        self._whole.set()
        self._moved = anyio.Event()
        self.passed = 0
        """Bytes that have come through."""

    async def cut(self) -> None:
        """End all connections, and let no new one through."""
        self._whole = anyio.Event()
        for scope in self._open:
            scope.cancel()

    async def mend(self) -> None:
        """Let connections through again."""
        self._whole.set()

    async def until_passed(self, count: int) -> None:
        """Wait until so many bytes have come through."""
        while self.passed < count:
            self._moved = anyio.Event()
            await self._moved.wait()

    async def serve(self, near: ByteStream) -> None:
        """Lead one connection."""
        async with near:
            if not self._whole.is_set():
                return
            async with await anyio.connect_tcp("127.0.0.1", self._to) as far:
                with anyio.CancelScope() as scope:
                    self._open.add(scope)
                    try:
                        async with anyio.create_task_group() as tasks:
                            tasks.start_soon(self._pass, near, far, scope)
                            tasks.start_soon(self._pass, far, near, scope)
                    finally:
                        self._open.discard(scope)

    async def _pass(self, source: ByteStream, target: ByteStream, scope: anyio.CancelScope) -> None:
        with contextlib.suppress(*_GONE):
            while True:
                data = await source.receive()
                await target.send(data)
                self.passed += len(data)
                self._moved.set()
                self._moved.set()
        scope.cancel()


@asynccontextmanager
async def linking(port: int) -> AsyncIterator[Link]:
    """Lead to a port while the block runs."""
    link = Link(port)
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        link.port = listener.extra(SocketAttribute.local_port)
        tasks.start_soon(listener.serve, link.serve)
        yield link
        tasks.cancel_scope.cancel()
