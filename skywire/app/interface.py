"""Interfaces that can be called from another process: protocols of asynchronous methods over plain data.

The protocol class is all there is to write: server and client read its methods, with the types of their arguments and
results, and the role that each asks for.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum, unique
from typing import Final, TypeVar, final, get_args, get_origin, get_type_hints

F = TypeVar("F", bound=Callable[..., object])

_ROLE: Final = "skywire_role"


@final
@unique
class Role(IntEnum):
    """What a caller may do; each includes those before it."""

    READ = 1
    """See how the node is."""
    CONTROL = 2
    """Start and stop apps, and use their commands."""
    ADMIN = 3
    """Everything: which apps there are, and how they are set; who may do what; ending the node."""


def needs(role: Role) -> Callable[[F], F]:
    """Mark a method of an interface with the role that it asks for; unmarked ones need ADMIN."""

    def mark(method: F) -> F:
        setattr(method, _ROLE, role)
        return method

    return mark


@final
@dataclass(frozen=True, slots=True)
class Method:
    """One method of an interface.

    Args:
        name: as called, for instance ``apps.start``.
        attribute: of the object that implements it.
        parameters: their types, by name.
        required: names of those that have no default.
        result: the type of the result, or of each item of a stream.
        streams: whether it gives a stream of items.
        role: that the caller needs.
    """

    name: str
    attribute: str
    parameters: Mapping[str, object]
    required: frozenset[str]
    result: object
    streams: bool
    role: Role


def methods_of(interface: Callable[..., object], prefix: str) -> tuple[Method, ...]:
    """The methods of a protocol class.

    Args:
        interface: the class.
        prefix: stands before each name.

    Raises:
        TypeError: a method has no types, or parameters that cannot be named.
    """
    return tuple(
        method_of(interface, prefix, attribute)
        for attribute, function in vars(interface).items()
        if not attribute.startswith("_") and inspect.isfunction(function)
    )


def method_of(interface: Callable[..., object], prefix: str, attribute: str) -> Method:
    """One of them; raises as :func:`methods_of` does, and AttributeError when there is none of that name."""
    function = vars(interface).get(attribute)
    if attribute.startswith("_") or not inspect.isfunction(function):
        raise AttributeError(f"{interface.__name__} has no method {attribute}")
    hints = get_type_hints(function)
    result = hints.pop("return")
    parameters = list(inspect.signature(function).parameters.values())[1:]
    if any(each.kind not in {each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY} for each in parameters):
        raise TypeError(f"a parameter of {interface.__name__}.{attribute} has no name")
    streams = get_origin(result) is AsyncIterator
    return Method(
        name=f"{prefix}.{attribute}",
        attribute=attribute,
        parameters={each.name: hints[each.name] for each in parameters},
        required=frozenset(each.name for each in parameters if each.default is each.empty),
        result=get_args(result)[0] if streams else result,
        streams=streams,
        role=getattr(function, _ROLE, Role.ADMIN),
    )
