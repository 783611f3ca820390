"""What a visor is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, final

from skywire.app.api import Grant, Warned
from skywire.app.catalogue import Catalogue
from skywire.app.limits import LauncherLimits
from skywire.app.record import InstanceConfig
from skywire.control.apps import Rows
from skywire.dmsg.discovery.contract import Discovery
from skywire.dmsg.limits import Limits
from skywire.keys import SecKey


class Book(Rows, Protocol):
    """Where the configuration of a node is written down, so that its changes outlive the process."""

    @property
    def path(self) -> Path:
        """Of its file."""
        ...

    async def set(self, key: str, value: object) -> None:
        """Write a value down.

        Args:
            key: names of the objects and the member, with dots between them.
            value: as JSON.

        Raises:
            SkywireError: it cannot be written; nothing has been changed.
        """
        ...

    async def unset(self, key: str) -> None:
        """Take a value back; raises as :meth:`set` does."""
        ...


@final
@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """What a visor is made of.

    Args:
        identity: its key.
        discovery: the way into the dmsg network; None where there is none, and the node is for itself.
        local_path: the folder of its data; no other visor may use it.
        catalogue: the definitions that instances can be made of.
        instances: of apps, by name.
        book: where changes are written down; None where nothing outlives the process.
        shown: gives the configuration, secrets left out.
        grants: who may control it from afar.
        warnings: what its configuration says and cannot have.
        sockets: the folder of the socket for control on this machine; None for none.
        min_sessions: dmsg servers to be reachable through; 0 for all.
        launcher_limits: times and counts of apps.
        dmsg_limits: times and counts of the network.
    """

    identity: SecKey = field(repr=False)
    discovery: Discovery | None
    local_path: Path
    catalogue: Catalogue
    instances: Mapping[str, InstanceConfig] = field(default_factory=dict)
    book: Book | None = None
    shown: Callable[[], Mapping[str, object]] = dict
    grants: tuple[Grant, ...] = ()
    warnings: tuple[Warned, ...] = ()
    sockets: Path | None = None
    min_sessions: int = 1
    launcher_limits: LauncherLimits = LauncherLimits()
    dmsg_limits: Limits = Limits()
