"""Readies the command line of ``skywire``: some options may stand before commands, and instances are commands."""

from __future__ import annotations

from collections.abc import Container, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import App, Parameter

from skywire.cli.control import INSTANCE_COMMANDS, MODULES
from skywire.cli.control.reach import LOCAL, VALUED, Reach
from skywire.cli.program import UsageError, new_group
from skywire.errors import SkywireError

if TYPE_CHECKING:
    from skywire.app.command import AnyCommand

INSTANCES: Final = "app"
"""The command below which the instances are."""
_ROOT: Final = "skywire.cli.control"
_HELP: Final = frozenset({"--help", "-h"})


def arrange(app: App, words: Sequence[str]) -> list[str]:
    """Move options that stand between commands behind them, and make the instance that is named a command.

    Args:
        app: the program; gets the command.
        words: the arguments.
    """
    path: list[str] = []
    moved: list[str] = []
    here = app
    rest = list(words)
    while rest:
        if taken := _option(rest):
            moved += rest[:taken]
            del rest[:taken]
            continue
        if path == [INSTANCES] and not rest[0].startswith("-") and rest[0] not in here:
            _add_named(here, rest[0], [*moved, *rest[1:]])
        if rest[0].startswith("-") or rest[0] not in here:
            break
        here = here[rest[0]]
        path.append(rest.pop(0))
    if here.default_command is None:  # it is an unknown command that people are to be told of, not an option
        return [*path, *rest] or moved
    return [*path, *moved, *rest]


def _option(words: Sequence[str]) -> int:
    """How many of the first words are an option that all commands have."""
    name, equals, _ = words[0].partition("=")
    if name not in VALUED:
        return 0
    return 1 if equals else min(2, len(words))


def add_instance(app: App, name: str, own: Sequence[AnyCommand], verbs: Container[str] = INSTANCE_COMMANDS) -> None:
    """Make an instance a command.

    Args:
        app: the command line of all apps.
        name: of the instance.
        own: the commands that its definition has.
        verbs: those of all instances that it gets.
    """
    made = new_group(name, f"Control the app instance {name}.")
    for module, names in MODULES.items():
        for verb in names:
            if verb in verbs:
                function = getattr(import_module(f"{_ROOT}.{module}"), verb)
                made.command(partial(function, name), name=verb)
    if own:
        from skywire.cli.control.own import add_own_commands

        add_own_commands(made, name, own)
    app.command(made)


def _add_named(app: App, name: str, rest: Sequence[str]) -> None:
    """Make the instance that is named a command, with what the other arguments need of it.

    Raises:
        UsageError: a verb stands where the name should.
        SkywireError: the node that has it cannot be asked.
    """
    verb = _first_word(rest)
    if name in INSTANCE_COMMANDS:
        raise UsageError(f"the name comes first: skywire app NAME {name}")
    if verb in app:
        raise UsageError(f"the name comes last: skywire app {verb} {name}")
    if verb in INSTANCE_COMMANDS:
        add_instance(app, name, (), {verb})
        return
    from skywire.cli.control.own import commands_of, installed

    try:
        own = commands_of(name, _reach_of(rest))
    except SkywireError:
        own = installed(name)
        if _HELP.isdisjoint(rest):
            from skywire.cli.control.terminal import failing_with, failure_code

            with failing_with(failure_code(own, verb)):
                raise
    add_instance(app, name, own)


def _first_word(words: Sequence[str]) -> str:
    """The first word that is no option, nor the value of one; empty when there is none."""
    rest = list(words)
    while rest:
        if taken := _option(rest):
            del rest[:taken]
        elif rest[0].startswith("-"):
            del rest[0]
        else:
            return rest[0]
    return ""


def _reach_of(words: Sequence[str]) -> Reach:
    """Which node the arguments are about, whatever else they say."""

    def take(*others: Annotated[str, Parameter(allow_leading_hyphen=True)], reach: Reach = LOCAL) -> None:
        """Only its signature is used."""

    reader = App(name="skywire", help_flags=[], version_flags=[])
    reader.default(take)
    _, bound, _ = reader.parse_args(words)
    found = bound.arguments.get("reach", LOCAL)
    assert isinstance(found, Reach)
    return found
