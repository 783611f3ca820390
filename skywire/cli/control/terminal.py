"""The programs that apps bring for the terminal of their users."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from pkgutil import resolve_name
from typing import cast

from skywire.app.command import AnyCommand, TerminalCommand
from skywire.app.terminal import AppSession, CallRefused, TerminalProgram
from skywire.app.typed_json import MisfitError, decode_object
from skywire.cli.control.failures import CommandFailed
from skywire.cli.control.nodes import Node, run_on
from skywire.cli.control.reach import Reach
from skywire.cli.control.words import visible
from skywire.cli.program import UsageError
from skywire.control.client import RemoteError
from skywire.control.messages import Code
from skywire.errors import SkywireError


def failure_code(commands: Iterable[AnyCommand], name: str) -> int | None:
    """The exit code when the command of that name does not come to run; None for the usual one."""
    return next((each.failed for each in commands if each.name == name and isinstance(each, TerminalCommand)), None)


@contextmanager
def failing_with(code: int | None) -> Iterator[None]:
    """Tell of errors in the block, and exit with this code; None leaves them to the program."""
    try:
        yield
    except SkywireError as error:
        if code is None:
            raise
        print(f"skywire: {error}", file=sys.stderr)
        sys.exit(code)


def run_program(name: str, command: TerminalCommand[object], arguments: Mapping[str, object], reach: Reach) -> None:
    """Run the program of a command for an instance, and exit with its code unless that is 0.

    Raises:
        UsageError: the arguments do not fit.
        CommandFailed: it cannot be loaded.
        SkywireError: as :func:`skywire.cli.control.nodes.run_on` does, and what the program raises.
    """
    with failing_with(command.failed):
        try:
            given = decode_object(command.arguments, arguments, command.name)
        except MisfitError as error:
            raise UsageError(visible(str(error))) from None
        program = _loaded(command)

        async def work(node: Node) -> int:
            return await program(_session(node, name), given)

        if code := run_on(reach, work, instance=name):
            sys.exit(code)


def _loaded(command: TerminalCommand[object]) -> TerminalProgram[object]:
    try:
        return cast("TerminalProgram[object]", resolve_name(command.program))
    except (ImportError, AttributeError, ValueError) as error:
        raise CommandFailed(f"the program of {command.name} cannot be loaded: {visible(str(error))}") from error


def _session(node: Node, name: str) -> AppSession:
    async def call(command: str, arguments: Mapping[str, object]) -> object:
        try:
            return await node.ask(node.apps.app_call(name, command, arguments))
        except RemoteError as error:
            raise _refused(error) from error

    async def stream(command: str, arguments: Mapping[str, object]) -> AsyncGenerator[object, None]:
        answers = cast("AsyncGenerator[object, None]", node.apps.app_stream(name, command, arguments))
        try:
            async with aclosing(answers):
                async for answer in answers:
                    yield answer
        except RemoteError as error:
            raise _refused(error) from error

    return AppSession(name, call, stream)


def _refused(error: RemoteError) -> Exception:
    """What the program is to know; whether we may is for the command line to say."""
    return error if error.code == Code.FORBIDDEN else CallRefused(visible(str(error)))
