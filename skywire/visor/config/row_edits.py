"""App instances written into the rows of a configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from skywire.app.options import describe
from skywire.app.record import InstanceConfig
from skywire.app.typed_json import encode
from skywire.json_document import Document
from skywire.key_path import KeyPath
from skywire.visor.config.args import join_args
from skywire.visor.config.built_in import BUILT_IN, options_unless_set, ports_said_elsewhere, said_elsewhere
from skywire.visor.config.rows import (
    RowError,
    args_of,
    environment_of,
    isolation_of,
    options_of,
    ports_of,
    restart_of,
    row_names,
)
from skywire.visor.config.schema import AppRow, VisorConfig

T = TypeVar("T")

APPS: Final[KeyPath] = ("launcher", "apps")


def put_row(document: Document, config: VisorConfig, instance: InstanceConfig) -> Document:
    """Write an instance down: into the first row that it has, or a new one.

    Only what changes is written. Options go into ``options``, those that differ from what they are otherwise; a command
    line then keeps only the words that mean nothing here.

    Args:
        document: to change.
        config: what it means.
        instance: as it is to be.
    """
    names = row_names(config.launcher.apps)
    if instance.name not in names:
        at = len(names)
        row = AppRow(name=instance.name)
        document = document.put((*APPS, at), {"name": instance.name, "auto_start": instance.auto_start})
    else:
        at = names.index(instance.name)
        row = config.launcher.apps[at]
        if row.auto_start is not instance.auto_start:
            document = document.put((*APPS, at, "auto_start"), instance.auto_start)
    changes = _arrangement(row, instance)
    if instance.app.trouble is None:
        changes |= _content(row, config, instance)
    for name, value in changes.items():
        path = (*APPS, at, name)
        document = document.drop(path) if value is None else document.put(path, value)
    return document


def drop_row(document: Document, config: VisorConfig, name: str) -> Document:
    """Strike an instance off; one that would be there without a row has a row that says it is not."""
    names = row_names(config.launcher.apps)
    rows = [at for at, each in enumerate(names) if each == name]
    if name in BUILT_IN:
        first, *rows = rows or [len(names)]
        document = document.put((*APPS, first), {"name": name, "auto_start": False, "removed": True})
    for at in reversed(rows):
        document = document.drop((*APPS, at))
    return document


def _arrangement(row: AppRow, instance: InstanceConfig) -> dict[str, object]:
    """How the instance is run, as far as it has changed; None for what goes."""
    changes: dict[str, object] = {}
    if row.removed:
        changes["removed"] = None
    if instance.restart is not _unless_wrong(lambda: restart_of(row, instance.app.definition)):
        changes["restart_policy"] = instance.restart.value
    if dict(instance.environment) != environment_of(row):
        changes["env"] = [f"{name}={value}" for name, value in instance.environment.items()] or None
    definition = instance.app.definition
    if instance.app.trouble is None and instance.isolation is not _unless_wrong(lambda: isolation_of(row, definition)):
        changes["isolation"] = instance.isolation.value
    return changes


def _content(row: AppRow, config: VisorConfig, instance: InstanceConfig) -> dict[str, object]:
    """What the instance is, as far as it has changed; None for what goes."""
    definition = instance.app.definition
    changes: dict[str, object] = {}
    app = "" if definition.name == instance.name else definition.name
    if app != row.app:
        changes["app"] = app or None
    said_ports = ports_said_elsewhere(row.name, definition.name, config)
    if _unless_wrong(lambda: ports_of(row, definition, said_ports)) != dict(instance.ports):
        first = definition.ports[0].name if definition.ports else ""
        others = {name: number for name, number in instance.ports.items() if name != first}
        changes |= {"port": instance.ports.get(first), "ports": others or None}
    said = said_elsewhere(row.name, definition.name, config)
    if _unless_wrong(lambda: options_of(row, definition, said)) != instance.app.options:
        changes |= {"options": _options(config, instance) or None, "args": _args_left(row, instance)}
    return changes


def _options(config: VisorConfig, instance: InstanceConfig) -> dict[str, object]:
    """The options that differ from what they are without the row, secret ones included: the file is private."""
    options = instance.app.options
    otherwise = options_unless_set(instance.name, instance.app.definition, config)
    values = {each.name: encode(getattr(options, each.name)) for each in describe(type(options))}
    return {name: value for name, value in values.items() if value != otherwise[name]}


def _args_left(row: AppRow, instance: InstanceConfig) -> object:
    """The command line without what is among the options now."""
    found = _unless_wrong(lambda: args_of(row, instance.app.definition))
    if found is None:
        return None
    mapped, head = found
    return join_args((*head, *mapped.left), row.args) if mapped.left else None


def _unless_wrong(meaning: Callable[[], T]) -> T | None:
    """What a row means; None where it means nothing."""
    try:
        return meaning()
    except RowError:
        return None
