"""Measuring, between two ends of a connection, and with ends that do not keep to the rules."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import pytest
from anyio import EndOfStream, Event, fail_after, sleep_forever
from hypothesis import given
from hypothesis import strategies as st

from skywire import Conn, PeerRefused, ProtocolError, StreamBroken
from skywire.dmsg import iperf
from skywire.dmsg.iperf import (
    MAX_BYTES,
    MAX_SECONDS,
    Meter,
    Mode,
    Request,
    Stalled,
    ask,
    download,
    percentile,
    round_trips,
    serve_iperf,
    upload,
)
from tests.net.meetings import MEETINGS, Port

SIZE = 1_000_003
"""No multiple of a piece."""


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iperf, "STALL_SECONDS", 0.01)


@pytest.mark.anyio
@pytest.mark.parametrize("meeting", ["memory", "dmsg"])
@pytest.mark.parametrize(("mode", "measure"), [(Mode.UPLOAD, upload), (Mode.DOWNLOAD, download)])
async def test_a_number_of_bytes(
    meeting: str, mode: Mode, measure: Callable[[Conn, Request, Meter], Awaitable[None]]
) -> None:
    async with MEETINGS[meeting](Port(serve_iperf)) as served, await served.dial() as conn:
        request, meter = Request(mode, MAX_SECONDS, SIZE), Meter()
        await ask(conn, request)
        await measure(conn, request, meter)
        assert meter.size == SIZE
        assert meter.seconds > 0
        assert meter.rate == pytest.approx(SIZE / meter.seconds)


@pytest.mark.anyio
@pytest.mark.parametrize(("mode", "measure"), [(Mode.UPLOAD, upload), (Mode.DOWNLOAD, download)])
async def test_a_time(mode: Mode, measure: Callable[[Conn, Request, Meter], Awaitable[None]]) -> None:
    async with MEETINGS["memory"](Port(serve_iperf)) as served, await served.dial() as conn:
        request, meter = Request(mode, 0.05), Meter()
        await ask(conn, request)
        await measure(conn, request, meter)
        assert meter.size > 0
        assert 0.05 <= meter.seconds < 5


@pytest.mark.anyio
async def test_round_trips() -> None:
    samples: list[float] = []
    async with MEETINGS["dmsg"](Port(serve_iperf)) as served, await served.dial() as conn:
        await ask(conn, Request(Mode.ECHO, MAX_SECONDS))
        await round_trips(conn, 0.05, samples)
    assert samples
    assert all(0 < each < 5 for each in samples)


def test_percentiles() -> None:
    samples = [float(each) for each in range(100, 0, -1)]
    assert [percentile(samples, each) for each in (1, 50, 90, 99, 99.5, 100)] == [1, 50, 90, 99, 100, 100]
    assert percentile([7.0], 50) == percentile([7.0], 0.001) == 7


def test_a_meter_that_has_counted_nothing() -> None:
    assert Meter().rate == 0


@pytest.mark.parametrize(
    ("seconds", "size"), [(0, None), (-1, None), (MAX_SECONDS + 1, None), (float("nan"), 1), (1, 0), (1, MAX_BYTES + 1)]
)
def test_what_may_not_be_asked_for(seconds: float, size: int | None) -> None:
    with pytest.raises(ValueError, match="a stream measures"):
        Request(Mode.UPLOAD, seconds, size)


@given(
    st.sampled_from(Mode),
    st.floats(min_value=1e-3, max_value=MAX_SECONDS),
    st.none() | st.integers(min_value=1, max_value=MAX_BYTES),
)
def test_a_request_is_read_as_it_was_written(mode: Mode, seconds: float, size: int | None) -> None:
    request = Request(mode, seconds, size)
    assert Request.decode(request.encode()) == request


@given(
    st.binary(max_size=100)
    | st.dictionaries(
        st.sampled_from(["version", "mode", "seconds", "bytes"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.sampled_from(["upload", "x"])
        | st.lists(st.none()),
    ).map(lambda members: json.dumps(members).encode())
)
def test_any_bytes_are_a_request_or_refused(record: bytes) -> None:
    try:
        request = Request.decode(record)
    except (ProtocolError, ValueError):
        return
    assert Request.decode(request.encode()) == request


def valid(**changes: object) -> bytes:
    return json.dumps({"version": 1, "mode": "upload", "seconds": 1, "bytes": None} | changes).encode()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "a record of measuring is a JSON object"),
        (b"[" * 4000, "a record of measuring is a JSON object"),
        (b"[]", "a record of measuring is a JSON object"),
        (valid(version=2), "version 1"),
        (valid(mode="delete"), "a mode is upload, download, echo"),
        (valid(seconds="1"), "for how many seconds"),
        (valid(seconds=True), "for how many seconds"),
        (valid(seconds=MAX_SECONDS * 2), "for up to 300 seconds"),
        (valid(bytes=1.5), "how many bytes, or null"),
        (valid(bytes=-1), "a stream measures 1 to"),
    ],
)
async def test_a_request_that_is_refused(record: bytes, sentence: str) -> None:
    async with MEETINGS["memory"](Port(serve_iperf)) as served, await served.dial() as conn:
        await conn.send_record(record)
        assert sentence in json.loads(await conn.receive_record())["error"]
        with pytest.raises(EndOfStream):
            await conn.receive()


@pytest.mark.anyio
@pytest.mark.usefixtures("no_patience")
@pytest.mark.parametrize(
    "sent",
    [
        [],
        [valid()],
        [valid(bytes=1), bytes(100)],
        [valid(mode="echo", seconds=0.01), b"x"],
        [valid(mode="download")],
    ],
    ids=["nothing", "no data", "too much data", "half an echo", "takes nothing"],
)
async def test_who_asks_and_does_not_do_its_part_is_left(sent: list[bytes]) -> None:
    async def serve(conn: Conn) -> None:
        await serve_iperf(conn)
        ended.set()

    ended = Event()
    async with MEETINGS["memory"](Port(serve)) as served, await served.dial() as conn:
        for record in sent:
            await conn.send_record(record)
        with fail_after(10):
            await ended.wait()


@pytest.mark.anyio
async def test_who_asks_and_leaves_is_no_error() -> None:
    async def serve(conn: Conn) -> None:
        await serve_iperf(conn)
        ended.set()

    ended = Event()
    async with MEETINGS["memory"](Port(serve)) as served:
        async with await served.dial() as conn:
            await ask(conn, Request(Mode.ECHO, MAX_SECONDS))
        with fail_after(10):
            await ended.wait()


def scripted(*records: bytes, hold: bool = False) -> Port:
    """An end that waits for a request, and sends these records whatever it says."""

    async def serve(conn: Conn) -> None:
        await conn.receive_record()
        for record in records:
            await conn.send_record(record)
        if hold:
            await sleep_forever()

    return Port(serve)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answers", "error", "match"),
    [
        ([b'{"error": "no \\u001b[2J way"}'], PeerRefused, r"no \[2J way"),
        ([b'{"error": 5}'], ProtocolError, "does not answer as one that measures"),
        ([b"{}"], ProtocolError, "does not answer as one that measures"),
        ([b"SSH-2.0"], ProtocolError, "a JSON object"),
        ([], ProtocolError, "ended the stream instead of an answer"),
    ],
)
async def test_answers_to_a_request(answers: list[bytes], error: type[Exception], match: str) -> None:
    async with MEETINGS["memory"](scripted(*answers)) as served, await served.dial() as conn:
        with pytest.raises(error, match=match):
            await ask(conn, Request(Mode.UPLOAD, 1))


OK = b'{"error": null}'


@pytest.mark.anyio
@pytest.mark.parametrize(
    "result",
    [
        {"bytes": 11, "seconds": 1},
        {"bytes": -1, "seconds": 1},
        {"bytes": "10", "seconds": 1},
        {"seconds": 1},
        {"bytes": 10, "seconds": 0},
        {"bytes": 10, "seconds": float("inf")},
        {"bytes": 10, "seconds": "1"},
        {"bytes": 10},
    ],
)
async def test_results_that_cannot_be(result: dict[str, object]) -> None:
    record = json.dumps(result).encode()
    async with MEETINGS["memory"](scripted(OK, record, hold=True)) as served, await served.dial() as conn:
        request = Request(Mode.UPLOAD, 10, 10)
        await ask(conn, request)
        with pytest.raises(ProtocolError, match="arrived"):
            await upload(conn, request, Meter())


@pytest.mark.anyio
async def test_a_download_that_ends_early() -> None:
    async with MEETINGS["memory"](scripted(OK, bytes(5))) as served, await served.dial() as conn:
        request, meter = Request(Mode.DOWNLOAD, 10, 10), Meter()
        await ask(conn, request)
        with pytest.raises(StreamBroken, match="before all was measured"):
            await download(conn, request, meter)
        assert meter.size == 5


@pytest.mark.anyio
async def test_a_download_that_does_not_end() -> None:
    async with MEETINGS["memory"](scripted(OK, bytes(20), hold=True)) as served, await served.dial() as conn:
        request = Request(Mode.DOWNLOAD, 10, 10)
        await ask(conn, request)
        with pytest.raises(Stalled, match="goes on sending"):
            await download(conn, request, Meter())


@pytest.mark.anyio
@pytest.mark.usefixtures("no_patience")
async def test_a_peer_that_does_not_answer() -> None:
    async with MEETINGS["memory"](scripted(hold=True)) as served, await served.dial() as conn:
        with pytest.raises(Stalled, match="did not answer"):
            await ask(conn, Request(Mode.UPLOAD, 1))


@pytest.mark.anyio
@pytest.mark.parametrize(("measure", "match"), [(upload, "took nothing"), (download, "nothing came")])
async def test_a_peer_that_answers_and_does_nothing(
    measure: Callable[[Conn, Request, Meter], Awaitable[None]], match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with MEETINGS["memory"](scripted(OK, hold=True)) as served, await served.dial() as conn:
        request = Request(Mode.UPLOAD, 1)
        await ask(conn, request)
        monkeypatch.setattr(iperf, "STALL_SECONDS", 0.01)
        with pytest.raises(Stalled, match=match):
            await measure(conn, request, Meter())


@pytest.mark.anyio
async def test_an_echo_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async with MEETINGS["memory"](Port(serve_iperf)) as served, await served.dial() as conn:
        monkeypatch.setattr(iperf, "STALL_SECONDS", 1.0)
        await ask(conn, Request(Mode.ECHO, 0.01))
        with pytest.raises(StreamBroken):
            await round_trips(conn, 10, [])
