"""The command ``iperf``: how much a way to a peer carries."""

from __future__ import annotations

import json
import sys
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from typing import Annotated, Final, final

from anyio import create_task_group
from cyclopts import Parameter
from rich.console import Console
from rich.live import Live
from rich.table import Table

from skywire.cli.dmsg.connection import DEFAULTS, Connection, Options, peer_address, run
from skywire.cli.dmsg.serving import SERVE_DEFAULTS, Ports, ServeOptions, check_port, serve_until_stopped
from skywire.cli.program import Json, UsageError, show_json
from skywire.dmsg.iperf import (
    IPERF_PORT,
    MAX_SECONDS,
    Meter,
    Mode,
    Request,
    ask,
    download,
    percentile,
    round_trips,
    serve_iperf,
    upload,
)
from skywire.dmsg.network import DMSG
from skywire.keys import PubKey
from skywire.net.address import Address
from skywire.net.background import Background
from skywire.net.conn import Conn, Owner

OWNER: Final = Owner("iperf")
MAX_STREAMS: Final = 64
"""Streams that may be measured at a time, in each direction."""
SERVED_STREAMS: Final = 2 * MAX_STREAMS + 1
"""What one client can ask for, both ways and with round trips."""
DEFAULT_SECONDS: Final = 10.0
"""For which each stream sends unless told otherwise."""
IDLE_SECONDS: Final = 1.0
"""For round trips before the way is loaded."""
MIB: Final = 1 << 20
PERCENTILES: Final = (50, 90, 99)


def iperf(
    peer: str | None = None,
    /,
    *,
    listen: Annotated[bool, Parameter(name=["--listen", "-l"], negative="")] = False,
    port: Annotated[int, Parameter(name=["--port", "-p"])] = IPERF_PORT,
    parallel: Annotated[int, Parameter(name=["--parallel", "-P"])] = 1,
    seconds: Annotated[float | None, Parameter(name=["--time", "-t"])] = None,
    size: Annotated[int | None, Parameter(name=["--bytes", "-n"])] = None,
    reverse: Annotated[bool, Parameter(name=["--reverse", "-R"], negative="")] = False,
    bidir: Annotated[bool, Parameter(name="--bidir", negative="")] = False,
    rtt: Annotated[bool, Parameter(name="--rtt", negative="")] = False,
    serve: ServeOptions = SERVE_DEFAULTS,
    as_json: Json = False,
    options: Options = DEFAULTS,
) -> None:
    """Measure how many bytes a second go to a peer that runs this with --listen.

    Parameters
    ----------
    peer:
        Whom to measure with, as KEY or KEY:PORT.
    listen:
        Be the one to measure with. Its address is written when peers can come. It ends by Ctrl-C or SIGTERM.
    port:
        The port to listen at.
    parallel:
        Streams at a time, 1 to 64.
    seconds:
        How long to send, 10 unless given.
    size:
        How many bytes to send on each stream, instead of for a time.
    reverse:
        The peer sends.
    bidir:
        Both send, each on as many streams.
    rtt:
        Measure round trips, too: for a second before, and all the while.
    """
    if (peer is None) != listen:
        raise UsageError("either name a peer to measure with, or be one with --listen")
    if listen:
        check_port(port)
        ports = Ports({port: serve_iperf}, peers=serve.peers(), owner=OWNER, connections=SERVED_STREAMS)

        def ready(key: PubKey) -> None:
            address = str(Address(DMSG, key, port))
            print(json.dumps({"address": address}) if as_json else address, flush=True)

        serve_until_stopped(options, serve, ports, ready)
        return
    if serve != SERVE_DEFAULTS or port != IPERF_PORT:
        raise UsageError("--port, --allow, --allow-all and --sessions are for --listen; a peer is <public key>:<port>")
    if seconds is not None and size is not None:
        raise UsageError("either a time or a number of bytes is measured: use --time or --bytes, not both")
    if reverse and bidir:
        raise UsageError("--bidir measures both ways already: leave --reverse out")
    if not 1 <= parallel <= MAX_STREAMS:
        raise UsageError(f"--parallel is 1 to {MAX_STREAMS}")
    modes = [Mode.UPLOAD, Mode.DOWNLOAD] if bidir else [Mode.DOWNLOAD] if reverse else [Mode.UPLOAD]
    for_seconds = MAX_SECONDS if size is not None else DEFAULT_SECONDS if seconds is None else seconds
    try:
        streams = [_Stream(Request(mode, for_seconds, size)) for mode in modes for _ in range(parallel)]
    except ValueError as error:
        raise UsageError(str(error)) from None
    address = peer_address(peer or "", default_port=IPERF_PORT)
    run(options, _Measurement(address, streams, with_round_trips=rtt, as_json=as_json).run)


