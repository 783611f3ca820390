"""An app with commands of its own, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from anyio import sleep_forever
from anyio.abc import TaskStatus

from skywire.app import App, AppHost, Command, StreamCommand
from skywire.app.options import option
from skywire.errors import SkywireError


@dataclass(frozen=True)
class Options:
    start_at: int = 0
    loud: bool = False
    token: str = option("", secret=True)


@dataclass(frozen=True)
class Numbers:
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True)
class Sum:
    sum: int


@dataclass(frozen=True)
class Limit:
    to: int = 10


class OnlyUpward(SkywireError):
    """A number below 0."""


ADD = Command("add", "Add numbers.", Numbers, Sum)
COUNT = StreamCommand("count", "Count from 0.", Limit, int)


async def run(host: AppHost, options: Options, *, task_status: TaskStatus[None]) -> None:
    async def add(asked: Numbers) -> Sum:
        if min(asked.numbers, default=0) < 0:
            raise OnlyUpward("only upward")
        return Sum(options.start_at + sum(asked.numbers))

    async def count(asked: Limit) -> AsyncIterator[int]:
        for number in range(asked.to):
            yield number

    host.answer(ADD, add)
    host.answer_stream(COUNT, count)
    task_status.started()
    await sleep_forever()


ADDER = App(name="adder", summary="Adds.", options=Options, run=run, commands=(ADD, COUNT))
