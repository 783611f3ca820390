"""The sections of a configuration that are about transports, services and pages; upstream's keys, each with its type.

See :mod:`skywire.visor.config.schema` for what holds for all of them.

Source: upstream-2026.md section 6.2, protocol-skywire.md section 1.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import final

from skywire.keys import PubKey, SecKey
from skywire.visor.config.kinds import Count, Port, key, mapping

NO_TIME = timedelta(0)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Pty:
    """``pty``: the remote shell."""

    dmsg_port: Port = key(0, "dmsg_port", "port")
    cli_network: str = key("")
    cli_address: str = key("")
    whitelist: tuple[PubKey, ...] = key(())
    ssh_listen: str = key("")
    persistent_sessions: bool = key(False)
    authorization_file: str = key("")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DmsgScp:
    """``dmsgscp``: copying files."""

    disabled: bool = key(False)
    dmsg_port: Port = key(0)
    root_dir: str = key("")
    whitelist: tuple[PubKey, ...] = key(())


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Resolver:
    """``dmsg_web``, ``skynet_web`` and each of ``resolvers``: a proxy that resolves names of the network."""

    name: str = key("")
    kind: str = key("")
    enable: bool = key(False)
    secret_key: SecKey | None = key(None, secret=True)
    proxy_port: Port = key(0)
    proxy_addr: str = key("")
    web_port: Port = key(0)
    domain_suffix: str = key("")
    upstream_socks: str = key("")
    forward_proxy: object = key(None)
    chain: bool = key(True)
    alias: str = key("")
    self_loopback: bool = key(True)
    self_loopback_authenticated: bool = key(True)
    route_timeout: timedelta = key(NO_TIME)
    tls_mitm: bool = key(False)
    tls_port: Port = key(0)
    tls_ca_path: str = key("")
    tls_ca_key_path: str = key("")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class UiServer:
    """``ui_server``: pages about transports."""

    enable: bool = key(False)
    local_addr: str = key("")
    dmsg_port: Port = key(0)
    dmsg_whitelist: tuple[PubKey, ...] = key(())
    survey_dir: str = key("")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LogServer:
    """``log_server``: where the log server is served without a key, on this machine."""

    local_addr: str = key("")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SkywireTcp:
    """``skywire-tcp``: transports to peers whose addresses are written down."""

    pk_table: Mapping[PubKey, str] = mapping()
    listening_address: str = key("", "listening_address", "local_address")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LogStore:
    """``transport.log_store``: what is kept about transports."""

    type: str = key("")
    location: str = key("")
    rotation_interval: timedelta = key(NO_TIME)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SetupDmsg:
    """``transport.tps_dmsg``: the dmsg client of the transport set-up node."""

    min_sessions: Count = key(0)
    server_type: str = key("")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """``transport``: links to other nodes, and the services that know of them."""

    discovery: str = key("")
    discovery_dmsg: str = key("")
    address_resolver: str = key("")
    address_resolver_dmsg: str = key("")
    public_autoconnect: bool = key(False)
    transport_setup: tuple[PubKey, ...] = key((), "transport_setup", "transport_setup_nodes")
    user_transport_setup: tuple[PubKey, ...] = key(())
    tps_sk: SecKey | None = key(None, secret=True)
    tps_dmsg: SetupDmsg = key(SetupDmsg())
    log_store: LogStore = key(LogStore())
    stcpr_port: Port = key(0)
    sudph_port: Port = key(0)
    ar_transport_limit: Count = key(0)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """``routing``: how routes are found and set up."""

    route_setup_nodes: tuple[PubKey, ...] = key((), "route_setup_nodes", "setup_nodes")
    user_route_setup_nodes: tuple[PubKey, ...] = key(())
    route_setup_sk: SecKey | None = key(None, secret=True)
    route_finder: str = key("")
    route_finder_dmsg: str = key("")
    route_finder_timeout: timedelta = key(NO_TIME)
    min_hops: Port = key(0)
    calculate_routes: bool = key(False)
    mux_routes: Count = key(0)
    transport_preference: tuple[str, ...] = key(())
    policy_per_dial: str = key("")
    no_transit: bool = key(False)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class UptimeTracker:
    """``uptime_tracker``: the service that counts hours."""

    addr: str = key("")
    addr_dmsg: str = key("")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """``stats``: what the node measures of itself."""

    path: str = key("")
    sample_interval: timedelta = key(NO_TIME)
    retention_days: Count = key(0)
    cxo_publish_window: Count = key(0)
    disabled: bool = key(False)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Skychat:
    """``skychat``: what the chat keeps."""

    group_history_db: str = key("")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PublicVisor:
    """``public_visor``: how long a public node stays listed."""

    registration_timeout: timedelta = key(NO_TIME)
    max_transports: Count = key(0)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PersistentTransport:
    """One of ``persistent_transports``."""

    pk: PubKey | None = key(None)
    type: str = key("")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Rewards:
    """``rewards``: pages of the reward system."""

    enable: bool = key(False)
    work_dir: str = key("")
    whitelist: tuple[PubKey, ...] = key(())
    canonical_domain: str = key("")
    skycoin_node: str = key("")
    login_node: str = key("")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SkymailBridge:
    """``skymail_bridge``: mail over the network."""

    enable: bool = key(False)
    addr: str = key("")
    mode: str = key("")
    suffix: str = key("")
    helo_name: str = key("")
    remote_port: Port = key(0)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Cookies:
    """``hypervisor.cookies``: sessions of its page."""

    hash_key: str = key("", secret=True)
    block_key: str = key("", secret=True)
    expires_duration: timedelta = key(NO_TIME)
    path: str = key("")
    domain: str = key("")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LanServer:
    """``hypervisor.lan_dmsg_server``: a dmsg server for the nodes around it."""

    enable: bool = key(False)
    port: Port = key(0)
    public_address: str = key("")
    max_sessions: Count = key(0)
    pk: PubKey | None = key(None)
    sk: SecKey | None = key(None, secret=True)
    public_discovery_url: str = key("")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TransportPages:
    """``hypervisor.tp_viz``: a drawing of the network."""

    enable: bool = key(False)
    survey_dir: str = key("")
    cache_max_age: Count = key(0)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Hypervisor:
    """``hypervisor``: the page that manages many nodes."""

    enable: bool = key(False)
    db_path: str = key("")
    enable_auth: bool = key(False)
    cookies: Cookies = key(Cookies())
    dmsg_port: Port = key(0)
    http_addr: str = key("")
    enable_tls: bool = key(False)
    tls_cert_file: str = key("")
    tls_key_file: str = key("")
    ui_disable: bool = key(False)
    tp_viz: TransportPages = key(TransportPages())
    lan_dmsg_server: LanServer = key(LanServer())
    enable_pk_endpoint: bool = key(False)
    cxo_subscribe_interval: timedelta = key(NO_TIME)
