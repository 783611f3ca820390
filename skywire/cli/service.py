"""How a command that serves runs, stops, and tells the system about it."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from anyio import CancelScope, open_signal_receiver

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
