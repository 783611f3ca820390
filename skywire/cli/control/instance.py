"""What every app instance can be told: ``skywire app NAME ...``, and the same as ``skywire cli visor app ... NAME``."""

from __future__ import annotations

import sys
import time
from typing import Annotated

from cyclopts import Parameter

from skywire.app.record import InstanceInfo
from skywire.app.status import State
from skywire.app.typed_json import encode
from skywire.cli.control.failures import CommandFailed
from skywire.cli.control.nodes import Node, run_on
from skywire.cli.control.reach import LOCAL, Knowing, Reach
from skywire.cli.control.words import age, clock_time, duration, size, visible
from skywire.cli.program import ExitCode, Json, show_json


def start(name: str, /, *, as_json: Json = False, reach: Reach = LOCAL) -> None:
    """Have it run, and wait until it does, or cannot."""

    async def work(node: Node) -> InstanceInfo:
        return await node.ask(node.apps.start(name))

    show_outcome(run_on(reach, work, instance=name), as_json=as_json, wanted=True)


def stop(
    name: str,
    /,
    *,
    back_in: Annotated[str | None, Parameter(name="--for")] = None,
    knowing: Knowing = False,
    as_json: Json = False,
    reach: Reach = LOCAL,
) -> None:
    """Have it not run, nor what requires it, and wait until it has ended.

    Parameters
    ----------
    back_in:
        It comes back by itself after so long, for instance 90s, 10m or 2h.
    """
    seconds = None if back_in is None else duration(back_in)

    async def work(node: Node) -> InstanceInfo:
        return await node.ask(node.apps.stop(name, knowing, seconds))

    show_outcome(run_on(reach, work, instance=name), as_json=as_json, wanted=False)


def restart(name: str, /, *, knowing: Knowing = False, as_json: Json = False, reach: Reach = LOCAL) -> None:
    """End it, and what requires it, and have them run again."""

    async def work(node: Node) -> InstanceInfo:
        return await node.ask(node.apps.restart(name, knowing))

    show_outcome(run_on(reach, work, instance=name), as_json=as_json, wanted=True)


def rm(name: str, /, *, knowing: Knowing = False, reach: Reach = LOCAL) -> None:
    """Stop an app instance, and forget it."""

    async def work(node: Node) -> None:
        await node.ask(node.apps.remove(name, knowing))

    run_on(reach, work, instance=name)
    print(f"{name}: removed")


def status(name: str, /, *, as_json: Json = False, reach: Reach = LOCAL) -> None:
    """Tell how it is, and how it came to be so."""

    async def work(node: Node) -> tuple[InstanceInfo, Node]:
        return await node.ask(node.apps.get(name)), node

    info, node = run_on(reach, work, instance=name)
    if as_json:
        show_json({**_facts(info), "node": node.name, "mode": node.hello.mode.value})
        return
    lines = {
        "app": info.definition,
        "state": info.state.value,
        "reason": why(info),
        "since": f"{clock_time(info.since)} UTC, {age(info.since)} ago",
        "trouble": (info.status.trouble or "") if info.status.trouble != info.reason else "",
        "node": f"{node.name} ({node.hello.program}, {node.hello.mode})",
        "ports": ports(info),
        "starts by itself": "yes" if info.auto_start else "no",
        "restart policy": info.restart.value,
        "restarts": str(info.restarts or ""),
        "isolation": info.isolation.value,
        "critical": "yes, without it you may lose access to the node" if info.critical else "",
        "failures": f"{info.failures} in a row" if info.failures else "",
    }
    lines |= {label: str(value) for label, value in info.status.facts.items() if label not in lines}
    shown = {visible(label): visible(line) for label, line in lines.items() if line}
    width = max(map(len, shown))
    print(visible(info.name))
    for label, line in shown.items():
        print(f"  {label:<{width}}  {line}")
    print("history (UTC)")
    for change in info.history:
        print(f"  {clock_time(change.time)}  {change.state:<8}  {visible(change.reason)}".rstrip())


def conns(name: str, /, *, as_json: Json = False, reach: Reach = LOCAL) -> None:
    """Tell who is connected to it, and to whom it is."""
    from skywire.cli.control.tables import Column, show_table, text

    found = run_on(reach, lambda node: node.ask(node.apps.connections(name)), instance=name)
    if as_json:
        show_json({"connections": encode(found)})
        return
    columns = [
        Column("peer"),
        Column("dir"),
        Column("network", rank=2),
        Column("port"),
        Column("peer's port", rank=3),
        Column("age", rank=1),
        Column("in", rank=1),
        Column("out", rank=1),
    ]
    rows = [
        [
            text(cell)
            for cell in (
                str(each.peer),
                each.direction.value,
                each.network,
                str(each.local_port),
                str(each.remote_port),
                age(each.opened),
                size(each.bytes_in),
                size(each.bytes_out),
            )
        ]
        for each in found
    ]
    show_table(columns, rows, empty=f"{name} has no connections")


def show_outcome(info: InstanceInfo, *, as_json: bool, wanted: bool) -> None:
    """Tell what has become of an instance, and fail where that is not what was wanted.

    Args:
        info: how it is now.
        as_json: whether to write JSON.
        wanted: whether it is meant to run.

    Raises:
        CommandFailed: it is not so.
    """
    failed = not info.state.serving if wanted else info.state is not State.STOPPED
    told = outcome(info)
    if as_json:
        show_json(_facts(info))
        if failed:
            sys.exit(ExitCode.FAILED)
    elif failed:
        raise CommandFailed(told)
    else:
        print(told)


def show_change(info: InstanceInfo, *, as_json: bool) -> None:
    """Tell what has become of an instance that was given another configuration; see :func:`show_outcome`."""
    show_outcome(info, as_json=as_json, wanted=info.state is not State.STOPPED)


def why(info: InstanceInfo) -> str:
    """Why an instance is as it is, and whether that is to pass by itself; empty when that goes without saying."""
    reason = info.reason or info.status.trouble or ""
    if info.returns is None:
        return reason
    back = f"comes back in {age(time.time(), info.returns)}"
    return f"{reason}; {back}" if reason else back


def outcome(info: InstanceInfo) -> str:
    """How an instance is, in one line."""
    reason = why(info)
    return visible(f"{info.name}: {info.state}" + (f" ({reason})" if reason else ""))


def ports(info: InstanceInfo) -> str:
    """The ports of an instance, in words."""
    if len(info.ports) == 1:
        return str(*info.ports.values())
    return ", ".join(f"{name} {number}" for name, number in info.ports.items())


def _facts(info: InstanceInfo) -> dict[str, object]:
    facts = encode(info)
    assert isinstance(facts, dict)
    return facts
