"""Options and variables of app instances, as people give them: ``name=value``, and secrets by files only."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from skywire.app.api import OptionDescription
from skywire.app.record import InstanceInfo
from skywire.app.typed_json import encode
from skywire.cli.control.instance import show_change
from skywire.cli.control.nodes import Node, run_on
from skywire.cli.control.reach import LOCAL, Knowing, Reach
from skywire.cli.control.words import visible
from skywire.cli.program import Json, UsageError, show_json

FROM_FILE: Final = "@"
"""Before the name of a file whose first line is the value."""
HIDDEN: Final = "(hidden)"
"""In place of a secret."""


def config(
    name: str,
    /,
    *settings: str,
    unset: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    knowing: Knowing = False,
    as_json: Json = False,
    reach: Reach = LOCAL,
) -> None:
    """Tell its options, or give it others. If it runs, it is started again with them.

    Parameters
    ----------
    settings:
        OPTION=VALUE, each. A secret option is given as OPTION=@FILE, which takes the first line of the file.
    unset:
        An option that takes its default again. May be repeated.
    """
    change(name, pairs(settings), unset, knowing=knowing, as_json=as_json, reach=reach)


def change(
    name: str,
    values: Mapping[str, str],
    unset: Sequence[str],
    *,
    knowing: bool,
    as_json: bool,
    reach: Reach,
) -> None:
    """Give an instance options; without any, tell those that it has."""

    async def work(node: Node) -> tuple[OptionDescription, ...] | InstanceInfo:
        options = await node.ask(node.apps.describe(name))
        if not values and not unset:
            return options
        texts = texts_of(values, options)
        return await node.ask(node.apps.configure(name, texts=texts, unset=tuple(unset), knowing=knowing))

    match run_on(reach, work, instance=name):
        case InstanceInfo() as info:
            show_change(info, as_json=as_json)
        case options:
            show_options(name, options, as_json=as_json)


def texts_of(values: Mapping[str, str], options: Iterable[OptionDescription]) -> dict[str, str]:
    """Values of options as arguments have them, secret ones read from their files.

    Raises:
        UsageError: a secret is among the arguments, or its file cannot be read.
    """
    secret = {each.name for each in options if each.secret}
    return {key: _value(key, value, secret=key.replace("-", "_") in secret) for key, value in values.items()}


def pairs(settings: Iterable[str]) -> dict[str, str]:
    """What is given as ``name=value``.

    Raises:
        UsageError: something is not.
    """
    found: dict[str, str] = {}
    for each in settings:
        name, equals, value = each.partition("=")
        if not equals or not name or name in found:
            raise UsageError(f"settings are NAME=VALUE, each once, this is {visible(name[:100])!r}")
        found[name] = value
    return found


def from_file(value: str) -> str:
    """A value that may be given as ``@FILE``.

    Raises:
        UsageError: the file cannot be read.
    """
    if not value.startswith(FROM_FILE):
        return value
    from skywire.cli.identity import first_line  # with it comes what keys are kept in

    return first_line(Path(value.removeprefix(FROM_FILE)), UsageError)


def show_options(name: str, options: Sequence[OptionDescription], *, as_json: bool) -> None:
    """Tell the options of an instance."""
    if as_json:
        show_json({"options": encode(options)})
        return
    from skywire.cli.control.tables import Column, show_table, text

    rows = [
        [
            text(each.name, "bold" if each.is_set else ""),
            text(each.kind),
            text(_shown(each.value) if not each.secret else HIDDEN if each.is_set else ""),
            text(_shown(each.default) if not each.secret else ""),
            text(each.help),
        ]
        for each in options
    ]
    columns = [
        Column("option"),
        Column("kind", rank=2),
        Column("value", folds=True),
        Column("default", rank=1, folds=True),
        Column("help", rank=3, folds=True),
    ]
    show_table(columns, rows, empty=f"{name} has no options")


def _value(key: str, value: str, *, secret: bool) -> str:
    if not secret:
        return value
    if not value.startswith(FROM_FILE):
        raise UsageError(
            f"{visible(key)} is secret, and arguments are not: others on this machine can read them. Write "
            f"{visible(key)}=@FILE, and it is the first line of the file; or give it in the configuration file"
        )
    return from_file(value)


def _shown(value: object) -> str:
    """A value as people may write it."""
    match value:
        case str():
            return value
        case None:
            return "none"
        case [str(), *_]:
            texts = [each for each in value if isinstance(each, str) and "," not in each]
            return ",".join(texts) if len(texts) == len(value) else json.dumps(value)
        case _:
            return json.dumps(value)
