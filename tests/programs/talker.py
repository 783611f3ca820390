"""An app with commands of its own, for tests of programs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from anyio import sleep_forever
from anyio.abc import TaskStatus

from skywire import EVERYONE, Conn
from skywire.app import App, AppHost, Command, PortSpec, StreamCommand
from skywire.app.options import option
from skywire.errors import SkywireError
from skywire.keys import PubKey

TALK = PortSpec("talk", overlay=4100, tcp=4100)


@dataclass(frozen=True)
class Options:
    greeting: str = option("Hello", help="What it says first.")
    times: int = option(1, help="How often.")
    passcode: str = option("", help="What peers have to know.", secret=True)


@dataclass(frozen=True)
class Say:
    words: str
    loud: bool = option(False, help="In capitals.")
    times: int = option(1, help="How often.")
    timeout: float = option(1.5, help="Seconds; not those of the command line.")
    to: PubKey | None = None


@dataclass(frozen=True)
class Count:
    first: int = 1
    reach: int = option(0, help="A name that programs might use themselves.")
    last: int | None = None


@dataclass(frozen=True)
class Said:
    words: str
    timeout: float


class NotNow(SkywireError):
    """For a test."""


SAY = Command("say", "Say something.", Say, Said)
GREET = Command("greet", "Say what it says first.", Count, str)
COUNT = StreamCommand("count", "Count, and go on.", Count, str)


async def run(host: AppHost, options: Options, *, task_status: TaskStatus[None]) -> None:
    async def talk(conn: Conn) -> None:
        await conn.send(f"{options.greeting}\n".encode())
        await conn.receive()

    async def say(arguments: Say) -> Said:
        if arguments.words == "nothing":
            raise NotNow("there is nothing to say\x1b[2J")
        words = arguments.words.upper() if arguments.loud else arguments.words
        host.log.info("saying %s", words)
        return Said(" ".join([words] * arguments.times), arguments.timeout)

    async def greet(arguments: Count) -> str:
        return f"{options.greeting}\x1b]0;x\x07\nand more"

    async def count(arguments: Count) -> AsyncIterator[str]:
        last = arguments.first + 1 if arguments.last is None else arguments.last
        for number in range(arguments.first, last + 1):
            yield f"number {number}"
        if arguments.last is None:
            await sleep_forever()

    host.answer(SAY, say)
    host.answer(GREET, greet)
    host.answer_stream(COUNT, count)
    if options.greeting == "fail":
        raise NotNow("it was told to fail")
    async with host.serve(TALK, talk, peers=EVERYONE):
        task_status.started()
        await sleep_forever()


TALKER = App(name="talker", summary="Talks.", options=Options, run=run, ports=(TALK,), commands=(SAY, GREET, COUNT))
