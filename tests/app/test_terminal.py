"""What the program of an app at a terminal gets of a running instance."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest

from skywire.app.command import Command, StreamCommand, TerminalCommand
from skywire.app.definition import App, NoOptions
from skywire.app.loaded import DefinitionError, load
from skywire.app.terminal import AppSession, CallRefused
from skywire.app.typed_json import MisfitError
from tests.app.adder import ADD, COUNT, Limit, Numbers, Options, Sum, run

pytestmark = pytest.mark.anyio


@dataclass
class Asked:
    """Answers, and what has become of them."""

    answer: object
    said: object = None
    ends: list[str] = field(default_factory=list)

    async def call(self, command: str, arguments: Mapping[str, object]) -> object:
        self.said = command, arguments
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def stream(self, command: str, arguments: Mapping[str, object]) -> AsyncGenerator[object, None]:
        self.said = command, arguments
        try:
            for number in range(3):
                yield number if self.answer is None else self.answer
        finally:
            self.ends.append(command)

    @property
    def session(self) -> AppSession:
        return AppSession("adder", self.call, self.stream)


async def test_a_call_goes_and_comes_as_the_definition_says() -> None:
    asked = Asked({"sum": 3})
    assert await asked.session.call(ADD, Numbers((1, 2))) == Sum(3)
    assert asked.said == ("add", {"numbers": [1, 2]})
    with pytest.raises(MisfitError, match=r"add\.sum"):
        await Asked({"sum": "3"}).session.call(ADD, Numbers())
    with pytest.raises(CallRefused, match="not now"):
        await Asked(CallRefused("not now")).session.call(ADD, Numbers())


async def test_a_stream_ends_where_it_comes_from_when_nobody_listens_any_more() -> None:
    asked = Asked(None)
    async with aclosing(asked.session.stream(COUNT, Limit(7))) as numbers:
        assert await anext(numbers) == 0
        assert asked.said == ("count", {"to": 7})
        assert asked.ends == []
    assert asked.ends == ["count"]
    with pytest.raises(MisfitError, match="count"):
        await anext(Asked("one").session.stream(COUNT, Limit()))


def program(name: str) -> App[Options]:
    command = TerminalCommand(name, "Count at a terminal.", NoOptions, "tests.app.nothing:here")
    return App(name="adder", summary="Adds.", options=Options, run=run, commands=(ADD, COUNT, command))


async def test_a_definition_with_a_program_runs_and_does_not_load_it() -> None:
    loaded = load(program("show"))
    assert [type(command) for command in loaded.commands] == [Command, StreamCommand, TerminalCommand]
    with pytest.raises(DefinitionError, match="one that every app has"):
        load(program("status"))
    with pytest.raises(DefinitionError, match="twice"):
        load(program("add"))
