"""What has to happen next, from what is wanted and what is: pure, so that every order of events can be tested.

The launcher asks after each change, does what it is told, and asks again. Nothing here remembers anything, so there is
no order of events in which it could get lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto, unique
from graphlib import CycleError, TopologicalSorter
from math import inf
from typing import TypeAlias, final

from skywire.app.dependency import NOTHING, AnyOf, Dependencies, Dependency, Instance

Claim: TypeAlias = tuple[str, int]
"""A port: the network, or the local address, and its number."""


@final
@unique
class Phase(Enum):
    """What there is of an instance."""

    DOWN = auto()
    """Nothing."""
    STARTING = auto()
    """An attempt that has not reported yet that it serves."""
    UP = auto()
    """An attempt that serves."""
    STOPPING = auto()
    """An attempt that was told to end."""
    STUCK = auto()
    """An attempt that does not end; nothing waits for it any more."""

    @property
    def alive(self) -> bool:
        """Whether it uses what it depends on."""
        return self in {Phase.STARTING, Phase.UP, Phase.STOPPING}


@final
@dataclass(frozen=True, slots=True)
class Node:
    """An instance as the plan sees it.

    Args:
        name: of the instance.
        definition: name of its definition.
        phase: what there is of it.
        wanted: whether it is meant to run.
        recycle: whether it is to end first, and only then to run as it is wanted.
        held: why it must not be started all the same: it failed, and is not tried again, or not yet.
        unfit: what is wrong with it itself, for instance an option that it cannot work with.
        critical: whether losing it can lock the operator out.
        claims: the ports that it will take.
        band: a coarse order beside the dependencies: it starts after all of lower bands that are going to run, and ends
            before them. All in one band is the usual case.
        depends: what it needs.
    """

    name: str
    definition: str
    phase: Phase = Phase.DOWN
    wanted: bool = False
    recycle: bool = False
    held: str | None = None
    unfit: str | None = None
    critical: bool = False
    claims: frozenset[Claim] = frozenset()
    band: int = 0
    depends: Dependencies = NOTHING


@final
@dataclass(slots=True)
class Plan:
    """What to do now.

    Args:
        start: instances to start.
        stop: instances to stop, each with the reason.
        waiting: instances that will start later, each with what they wait for.
        blocked: instances that are meant to run and cannot, each with the requirement that is missing.
        unfit: instances that cannot run as they are configured, each with the reason.
    """

    start: list[str] = field(default_factory=list)
    stop: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)
    blocked: dict[str, str] = field(default_factory=dict)
    unfit: dict[str, str] = field(default_factory=dict)


@unique
class _Outlook(Enum):
    """Whether something can be relied on."""

    NO = 0
    COMING = 1
    YES = 2


def make_plan(nodes: Mapping[str, Node], absent: Mapping[str, str]) -> Plan:
    """Decide what to do.

    Args:
        nodes: all instances by name, in the order of the configuration.
        absent: the facilities that are absent, with the reason.
    """
    return _Planner(nodes, absent).plan()


def offenders(nodes: Mapping[str, Node]) -> dict[str, str]:
    """The instances that cannot run as they are configured, each with the reason.

    Those are: what is unfit by itself, members of a cycle, what requires something that is not there, and the later
    claimant of a port, or the one that is not critical.
    """
    found = {name: node.unfit for name, node in nodes.items() if node.unfit is not None}
    instances_of = _instances_of(nodes)
    for name, node in nodes.items():
        for dependency in node.depends.requires:
            if name not in found and (missing := _missing(dependency, nodes, instances_of)):
                found[name] = missing
    for name, node in nodes.items():
        later = [each for each in _edges(node, nodes, instances_of) if nodes[each].band > node.band]
        if later and name not in found:
            found[name] = (
                f"it is in band {node.band} and depends on {later[0]}, which is in band {nodes[later[0]].band}"
            )
    for name, cycle in _cycles(nodes, instances_of).items():
        found.setdefault(name, f"it depends on itself: {cycle}")
    holders: dict[Claim, str] = {}
    # Only what is meant to run, or still does, takes a port.
    claimants = [node for node in nodes.values() if (node.wanted or node.phase.alive) and node.name not in found]
    for node in sorted(claimants, key=lambda each: (not each.phase.alive, not each.critical)):
        for claim in sorted(node.claims):
            if (holder := holders.setdefault(claim, node.name)) != node.name and node.name not in found:
                found[node.name] = f"port {claim[1]} of {claim[0]} is taken by {holder}"
    return found


def waves(nodes: Mapping[str, Node]) -> dict[str, int]:
    """For display: in which wave each instance starts when all goes well, from 1; members of a cycle have none.

    Bands come one after the other, so a band's first wave is behind the last one of the band before.
    """
    instances_of = _instances_of(nodes)
    numbers: dict[str, int] = {}
    cyclic = _cycles(nodes, instances_of)
    sorter = TopologicalSorter(
        {
            name: [each for each in _edges(node, nodes, instances_of) if each not in cyclic]
            for name, node in nodes.items()
            if name not in cyclic
        }
    )
    sorter.prepare()
    wave = 0
    while sorter.is_active():
        wave += 1
        ready = sorter.get_ready()
        numbers |= dict.fromkeys(ready, wave)
        sorter.done(*ready)
    bands = {name: nodes[name].band for name in numbers}
    if len(set(bands.values())) <= 1:
        return numbers
    order = sorted({(bands[name], number) for name, number in numbers.items()})
    return {name: order.index((bands[name], number)) + 1 for name, number in numbers.items()}


def dependants(nodes: Mapping[str, Node], lost: Iterable[str]) -> list[str]:
    """The instances that stop when all of ``lost`` (instances or facilities) stop: those first that stop first."""
    gone = list(lost)
    instances_of = _instances_of(nodes)
    found: list[str] = []
    grown = True
    while grown:
        grown = False
        for name, node in nodes.items():
            if name not in gone and any(_is_lost(each, gone, nodes, instances_of) for each in node.depends.requires):
                gone.append(name)
                found.append(name)
                grown = True
    found.reverse()
    return found


def _is_lost(
    dependency: Dependency, gone: list[str], nodes: Mapping[str, Node], instances_of: Mapping[str, list[str]]
) -> bool:
    if isinstance(dependency, AnyOf):
        serving = [name for name in instances_of.get(dependency.definition, ()) if nodes[name].phase.alive]
        return bool(serving) and all(name in gone for name in serving)
    return dependency.name in gone


class _Planner:
    def __init__(self, nodes: Mapping[str, Node], absent: Mapping[str, str]) -> None:
        self._nodes = nodes
        self._absent = absent
        self._instances_of = _instances_of(nodes)
        self._unfit = offenders(nodes)
        self._outlooks: dict[str, _Outlook] = {}
        self._busy: float | None = None

    def plan(self) -> Plan:
        plan = Plan(unfit=self._unfit)
        for name, node in self._nodes.items():
            if node.phase in {Phase.STARTING, Phase.UP}:
                if (reason := self._reason_to_stop(node)) is not None:
                    plan.stop[name] = reason
            elif node.phase is Phase.DOWN and node.wanted and name not in self._unfit:
                self._look_at_start(node, plan)
        self._stop_users_first(plan)
        return plan

    def _look_at_start(self, node: Node, plan: Plan) -> None:
        if node.held is not None:
            return
        missing = [each for each in node.depends.requires if self._outlook(each) is _Outlook.NO]
        if missing:
            plan.blocked[node.name] = f"it requires {self._explain(missing[0])}"
            return
        coming = [
            each for each in (*node.depends.requires, *node.depends.wants) if self._outlook(each) is _Outlook.COMING
        ]
        if coming:
            plan.waiting[node.name] = f"it waits for {', '.join(sorted({str(each) for each in coming}))}"
        elif node.band > self._busy_band():
            plan.waiting[node.name] = f"it waits for band {self._busy_band():g}"
        else:
            plan.start.append(node.name)

    def _reason_to_stop(self, node: Node) -> str | None:
        if not node.wanted:
            return "it was told to stop"
        if node.recycle:
            return "it is to start anew"
        if node.name in self._unfit:
            return self._unfit[node.name]
        for dependency in node.depends.requires:
            if self._outlook(dependency) is not _Outlook.YES:
                return f"it requires {self._explain(dependency)}"
        return None

    def _stop_users_first(self, plan: Plan) -> None:
        """Put off what others still use that are about to end as well."""
        ending = set(plan.stop) | {name for name, node in self._nodes.items() if node.phase is Phase.STOPPING}
        used = {
            used
            for name in ending
            for used in _edges(self._nodes[name], self._nodes, self._instances_of)
            if used != name
        }
        highest = max((self._nodes[name].band for name in ending), default=0)
        for name in list(plan.stop):
            if name in used or self._nodes[name].band < highest:
                del plan.stop[name]

    def _busy_band(self) -> float:
        """The lowest band in which something is still going to run; infinity when all is settled."""
        if self._busy is None:
            coming = (node.band for name, node in self._nodes.items() if self._outlook_of(name) is _Outlook.COMING)
            self._busy = min(coming, default=inf)
        return self._busy

    def _outlook(self, dependency: Dependency) -> _Outlook:
        match dependency:
            case Instance(name):
                return self._outlook_of(name)
            case AnyOf(definition):
                outlooks = [self._outlook_of(name) for name in self._instances_of.get(definition, ())]
                return max(outlooks, key=lambda each: each.value, default=_Outlook.NO)
            case facility:
                return _Outlook.NO if facility.name in self._absent else _Outlook.YES

    def _outlook_of(self, name: str) -> _Outlook:
        if name not in self._outlooks:
            self._outlooks[name] = _Outlook.NO  # for who meets itself on the way
            self._outlooks[name] = self._look_ahead(name)
        return self._outlooks[name]

    def _look_ahead(self, name: str) -> _Outlook:
        node = self._nodes.get(name)
        if node is None or not node.wanted or node.held is not None or name in self._unfit:
            return _Outlook.NO
        if node.phase is Phase.STUCK:
            return _Outlook.NO
        worst = min((self._outlook(each) for each in node.depends.requires), key=lambda each: each.value, default=None)
        if worst is _Outlook.NO:
            return _Outlook.NO
        if node.phase is Phase.UP and not node.recycle:
            return _Outlook.YES if worst is not _Outlook.COMING else _Outlook.COMING
        return _Outlook.COMING

    def _explain(self, dependency: Dependency) -> str:
        match dependency:
            case Instance(name):
                return f"{name}, which {self._explain_state(name)}"
            case AnyOf(definition):
                return f"an instance of {definition}, and none runs"
            case facility:
                return f"{facility}, which is absent: {self._absent.get(facility.name, '')}"

    def _explain_state(self, name: str) -> str:
        node = self._nodes.get(name)
        if node is None:
            return "does not exist"
        if name in self._unfit:
            return f"cannot run: {self._unfit[name]}"
        if not node.wanted:
            return "is not meant to run"
        if node.held is not None:
            return f"failed ({node.held})"
        if node.phase is Phase.STUCK:
            return "is stuck"
        return "is blocked itself" if node.phase is Phase.DOWN else "is not running"


def _instances_of(nodes: Mapping[str, Node]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, node in nodes.items():
        found.setdefault(node.definition, []).append(name)
    return found


def _missing(dependency: Dependency, nodes: Mapping[str, Node], instances_of: Mapping[str, list[str]]) -> str | None:
    match dependency:
        case Instance(name) if name not in nodes:
            return f"it requires {name}, which does not exist"
        case AnyOf(definition) if definition not in instances_of:
            return f"it requires an instance of {definition}, and there is none"
        case _:
            return None


def _edges(node: Node, nodes: Mapping[str, Node], instances_of: Mapping[str, list[str]]) -> list[str]:
    """The instances that a node comes after."""
    found: list[str] = []
    for dependency in (*node.depends.requires, *node.depends.wants):
        match dependency:
            case Instance(name) if name in nodes:
                found.append(name)
            case AnyOf(definition):
                found += instances_of.get(definition, ())
            case _:
                pass
    return found


def _cycles(nodes: Mapping[str, Node], instances_of: Mapping[str, list[str]]) -> dict[str, str]:
    """The members of cycles, each with the cycle in words."""
    graph = {name: set(_edges(node, nodes, instances_of)) for name, node in nodes.items()}
    found: dict[str, str] = {}
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            members: list[str] = error.args[1]
            text = " -> ".join(reversed(members))
            found |= dict.fromkeys(members, text)
            graph = {
                name: {each for each in edges if each not in found}
                for name, edges in graph.items()
                if name not in found
            }
        else:
            return found
