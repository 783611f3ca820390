"""The figures of a discovery for Prometheus.

Source: protocol-dmsg.md section 6.8.
"""

from __future__ import annotations

from typing import Final, final

from prometheus_client import CollectorRegistry, Gauge

from skywire.http.figures import figures_app


@final
class DiscoveryMetrics:
    """How many clients and servers there are, by upstream's names."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._clients = Gauge("dmsg_discovery_clients_count", "Keys in the set of clients.", registry=registry)
        self._servers = Gauge("dmsg_discovery_servers_count", "Keys in the set of servers.", registry=registry)
        self.app: Final = figures_app(registry)
        """An ASGI application that answers ``GET /metrics``."""

    def update(self, clients: int, servers: int) -> None:
        """Set both."""
        self._clients.set(clients)
        self._servers.set(servers)
