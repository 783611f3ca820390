"""The figures of a dmsg server for Prometheus, by upstream's names.

What upstream calls packets are the objects that it sealed and opened on sessions, on average of those that had any: the
requests and responses of streams, not the data behind them, which goes past those keys. Here they are the requests that
the relay has decided, streams as well as look-ups, all together.

Source: protocol-dmsg.md section 5.1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, NoReturn, final

from anyio import current_time, sleep_until
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from skywire.dmsg.relay.switch import RelayStats
from skywire.http.figures import figures_app

WINDOW: Final = 60
"""Seconds of ``dmsg_server_packets_per_minute``."""


@final
class RelayMetrics(Collector):
    """Reads the counts of a relay whenever it is asked for them.

    Args:
        stats: of the relay.
        tick_seconds: between two samples of what is counted per time; the figures are right with 1 only.
    """

    def __init__(self, stats: RelayStats, *, tick_seconds: float = 1.0) -> None:
        self._stats = stats
        self._tick_seconds = tick_seconds
        self._samples = deque([self._requests()], maxlen=WINDOW + 1)
        registry = CollectorRegistry()
        registry.register(self)
        self.app: Final = figures_app(registry)
        """An ASGI application that answers ``GET /metrics``."""

    async def run(self) -> NoReturn:
        """Take samples until cancelled; without it nothing ever happens per time."""
        due = current_time()
        while True:
            due += self._tick_seconds
            await sleep_until(due)
            self.sample()

    def sample(self) -> None:
        """Another second has passed."""
        self._samples.append(self._requests())

    def collect(self) -> Iterator[Metric]:
        """See :class:`prometheus_client.registry.Collector`."""
        stats, samples = self._stats, self._samples
        yield GaugeMetricFamily(
            "dmsg_server_packets_per_minute",
            f"Requests decided in the last {WINDOW} seconds.",
            value=samples[-1] - samples[0],
        )
        yield GaugeMetricFamily(
            "dmsg_server_packets_per_second",
            "Requests decided in the last second.",
            value=samples[-1] - samples[max(-2, -len(samples))],
        )
        yield GaugeMetricFamily("dmsg_server_clients_count", "Clients with a session now.", value=stats.sessions)
        yield GaugeMetricFamily("dmsg_server_vm_active_sessions_count", "Sessions now.", value=stats.sessions)
        yield CounterMetricFamily(
            "dmsg_server_vm_session_success", "Sessions that were established.", value=stats.sessions_made
        )
        yield CounterMetricFamily(
            "dmsg_server_vm_session_fail", "Connections that were turned away.", value=stats.sessions_refused.total()
        )
        yield GaugeMetricFamily("dmsg_server_vm_active_streams_count", "Relayed streams now.", value=stats.streams)
        yield CounterMetricFamily(
            "dmsg_server_vm_stream_success", "Streams relayed and look-ups answered.", value=stats.streams_made
        )
        yield CounterMetricFamily(
            "dmsg_server_vm_stream_fail", "Requests that came to nothing.", value=stats.streams_refused.total()
        )

    def _requests(self) -> int:
        return self._stats.streams_made + self._stats.streams_refused.total()
