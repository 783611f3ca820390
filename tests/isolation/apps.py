"""Apps for tests, which other processes load as well."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Container
from dataclasses import dataclass

from anyio import CancelScope, sleep, sleep_forever
from anyio.abc import TaskStatus

from skywire import EVERYONE, Address, Conn, DialError, PubKey, SkywireError
from skywire.app import (
    VISOR_API,
    App,
    AppHost,
    Command,
    Dependencies,
    FacilityAbsent,
    PortSpec,
    StreamCommand,
    TerminalCommand,
)
from skywire.app.options import option
from skywire.net.address import HostPort

ECHO = PortSpec("echo", overlay=4100)
RECORDS = PortSpec("records", overlay=4101)
DIGEST = PortSpec("digest", overlay=4102)
FLOOD = PortSpec("flood", overlay=4103)
FAREWELL = PortSpec("farewell", overlay=4104)
CHOSEN = PortSpec("chosen", overlay=4105)
SUM = PortSpec("sum", overlay=4106)


@dataclass(frozen=True)
class Options:
    secret: str = option("", secret=True)
    chosen: PubKey | None = None


@dataclass(frozen=True)
class Nothing:
    pass


@dataclass(frozen=True)
class Number:
    number: int = 1


@dataclass(frozen=True)
class Text:
    text: str = ""


@dataclass(frozen=True)
class Facts:
    pid: int
    data: str
    secret: str
    environment: dict[str, str] | None = None


FACTS = Command("facts", "What it knows of itself.", Nothing, Facts)
DOUBLE = Command("double", "Twice a number.", Number, Number)
COUNT = StreamCommand("count", "Counts.", Number, Number)
FAIL = Command("fail", "Fails with our error or another.", Text, Nothing)
END = Command("end", "Ends the process so.", Text, Nothing)
REPORT = Command("report", "Says that it is in trouble.", Text, Nothing)
SAY = Command("say", "Writes a line to its log, its output and its errors.", Text, Nothing)
LISTEN = Command("listen", "Listens on a local port from now on.", Number, Number)
DIAL = Command("dial", "Sends a text to an address, and ends; gives what comes.", Text, Text)
TAKE = Command("take", "Serves another port from now on.", Number, Nothing)
GIVE = Command("give", "Serves it no more.", Number, Nothing)
VISOR = Command("visor", "Asks the visor for the names of its apps.", Nothing, Text)
SHOW = TerminalCommand("show", "A program at a terminal, which no instance answers.", Nothing, "tests.nothing:here")
FLOOD_LOG = Command("flood-log", "Writes so many lines to its log.", Number, Nothing)
COMMANDS = (FACTS, DOUBLE, COUNT, FAIL, END, REPORT, SAY, LISTEN, DIAL, TAKE, GIVE, VISOR, SHOW, FLOOD_LOG)


class AsPlanned(SkywireError):
    """For a test."""


class _Chosen(Container[PubKey]):
    """A list that can only be asked."""

    def __init__(self, key: PubKey | None) -> None:
        self._key = key

    def __contains__(self, key: object) -> bool:
        return key == self._key


async def run(host: AppHost, options: Options, *, task_status: TaskStatus[None]) -> None:
    app = _Everything(host, options)
    app.answer()
    async with (
        host.serve(ECHO, app.echo, peers=EVERYONE, label="an echo"),
        host.serve(RECORDS, app.records, peers=EVERYONE, hidden=True),
        host.serve(DIGEST, app.digest, peers=EVERYONE),
        host.serve(FLOOD, app.flood, peers=EVERYONE),
        host.serve(FAREWELL, app.farewell, peers=EVERYONE),
        host.serve(CHOSEN, app.echo, peers=_Chosen(options.chosen)),
        host.serve(SUM, app.sum, peers=frozenset()),
    ):
        task_status.started()
        await app.work()


class _Everything:
    def __init__(self, host: AppHost, options: Options) -> None:
        self._host = host
        self._options = options
        self._scopes: dict[int, CancelScope] = {}

    def answer(self) -> None:
        host = self._host
        host.answer(FACTS, self.facts)
        host.answer(DOUBLE, self.double)
        host.answer_stream(COUNT, self.count)
        host.answer(FAIL, self.fail)
        host.answer(END, self.end)
        host.answer(REPORT, self.report)
        host.answer(SAY, self.say)
        host.answer(LISTEN, self.listen)
        host.answer(DIAL, self.dial)
        host.answer(TAKE, self.take)
        host.answer(GIVE, self.give)
        host.answer(VISOR, self.visor)
        host.answer(FLOOD_LOG, self.flood_log)

    async def work(self) -> None:
        from anyio import create_task_group

        async with create_task_group() as self._tasks:
            await sleep_forever()

    async def echo(self, conn: Conn) -> None:
        async for data in conn:
            await conn.send(data)

    async def records(self, conn: Conn) -> None:
        while True:
            await conn.send_record(await conn.receive_record())

    async def digest(self, conn: Conn) -> None:
        sha256, left = hashlib.sha256(), int(await conn.receive_record())
        while left:
            data = await conn.receive(262144)
            sha256.update(data)
            left -= len(data)
        await conn.send(sha256.digest())

    async def flood(self, conn: Conn) -> None:
        block = bytes(range(256)) * 1024
        for _ in range(int(await conn.receive_record()) // len(block)):
            await conn.send(block)

    async def farewell(self, conn: Conn) -> None:
        await conn.send(b"bye")

    async def sum(self, conn: Conn) -> None:
        total = 0
        async for data in conn:
            total += len(data)
        await conn.send(str(total).encode())

    async def facts(self, _: Nothing) -> Facts:
        return Facts(os.getpid(), str(self._host.data_dir), self._options.secret, dict(os.environ))

    async def double(self, number: Number) -> Number:
        return Number(2 * number.number)

    async def count(self, number: Number) -> AsyncIterator[Number]:
        for each in range(number.number):
            yield Number(each)

    async def fail(self, how: Text) -> Nothing:
        if how.text == "ours":
            raise AsPlanned("as planned")
        raise ZeroDivisionError("secret details")

    async def end(self, how: Text) -> Nothing:
        match how.text:
            case "exit":
                os._exit(3)
            case "raise":
                self._tasks.start_soon(self._raise)
            case "hang":
                time.sleep(1000)  # noqa: ASYNC251 - it hangs
            case signal_name:
                os.kill(os.getpid(), signal.Signals[signal_name])
        return Nothing()

    async def _raise(self) -> None:
        raise ValueError("as planned")

    async def report(self, trouble: Text) -> Nothing:
        self._host.report(trouble.text or None, peers=2)
        return Nothing()

    async def say(self, what: Text) -> Nothing:
        self._host.log.warning("%s", what.text)
        logging.getLogger("some.library").error("%s of a library", what.text)
        sys.stdout.write(f"{what.text} to the output\n")
        sys.stdout.flush()
        sys.stderr.write(f"{what.text} to the errors\n")
        sys.stderr.flush()
        return Nothing()

    async def flood_log(self, count: Number) -> Nothing:
        for number in range(count.number):
            self._host.log.info("line %d", number)
        return Nothing()

    async def listen(self, port: Number) -> Number:
        return Number(await self._tasks.start(self._listen, port.number))

    async def _listen(self, port: int, *, task_status: TaskStatus[int]) -> None:
        with CancelScope() as scope:
            async with self._host.listen_local(HostPort("127.0.0.1", port), label="a page") as listener:
                number = listener.addresses[0][1]
                self._scopes[number] = scope
                task_status.started(number)
                await sleep_forever()

    async def dial(self, address: Text) -> Text:
        to, _, text = address.text.partition(" ")
        try:
            dialled = await self._host.dial(Address.parse(to))
        except DialError as error:
            return Text(f"{type(error).__name__}: {error}")
        async with dialled as conn:
            await conn.send(text.encode())
            await conn.send_eof()
            return Text(b"".join([data async for data in conn]).decode())

    async def take(self, port: Number) -> Nothing:
        await self._tasks.start(self._take, port.number)
        return Nothing()

    async def _take(self, port: int, *, task_status: TaskStatus[None]) -> None:
        with CancelScope() as scope:
            async with self._host.serve(port, self.echo, peers={self._host.public}):
                self._scopes[port] = scope
                task_status.started()
                await sleep_forever()

    async def give(self, port: Number) -> Nothing:
        self._scopes[port.number].cancel()
        return Nothing()

    async def visor(self, _: Nothing) -> Text:
        try:
            apps = self._host.facility(VISOR_API).apps
        except FacilityAbsent as error:
            return Text(str(error))
        return Text(" ".join(info.name for info in await apps.list()))


EVERYTHING = App(
    name="everything",
    summary="For tests.",
    options=Options,
    run=run,
    ports=(ECHO, RECORDS, DIGEST, FLOOD, FAREWELL, CHOSEN, SUM),
    commands=COMMANDS,
    dependencies=Dependencies(wants=(VISOR_API,)),
)


@dataclass(frozen=True)
class Manner:
    how: str = ""


async def misbehave(host: AppHost, options: Manner, *, task_status: TaskStatus[None]) -> None:
    match options.how:
        case "never starts":
            await sleep_forever()
        case "raises":
            raise ValueError("as planned")
        case "returns":
            return
        case "exits":
            raise SystemExit(4)
        case "ignores the end":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])  # noqa: ASYNC220
            (host.data_dir / "pid").write_text(str(os.getpid()))
            task_status.started()
            await sleep(0.2)  # so that the host gets to know
            while True:
                time.sleep(1)  # noqa: ASYNC251 - it hangs
        case _:
            (host.data_dir / "pid").write_text(str(os.getpid()))
            task_status.started()
            await sleep_forever()


MANNERS = App(name="manners", summary="For tests.", options=Manner, run=misbehave)
