"""The figures of a dmsg server: upstream's names, read when they are asked for."""

from __future__ import annotations

import httpx
import pytest
from anyio import create_task_group, fail_after
from anyio.lowlevel import checkpoint
from prometheus_client.parser import text_string_to_metric_families

from skywire.dmsg.relay import RelayStats
from skywire.dmsg.relay.metrics import WINDOW, RelayMetrics

NAMES = {
    "dmsg_server_packets_per_minute": "gauge",
    "dmsg_server_packets_per_second": "gauge",
    "dmsg_server_clients_count": "gauge",
    "dmsg_server_vm_active_sessions_count": "gauge",
    "dmsg_server_vm_session_success_total": "counter",
    "dmsg_server_vm_session_fail_total": "counter",
    "dmsg_server_vm_active_streams_count": "gauge",
    "dmsg_server_vm_stream_success_total": "counter",
    "dmsg_server_vm_stream_fail_total": "counter",
}


def figures(metrics: RelayMetrics) -> dict[str, float]:
    """By their names without what all have in common."""
    return {
        sample.name.removeprefix("dmsg_server_"): sample.value for each in metrics.collect() for sample in each.samples
    }


async def ask(metrics: RelayMetrics, path: str = "/metrics", method: str = "GET") -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(metrics.app), base_url="http://relay") as client:
        return await client.request(method, path)


@pytest.mark.anyio
async def test_names_and_types_are_upstreams() -> None:
    answer = await ask(RelayMetrics(RelayStats()))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    found = {
        sample.name: (family.type, sample.labels)
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert found == {name: (kind, {}) for name, kind in NAMES.items()}


def test_counts_are_those_of_the_relay_at_that_moment() -> None:
    stats = RelayStats()
    metrics = RelayMetrics(stats)
    assert set(figures(metrics).values()) == {0}
    stats.sessions, stats.sessions_made, stats.streams, stats.streams_made = 3, 5, 7, 11
    stats.sessions_refused.update({"HandshakeTimeout": 2, "ProtocolError": 1})
    stats.streams_refused.update({"306": 4, "NetworkError": 9})
    assert figures(metrics) == {
        "packets_per_minute": 0,
        "packets_per_second": 0,
        "clients_count": 3,
        "vm_active_sessions_count": 3,
        "vm_session_success_total": 5,
        "vm_session_fail_total": 3,
        "vm_active_streams_count": 7,
        "vm_stream_success_total": 11,
        "vm_stream_fail_total": 13,
    }


def test_requests_per_time() -> None:
    stats = RelayStats(streams_made=100)
    metrics = RelayMetrics(stats)

    def rates() -> tuple[float, float]:
        found = figures(metrics)
        return found["packets_per_second"], found["packets_per_minute"]

    assert rates() == (0, 0), "what was before counts for no time"
    stats.streams_made += 5
    assert rates() == (0, 0), "the second is not over"
    metrics.sample()
    assert rates() == (5, 5)
    stats.streams_refused["306"] += 2
    metrics.sample()
    assert rates() == (2, 7)
    for _ in range(WINDOW - 2):
        metrics.sample()
    assert rates() == (0, 7)
    metrics.sample()
    assert rates() == (0, 2)
    metrics.sample()
    assert rates() == (0, 0)


@pytest.mark.anyio
async def test_samples_are_taken_while_it_runs() -> None:
    stats = RelayStats()
    metrics = RelayMetrics(stats, tick_seconds=0.001)
    stats.streams_made = 1
    with fail_after(10):
        async with create_task_group() as task_group:
            task_group.start_soon(metrics.run)
            while not figures(metrics)["packets_per_minute"]:
                await checkpoint()
            task_group.cancel_scope.cancel()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 404), ("GET", "/metrics/", 404), ("POST", "/metrics", 405)]
)
async def test_nothing_else_is_there(method: str, path: str, status: int) -> None:
    assert (await ask(RelayMetrics(RelayStats()), path, method)).status_code == status


@pytest.mark.anyio
async def test_two_relays_have_figures_of_their_own() -> None:
    one, other = RelayMetrics(RelayStats(sessions=1)), RelayMetrics(RelayStats(sessions=2))
    assert "dmsg_server_clients_count 1.0" in (await ask(one)).text
    assert "dmsg_server_clients_count 2.0" in (await ask(other)).text
