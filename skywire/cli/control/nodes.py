"""The processes with apps: all of this machine, and the one that a command is about."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, TypeVar, final

import anyio
from anyio import create_task_group, fail_after

from skywire.app.api import AppsAPI, ConfigAPI, EventsAPI, Hello, NetworkAPI, ProcessAPI
from skywire.app.record import InstanceInfo
from skywire.app.run_mode import RunMode
from skywire.cli.control.failures import NoSuchName, explained, told
from skywire.cli.control.reach import HELLO_SECONDS, NODE_VARIABLE, Reach
from skywire.cli.control.words import visible
from skywire.cli.program import NotReached, UsageError, reason_of
from skywire.control.client import Client
from skywire.control.local import Found, controlling, find, runtime_folder
from skywire.errors import SkywireError
from skywire.known_names import listed

T = TypeVar("T")

_START: Final = "start one with: skywire visor"
_LONGER_KEY: Final = re.compile("[0-9a-f]{11,66}")
"""So much of a public key that it is more than a node's name has."""


@final
@dataclass(frozen=True)
class Node:
    """A process that is being controlled.

    Args:
        name: for people.
        hello: what it says of itself.
        client: the connection.
        seconds: for each answer.
    """

    name: str
    hello: Hello
    client: Client
    seconds: float

    @cached_property
    def process(self) -> ProcessAPI:
        """The process itself."""
        return self.client.of(ProcessAPI, "process")

    @cached_property
    def apps(self) -> AppsAPI:
        """Its app instances."""
        return self.client.of(AppsAPI, "apps")

    @cached_property
    def network(self) -> NetworkAPI:
        """The node among others."""
        return self.client.of(NetworkAPI, "network")

    @cached_property
    def config(self) -> ConfigAPI:
        """Its configuration."""
        return self.client.of(ConfigAPI, "config")

    @cached_property
    def events(self) -> EventsAPI:
        """What happens in it."""
        return self.client.of(EventsAPI, "events")

    async def ask(self, call: Awaitable[T]) -> T:
        """What a call answers.

        Raises:
            NotReached: not in time.
        """
        return await _in_time(call, self.seconds, self.name)


@final
@dataclass(frozen=True)
class Process:
    """A process of this machine, as it was a moment ago.

    Args:
        found: where it is reached.
        hello: what it says of itself.
        apps: its app instances.
    """

    found: Found
    hello: Hello
    apps: tuple[InstanceInfo, ...]

    def __str__(self) -> str:
        return f"{visible(self.found.name)} ({visible(self.hello.program)}, {self.hello.mode})"


@final
@dataclass
class Survey:
    """The processes of this machine.

    Args:
        processes: by the names of their sockets.
        silent: those that have not answered, each with the reason.
        names: of all processes, also of those that were not asked.
    """

    processes: dict[str, Process] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()


def run_on(reach: Reach, work: Callable[[Node], Awaitable[T]], *, instance: str | None = None) -> T:
    """Do something with the node that is meant.

    Args:
        reach: which one.
        work: what to do.
        instance: the app instance that it is about; without one, a visor is meant.

    Raises:
        NotReached: there is none, or it has not answered.
        Refused: it does not want to.
        CommandFailed: it could not.
        NoSuchName: there is no such instance.
    """

    async def main() -> T:
        async with reached(reach, instance) as node:
            return await work(node)

    return run(main)


def run(main: Callable[[], Awaitable[T]]) -> T:
    """Run an asynchronous function; errors of nodes come as those of programs."""
    try:
        return anyio.run(main)
    except ExceptionGroup as error:
        raise explained(reason_of(error)) from error


@asynccontextmanager
async def reached(reach: Reach, instance: str | None = None) -> AsyncIterator[Node]:
    """The node that is meant, while the block runs; see :func:`run_on`."""
    name = reach.name
    if reach.via is None:
        process = _choose(await survey(reach), name, instance)
        with told():
            async with controlling(process.found.path) as client:
                yield Node(process.found.name, process.hello, client, reach.seconds)
        return
    from skywire.cli.control.afar import dialled  # a network is loaded only where one is needed

    async with dialled(reach) as (client, name, hint):
        with told(hint):
            node = await _greet(client, name, reach.seconds, reach.seconds)
            if instance is not None:
                _check_name(instance, [each.name for each in await node.ask(node.apps.list())])
            yield node


