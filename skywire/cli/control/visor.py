"""The commands about a visor as a whole."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Annotated

from cyclopts import Parameter

from skywire.app.api import Finding, NodeInfo, Severity
from skywire.app.record import InstanceInfo
from skywire.app.status import State
from skywire.app.typed_json import encode
from skywire.cli.control.failures import CommandFailed
from skywire.cli.control.nodes import Node, run_on
from skywire.cli.control.reach import LOCAL, Knowing, Reach
from skywire.cli.control.words import age, clock_time, size, visible
from skywire.cli.program import ExitCode, Json, UsageError, show_json
from skywire.errors import InvalidKey
from skywire.keys import PubKey


def info(*, as_json: Json = False, reach: Reach = LOCAL) -> None:
    """Tell what the node is, and how it is connected."""

    async def work(node: Node) -> tuple[NodeInfo, tuple[InstanceInfo, ...]]:
        return await node.ask(node.network.info()), await node.ask(node.apps.list())

    found, apps = run_on(reach, work)
    if as_json:
        show_json({"node": encode(found)})
        return
    states = Counter(each.state.value for each in apps)
    lines = {
        "public key": str(found.public),
        "version": found.version,
        "started": f"{clock_time(found.started)} UTC, {age(found.started)} ago",
        "configuration": found.config_file or "none",
        "data": found.local_path,
        "memory": size(found.memory),
        "dmsg servers": ", ".join(map(str, found.servers)) or "none",
        "apps": ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none",
    }
    for each in found.facilities:
        why = each.absent or each.offline
        lines[each.name] = ("absent: " if each.absent else "offline: ") + why if why else "works"
    width = max(map(len, lines))
    for label, line in lines.items():
        print(f"{visible(label):<{width}}  {visible(line)}")


def ver(*, as_json: Json = False, reach: Reach = LOCAL) -> None:
    """Tell the version of the node."""
    hello = run_on(reach, _itself).hello
    if as_json:
        show_json({"program": hello.program, "api": hello.api})
    else:
        print(visible(hello.program))


def pk(*, as_json: Json = False, reach: Reach = LOCAL) -> None:
    """Tell the public key of the node."""
    key = str(run_on(reach, _itself).hello.public)
    if as_json:
        show_json({"public_key": key})
    else:
        print(key)


def ip(*, as_json: Json = False, reach: Reach = LOCAL) -> None:
    """Tell the address from which a dmsg server sees the node."""
    address = run_on(reach, lambda node: node.ask(node.network.public_ip()))
    if as_json:
        show_json({"ip": address})
    else:
        print(visible(address))


def ports(*, as_json: Json = False, reach: Reach = LOCAL) -> None:
    """List what the node serves on its networks, and the local ports that it has open."""

    async def work(node: Node) -> tuple[object, list[list[str]]]:
        served, local = await node.ask(node.network.ports()), await node.ask(node.network.listeners())
        rows = [
            [str(each.port), ", ".join(each.networks), each.label, each.owner, str(each.connections)] for each in served
        ]
        rows += [[str(each.port), f"tcp {each.host}", each.label, each.owner, ""] for each in local]
        return {"served": encode(served), "local": encode(local)}, rows

    found, rows = run_on(reach, work)
    if as_json:
        show_json({"ports": found})
        return
    from skywire.cli.control.tables import Column, show_table, text

    columns = [Column("port"), Column("where"), Column("what", folds=True), Column("app"), Column("conns", rank=1)]
    show_table(columns, [[text(cell) for cell in row] for row in rows], empty="it serves nothing")


def ping(
    peer: str,
    /,
    *,
    tries: Annotated[int, Parameter(name=["--tries", "-t"])] = 3,
    as_json: Json = False,
    reach: Reach = LOCAL,
) -> None:
    """Measure round trips from the node to another one, over dmsg.

    Parameters
    ----------
    peer:
        The public key of the other node.
    tries:
        How often.
    """
    key = public_key(peer)
    if not 1 <= tries <= 1000:
        raise UsageError("--tries is 1 to 1000")

    async def work(node: Node) -> list[float]:
        times = []
        for _ in range(tries):
            times.append(await node.ask(node.network.ping(key)))
            if not as_json:
                print(f"{times[-1] * 1000:.2f} ms", flush=True)
        return times

    times = run_on(reach, work)
    if as_json:
        show_json({"peer": str(key), "seconds": times})


def ready(*, as_json: Json = False, reach: Reach = LOCAL) -> None:
    """Tell whether the node is up, with all that starts by itself; the exit code is 1 when it is not."""

    async def work(node: Node) -> list[str]:
        found = await node.ask(node.network.info())
        lacking = [f"{each.name} is offline: {each.offline}" for each in found.facilities if each.offline is not None]
        apps = [each for each in await node.ask(node.apps.list()) if each.auto_start]
        return lacking + [f"{each.name} is {each.state}" for each in apps if not each.state.serving and _is_meant(each)]

    lacking = [visible(each) for each in run_on(reach, work)]
    if as_json:
        show_json({"ready": not lacking, "lacking": lacking})
        if lacking:
            sys.exit(ExitCode.FAILED)
    elif lacking:
        raise CommandFailed(f"not ready: {'; '.join(lacking)}")
    else:
        print("ready")


def doctor(*, as_json: Json = False, reach: Reach = LOCAL) -> None:
    """Look for what is wrong with the node; the exit code is 1 when something is red."""
    findings = run_on(reach, lambda node: node.ask(node.network.doctor()))
    if as_json:
        show_json({"findings": encode(findings)})
    else:
        _show_findings(findings)
    if any(each.severity is Severity.RED for each in findings):
        sys.exit(ExitCode.FAILED)


def tasks(*, as_json: Json = False, reach: Reach = LOCAL) -> None:
    """List what runs in the node, and where it waits."""
    found = run_on(reach, lambda node: node.ask(node.process.tasks()))
    if as_json:
        show_json({"tasks": list(found)})
    else:
        for each in found:
            print(visible(each))


def halt(*, knowing: Knowing = False, reach: Reach = LOCAL) -> None:
    """End the node, as SIGTERM does."""

    async def work(node: Node) -> str:
        await node.ask(node.process.halt(knowing))
        return node.name

    print(f"{visible(run_on(reach, work))} is about to end")


def public_key(text: str) -> PubKey:
    """A key that was given as an argument.

    Raises:
        UsageError: it is none.
    """
    try:
        return PubKey.from_hex(text)
    except InvalidKey as error:
        raise UsageError(f"{visible(text[:100])!r}: {error}") from None


def _show_findings(findings: tuple[Finding, ...]) -> None:
    from skywire.cli.control.tables import SEVERITY_STYLES, Column, show_table, text

    rows = [
        [
            text(each.severity.value.upper(), SEVERITY_STYLES[each.severity]),
            text(each.subject),
            text(each.text),
            text(each.hint),
        ]
        for each in findings
    ]
    columns = [Column(""), Column("what"), Column("found", folds=True), Column("what to do", folds=True)]
    show_table(columns, rows, empty="it has looked at nothing")


def _is_meant(info: InstanceInfo) -> bool:
    """Whether an instance is still to run: who was stopped by somebody is not waited for."""
    return info.state is not State.STOPPED


async def _itself(node: Node) -> Node:
    return node
