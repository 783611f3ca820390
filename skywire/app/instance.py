"""The contract of what runs."""

from __future__ import annotations

from typing import Protocol

from anyio.abc import TaskStatus

from skywire.app.status import AppStatus
from skywire.errors import SkywireError


class InstanceFailed(SkywireError):
    """Raised by :meth:`AppInstance.start` when the text alone says why it failed, and it has been logged already."""


class AppInstance(Protocol):
    """One attempt of an app to run; the launcher makes a new one for each."""

    async def start(self, *, task_status: TaskStatus[None]) -> None:
        """Serve until :meth:`stop` makes it return, or until cancelled; clean up in ``finally``.

        Args:
            task_status: ``started()`` is called once it serves. Until then others wait for it.
        """
        ...

    async def stop(self) -> None:
        """Have :meth:`start` return soon. Idempotent; may come before it has reported that it serves."""
        ...

    def status(self) -> AppStatus:
        """How it is, from evidence. Must not block."""
        ...
