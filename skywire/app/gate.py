"""The guard against lock-outs: what an action would take away is judged before it happens, for every path alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from skywire.app.facility import DMSG, RPC
from skywire.app.plan import Node, dependants
from skywire.errors import SkywireError

CRITICAL_FACILITIES: Final = frozenset({DMSG.name, RPC.name})
"""What the operator reaches this node by, beside the apps that say so of themselves."""
OVERRIDE: Final = "--i-know-what-im-doing"
"""What the operator says to have it done all the same."""
COMES_BACK: Final = ", and --for 10m has it come back by itself"
"""The hint where something is only stopped."""


class CriticalRefusal(SkywireError):
    """An action would take away what the operator may need to reach this node.

    Args:
        action: what was asked for, for instance "to stop pty".
        losses: the critical instances and facilities that it would take away.
        hint: what else they can do.
    """

    def __init__(self, action: str, losses: Iterable[str], hint: str = "") -> None:
        self.losses: Final = tuple(losses)
        names = ", ".join(self.losses)
        super().__init__(
            f"{action} would take away {names}, without which you may lose access to this node; "
            f"{OVERRIDE} does it all the same{hint}"
        )


def losses(nodes: Mapping[str, Node], taken: Iterable[str]) -> tuple[str, ...]:
    """What is critical among what ``taken`` (instances and facilities) and all that stops with it.

    An instance that does not run now is lost as well if it is meant to.
    """
    names = list(taken)
    gone = dict.fromkeys([*names, *dependants(nodes, names)])
    return tuple(
        name
        for name in gone
        if name in CRITICAL_FACILITIES
        or (name in nodes and nodes[name].critical and (nodes[name].wanted or nodes[name].phase.alive))
    )


def check(nodes: Mapping[str, Node], action: str, taken: Iterable[str], *, knowing: bool, hint: str = "") -> None:
    """Refuse an action that may lock the operator out, unless they know.

    Args:
        nodes: all instances.
        action: what was asked for, for the message.
        taken: the instances and facilities that it would take away, or change.
        knowing: whether the operator has said that they know.
        hint: what else they can do.

    Raises:
        CriticalRefusal: they have not, and it would.
    """
    if not knowing and (lost := losses(nodes, taken)):
        raise CriticalRefusal(action, lost, hint)
