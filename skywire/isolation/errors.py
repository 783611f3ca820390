"""Errors that keep their class on the way between an app's process and its host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from skywire.app.command import NoSuchCommand
from skywire.app.facility import FacilityAbsent
from skywire.app.host import NotInThisMode
from skywire.app.registry import PortTaken
from skywire.app.typed_json import MisfitError
from skywire.control.client import RemoteError
from skywire.control.messages import Code
from skywire.errors import SkywireError
from skywire.net.address import Address
from skywire.net.errors import DialError, DialTimeout, ListenError, PeerRefused, Unreachable

_PLAIN: Final[Mapping[str, type[SkywireError]]] = {
    kind.__name__: kind for kind in (FacilityAbsent, ListenError, NoSuchCommand, NotInThisMode, PortTaken)
}
_OF_DIALS: Final[Mapping[str, type[DialError]]] = {
    kind.__name__: kind for kind in (DialError, DialTimeout, PeerRefused, Unreachable)
}


def restored(error: RemoteError) -> SkywireError:
    """The error of the other process as one of its class, where that is one that apps look at."""
    if error.code == Code.WRONG_ARGUMENTS:
        return MisfitError(str(error))
    kind = _PLAIN.get(error.kind)
    return error if kind is None else kind(str(error))


def restored_dial(error: RemoteError, address: Address) -> SkywireError:
    """The same for an error of a dial."""
    kind = _OF_DIALS.get(error.kind)
    return restored(error) if kind is None else kind(address, str(error).removeprefix(f"cannot reach {address}: "))
