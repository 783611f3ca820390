"""A child process that runs an app: ``python -m skywire.isolation DESCRIPTOR``, started by the process above it.

DESCRIPTOR is the number of the inherited socket that is the link to that process.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import sys
import threading
import time
from typing import Final

from anyio import CancelScope, Event, open_signal_receiver

from skywire.isolation.app_process import AppFailed
from skywire.isolation.inside import NotAttached, run_assigned
from skywire.net.background import Background
from skywire.net.local_socket import LocalSocket
from skywire.runtime import run

ORPHAN_SECONDS: Final = 5.0
"""For this process to end by itself when the one above it is gone."""

PARTING_SECONDS: Final = 1.0
"""For the system to give us another parent once the link has ended."""

_HANG_UP: Final = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


def main(arguments: list[str]) -> int:
    """Run the app; the exit code."""
    if len(arguments) != 1 or not arguments[0].isdecimal():
        sys.stderr.write("this is started by skywire itself, for an app that runs in a process of its own\n")
        return 2
    descriptor, parent = int(arguments[0]), os.getppid()
    os.set_inheritable(descriptor, False)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it would hold the options' secrets
    os.umask(0o077)
    watched = os.dup(descriptor)
    threading.Thread(target=_die_with_parent, args=(watched,), daemon=True).start()
    try:
        run(_run, descriptor)
    except (AppFailed, NotAttached):
        return 1  # the host has been told, or is gone
    finally:
        if _is_orphan(parent, watched):  # its parent would have ended what the app has started and left
            _kill_group()
    return 0


async def _run(descriptor: int) -> None:
    link = LocalSocket(socket.socket(fileno=descriptor))
    ending = Event()
    async with Background() as tasks:
        tasks.start_soon(_end_at_signal, ending)
        await run_assigned(link, ending)


async def _end_at_signal(ending: Event) -> None:
    with CancelScope(), open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            ending.set()


def _die_with_parent(descriptor: int) -> None:
    """End this process and its children some time after the link has ended, whatever its event loop does."""
    poll = select.poll()
    poll.register(descriptor, _HANG_UP)
    poll.poll()
    time.sleep(ORPHAN_SECONDS)
    _kill_group()


def _is_orphan(parent: int, descriptor: int) -> bool:
    """Whether the parent is gone. When it is killed, the link ends a moment before we get another parent."""
    poll = select.poll()
    poll.register(descriptor, _HANG_UP)
    end = time.monotonic() + (PARTING_SECONDS if poll.poll(0) else 0.0)
    while (mine := os.getppid()) == parent and time.monotonic() < end:
        time.sleep(0.01)
    return mine != parent


def _kill_group() -> None:
    own_group = os.getpgrp() == os.getpid()  # or it is that of whoever started this by hand
    os.kill(-os.getpid() if own_group else os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