async def visor_here(reach: Reach) -> Process:
    """The visor of this machine through which a node elsewhere is reached.

    Raises:
        NotReached: there is none.
        UsageError: there are several.
    """
    return _choose(await survey(reach), reach.name, None)


async def survey(reach: Reach) -> Survey:
    """Ask the processes of this machine who they are, and what apps they have; at the same time, and not for long.

    Args:
        reach: where it names a process, only that one is asked, or those whose names begin so.
    """
    seconds = min(HELLO_SECONDS, reach.seconds)
    with told():
        found = await find(runtime_folder())
    answers = Survey()

    async def ask(each: Found) -> None:
        try:
            with told():
                async with controlling(each.path) as client:
                    node = await _greet(client, each.name, seconds, seconds)
                    answers.processes[each.name] = Process(each, node.hello, await node.ask(node.apps.list()))
        except SkywireError as error:
            answers.silent[each.name] = f"{visible(each.name)}: {error}"

    async with create_task_group() as task_group:
        for each in _meant(found, reach.name):
            task_group.start_soon(ask, each)
    return Survey(
        dict(sorted(answers.processes.items())),
        dict(sorted(answers.silent.items())),
        tuple(each.name for each in found),
    )


def _meant(found: tuple[Found, ...], name: str | None) -> list[Found]:
    """Those that a name means: the one that has it, else those whose names begin so, or whose keys do."""
    if name is None:
        return list(found)
    return [each for each in found if each.name == name] or [each for each in found if _begins(each.name, name)]


def _begins(node: str, name: str) -> bool:
    """Whether a name is the beginning of a node's, or of the key whose beginning is behind the last hyphen of that."""
    if node.startswith(name):
        return True
    _, hyphen, key = node.rpartition("-")
    return bool(hyphen) and (key.startswith(name) or (name.startswith(key) and _LONGER_KEY.fullmatch(name) is not None))


async def _greet(client: Client, name: str, hello_seconds: float, seconds: float) -> Node:
    hello = await _in_time(client.of(ProcessAPI, "process").hello(), hello_seconds, name)
    return Node(name, hello, client, seconds)


async def _in_time(call: Awaitable[T], seconds: float, name: str) -> T:
    try:
        with fail_after(seconds):
            return await call
    except TimeoutError:
        raise NotReached(f"{visible(name)} has not answered within {seconds:g} s") from None


def _choose(known: Survey, name: str | None, instance: str | None) -> Process:
    """The process that is meant."""
    require_any(known, name)
    everyone = list(known.processes.values())
    if name is not None:
        if len(everyone) + len(known.silent) > 1:
            names = ", ".join([*known.processes, *known.silent])
            raise NotReached(f"several nodes have names or keys that begin with {visible(name)!r}: {visible(names)}")
        for process in everyone:
            if instance is not None:
                _check_name(instance, [each.name for each in process.apps])
            return process
    if instance is None:
        fitting = [each for each in everyone if each.hello.mode is RunMode.VISOR_APP]
    else:
        fitting = [each for each in everyone if instance in {app.name for app in each.apps}]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        what = "several visors run here" if instance is None else f"several processes have an app {instance}"
        raise UsageError(f"{what}; choose one with --node, or in {NODE_VARIABLE}: {_listed(fitting)}")
    if known.silent:
        raise NotReached("; ".join(known.silent.values()))
    if instance is None:
        raise NotReached(f"no visor runs here, only {_listed(everyone)}; {_START}")
    raise _no_such_name(instance, [app.name for each in everyone for app in each.apps])


def require_any(known: Survey, name: str | None) -> None:
    """Accept a survey that has found somebody.

    Raises:
        NotReached: nobody runs, or nobody of that name.
    """
    if known.processes or known.silent:
        return
    if not known.names:
        raise NotReached(f"no node runs here; {_START}")
    raise NotReached(f"no node {visible((name or '')[:100])!r} runs here; {visible(listed(name or '', known.names))}")


def _listed(processes: Iterable[Process]) -> str:
    return ", ".join(map(str, processes))


def _check_name(instance: str, names: list[str]) -> None:
    if instance not in names:
        raise _no_such_name(instance, names)


def _no_such_name(instance: str, names: list[str]) -> NoSuchName:
    return NoSuchName(f"there is no app instance {visible(instance[:100])!r}; {visible(listed(instance, names))}")
