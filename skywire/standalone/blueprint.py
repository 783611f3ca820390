"""What a process with one app is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, final

from skywire.app.catalogue import Catalogue
from skywire.app.limits import LauncherLimits
from skywire.app.record import InstanceConfig
from skywire.app.run_mode import RunMode
from skywire.dmsg.discovery.contract import Discovery
from skywire.dmsg.limits import Limits as DmsgLimits
from skywire.keys import SecKey
from skywire.pktcp.limits import Limits as TcpLimits


@final
@dataclass(frozen=True, kw_only=True)
class OnDmsg:
    """The app is reached on dmsg, through a client of its own.

    Args:
        discovery: the way into the network.
        min_sessions: dmsg servers to be reachable through; 0 for all.
        limits: times and counts of the network.
    """

    discovery: Discovery
    min_sessions: int = 1
    limits: DmsgLimits = DmsgLimits()


@final
@dataclass(frozen=True, kw_only=True)
class OnTcp:
    """The app is reached on key-encrypted TCP.

    Args:
        hosts: addresses of this machine to listen on, at each of the app's ports. Only this machine comes by loopback.
        limits: what strangers may cost.
    """

    hosts: tuple[str, ...] = ("127.0.0.1",)
    limits: TcpLimits = TcpLimits()


Place: TypeAlias = OnDmsg | OnTcp
"""Where an app that runs alone is reached. Networks are never mixed."""


@final
@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """What a process with one app is made of.

    Args:
        identity: its key; on dmsg one that no other process uses there.
        place: where it is reached, which is the mode that it runs in.
        instance: of the app. It runs in this process, whatever it says of that.
        folder: of its data; no other process may use it.
        catalogue: the definitions that there are.
        sockets: the folder of the sockets for control on this machine; None for none.
        launcher_limits: times and counts of the app.
    """

    identity: SecKey = field(repr=False)
    place: Place
    instance: InstanceConfig
    folder: Path
    catalogue: Catalogue
    sockets: Path | None = None
    launcher_limits: LauncherLimits = LauncherLimits()

    @property
    def mode(self) -> RunMode:
        """The mode of the place."""
        return RunMode.DMSG_STANDALONE if isinstance(self.place, OnDmsg) else RunMode.TCP_STANDALONE
