"""All app instances of all processes, new ones, and what they can be made of."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from skywire.app.api import DefinitionInfo
from skywire.app.definition import Isolation
from skywire.app.limits import RestartPolicy
from skywire.app.record import InstanceInfo
from skywire.app.typed_json import encode
from skywire.cli.control.instance import show_outcome
from skywire.cli.control.nodes import Node, Process, Survey, reached, require_any, run, run_on, survey
from skywire.cli.control.reach import LOCAL, Reach
from skywire.cli.control.settings import pairs, texts_of
from skywire.cli.control.words import visible
from skywire.cli.program import ExitCode, Json, UsageError, show_json
from skywire.control.local import Found, runtime_folder


def ls(
    *,
    live: Annotated[bool, Parameter(name=["--live", "-L"], negative="", show_default=False)] = False,
    as_json: Json = False,
    reach: Reach = LOCAL,
) -> None:
    """List the app instances of all processes on this machine, or of the node that is named.

    Parameters
    ----------
    live:
        Keep the table up to date, until Ctrl-C.
    """
    if live:
        if as_json:
            raise UsageError("--live is for people; programs take: skywire cli visor state --select apps --watch")
        from skywire.cli.control.live import keep_up

        run(lambda: keep_up(reach))
        return
    found = run(lambda: looked(reach))
    for reason in found.silent.values():
        print(f"skywire: {reason}", file=sys.stderr)
    if as_json:
        show_json({"apps": [facts(process, info) for process in found.processes.values() for info in process.apps]})
    elif found.processes:
        show(found)
    if not found.processes:
        sys.exit(ExitCode.UNREACHABLE)


def definitions(*, as_json: Json = False, reach: Reach = LOCAL) -> None:
    """List what app instances can be made of."""

    async def work(node: Node) -> tuple[DefinitionInfo, ...]:
        return await node.ask(node.apps.definitions())

    found = run_on(reach, work)
    if as_json:
        show_json({"definitions": encode(found)})
        return
    from skywire.cli.control.tables import Column, show_table, text

    rows = [
        [
            text(each.name, "bold"),
            text(each.source),
            text(", ".join(mode.value for mode in each.modes)),
            text("yes" if each.critical else ""),
            text(each.trouble, "red") if each.trouble else text(each.summary),
        ]
        for each in found
    ]
    columns = [
        Column("definition"),
        Column("from", rank=1),
        Column("runs as", rank=3, folds=True),
        Column("critical", rank=2),
        Column("summary", folds=True),
    ]
    show_table(columns, rows, empty="no definitions")


def add(
    definition: str,
    /,
    *settings: str,
    name: str | None = None,
    port: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    auto_start: Annotated[bool, Parameter(show_default=False)] = True,
    restart: RestartPolicy = RestartPolicy.ON_FAILURE,
    isolation: Isolation | None = None,
    as_json: Json = False,
    reach: Reach = LOCAL,
) -> None:
    """Make an app instance, and start it.

    Parameters
    ----------
    definition:
        What it is made of; skywire app definitions lists them.
    settings:
        OPTION=VALUE, each. A secret option is given as OPTION=@FILE, which takes the first line of the file.
    name:
        Of the instance; that of the definition unless given.
    port:
        NAME=NUMBER: another number for one of its ports, as skywire app NAME status has them. May be repeated.
    auto_start:
        Start it now, and with the node.
    restart:
        What happens after a failure.
    isolation:
        How far it is kept from the node's process; as its definition says unless given.
    """
    values = pairs(settings)
    ports = {key: _number(key, value) for key, value in pairs(port).items()}
    instance = name or definition

    async def work(node: Node) -> InstanceInfo:
        texts = await _texts(node, definition, values) if values else {}
        return await node.ask(
            node.apps.add(
                definition,
                instance,
                ports=ports,
                auto_start=auto_start,
                restart=restart,
                isolation=isolation,
                texts=texts,
            )
        )

    show_outcome(run_on(reach, work), as_json=as_json, wanted=auto_start)


async def _texts(node: Node, definition: str, values: dict[str, str]) -> dict[str, str]:
    """Values of options, those in files read; the node knows which of them are secret."""
    known = [each.options for each in await node.ask(node.apps.definitions()) if each.name == definition]
    return texts_of(values, known[0] if known else ())


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5):
        raise UsageError(f"--port is NAME=NUMBER, this is {visible(f'{name}={text}'[:100])!r}")
    return int(text)


async def looked(reach: Reach) -> Survey:
    """All processes of this machine, or the one that is named.

    Raises:
        NotReached: there is none.
    """
    if reach.via is not None:
        async with reached(reach) as node:
            return await look_at(node)
    found = await survey(reach)
    require_any(found, reach.name)
    return found


async def look_at(node: Node) -> Survey:
    """One node, as all others are looked at."""
    process = Process(Found(node.name, runtime_folder()), node.hello, await node.ask(node.apps.list()))
    return Survey({node.name: process})


def facts(process: Process, info: InstanceInfo) -> dict[str, object]:
    """An instance as JSON."""
    encoded = encode(info)
    assert isinstance(encoded, dict)
    return {
        **encoded,
        "node": process.found.name,
        "program": process.hello.program,
        "mode": process.hello.mode.value,
        "public_key": str(process.hello.public),
    }


def show(found: Survey) -> None:
    """Write the table of instances."""
    from skywire.cli.control.apps_table import columns_of, rows_of
    from skywire.cli.control.tables import show_table

    show_table(columns_of(found), rows_of(found), empty="no app instances; make one with: skywire app add DEFINITION")
