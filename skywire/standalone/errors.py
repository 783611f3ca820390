"""Why an app does not run alone."""

from __future__ import annotations

from skywire.errors import SkywireError


class CannotRun(SkywireError):
    """The app does not run, and is not tried again; the text says why."""


class KeyTaken(SkywireError):
    """Another process of this machine is reached by the key on the same network."""