@final
@dataclass
class _Stream:
    """One stream, and what was measured on it."""

    request: Request
    meter: Meter = field(default_factory=Meter)

    async def run(self, conn: Conn) -> None:
        """Measure."""
        await ask(conn, self.request)
        self.meter = Meter()
        measure = upload if self.request.mode is Mode.UPLOAD else download
        await measure(conn, self.request, self.meter)


@final
@dataclass
class _Measurement:
    """All streams to one peer."""

    address: Address
    streams: list[_Stream]
    with_round_trips: bool
    as_json: bool
    idle: list[float] = field(default_factory=list)
    loaded: list[float] = field(default_factory=list)

    async def run(self, connection: Connection) -> None:
        """Measure, and tell the results.

        Raises:
            DialError: the peer cannot be reached, or will not.
            NetworkError, ProtocolError: it did not do its part.
        """
        async with connection.network() as network, AsyncExitStack() as stack:

            async def dial() -> Conn:
                conn = await network.dial(self.address, owner=OWNER, options=connection.dial_options)
                return await stack.enter_async_context(conn)

            echo = None
            if self.with_round_trips:
                echo = await dial()
                await ask(echo, Request(Mode.ECHO, MAX_SECONDS))
                await round_trips(echo, IDLE_SECONDS, self.idle)
            conns = [await dial() for _ in self.streams]
            async with Background() as beside:
                if echo is not None:
                    beside.start_soon(round_trips, echo, MAX_SECONDS, self.loaded)
                with self._shown(quiet=connection.quiet):
                    async with create_task_group() as task_group:
                        for stream, conn in zip(self.streams, conns, strict=True):
                            task_group.start_soon(stream.run, conn)
        if self.as_json:
            show_json(self._facts())
        else:
            console = Console()
            console.print(self._table())
            for name, samples in (("idle", self.idle), ("loaded", self.loaded)):
                if samples:
                    marks = ", ".join(f"p{each} {percentile(samples, each) * 1000:.1f} ms" for each in PERCENTILES)
                    console.print(f"round trips, {name}: {marks} ({len(samples)} of them)")

    def _shown(self, *, quiet: bool) -> AbstractContextManager[object]:
        if quiet or not sys.stderr.isatty():
            return nullcontext()
        return Live(get_renderable=self._table, console=Console(stderr=True), transient=True)

    def _sums(self) -> dict[Mode, Meter]:
        sums: dict[Mode, Meter] = {}
        for stream in self.streams:
            total = sums.setdefault(stream.request.mode, Meter())
            total.size += stream.meter.size
            total.seconds = max(total.seconds, stream.meter.seconds)
        return sums

    def _table(self) -> Table:
        table = Table("stream", "direction", "MiB", "seconds", "MiB/s")
        for column in table.columns[2:]:
            column.justify = "right"
        rows = [(str(number), each.request.mode, each.meter) for number, each in enumerate(self.streams, 1)]
        if len(self.streams) > 1:
            rows += [("all", mode, meter) for mode, meter in self._sums().items()]
        for name, mode, meter in rows:
            table.add_row(name, mode, f"{meter.size / MIB:.1f}", f"{meter.seconds:.2f}", f"{meter.rate / MIB:.2f}")
        return table

    def _facts(self) -> dict[str, object]:
        return {
            "peer": str(self.address),
            "streams": [{"direction": each.request.mode, **_meter_facts(each.meter)} for each in self.streams],
            "sums": {mode: _meter_facts(meter) for mode, meter in self._sums().items()},
            "round_trips": {"idle": _round_trip_facts(self.idle), "loaded": _round_trip_facts(self.loaded)},
        }


def _meter_facts(meter: Meter) -> dict[str, object]:
    return {
        "bytes": meter.size,
        "seconds": round(meter.seconds, 6),
        "mib_per_second": round(meter.rate / MIB, 3),
    }


def _round_trip_facts(samples: list[float]) -> dict[str, object] | None:
    if not samples:
        return None
    return {"count": len(samples), **{f"p{each}": round(percentile(samples, each), 6) for each in PERCENTILES}}
