"""The commands that an app has of its own, as commands of a program: generated from its definition."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, Field
from inspect import Parameter as Argument
from inspect import Signature
from typing import Annotated, Final, get_type_hints

from cyclopts import App, Parameter

from skywire.app.catalogue import Catalogue, NoSuchApp
from skywire.app.command import AnyCommand, StreamCommand, TerminalCommand
from skywire.app.loaded import DefinitionError
from skywire.app.options import describe
from skywire.app.typed_json import MisfitError, encode, fields_of, from_text, kind_of
from skywire.apps import BUILT_IN
from skywire.cli.control.nodes import Node, run_on
from skywire.cli.control.reach import LOCAL, VALUED, Reach
from skywire.cli.control.settings import FROM_FILE, from_file, pairs
from skywire.cli.control.words import visible, visible_lines
from skywire.cli.program import UsageError

_REACH: Final = "skywire_reach"
"""Its name among the arguments, which no app has."""


def call(
    name: str,
    command: str,
    /,
    *settings: str,
    stream: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    reach: Reach = LOCAL,
) -> None:
    """Give it a command of its own by name, where its definition is not installed here.

    Parameters
    ----------
    command:
        Its name.
    settings:
        ARGUMENT=VALUE, each; a value is JSON, or else a text. ARGUMENT=@FILE takes the first line of the file.
    stream:
        It answers as long as somebody listens.
    """
    arguments = {key: _json_or_text(from_file(value)) for key, value in pairs(settings).items()}
    ask(name, command, arguments, streams=stream, reach=reach)


def commands_of(name: str, reach: Reach) -> tuple[AnyCommand, ...]:
    """The commands that an instance has of its own, as far as its definition is installed here.

    Raises: as :func:`skywire.cli.control.nodes.run_on` does.
    """
    return installed(run_on(reach, lambda node: node.ask(node.apps.get(name)), instance=name).definition)


def installed(definition: str) -> tuple[AnyCommand, ...]:
    """The commands of a definition; none where it is not installed here, or cannot be loaded."""
    try:
        return Catalogue(BUILT_IN).get(definition).commands
    except (NoSuchApp, DefinitionError):
        return ()


def add_own_commands(app: App, name: str, commands: Iterable[AnyCommand]) -> None:
    """Give the command line of an instance its own commands."""
    for command in commands:
        app.command(made(name, command), name=command.name, help=command.summary)


def made(name: str, command: AnyCommand) -> Callable[..., None]:
    """A function that gives an instance a command; its signature has the command's arguments.

    Args:
        name: of the instance.
        command: one of its definition.
    """
    parameters = sorted(_parameters(command), key=lambda each: each.kind)
    signature = Signature(parameters)
    hints = get_type_hints(command.arguments)
    secret = {each.name for each in describe(command.arguments) if each.secret}
    rest: dict[str, object] = {each.name: () for each in parameters if each.kind is Argument.VAR_POSITIONAL}

    def run(*values: object, **named: object) -> None:
        given = {**rest, **signature.bind(*values, **named).arguments}
        reach = given.pop(_REACH, LOCAL)
        assert isinstance(reach, Reach)
        arguments = {
            key: _read(hints[key], value, key, secret=key in secret)
            for key, value in given.items()
            if value is not None
        }
        if isinstance(command, TerminalCommand):
            from skywire.cli.control.terminal import run_program

            run_program(name, command, arguments, reach)
        else:
            ask(name, command.name, arguments, streams=isinstance(command, StreamCommand), reach=reach)

    vars(run)["__signature__"] = signature
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def ask(name: str, command: str, arguments: Mapping[str, object], *, streams: bool, reach: Reach) -> None:
    """Give an instance a command of its own, and write what it answers."""

    async def work(node: Node) -> None:
        if streams:
            async for item in node.apps.app_stream(name, command, arguments):
                _write(item)
        else:
            _write(await node.ask(node.apps.app_call(name, command, arguments)), indent=2)

    run_on(reach, work, instance=name)


def _parameters(command: AnyCommand) -> Iterator[Argument]:
    """The arguments of a command, as those of a function; who has no default may come without its name, and a list of
    texts without a default is all words that are left.
    """
    infos = {each.name: each for each in describe(command.arguments)}
    for each in fields_of(command.arguments):
        info = infos[each.name]
        flag = f"--{each.name.replace('_', '-')}"
        if flag in VALUED:  # it is taken by the options of every command
            flag = f"--{command.name}-{flag[2:]}"
        kind = "" if info.kind is bool else f" ({kind_of(info.kind)})"
        help = f"{visible(info.help)}{kind}".strip()  # noqa: A001 - as cyclopts has it
        required = _is_required(each)
        if info.kind is bool and not required:
            negative = f"--no-{flag[2:]}" if info.default else ""
            yield Argument(
                each.name,
                Argument.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[
                    bool | None, Parameter(name=flag, negative=negative, help=help, show_default=False)
                ],
            )
        elif required and info.kind == tuple[str, ...]:
            yield Argument(
                each.name,
                Argument.VAR_POSITIONAL,
                annotation=Annotated[str, Parameter(help=help, allow_leading_hyphen=True)],
            )
        elif required:
            yield Argument(
                each.name,
                Argument.POSITIONAL_OR_KEYWORD,
                annotation=Annotated[str, Parameter(name=flag, help=help, allow_leading_hyphen=True)],
            )
        else:
            shown = "" if info.secret or info.default is None else f" [default: {encode(info.default)}]"
            yield Argument(
                each.name,
                Argument.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[
                    str | None,
                    Parameter(name=flag, help=help + visible(shown), show_default=False, allow_leading_hyphen=True),
                ],
            )
    yield Argument(_REACH, Argument.KEYWORD_ONLY, default=LOCAL, annotation=Reach)


def _is_required(field: Field[object]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _read(hint: object, value: object, name: str, *, secret: bool) -> object:
    """An argument as JSON."""
    if not isinstance(value, str):
        return list(value) if isinstance(value, tuple) else value
    if secret and not value.startswith(FROM_FILE):
        raise UsageError(f"{name} is secret, and arguments are not: write @FILE, and it is the first line of the file")
    try:
        return encode(from_text(hint, from_file(value) if secret else value, name))
    except MisfitError as error:
        raise UsageError(visible(str(error))) from None


def _json_or_text(text: str) -> object:
    try:
        found: object = json.loads(text)
    except ValueError:
        return text
    return found


def _write(answer: object, *, indent: int | None = None) -> None:
    """Write one answer: a text as it is, everything else as JSON."""
    if answer is not None:
        print(visible_lines(answer) if isinstance(answer, str) else json.dumps(answer, indent=indent), flush=True)
