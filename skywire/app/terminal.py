"""What an app does at the terminal of somebody who controls it, with a running instance."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Final, Protocol, TypeVar, cast, final

from skywire.app.command import Command, StreamCommand
from skywire.app.typed_json import decode, encode
from skywire.errors import SkywireError

A = TypeVar("A")
R = TypeVar("R")
A_program = TypeVar("A_program", contravariant=True)


class CallRefused(SkywireError):
    """The instance, or its node, does not do what it is asked; the text says why, and is safe to show."""


@final
class AppSession:
    """A running instance, wherever it is, as its own program at a terminal sees it.

    Args:
        name: of the instance.
        call: asks for one answer, by the name of a command, as JSON.
        stream: asks for answers as they come.
    """

    def __init__(
        self,
        name: str,
        call: Callable[[str, Mapping[str, object]], Awaitable[object]],
        stream: Callable[[str, Mapping[str, object]], AsyncGenerator[object, None]],
    ) -> None:
        self.name: Final = name
        self._call = call
        self._stream = stream

    async def call(self, command: Command[A, R], arguments: A) -> R:
        """Ask for one answer.

        Raises:
            CallRefused: the instance says no.
            MisfitError: the answer is not what the definition says.
            SkywireError: the node cannot be reached any more.
        """
        answer = await self._call(command.name, _written(arguments))
        return cast("R", decode(command.result, answer, command.name))

    async def stream(self, command: StreamCommand[A, R], arguments: A) -> AsyncGenerator[R, None]:
        """Ask for answers as they come; raises as :meth:`call` does."""
        async with aclosing(self._stream(command.name, _written(arguments))) as answers:
            async for answer in answers:
                yield cast("R", decode(command.result, answer, command.name))


class TerminalProgram(Protocol[A_program]):
    """What a :class:`skywire.app.command.TerminalCommand` names; the standard streams are its own until it returns.

    It runs on asyncio, and gives the exit code of its program; what it raises is told as errors of commands are.
    """

    def __call__(self, session: AppSession, arguments: A_program) -> Awaitable[int]: ...


def _written(arguments: object) -> Mapping[str, object]:
    written = encode(arguments)
    assert isinstance(written, dict)
    return written
