"""How a command that serves runs, stops, and tells the system about it."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import TracebackType
from typing import Final, Self, final

from anyio import CancelScope, Event, open_signal_receiver
from anyio.abc import TaskStatus

from skywire.net.background import Background

_log: Final = logging.getLogger("skywire.cli.service")


async def until_terminated(serve: Callable[[], Awaitable[None]]) -> None:
    """Run ``serve`` to its end, or until SIGTERM comes; Ctrl-C cancels it as always.

    Raises:
        Exception: what ``serve`` raises, as it is.
    """
    with open_signal_receiver(signal.SIGTERM) as signals, CancelScope() as serving:
        async with Background() as task_group:
            task_group.start_soon(_stop_on, signals, serving)
            await serve()


async def _stop_on(signals: AsyncIterator[signal.Signals], serving: CancelScope) -> None:
    await anext(signals)
    serving.cancel()


@final
class Leaving:
    """How a long-lived program ends: when it is told to, and then within a limit, whatever hangs.

    To be entered as an asynchronous context around all that the program does. A second signal ends it at once. The
    limit also holds for what comes behind that context: the end of the event loop, and threads that do not end.

    Args:
        limit: seconds from when it is told to the end of the process.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._told = Event()
        self._tasks = Background()
        self._timer = threading.Timer(limit, self._leave)
        self._timer.daemon = True
        self.hold_ups: Callable[[], Mapping[str, str]] = dict
        """What has not ended, each with the place where it waits; asked when the limit is over."""

    async def __aenter__(self) -> Self:
        await (await self._tasks.__aenter__()).start(self._listen)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._tasks.__aexit__(kind, error, traceback)

    async def told(self, halted: Event) -> None:
        """Wait until a signal comes, or ``halted`` is set. The limit counts from then on."""
        async with Background() as task_group:
            task_group.start_soon(self._pass_on, halted)
            await self._told.wait()

    async def _pass_on(self, halted: Event) -> None:
        await halted.wait()
        self._begin()

    async def _listen(self, *, task_status: TaskStatus[None]) -> None:
        with open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            task_status.started()
            async for _ in signals:
                if self._told.is_set():
                    self._leave()
                self._begin()

    def _begin(self) -> None:
        if not self._told.is_set():
            self._told.set()
            self._timer.start()

    def _leave(self) -> None:
        """End the process without its leave."""
        try:
            print(f"it has not ended by itself within {self._limit:g} s, and is left", file=sys.stderr)
            for name, place in self.hold_ups().items():
                print(f"{name} waits in {place}", file=sys.stderr)
            sys.stderr.flush()
        finally:  # whatever goes wrong with telling
            os._exit(1)


def notify(state: str) -> None:
    """Tell systemd, if it wants to know: see sd_notify(3)."""
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place.startswith(("/", "@")):
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.setblocking(False)
            channel.sendto(state.encode(), place.replace("@", "\0", 1) if place[0] == "@" else place)
    except OSError as error:
        _log.warning("cannot tell systemd %s: %s", state, error)
