"""How what nodes answer becomes what programs say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from skywire.cli.control.words import visible
from skywire.cli.program import NotReached, Refused
from skywire.control.client import NodeGone, RemoteError
from skywire.control.local import LocalControlError
from skywire.control.messages import Code
from skywire.errors import ProtocolError, SkywireError


class CommandFailed(SkywireError):
    """A node was asked, and could not."""


class NoSuchName(SkywireError):
    """No process has an app instance of that name."""


@contextmanager
def told(hint: str = "") -> Iterator[None]:
    """Have errors of nodes in the block come as those of programs.

    Args:
        hint: what to do where the node lets us do less than this; the role that it takes is put behind it.

    Raises:
        Refused: the node does not want to.
        CommandFailed: it could not.
        NotReached: it has ended, or is not there.
    """
    try:
        yield
    except (RemoteError, NodeGone, LocalControlError, ProtocolError) as error:
        raise explained(error, hint) from error


def explained(error: Exception, hint: str = "") -> Exception:
    """What a program says of an error; any other error as it is."""
    text = visible(str(error))
    match error:
        case RemoteError(kind="CriticalRefusal"):
            return Refused(text)
        case RemoteError(code=Code.FORBIDDEN, role=role):
            return Refused(f"{text}{hint and f'{hint} {role.name.lower()}'}")
        case RemoteError(code=Code.NO_SUCH_METHOD):
            return CommandFailed(f"this process cannot do that: {text}")
        case RemoteError():
            return CommandFailed(text)
        case NodeGone() | LocalControlError():
            return NotReached(text)
        case ProtocolError():
            return CommandFailed(f"the node answers what is not understood: {text}")
        case _:
            return error
