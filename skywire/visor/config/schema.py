"""The keys of a visor's configuration: upstream's of 2026, the names they had in 2024, and our own.

A section that is absent or null is empty, and what it is about is off. Upstream fills what is absent with the addresses
of its public network instead, so that leaving something out switches it on; this is not copied, and no default here
names a host. Members that nothing uses yet are typed like all others: a wrong type is found whether or not it matters
today.

Source: upstream-2026.md sections 1.4 and 6.2, protocol-skywire.md section 1.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, final

from skywire.app.interface import Role
from skywire.keys import PubKey, SecKey
from skywire.visor.config.dmsg_section import Dmsg
from skywire.visor.config.errors import ConfigError
from skywire.visor.config.kinds import Port, key, mapping
from skywire.visor.config.sections import (
    NO_TIME,
    DmsgScp,
    Hypervisor,
    LogServer,
    PersistentTransport,
    Pty,
    PublicVisor,
    Resolver,
    Rewards,
    Routing,
    Skychat,
    SkymailBridge,
    SkywireTcp,
    Stats,
    Transport,
    UiServer,
    UptimeTracker,
)

LOG_LEVEL: Final = "info"
LOCAL_PATH: Final = "./local"
SHUTDOWN: Final = timedelta(seconds=10)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AppRow:
    """One of ``launcher.apps``: an app instance. None stands for what is absent, where that differs from empty.

    Args:
        name: of the instance.
        binary: upstream's program; see :mod:`skywire.visor.config.rows`.
        args: upstream's command line, as a list or as a shell writes it.
        auto_start: whether it starts with the process.
        port: of its first port.
        user: upstream's user to run as.
        group: upstream's group to run as.
        work_dir: upstream's folder to run in.
        env: variables, each ``NAME=value``.
        launcher_mode: ``internal``, ``external`` or empty.
        restart_policy: ``never``, ``on-failure`` or ``always``; empty for never.
        app: ours: name of the definition where it differs from the name.
        options: ours: what upstream says by args.
        ports: ours: numbers by the names of the ports.
        isolation: ours: in-process, child or attached.
        removed: ours: a built-in app that is not there.
    """

    name: str = key("")
    binary: str = key("")
    args: tuple[str, ...] | str = key((), secret=True)
    auto_start: bool | None = key(None)
    port: Port = key(0)
    user: str = key("")
    group: str = key("")
    work_dir: str = key("")
    env: tuple[str, ...] = key((), secret=True)
    launcher_mode: str = key("")
    restart_policy: str | None = key(None)
    app: str = key("")
    options: Mapping[str, object] = mapping(secret=True)
    ports: Mapping[str, Port] = mapping()
    isolation: str = key("")
    removed: bool = key(False)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LauncherSection:
    """``launcher``: the apps, and how upstream starts them."""

    service_discovery: str = key("")
    service_discovery_dmsg: str = key("")
    apps: tuple[AppRow, ...] = key(())
    server_addr: str = key("")
    bin_path: str = key("")
    display_node_ip: bool = key(False)
    heartbeat_interval: timedelta = key(NO_TIME)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class VisorConfig:
    """All of a configuration. Its repr shows no secret.

    ``control`` is ours: who may control the node from afar, by key, beside ``hypervisors``, who may do everything.
    """

    version: str = key("")
    sk: SecKey | None = key(None, secret=True)
    pk: PubKey | None = key(None)
    dmsg: Dmsg = key(Dmsg(), first_of_list=True)
    pty: Pty = key(Pty(), "pty", "dmsgpty")
    dmsgscp: DmsgScp = key(DmsgScp())
    dmsg_web: Resolver = key(Resolver())
    skynet_web: Resolver = key(Resolver())
    resolvers: tuple[Resolver, ...] = key(())
    ui_server: UiServer = key(UiServer())
    log_server: LogServer = key(LogServer())
    skywire_tcp: SkywireTcp = key(SkywireTcp(), "skywire-tcp", "stcp")
    transport: Transport = key(Transport())
    routing: Routing = key(Routing())
    uptime_tracker: UptimeTracker = key(UptimeTracker())
    launcher: LauncherSection = key(LauncherSection())
    stats: Stats = key(Stats())
    skychat: Skychat = key(Skychat())
    survey_whitelist: tuple[PubKey, ...] = key(())
    user_survey_whitelist: tuple[PubKey, ...] = key(())
    hypervisors: tuple[PubKey, ...] = key(())
    control: Mapping[PubKey, Role] = mapping()
    cli_addr: str = key("")
    log_level: str = key(LOG_LEVEL)
    local_path: str = key(LOCAL_PATH)
    stun_servers: tuple[str, ...] = key(())
    shutdown_timeout: timedelta = key(SHUTDOWN)
    restart_check_delay: timedelta = key(NO_TIME)
    is_public: bool = key(False)
    public_visor: PublicVisor = key(PublicVisor())
    geoip: str = key("")
    persistent_transports: tuple[PersistentTransport, ...] = key(())
    conf_service: str = key("")
    conf_service_dmsg: str = key("")
    survey_client_sk: str = key("", secret=True)
    reward_address: str = key("")
    reward_system: str = key("")
    reward_system_dmsg: str = key("")
    memory_limit: str = key("")
    rewards: Rewards = key(Rewards())
    skymail_bridge: SkymailBridge = key(SkymailBridge())
    dmsghttp_server_path: str = key("")
    hypervisor: Hypervisor | None = key(None)

    @property
    def identity(self) -> SecKey:
        """The key.

        Raises:
            ConfigError: there is none.
        """
        if self.sk is None:
            raise ConfigError("sk: there is no secret key")
        return self.sk
