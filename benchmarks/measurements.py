"""The measurements, and the rows that each gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from benchmarks import roles, visor


@dataclass(frozen=True)
class Size:
    """How much of everything one sample takes.

    Args:
        bulk_bytes: bytes of one bulk transfer, a multiple of 64 KiB.
        round_trips: round trips of one latency sample.
        connects: connections of one sample.
        operations: handshakes' worth of arithmetic of one sample.
        echoes: samples of round trips in each round. Their time depends on which cores the system happens to place the
            processes, for as long as they live: five samples are too few for a steady median.
        apps: instances of a node that comes up.
    """

    bulk_bytes: int
    round_trips: int
    connects: int
    operations: int
    echoes: int
    apps: int


FULL: Final = Size(bulk_bytes=512 << 20, round_trips=10_000, connects=1_000, operations=2_000, echoes=3, apps=200)
QUICK: Final = Size(bulk_bytes=96 << 20, round_trips=2_000, connects=200, operations=500, echoes=1, apps=200)


@dataclass(frozen=True)
class Measurement:
    """One sample of some rows.

    Args:
        units: the rows it gives, each with its unit.
        sample: takes one sample.
        times: how many to take in each round.
    """

    units: dict[str, str]
    sample: Callable[[Size], dict[str, float]]
    times: Callable[[Size], int]


def _bulk(module: str) -> Callable[[Size], dict[str, float]]:
    def sample(size: Size) -> dict[str, float]:
        with roles.server(f"{module}.bulk_server", {}) as place:
            return roles.client(f"{module}.bulk_client", {**place, "bytes": size.bulk_bytes})

    return sample


def _echo(module: str) -> Callable[[Size], dict[str, float]]:
    def sample(size: Size) -> dict[str, float]:
        with roles.server(f"{module}.echo_server", {}) as place:
            return roles.client(f"{module}.echo_client", {**place, "count": size.round_trips})

    return sample


def _connects(size: Size) -> dict[str, float]:
    with roles.server("pktcp.echo_server", {}) as place:
        return roles.client("pktcp.connect_client", {**place, "count": size.connects})


@contextmanager
def _dmsg(server: str) -> Iterator[dict[str, float | str]]:
    """A discovery, a relay, and a client that serves; how to reach them."""
    with (
        roles.server("dmsg.discovery", {}) as discovery,
        roles.server("dmsg.relay", discovery) as relay,
        roles.server(server, discovery),
    ):
        yield {**discovery, **relay}


def _dmsg_bulk(streams: int) -> Callable[[Size], dict[str, float]]:
    def sample(size: Size) -> dict[str, float]:
        with _dmsg("dmsg.bulk_server") as place:
            return roles.client("dmsg.bulk_client", {**place, "bytes": size.bulk_bytes, "streams": streams})

    return sample


def _dmsg_echo(size: Size) -> dict[str, float]:
    with _dmsg("dmsg.echo_server") as place:
        return roles.client("dmsg.echo_client", {**place, "count": size.round_trips})


def _dmsg_dials(at_a_time: int, *, cold: bool = False) -> Callable[[Size], dict[str, float]]:
    def sample(size: Size) -> dict[str, float]:
        with _dmsg("dmsg.echo_server") as place:
            how = {"count": size.connects, "at_a_time": at_a_time, "cold": int(cold)}
            return roles.client("dmsg.dial_client", {**place, **how})

    return sample


def _dmsg_sessions(at_a_time: int) -> Callable[[Size], dict[str, float]]:
    def sample(size: Size) -> dict[str, float]:
        with roles.server("dmsg.discovery", {}) as discovery, roles.server("dmsg.relay", discovery) as relay:
            return roles.client("dmsg.session_client", {**relay, "count": size.connects, "at_a_time": at_a_time})

    return sample


def _dmsg_idle(_: Size) -> dict[str, float]:
    with roles.server("dmsg.discovery", {}) as discovery, roles.server("dmsg.relay", discovery) as relay:
        return roles.client("dmsg.idle_client", relay)


def _pty_tcp(role: str) -> Callable[[Size], dict[str, float]]:
    def sample(size: Size) -> dict[str, float]:
        with roles.server("pty.tcp_host", {}) as place:
            return roles.client(role, {**place, "count": size.round_trips // 5, "bytes": size.bulk_bytes // 8})

    return sample


def _pty_dmsg(size: Size) -> dict[str, float]:
    with _dmsg("pty.dmsg_host") as place:
        return roles.client("pty.dmsg_echo", {**place, "count": size.round_trips // 5})


def _local_cat(size: Size) -> dict[str, float]:
    return roles.client("pty.local_cat", {"bytes": size.bulk_bytes // 8})


def _ssh_echo(size: Size) -> dict[str, float]:
    return roles.client("pty.ssh_echo", {"count": size.round_trips // 5})


def _alone(role: str) -> Callable[[Size], dict[str, float]]:
    return lambda size: roles.client(role, {"count": size.operations})


def _once(_: Size) -> int:
    return 1


def _echoes(size: Size) -> int:
    return size.echoes


def _measurement(
    sample: Callable[[Size], dict[str, float]], times: Callable[[Size], int] = _once, /, **rows: tuple[str, str]
) -> Measurement:
    """Name the values of a sample: ``value=(row, unit)``."""
    return Measurement(
        units=dict(rows.values()),
        sample=lambda size: {rows[value][0]: number for value, number in sample(size).items() if value in rows},
        times=times,
    )


MEASUREMENTS: Final = (
    _measurement(_bulk("floor"), mib_s=("floor.tcp_aead.bulk", "MiB/s")),
    _measurement(_bulk("pktcp"), mib_s=("pktcp.bulk.1", "MiB/s")),
    _measurement(_echo("floor"), _echoes, p50_us=("floor.tcp_echo.rtt_p50_us", "us")),
    _measurement(_echo("pktcp"), _echoes, p50_us=("pktcp.rtt_p50_us", "us"), p99_us=("pktcp.rtt_p99_us", "us")),
    _measurement(_alone("floor.session_crypto"), per_s=("floor.session_crypto", "1/s")),
    _measurement(_alone("floor.dial_crypto"), per_s=("floor.dial_crypto", "1/s")),
    _measurement(_connects, per_s=("pktcp.connects_1", "1/s")),
    _measurement(_dmsg_bulk(1), mib_s=("dmsg.bulk.1", "MiB/s")),
    _measurement(_dmsg_bulk(4), mib_s=("dmsg.bulk.4", "MiB/s")),
    _measurement(_dmsg_bulk(16), mib_s=("dmsg.bulk.16", "MiB/s")),
    _measurement(_dmsg_echo, _echoes, p50_us=("dmsg.rtt_p50_us", "us"), p99_us=("dmsg.rtt_p99_us", "us")),
    _measurement(_dmsg_dials(1), per_s=("dmsg.dials_1", "1/s")),
    _measurement(_dmsg_dials(32), per_s=("dmsg.dials_32", "1/s")),
    _measurement(_dmsg_dials(32, cold=True), per_s=("dmsg.dials_cold_32", "1/s")),
    _measurement(_dmsg_sessions(1), per_s=("dmsg.sessions_1", "1/s")),
    _measurement(_dmsg_sessions(32), per_s=("dmsg.sessions_32", "1/s")),
    _measurement(_dmsg_idle, kib=("dmsg.idle_session_kib", "KiB")),
    _measurement(_ssh_echo, _echoes, p50_us=("floor.ssh_echo.rtt_p50_us", "us")),
    _measurement(_pty_tcp("pty.tcp_echo"), _echoes, p50_us=("pty.echo_p50_us", "us")),
    _measurement(_pty_dmsg, _echoes, p50_us=("pty.relayed_echo_p50_us", "us")),
    _measurement(_local_cat, mib_s=("floor.terminal_cat", "MiB/s")),
    _measurement(_pty_tcp("pty.tcp_cat"), mib_s=("pty.cat_mib_s", "MiB/s")),
    _measurement(_alone("imports.import_skywire"), ms=("import_skywire_ms", "ms")),
    _measurement(lambda size: {"s": visor.start_seconds(size.apps)}, s=("visor.apps_200_s", "s")),
    _measurement(lambda _: {"mib": visor.idle_mib()}, mib=("visor.idle_mib", "MiB")),
    _measurement(lambda _: {"ms": visor.command_ms("app", "ls", apps=20)}, _echoes, ms=("cli.app_ls_ms", "ms")),
    _measurement(lambda _: {"ms": visor.version_ms()}, _echoes, ms=("cli.version_ms", "ms")),
)


@dataclass(frozen=True)
class Target:
    """What a row is to reach, as a ratio to its floor of the same run.

    Args:
        row: the row.
        floor: what it is divided by; None for an absolute target.
        bound: the ratio.
        at_least: whether more is better.
    """

    row: str
    floor: str | None
    bound: float
    at_least: bool


TARGETS: Final = (
    Target("pktcp.bulk.1", "floor.tcp_aead.bulk", 0.8, at_least=True),
    Target("pktcp.rtt_p50_us", "floor.tcp_echo.rtt_p50_us", 1.6, at_least=False),
    Target("dmsg.bulk.1", "floor.tcp_aead.bulk", 0.5, at_least=True),
    Target("dmsg.bulk.4", "floor.tcp_aead.bulk", 0.6, at_least=True),
    Target("dmsg.bulk.16", "floor.tcp_aead.bulk", 0.6, at_least=True),
    Target("dmsg.rtt_p50_us", "floor.tcp_echo.rtt_p50_us", 3, at_least=False),
    Target("dmsg.dials_32", "floor.dial_crypto", 0.35, at_least=True),
    Target("dmsg.sessions_32", "floor.session_crypto", 0.4, at_least=True),
    Target("dmsg.idle_session_kib", None, 30, at_least=False),
    Target("pty.echo_p50_us", "floor.ssh_echo.rtt_p50_us", 1.5, at_least=False),
    Target("pty.relayed_echo_p50_us", "floor.ssh_echo.rtt_p50_us", 3, at_least=False),
    Target("pty.cat_mib_s", None, 50, at_least=True),
    Target("import_skywire_ms", None, 150, at_least=False),
    Target("visor.apps_200_s", None, 2, at_least=False),
    Target("visor.idle_mib", None, 70, at_least=False),
    Target("cli.app_ls_ms", None, 300, at_least=False),
    Target("cli.version_ms", None, 200, at_least=False),
)
