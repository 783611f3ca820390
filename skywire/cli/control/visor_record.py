"""What a visor says, what happens in it, and all that is known of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Annotated, Final

from anyio import create_memory_object_stream, move_on_after
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from cyclopts import Parameter

from skywire.app.events import BUFFER, Event
from skywire.app.typed_json import encode
from skywire.cli.control.log import Follow, JsonLines, Last, Level, Since, show, wanted_lines
from skywire.cli.control.nodes import Node, run_on
from skywire.cli.control.reach import LOCAL, Reach
from skywire.cli.control.words import clock_time, visible
from skywire.cli.program import UsageError, show_json
from skywire.known_names import listed
from skywire.net.background import Background

BURST_SECONDS: Final = 0.2
"""Of silence that end a burst of events."""
LONGEST_BURST: Final = 1.0
"""Seconds after which a burst is told though it goes on."""

Section = Callable[[Node], Awaitable[object]]


async def _summary(node: Node) -> object:
    hello = node.hello
    return {
        "name": node.name,
        "program": hello.program,
        "mode": hello.mode.value,
        "public_key": str(hello.public),
        "pid": hello.pid,
        "started": hello.started,
        "api": hello.api,
        "node": encode(await node.ask(node.network.info())),
    }


async def _ports(node: Node) -> object:
    return {
        "served": encode(await node.ask(node.network.ports())),
        "local": encode(await node.ask(node.network.listeners())),
    }


async def _health(node: Node) -> object:
    return encode(await node.ask(node.network.doctor()))


async def _apps(node: Node) -> object:
    return encode(await node.ask(node.apps.list()))


async def _config(node: Node) -> object:
    return encode(await node.ask(node.config.show()))


async def _warnings(node: Node) -> object:
    return encode(await node.ask(node.config.warnings()))


async def _grants(node: Node) -> object:
    return encode(await node.ask(node.config.grants()))


async def _connections(node: Node) -> object:
    return encode(await node.ask(node.apps.connections()))


async def _definitions(node: Node) -> object:
    return encode(await node.ask(node.apps.definitions()))


EVENTS: Final = "events"
"""The section of what has happened since the last object; only --watch has something in it."""
SECTIONS: Final[Mapping[str, Section]] = {
    "summary": _summary,
    "health": _health,
    "apps": _apps,
    "ports": _ports,
    "config": _config,
    "warnings": _warnings,
    "grants": _grants,
    "connections": _connections,
    "definitions": _definitions,
}


def state(
    *,
    select: str = "summary,health,apps,ports,connections",
    watch: Annotated[bool, Parameter(name=["--watch", "-w"], negative="", show_default=False)] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="", show=False)] = False,
    reach: Reach = LOCAL,
) -> None:
    """Tell all that is known of the node, as one JSON object.

    Parameters
    ----------
    select:
        What of it, with commas: summary, health, apps, ports, config, warnings, grants, connections, definitions,
        events.
    watch:
        Then write a new object, each in one line, when something has happened, until Ctrl-C.
    """
    names = tuple(dict.fromkeys(name.strip() for name in select.split(",") if name.strip()))
    if unknown := [name for name in names if name not in SECTIONS and name != EVENTS]:
        known = listed(unknown[0], [*SECTIONS, EVENTS])
        raise UsageError(f"--select has no {visible(unknown[0][:100])!r}; {known}")
    if not names:
        raise UsageError("--select names nothing")

    async def work(node: Node) -> None:
        if watch:
            await _watch(node, names)
        else:
            show_json(await _taken(node, names, ()))

    run_on(reach, work)


def log(
    *,
    follow: Follow = False,
    since: Since = None,
    least: Level = "debug",
    last: Last = None,
    as_json: JsonLines = False,
    reach: Reach = LOCAL,
) -> None:
    """Tell what the node itself has said; apps have logs of their own."""
    wanted = wanted_lines(since, least, last, follow=follow, as_json=as_json)

    async def work(node: Node) -> None:
        await show(
            wanted,
            node,
            lambda: node.process.log(wanted.since, wanted.level, wanted.last),
            lambda: node.process.follow_log(wanted.level),
        )

    run_on(reach, work)


def events(*, kind: str = "", as_json: JsonLines = False, reach: Reach = LOCAL) -> None:
    """Tell what happens in the node from now on, until Ctrl-C.

    Parameters
    ----------
    kind:
        Only what begins so, for instance app.
    """

    async def work(node: Node) -> None:
        async for event in node.events.events(kind):
            if as_json:
                print(json.dumps(encode(event)), flush=True)
            else:
                facts = " ".join(f"{name}={value}" for name, value in event.facts.items() if value not in {"", None})
                print(visible(f"{clock_time(event.time)} {event.kind} {event.subject} {facts}").rstrip(), flush=True)

    run_on(reach, work)


async def _taken(node: Node, names: tuple[str, ...], happened: tuple[Event, ...]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name in names:
        found[name] = encode(happened) if name == EVENTS else await SECTIONS[name](node)
    return found


async def _watch(node: Node, names: tuple[str, ...]) -> None:
    sending, receiving = create_memory_object_stream[Event](BUFFER)
    happened: tuple[Event, ...] = ()
    async with Background() as tasks, sending, receiving:
        tasks.start_soon(_pass_on, node.events.events(), sending)
        while True:
            print(json.dumps(await _taken(node, names, happened)), flush=True)
            happened = await _burst(receiving)


async def _pass_on(events: AsyncIterator[Event], sending: MemoryObjectSendStream[Event]) -> None:
    async for event in events:
        await sending.send(event)


async def _burst(events: MemoryObjectReceiveStream[Event]) -> tuple[Event, ...]:
    """The events that come next, until there is silence."""
    found = [await events.receive()]
    with move_on_after(LONGEST_BURST):
        silent = False
        while not silent:
            silent = True
            with move_on_after(BURST_SECONDS):
                found.append(await events.receive())
                silent = False
    return tuple(found)
