"""Apps for the rows of configurations in tests; they do nothing."""

from __future__ import annotations

from dataclasses import dataclass

from anyio import sleep_forever
from anyio.abc import TaskStatus

from skywire.app.catalogue import Catalogue
from skywire.app.definition import App
from skywire.app.host import AppHost
from skywire.app.options import option
from skywire.app.port import PortSpec
from skywire.keys import PubKey


async def run(host: AppHost, options: object, *, task_status: TaskStatus[None]) -> None:
    task_status.started()
    await sleep_forever()


@dataclass(frozen=True)
class ChatOptions:
    addr: str = option("", help="Where its page is.")
    persist: bool = option(False)
    password: str = option("", secret=True)
    pin: int = option(0, secret=True)


@dataclass(frozen=True)
class SocksOptions:
    whitelist: tuple[PubKey, ...] = option(())


@dataclass(frozen=True)
class ClientOptions:
    addr: str = option("127.0.0.1:1080")
    tries: int = option(3)
    retry_time: float = option(5.0)


@dataclass(frozen=True)
class VpnOptions:
    killswitch: bool = option(False)


@dataclass(frozen=True)
class LogOptions:
    allow: tuple[PubKey, ...] = option(())
    local: str = option("")
    lines: int = option(100)


@dataclass(frozen=True)
class DebugOptions:
    allow: tuple[PubKey, ...] = option(())


SKYCHAT = App(
    name="skychat",
    summary="For tests.",
    options=ChatOptions,
    run=run,
    ports=(PortSpec("chat", overlay=1), PortSpec("files", overlay=64)),
)
SKYSOCKS = App(
    name="skysocks", summary="For tests.", options=SocksOptions, run=run, ports=(PortSpec("proxy", overlay=3),)
)
SKYSOCKS_CLIENT = App(name="skysocks-client", summary="For tests.", options=ClientOptions, run=run)
VPN_CLIENT = App(name="vpn-client", summary="For tests.", options=VpnOptions, run=run)
VPN_SERVER = App(name="vpn-server", summary="For tests.", options=VpnOptions, run=run)
LOG_SERVER = App(
    name="log-server", summary="For tests.", options=LogOptions, run=run, ports=(PortSpec("log", overlay=80),)
)
DEBUG = App(name="debug", summary="For tests.", options=DebugOptions, run=run)
NAMES = ("skychat", "skysocks", "skysocks-client", "vpn-client", "vpn-server", "log-server", "debug")


def catalogue(*names: str) -> Catalogue:
    """The apps of these names, or all; and one that cannot be imported."""
    places = {name: f"{__name__}:{name.upper().replace('-', '_')}" for name in names or NAMES}
    return Catalogue({**places, "broken": f"{__name__}:NOT_THERE"}, ())
