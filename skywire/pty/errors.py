"""What can go wrong with programs at far terminals."""

from __future__ import annotations

from skywire.errors import NetworkError, SkywireError


class PtyError(SkywireError):
    """A host or client cannot do what it is asked; the text says why."""


class CannotRun(PtyError):
    """A program cannot be started."""


class NoSuchSession(PtyError):
    """There is no session of that id, or it is somebody else's."""


class TooManySessions(PtyError):
    """A limit was reached; the text says which."""


class TakenOver(PtyError):
    """Another connection uses the session now."""


class Refused(PtyError):
    """The host did not accept what the client wants."""


class HostUnreachable(NetworkError):
    """The host cannot be reached just now."""
