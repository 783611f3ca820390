"""What an app can be asked to do while it runs: typed verbs of its own, beside start, stop and the like.

A definition lists them, so that command lines and their help are made without running anything; a running instance
answers them, but for those that are programs at a terminal.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar, final

from skywire.app.typed_json import MisfitError, decode_object, encode
from skywire.errors import SkywireError
from skywire.known_names import listed

A = TypeVar("A")
R = TypeVar("R")
A_co = TypeVar("A_co", covariant=True)
R_co = TypeVar("R_co", covariant=True)
F = TypeVar("F")


class NoSuchCommand(SkywireError):
    """An app has no such command, or its instance does not answer it now."""


@final
@dataclass(frozen=True)
class Command(Generic[A_co, R_co]):
    """A verb with one answer.

    Args:
        name: as on the command line, for instance ``send``.
        summary: what it does, in one line.
        arguments: the class of its arguments: a frozen dataclass, read as options are.
        result: the class of its answer, anything that :mod:`skywire.app.typed_json` knows.
    """

    name: str
    summary: str
    arguments: type[A_co]
    result: type[R_co]


@final
@dataclass(frozen=True)
class StreamCommand(Generic[A_co, R_co]):
    """A verb that answers as long as somebody listens; see :class:`Command`."""

    name: str
    summary: str
    arguments: type[A_co]
    result: type[R_co]


@final
@dataclass(frozen=True)
class TerminalCommand(Generic[A_co]):
    """A verb for people at a terminal. It runs in their program, not in the instance, and asks that by its other verbs.

    Args:
        name: as on the command line, for instance ``chat``.
        summary: what it does, in one line.
        arguments: the class of its arguments, as those of a :class:`Command`.
        program: where its :class:`skywire.app.terminal.TerminalProgram` is, as ``module:attribute``; loaded to run it.
        failed: the exit code when it does not come to run, where the usual ones are those of somebody else's program.
    """

    name: str
    summary: str
    arguments: type[A_co]
    program: str
    failed: int | None = None


AnyCommand: TypeAlias = Command[object, object] | StreamCommand[object, object] | TerminalCommand[object]
"""A command of whatever classes."""


@final
class Answers:
    """What one running instance answers. Arguments come as JSON, answers go as JSON."""

    def __init__(self) -> None:
        self._calls: dict[str, Callable[[object], Awaitable[object]]] = {}
        self._streams: dict[str, Callable[[object], AsyncGenerator[object, None]]] = {}

    def add(self, command: Command[A, R], function: Callable[[A], Awaitable[R]]) -> None:
        """Answer a command by this function from now on."""

        async def call(arguments: object) -> object:
            return encode(await function(decode_object(command.arguments, arguments, command.name)))

        self._calls[command.name] = call

    def add_stream(self, command: StreamCommand[A, R], function: Callable[[A], AsyncIterator[R]]) -> None:
        """Answer a command by what this function gives, item by item."""

        async def stream(arguments: object) -> AsyncGenerator[object, None]:
            items = function(decode_object(command.arguments, arguments, command.name))
            try:
                async for item in items:
                    yield encode(item)
            finally:
                if (close := getattr(items, "aclose", None)) is not None:
                    await close()

        self._streams[command.name] = stream

    def relay(self, name: str, function: Callable[[Mapping[str, object]], Awaitable[object]]) -> None:
        """Have another process answer a command: JSON goes to it and comes back as it is."""

        async def call(arguments: object) -> object:
            return await function(_object(arguments, name))

        self._calls[name] = call

    def relay_stream(self, name: str, function: Callable[[Mapping[str, object]], AsyncGenerator[object, None]]) -> None:
        """Have another process answer a streaming command."""
        self._streams[name] = lambda arguments: function(_object(arguments, name))

    async def call(self, name: str, arguments: Mapping[str, object]) -> object:
        """Ask for one answer.

        Raises:
            NoSuchCommand: it is not answered.
            MisfitError: the arguments do not fit.
            SkywireError: what the app raises.
        """
        return await _find(self._calls, name)(arguments)

    def stream(self, name: str, arguments: Mapping[str, object]) -> AsyncGenerator[object, None]:
        """Ask for answers as they come; raises as :meth:`call` does."""
        return _find(self._streams, name)(arguments)


def _object(arguments: object, name: str) -> Mapping[str, object]:
    if not isinstance(arguments, Mapping):
        raise MisfitError(f"{name}: an object is expected")
    return arguments


def _find(functions: Mapping[str, F], name: str) -> F:
    if (function := functions.get(name)) is None:
        raise NoSuchCommand(f"there is no command {name!r} that is answered now; {listed(name, functions)}")
    return function
