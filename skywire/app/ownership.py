"""On whose behalf the running code works: set where an app is entered, inherited by the tasks that it starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from typing import Final

_current: Final[ContextVar[str | None]] = ContextVar("skywire.app.owner", default=None)


def current_owner() -> str | None:
    """The name of the app instance whose code runs, None for the process's own."""
    return _current.get()


def owner_in(context: Context) -> str | None:
    """The same of code that runs in another context."""
    return context.get(_current)


@contextmanager
def on_behalf_of(name: str) -> Iterator[None]:
    """Run the block for an app instance."""
    token = _current.set(name)
    try:
        yield
    finally:
        _current.reset(token)
