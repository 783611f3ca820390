"""The commands of ``skywire cli visor app`` that are not those of ``skywire app`` as they are."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated

from cyclopts import Parameter

from skywire.app.definition import Isolation
from skywire.app.record import InstanceInfo
from skywire.cli.control.instance import outcome, rm, show_change, show_outcome
from skywire.cli.control.nodes import Node, run_on
from skywire.cli.control.reach import LOCAL, Knowing, Reach
from skywire.cli.control.settings import change, from_file, pairs
from skywire.cli.control.words import visible
from skywire.cli.program import Json, UsageError, show_json


def start(
    name: str,
    /,
    *,
    internal: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    external: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    knowing: Knowing = False,
    as_json: Json = False,
    reach: Reach = LOCAL,
) -> None:
    """Have it run, and wait until it does, or cannot.

    Parameters
    ----------
    internal:
        Inside the node's process, from now on.
    external:
        As a process of its own, from now on.
    """
    if internal and external:
        raise UsageError("it runs inside the node's process or outside: use --internal or --external, not both")
    isolation = Isolation.IN_PROCESS if internal else Isolation.CHILD if external else None

    async def work(node: Node) -> InstanceInfo:
        if isolation is not None:
            await node.ask(node.apps.arrange(name, isolation=isolation, knowing=knowing))
        return await node.ask(node.apps.start(name))

    show_outcome(run_on(reach, work, instance=name), as_json=as_json, wanted=True)


def register(
    *,
    name: Annotated[str, Parameter(name=["--name", "-a"])],
    definition: Annotated[str | None, Parameter(name=["--definition", "-p"])] = None,
    reach: Reach = LOCAL,
) -> None:
    """Make an app instance that runs as a process which others supervise.

    Parameters
    ----------
    name:
        Of the instance.
    definition:
        What it is made of; the definition of that name unless given.
    """

    async def work(node: Node) -> str:
        info = await node.ask(node.apps.add(definition or name, name, isolation=Isolation.ATTACHED))
        return f"{outcome(info)}\n{how_to_attach(info.name)}"

    print(run_on(reach, work))


def how_to_attach(name: str) -> str:
    """What starts the process of an instance that others supervise."""
    return f"attach its process with: skywire app attach {name}"


def deregister(name: str, /, *, knowing: Knowing = False, reach: Reach = LOCAL) -> None:
    """Stop an app instance, and forget it."""
    rm(name, knowing=knowing, reach=reach)


def args(
    name: str,
    /,
    *,
    setting: Annotated[tuple[str, ...], Parameter(name="--set", negative="", show_default=False)] = (),
    unset: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    knowing: Knowing = False,
    as_json: Json = False,
    reach: Reach = LOCAL,
) -> None:
    """Tell the options of an app instance, or give it others.

    Parameters
    ----------
    setting:
        OPTION=VALUE; a secret option is given as OPTION=@FILE. May be repeated.
    unset:
        An option that takes its default again. May be repeated.
    """
    change(name, pairs(setting), unset, knowing=knowing, as_json=as_json, reach=reach)


def env(
    name: str,
    /,
    *variables: str,
    clear: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    knowing: Knowing = False,
    as_json: Json = False,
    reach: Reach = LOCAL,
) -> None:
    """Tell the environment variables of an app instance's own process, or give it others.

    Parameters
    ----------
    variables:
        NAME=VALUE, each; they replace all that it had. NAME=@FILE takes the first line of the file.
    clear:
        Leave it none.
    """
    if clear and variables:
        raise UsageError("name all variables as NAME=VALUE, or --clear them")
    environment = {key: from_file(value) for key, value in pairs(variables).items()}

    async def work(node: Node) -> Mapping[str, str] | InstanceInfo:
        if clear or environment:
            return await node.ask(node.apps.arrange(name, environment=environment, knowing=knowing))
        return await node.ask(node.apps.environment(name))

    match run_on(reach, work, instance=name):
        case InstanceInfo() as info:
            show_change(info, as_json=as_json)
        case known if as_json:
            show_json({"environment": dict(known)})
        case known:
            for each in known.items():
                print(visible("=".join(each)))
            if not known:
                print(f"{visible(name)} is given no variables", file=sys.stderr)


def arranged(name: str, reach: Reach, *, auto_start: bool, knowing: bool) -> None:
    """Say whether an instance starts with the node."""

    async def work(node: Node) -> None:
        await node.ask(node.apps.arrange(name, auto_start=auto_start, knowing=knowing))

    run_on(reach, work, instance=name)
    print(f"{visible(name)}: autostart {'on' if auto_start else 'off'}")
